"""A node's HTTP service in memory: real store, spread, writer, routes and server; virtual time and byte streams."""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from onevalue.config import SpreadSettings
from onevalue.errors import JournalError
from onevalue.histogram import Histogram
from onevalue.isolation import Isolation
from onevalue.journal import NullJournal
from onevalue.measured import LagFigures
from onevalue.signing import Signer
from onevalue.spread import Spread
from onevalue.store import Source, State, Store
from onevalue.types import Generation
from onevalue.web.channel import LimitedChannel
from onevalue.web.context import Context
from onevalue.web.server import CONNECTIONS_MAX
from onevalue.web.service import make_site
from onevalue.wire.envelope import Envelope
from onevalue.writer import Writer
from tests.fakes import FakeMembership, at_once

WALL_TIME_S = 1_700_000_000.0
"""Seconds since 1970 when a node is made."""

STARTED_S = 1000.0
"""Seconds of its reactor, then."""


def logged_errors(test: SynchronousTestCase, *kinds: type[Exception]) -> list[Failure]:
    """The errors logged since the last call; each that nobody takes fails its test."""
    return test.flushLoggedErrors(*kinds)  # type: ignore[no-any-return]  # Twisted has no types here


class KeepingJournal(NullJournal):
    """Keeps what is written while the test runs."""

    def append(self, states: Sequence[State], source: Source) -> Deferred[None]:
        """See IJournal."""
        self.durable = max([*states, *([] if self.durable is None else [self.durable])])
        return super().append(states, source)


class FailingJournal(NullJournal):
    """Is in trouble as the test says."""

    def __init__(self) -> None:
        self._observers: list[Callable[[], None]] = []

    def observe_trouble(self, observer: Callable[[], None]) -> None:
        """See IJournal."""
        self._observers.append(observer)

    def fail(self, trouble: str | None) -> None:
        """This is the trouble now."""
        self.trouble = trouble
        for observer in self._observers:
            observer()


class SlowJournal(NullJournal):
    """Keeps nothing; commits end when, and as, the test says."""

    def __init__(self) -> None:
        self.commits: list[Deferred[None]] = []
        self.waits: list[tuple[State, Deferred[None]]] = []

    def append(self, states: Sequence[State], source: Source) -> Deferred[None]:  # noqa: ARG002  # nothing is kept
        """See IJournal."""
        self.commits.append(Deferred())
        return self.commits[-1]

    def when_durable(self, state: State) -> Deferred[None]:
        """See IJournal."""
        self.waits.append((state, Deferred()))
        return self.waits[-1][1]

    def end_waits(self, trouble: str | None = None) -> None:
        """All who wait know that it is durable, or why it is not."""
        waits, self.waits = self.waits, []
        for state, wait in waits:
            if trouble is None:
                self.durable = state
                wait.callback(None)
            else:
                wait.errback(JournalError(trouble))


