"""A node beside a fake Serf agent, for tests of its engine."""

import random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from onevalue.agent import AgentEngine
from onevalue.agent.engine import STOP_TIME_MAX_S
from onevalue.member import Happening, Status, UserEvent
from tests.unit.agent_rig import FakeAgent, agent_member
from tests.unit.gossip_bench import GossipReactor

KEY = bytes(range(16))


class EngineTestCase(SynchronousTestCase):
    """A node named n1, and an agent of that name with two other members."""

    tag = "http:8080"

    def setUp(self) -> None:
        self.reactor = GossipReactor()
        self.agent = FakeAgent(self.reactor)
        self.agent.members += [agent_member("n2", 2, http="http:8080"), agent_member("n3", 3, "failed")]
        self.changes = 0
        self.events: list[UserEvent] = []
        self.happened: list[Happening] = []
        self.engine = self.make()

    def make(self, **settings: Any) -> AgentEngine:
        """An engine, observed."""
        settings = {"auth_file": None, "http_tag": lambda host: self.tag if host else "", **settings}
        settings.setdefault("rng", random.Random(1))
        engine = AgentEngine(reactor=self.reactor, name="n1", endpoint=self.agent, at="127.0.0.1:7373", **settings)
        engine.observe_members(self._changed)
        engine.observe_events(self.events.extend)
        engine.observe_happenings(self.happened.append)
        self.addCleanup(self.stop, engine)
        return engine

    def stop(self, engine: AgentEngine) -> None:
        """Nothing of it is left."""
        engine.stopService()
        self.wait(STOP_TIME_MAX_S)
        assert self.reactor.getDelayedCalls() == []

    def _changed(self) -> None:
        self.changes += 1

    def start(self) -> None:
        """The engine has met its agent."""
        self.engine.startService()
        self.turn()
        assert self.engine.trouble() is None, self.engine.trouble()

    def turn(self, count: int = 30) -> None:
        """Some turns of the reactor."""
        for _ in range(count):
            self.reactor.advance(0)

    def wait(self, seconds: float, step_s: float = 0.25) -> None:
        """Time passes."""
        for _ in range(int(seconds / step_s)):
            self.reactor.advance(step_s)
            self.turn(10)

    def statuses(self) -> dict[str, Status]:
        """As the engine shows the members."""
        return {member.name: member.status for member in self.engine.members()}

    def lines(self, kind: str) -> list[str]:
        """What happened of this kind."""
        return [each.text for each in self.happened if each.kind == kind]
