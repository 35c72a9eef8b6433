"""The two engines as the rest of a node has them, in this process, on sockets and with a real agent beside them.

For the contract that both keep; it must not know what that is.
"""

import random
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint

from onevalue.addresses import http_tag
from onevalue.agent import AgentEngine
from onevalue.config import LAN, SerfSettings
from onevalue.gossip import GossipService
from onevalue.member import Happening, UserEvent
from onevalue.serf.core import Serf
from onevalue.serf.dialler import Dialler
from onevalue.spread.rumour import EVENT_NAME
from onevalue.swim.address import to_bytes
from onevalue.transport import Sockets
from onevalue.wire.envelope import Envelope
from onevalue.wire.keyring import Keyring
from tests.e2e.harness import GOSSIP_PORT, RPC_PORT, House, SerfAgent, free_address, reactor

HTTP = "tcp:8080"


class Watched:
    """An engine that runs, and what it has told."""

    def __init__(self, engine: GossipService | AgentEngine, host: str, agent: SerfAgent | None = None) -> None:
        self.engine = engine
        self.host = host
        self.agent = agent
        self.events: list[UserEvent] = []
        self.happened: list[Happening] = []
        self.changes = 0
        engine.observe_members(self._changed)
        engine.observe_events(self.events.extend)
        engine.observe_happenings(self.happened.append)

    def _changed(self) -> None:
        self.changes += 1

    def statuses(self) -> dict[str, str]:
        """The members as it shows them."""
        return {member.name: member.status.value for member in self.engine.members()}

    def stop(self) -> "Deferred[None]":
        """Fires when it has stopped."""
        return self.engine.stopService()


async def embedded(house: House, name: str, partner: SerfAgent, key: bytes | None) -> Watched:
    """The embedded engine, which joins the partner."""
    del house  # it has no process of its own
    host = free_address()
    envelope = Envelope(b"", None if key is None else Keyring([key], random.randbytes))
    serf = Serf(
        name=name,
        addr=to_bytes(host),
        port=GOSSIP_PORT,
        tags={"http": http_tag(HTTP, host), "role": "web"},
        swim_settings=LAN,
        settings=SerfSettings(),
        rng=random.Random(),
        held_events=[EVENT_NAME],
        envelope=envelope,
    )
    engine = GossipService(
        reactor=reactor,
        name=name,
        serf=serf,
        dialler=Dialler([partner.host], SerfSettings(), [(host, GOSSIP_PORT)], {}),
        transport=Sockets(
            reactor=reactor, bind=(host, GOSSIP_PORT), envelope=envelope, stream_time_max_s=LAN.stream_timeout_s
        ),
        envelope=envelope,
    )
    watched = Watched(engine, host)
    engine.startService()
    return watched


async def external(house: House, name: str, partner: SerfAgent, key: bytes | None) -> Watched:
    """The engine beside an agent, which joins the partner."""
    encrypt = [] if key is None else [option for option in partner.options if option.startswith("-encrypt")]
    agent = await house.agent(name, "-tag", "role=web", *encrypt).start()
    await agent.join(partner.host)
    engine = AgentEngine(
        reactor=reactor,
        name=name,
        endpoint=TCP4ClientEndpoint(reactor, agent.host, RPC_PORT),
        at=f"{agent.host}:{RPC_PORT}",
        auth_file=None,
        rng=random.Random(),
        http_tag=partial(http_tag, HTTP),
    )
    watched = Watched(engine, agent.host, agent)
    engine.startService()
    return watched


ENGINES: dict[str, Callable[..., Any]] = {"gossip": embedded, "agent": external}