@dataclass(frozen=True)
class Response:
    """What a client reads; header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


class Wire(StringTransport):
    """A client's end of a connection; `reads` False: it takes nothing, so the server's close waits for it."""

    def __init__(self, clock: Clock, peer: str) -> None:
        self.peer = IPv4Address("TCP", peer, 40000)
        super().__init__(peerAddress=self.peer, lenient=True)  # type: ignore[no-untyped-call]  # Twisted has no types here
        self.reads = True
        self.lost = False
        self.channel: LimitedChannel | None = None
        self._clock = clock

    def loseConnection(self) -> None:
        """The close completes when the client has read all."""
        super().loseConnection()  # type: ignore[no-untyped-call]  # likewise
        if self.reads:
            self._clock.callLater(0, self.lose)

    def abortConnection(self) -> None:
        """The close completes whatever the client does."""
        self.disconnecting = True
        self._clock.callLater(0, self.lose)

    def lose(self) -> None:
        """The connection is gone."""
        if not self.lost and self.channel is not None:
            self.lost = True
            self.channel.connectionLost(Failure(ConnectionDone()))

    def take_bytes(self) -> bytes:
        """What has been written since the last call."""
        data: bytes = self.value()  # type: ignore[no-untyped-call]  # likewise
        self.clear()  # type: ignore[no-untyped-call]  # likewise
        return data

    def take_responses(self, *, head: bool = False) -> list[Response]:
        """The complete responses that have been written since the last call."""
        data, responses = self.take_bytes(), []
        while data:
            top, _, data = data.partition(b"\r\n\r\n")
            first, *lines = top.decode().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            status = int(first.split(" ")[1])
            length = 0 if head or status == 304 else int(headers["content-length"])
            assert len(data) >= length, (first, data)
            responses.append(Response(status, headers, data[:length]))
            data = data[length:]
        return responses


class PausingWire(Wire):
    """A client that reads only what it must: after each write the transport is full, until the test says otherwise."""

    def write(self, data: bytes) -> None:
        """Written, and no more room."""
        super().write(data)  # type: ignore[no-untyped-call]  # Twisted has no types here
        self._full()

    def writeSequence(self, data: list[bytes]) -> None:
        """Likewise."""
        StringTransport.write(self, b"".join(data))
        self._full()

    def _full(self) -> None:
        if self.producer is not None:
            self.producer.pauseProducing()


class WebNode:
    """One node, `more` of whose Context is said. Its time stands still unless the test advances `clock`."""

    def __init__(
        self,
        journal: NullJournal | None = None,
        state: State | None = None,
        envelope: Envelope | None = None,
        host_names: Sequence[str] = (),
        *,
        expects_others: bool = False,
        connections_max: int = CONNECTIONS_MAX,
        clock: Clock | None = None,
        **more: Any,
    ) -> None:
        self.clock = clock = clock or Clock()
        clock.advance(STARTED_S)

        def wall_clock() -> float:
            return WALL_TIME_S + clock.seconds() - STARTED_S

        self.store = Store(state or State(Generation(0), 42))
        self.journal = journal or NullJournal()
        self.membership = FakeMembership()
        self.spread = Spread(name="n1", store=self.store, settings=SpreadSettings(), rng=random.Random(1))
        writer = Writer(
            store=self.store,
            journal=self.journal,
            spread=self.spread,
            clock=self.clock.seconds,
            wall_clock=wall_clock,
            soon=at_once,
        )
        self.context = Context(
            store=self.store,
            writer=writer,
            spread=self.spread,
            membership=self.membership,
            journal=self.journal,
            signer=Signer(envelope or Envelope(), random.Random(2).randbytes),
            clock=self.clock,
            wall_clock=wall_clock,
            name="n1",
            version="1.2.3",
            started_s=990.0,
            lag=lambda: LagFigures(0.001, 0.02, 0, Histogram()),
            isolated=Isolation(self.membership, self.spread, expects_others=expects_others).why,
            exposure=lambda: ["gossip on 10.0.0.1:7946 is unencrypted"],
            host_names=host_names,
            expects_others=expects_others,
            **more,
        )
        self.site = make_site(self.clock, self.context, connections_max)

    def connect(self, peer: str = "10.0.0.9", kind: type[Wire] = Wire) -> Wire | None:
        """A new connection from `peer`; None if the server does not take it."""
        wire = kind(self.clock, peer)
        channel = self.site.buildProtocol(wire.peer)
        if channel is None:
            return None
        wire.channel = channel
        channel.makeConnection(wire)  # type: ignore[no-untyped-call]  # likewise
        return wire

    def dial(self, data: bytes = b"", peer: str = "10.0.0.9") -> Wire:
        """A connection that the server takes, on which the client has sent `data`."""
        wire = self.connect(peer)
        assert wire is not None, "the server refused the connection"
        self.send(wire, data)
        return wire

    def send(self, wire: Wire, data: bytes) -> None:
        """The client sends bytes."""
        assert wire.channel is not None
        wire.channel.dataReceived(data)
        self.clock.advance(0)

    def start_request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        *,
        peer: str = "10.0.0.9",
    ) -> Wire:
        """The client sends a whole request."""
        lines = {"Host": "n1:8080", **({"Content-Length": str(len(body))} if body else {}), **(headers or {})}
        head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        return self.dial(head.encode("latin-1") + b"\r\n" + body, peer)

    def request(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Response:
        """The one response to a request, which is there at once."""
        [response] = self.start_request(method, path, body, headers).take_responses(head=method == "HEAD")
        return response

    def get(self, path: str, **headers: str) -> Response:
        """GET; underscores in header names mean dashes."""
        return self.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def put(self, body: bytes, **headers: str) -> Response:
        """PUT /v1/value with application/json, unless `headers` say otherwise."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.request("PUT", "/v1/value", body, {"Content-Type": "application/json", **named})
