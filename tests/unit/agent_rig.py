"""A Serf agent in memory, as its clients see it: says what the test wants, and remembers what it was asked.

It is written from the wire's description (wire README 6); real agents are in tests/e2e.
"""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import (
    ConnectionAborted,
    ConnectionDone,
    ConnectionRefusedError,  # noqa: A004  # Twisted has its own
    DNSLookupError,
)
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.python.failure import Failure
from zope.interface import implementer

from onevalue.wire import rpc_messages as rpc
from onevalue.wire.dialect import Splitter
from onevalue.wire.rpc_codec import (
    REPLIES,
    REQUEST_ENTRIES_MAX,
    REQUEST_SIZE_MAX,
    REQUESTS,
    decode_body,
    decode_request_header,
    encode_record,
    encode_reply,
    encode_response,
)
from tests.unit.gossip_bench import GossipReactor

VERSIONS = (1, 5, 2, 2, 5, 5)


def agent_member(name: str, last: int, status: str = "alive", **tags: str) -> rpc.RpcMember:
    """A member at 10.0.0.`last`, as an agent tells of it."""
    return rpc.RpcMember(name, bytes([10, 0, 0, last]), 7946, tags, status, *VERSIONS)


class Wire:
    """A connection between a client's protocol and the agent; what one side writes the other has in the next turn."""

    def __init__(self, agent: "FakeAgent", protocol: Any) -> None:
        self.open = True
        self.paused = False
        self.followed: dict[str, int] = {}  # seq by command
        self.handshaken = self.authenticated = False
        self._agent = agent
        self._protocol = protocol
        self._splitter = Splitter(REQUEST_SIZE_MAX)
        self._header: rpc.RequestHeader | None = None
        protocol.makeConnection(self)

    # As the client's transport

    def write(self, data: bytes) -> None:
        """See ITransport."""
        self._agent.reactor.callLater(0, self._receive, data)

    def abortConnection(self) -> None:
        """See ITCPTransport."""
        self.end(ConnectionAborted())

    def pauseProducing(self) -> None:
        """See IPushProducer."""
        self.paused = True

    def resumeProducing(self) -> None:
        """See IPushProducer."""
        self.paused = False

    # As the agent's end

    def end(self, reason: Exception | None = None) -> None:
        """The connection is lost."""
        if self.open:
            self.open = False
            self._agent.reactor.callLater(0, self._protocol.connectionLost, Failure(reason or ConnectionDone()))

    def send(self, data: bytes) -> None:
        """The client has these bytes in the next turn."""
        self._agent.reactor.callLater(0, self._deliver, data)

    def record(self, command: str, record: Any) -> None:
        """A record for whoever follows this command."""
        self.send(encode_response("", self.followed[command], encode_record(record)))

    def _deliver(self, data: bytes) -> None:
        if self.open:
            self._protocol.dataReceived(data)

    def _receive(self, data: bytes) -> None:
        for item in self._splitter.feed(data) if self.open else ():
            if self._header is None:
                header = decode_request_header(item)
                if REQUESTS[header.command] is None:
                    self._agent.asked(self, header, None)
                else:
                    self._header = header
            else:
                header, self._header = self._header, None
                struct = REQUESTS[header.command]
                assert struct is not None
                self._agent.asked(self, header, decode_body(struct, item, REQUEST_ENTRIES_MAX))


