"""A stand-in for the original Go program: a real Serf agent, and beside it, on the same address, its HTTP rules.

    any method  /get                            the value
    any method  /set/{value}                    takes it, generation + 1; answers the value
    any method  /notify/{value}/{generation}    takes both if the generation is larger than its own; empty answer
    every 2 s   POST /notify/...?notifier=NAME  to port 8080 of two random other alive members

It compares generations alone, speaks only to port 8080, and never reads an answer. Tests set `value` and `generation`
as they like.
"""

import contextlib
import random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from tests.e2e.harness import HTTP_PORT, SerfAgent, reactor, request, started

NOTIFY_INTERVAL_S = 2.0
MEMBERS_TO_NOTIFY = 2


class Original:
    """One such node.

    Attributes:
        agent: its Serf agent, not started yet; its name is the notifier's.
        value, generation: what it holds.
        notified: what it was sent to /notify, (method, value, generation, notifier).
    """

    def __init__(self, agent: SerfAgent) -> None:
        self.agent = agent
        self.value = 42
        self.generation = 0
        self.notified: list[tuple[str, int, int, str]] = []
        self._rounds = LoopingCall(lambda: started(self._round()))
        self._ended: Deferred[Any] | None = None
        self._port: Any = None

    async def start(self) -> "Original":
        """Agent, HTTP service and notifications run."""
        await self.agent.start()
        site = Site(_Routes(self))
        site.noisy = False
        self._port = reactor.listenTCP(HTTP_PORT, site, interface=self.agent.host)
        self._ended = self._rounds.start(NOTIFY_INTERVAL_S, now=False)
        return self

    async def close(self) -> None:
        """All but the agent has ended; that one belongs to the house."""
        if self._rounds.running:
            self._rounds.stop()
        if self._ended is not None:
            await self._ended
        if self._port is not None:
            await self._port.stopListening()

    def set(self, value: int) -> None:
        """As /set."""
        self.value, self.generation = value, self.generation + 1

    def notify(self, value: int, generation: int) -> None:
        """As /notify."""
        if generation > self.generation:
            self.value, self.generation = value, generation

    async def _round(self) -> None:
        with contextlib.suppress(AssertionError):  # the agent has ended
            members = await self.agent.members()
            others = [m for m in members.values() if m["status"] == "alive" and m["name"] != self.agent.name]
            for member in random.sample(others, min(MEMBERS_TO_NOTIFY, len(others))):
                await self._tell(member["addr"].rpartition(":")[0])

    async def _tell(self, host: str) -> None:
        url = f"http://{host}:{HTTP_PORT}/notify/{self.value}/{self.generation}?notifier={self.agent.name}"
        with contextlib.suppress(Exception):  # as the original: who does not answer is none of its business
            await request("POST", url, timeout_s=1.0)


class _Routes(Resource):
    isLeaf = True

    def __init__(self, original: Original) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Twisted's has no types
        self._original = original

    def render(self, request: Request) -> bytes:
        """Any method."""
        original = self._original
        match request.path.decode().split("/")[1:]:
            case ["get"]:
                return b"%d" % original.value
            case ["set", value]:
                original.set(int(value))
                return b"%d" % original.value
            case ["notify", value, generation]:
                notifier = request.args.get(b"notifier", [b""])[0].decode()
                original.notified.append((request.method.decode(), int(value), int(generation), notifier))
                original.notify(int(value), int(generation))
                return b""
        request.setResponseCode(404)
        return b"404 page not found\n"
