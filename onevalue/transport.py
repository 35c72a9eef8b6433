"""What carries gossip: packets and streams, in and out. `Transport` is what the engine sees, `Sockets` the real one.

The simulator has another. It must not know what a packet or a message means.
"""

from typing import Any, Protocol

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.python.failure import Failure

from onevalue.connections import Connections
from onevalue.errors import RemoteProtocolError
from onevalue.streams import Reactor
from onevalue.swim.streams import StreamRequest
from onevalue.types import Address
from onevalue.udp import RECEIVE_BUFFER, Udp
from onevalue.wire.envelope import Envelope
from onevalue.wire.messages import StreamMessage
from onevalue.wire.stream import Outgoing


class Receiver(Protocol):
    """Who gets what arrives. None of these may raise."""

    def datagram_received(self, data: bytes, source: Address) -> None:
        """A packet."""

    def stream_received(self, message: StreamMessage) -> Outgoing | None:
        """A message on a stream that another opened; returns the answer, or None to close without a word."""

    def stream_malformed(self, error: RemoteProtocolError, host: str) -> None:
        """Such a stream, of this host, made no sense, and why."""

    def stream_ended(self, request_id: int, result: StreamMessage | Failure) -> None:
        """A stream that was asked for is over: the answer, or why there is none."""


class Transport(Protocol):
    """Carries what one engine sends, and hands it what arrives."""

    @property
    def inbound(self) -> int:
        """How many streams that others opened are open."""

    def open(self, receiver: Receiver) -> None:
        """From now on `receiver` gets what arrives. Raises CannotListenError if it cannot be; nothing is open then."""

    def send(self, data: bytes, address: Address) -> None:
        """The packet is on its way, or lost."""

    def ask(self, request: StreamRequest) -> None:
        """The stream is being opened; the receiver is told how it ended, by its deadline."""

    def close(self) -> "Deferred[Any]":
        """Fires when nothing is open any more; streams under way have failed."""


class Sockets:
    """UDP and TCP of a reactor.

    Args:
        reactor: sockets, threads, clock.
        bind: numeric host and port for UDP and TCP.
        envelope: what stands around messages.
        stream_time_max_s: deadline of an inbound TCP exchange.
    """

    def __init__(self, *, reactor: Reactor, bind: Address, envelope: Envelope, stream_time_max_s: float) -> None:
        self._reactor = reactor
        self._bind = bind
        self._envelope = envelope
        self._stream_time_max_s = stream_time_max_s
        self._ports: list[Any] = []  # IListeningPort of UDP and TCP, which annotate stopListening differently
        self._udp: Udp | None = None
        self._connections: Connections | None = None

    @property
    def inbound(self) -> int:
        """See Transport."""
        return 0 if self._connections is None else self._connections.inbound

    def open(self, receiver: Receiver) -> None:
        """See Transport."""
        host, port = self._bind
        udp = Udp(self._reactor, receiver.datagram_received, ipv6=":" in host)
        connections = Connections(
            reactor=self._reactor,
            envelope=self._envelope,
            time_max_s=self._stream_time_max_s,
            received=receiver.stream_received,
            malformed=receiver.stream_malformed,
            ended=receiver.stream_ended,
        )
        self._ports.append(self._reactor.listenUDP(port, udp, interface=host, maxPacketSize=RECEIVE_BUFFER))
        try:
            self._ports.append(self._reactor.listenTCP(port, connections.factory, interface=host))
        except Exception:
            self._ports.pop().stopListening()
            raise
        self._udp, self._connections = udp, connections

    def send(self, data: bytes, address: Address) -> None:
        """See Transport."""
        if self._udp is not None:
            self._udp.send(data, address)

    def ask(self, request: StreamRequest) -> None:
        """See Transport."""
        if self._connections is not None:
            self._connections.open(request)

    def close(self) -> "Deferred[Any]":
        """See Transport."""
        ports, self._ports = self._ports, []
        closing = [] if self._connections is None else [self._connections.close()]
        return DeferredList([*closing, *(maybeDeferred(port.stopListening) for port in ports)], consumeErrors=True)