@implementer(IStreamClientEndpoint)
class FakeAgent:
    """The agent, and the endpoint by which it is reached.

    Attributes:
        name: that it says it has.
        members: that it tells of.
        auth_key: that it demands.
        up: it accepts connections; `hangs`: nobody hears whether it does.
        silent: commands that it does not answer.
        errors: by command: what it answers instead, with the body of success.
        requests: command and body of each request, in order.
        wires: all connections that there were.
    """

    def __init__(self, reactor: GossipReactor, name: str = "n1") -> None:
        self.reactor = reactor
        self.name = name
        self.members = [agent_member(name, 1, role="web")]
        self.auth_key: str | None = None
        self.up, self.hangs = True, False
        self.silent: list[str] = []
        self.errors: dict[str, str] = {}
        self.replies: dict[str, Any] = {"join": rpc.Joined(1), "list-keys": rpc.KeyReply({}, 3, 3, 0, {})}
        self.requests: list[tuple[str, Any]] = []
        self.wires: list[Wire] = []
        self.stats: dict[str, str] = {"member_time": "7", "event_time": "5", "query_time": "3", "health_score": "1"}

    def connect(self, factory: Any) -> "Deferred[Any]":
        """See IStreamClientEndpoint."""
        if self.hangs:
            return Deferred(self.cancelled)
        if not self.up:
            return fail(ConnectionRefusedError())
        protocol = factory.buildProtocol(None)
        self.wires.append(Wire(self, protocol))
        return succeed(protocol)

    @staticmethod
    def cancelled(connecting: "Deferred[Any]") -> None:
        """As HostnameEndpoint has it while it looks up a name."""
        connecting.errback(DNSLookupError("Couldn't find the hostname"))

    @property
    def wire(self) -> Wire:
        """The connection that events go to."""
        return next(wire for wire in self.wires if wire.open and "stream" in wire.followed)

    def commands(self) -> list[str]:
        """What was asked, without the bodies."""
        return [command for command, _ in self.requests]

    def bodies(self, command: str) -> list[Any]:
        """With what a command was asked."""
        return [body for each, body in self.requests if each == command]

    def asked(self, wire: Wire, header: rpc.RequestHeader, body: Any) -> None:
        """A request has come."""
        self.requests.append((header.command, body))
        if header.command in self.silent:
            return
        error = self._refusal(wire, header.command, body) or self.errors.get(header.command, "")
        if header.command in {"stream", "query", "monitor"} and not error:
            wire.followed[header.command] = header.seq
        if header.command == "tags" and not error:
            self._change_tags(body)
        bare = error in {rpc.ErrorText.AUTHENTICATION_REQUIRED, rpc.ErrorText.HANDSHAKE_REQUIRED}
        reply = (
            b"" if bare or header.command not in REPLIES else encode_reply(header.command, self._reply(header.command))
        )
        wire.send(encode_response(error, header.seq, reply))

    def _refusal(self, wire: Wire, command: str, body: Any) -> str:
        if command == "handshake":
            wire.handshaken = True
        elif not wire.handshaken:
            return rpc.ErrorText.HANDSHAKE_REQUIRED
        elif command == "auth":
            if body.key != self.auth_key:
                return rpc.ErrorText.INVALID_TOKEN
            wire.authenticated = True
        elif self.auth_key is not None and not wire.authenticated:
            return rpc.ErrorText.AUTHENTICATION_REQUIRED
        return ""

    def _reply(self, command: str) -> Any:
        make: dict[str, Callable[[], Any]] = {
            "members": lambda: rpc.Members(tuple(self.members)),
            "stats": self._stats,
        }
        return make[command]() if command in make else self.replies[command]

    def _stats(self) -> rpc.Stats:
        statuses = [each.status for each in self.members]
        counts = {"members": str(len(statuses)), **{s: str(statuses.count(s)) for s in ("failed", "left")}}
        return rpc.Stats({"agent": {"name": self.name}, "serf": {**self.stats, **counts}})

    def _change_tags(self, body: rpc.Tags) -> None:
        own = next(each for each in self.members if each.name == self.name)
        kept = {name: text for name, text in own.tags.items() if name not in body.delete_tags}
        changed = rpc.RpcMember(own.name, own.addr, own.port, {**kept, **body.tags}, own.status, *VERSIONS)
        self.members[self.members.index(own)] = changed
        for wire in self.wires:
            if wire.open and "stream" in wire.followed:
                wire.record("stream", rpc.StreamRecord("member-update", (changed,)))
