"""The network between the nodes: packets, streams and calls, with delays, loss, copies and cuts.

A packet may be lost, doubled or late, and so overtaken. Streams and calls ride on TCP: what is lost is sent again,
which costs time; where nobody listens on a living host they are refused, and where the host is gone there is silence.
It must not know what the bytes mean.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from math import exp, log
from random import Random
from typing import Any, Protocol

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import CannotListenError, ConnectionRefusedError  # noqa: A004  # Twisted has its own
from twisted.python.failure import Failure

from onevalue.errors import RemoteProtocolError
from onevalue.simulation.clock import Clock, NodeClock
from onevalue.swim.streams import StreamRequest
from onevalue.transport import Receiver
from onevalue.types import Address
from onevalue.wire.envelope import Envelope
from onevalue.wire.messages import StreamMessage
from onevalue.wire.stream import StreamDecoder

IP_AND_UDP_HEADERS = 28
"""Bytes that each packet costs beside its content."""

RETRANSMISSION_S = 0.2
"""How long TCP waits before it sends again for the first time; each time after twice as long."""

BUFFERED_MAX = 256
"""Packets that the system keeps for a process that stands still; more are lost."""

TRIPS_TO_ASK = 3
"""One-way trips before a request is there: two for the connection."""


@dataclass(frozen=True, slots=True)
class Latency:
    """One-way delays: at least `floor_s`, half of them below `median_s`, with a lognormal tail of this sigma."""

    floor_s: float
    median_s: float
    sigma: float

    def draw(self, rng: Random) -> float:
        """One delay, seconds."""
        return self.floor_s + rng.lognormvariate(log(self.median_s - self.floor_s), self.sigma)

    @property
    def slow_s(self) -> float:
        """Of a hundred trips 99 take no longer."""
        return self.floor_s + exp(log(self.median_s - self.floor_s) + 2.326 * self.sigma)


LATENCIES = {
    "lan": Latency(floor_s=0.0001, median_s=0.00025, sigma=0.5),
    "wan": Latency(floor_s=0.010, median_s=0.040, sigma=0.6),
}


@dataclass(frozen=True, slots=True)
class Link:
    """What any two hosts have between them.

    Attributes:
        latency: of one way.
        loss: share of packets that vanish, in each direction.
        copies: share of packets that come twice.
        spikes: share of packets that are late by up to `spike_s`.
        spike_s: see there.
    """

    latency: Latency
    loss: float = 0.0
    copies: float = 0.0
    spikes: float = 0.0
    spike_s: float = 0.5


class HttpServer(Protocol):
    """What answers `POST /notify` on a node."""

    def __call__(self, headers: dict[str, str], body: bytes) -> "Deferred[tuple[int, dict[str, str], bytes]]":
        """Fires with status, headers and body of the answer."""


@dataclass(eq=False)
class Endpoint:
    """A node as the network sees it; a Transport, too.

    Attributes:
        network: where it is.
        address: of gossip.
        clock: of its process.
        envelope: what stands around its streams.
        http: answers calls to its host.
        packets, packet_bytes, stream_bytes, http_bytes: what it has sent; packets with IP and UDP headers.
        receiver: gets what arrives.
        buffered: packets that wait since it stands still.
        on_packet: looks at each packet that it sends.
    """

    network: "Network"
    address: Address
    clock: NodeClock
    envelope: Envelope
    http: HttpServer | None = None
    packets: int = 0
    packet_bytes: int = 0
    stream_bytes: int = 0
    http_bytes: int = 0
    buffered: int = 0
    receiver: Receiver | None = field(default=None, repr=False)
    on_packet: Callable[["Endpoint", bytes], None] | None = field(default=None, repr=False)

    @property
    def host(self) -> str:
        """Numeric."""
        return self.address[0]

    @property
    def inbound(self) -> int:
        """See Transport; a simulated stream is read and answered in one step."""
        return 0

    @property
    def bytes_sent(self) -> int:
        """By any way."""
        return self.packet_bytes + self.stream_bytes + self.http_bytes

    def open(self, receiver: Receiver) -> None:
        """See Transport."""
        self.receiver = receiver
        self.network.attach(self)

    def send(self, data: bytes, address: Address) -> None:
        """See Transport."""
        self.packets += 1
        self.packet_bytes += len(data) + IP_AND_UDP_HEADERS
        if self.on_packet is not None:
            self.on_packet(self, data)
        self.network.send(self, data, address)

    def ask(self, request: StreamRequest) -> None:
        """See Transport."""
        self.network.ask(self, request)

    def close(self) -> "Deferred[Any]":
        """See Transport."""
        self.network.detach(self)
        return succeed(None)

    def told(self, request_id: int, result: StreamMessage | Failure) -> None:
        """The engine hears how a stream ended."""
        if self.receiver is not None:
            self.receiver.stream_ended(request_id, result)


class Network:
    """All hosts, who listens on them, and what is between them.

    Attributes:
        link: between any two hosts.
        cuts: pairs of hosts, from and to, between which nothing passes.
        without_udp: hosts whose UDP is blocked, both ways; TCP is open.
        gone: hosts that are switched off: silence, not refusal.
        digest: of all packets that arrived, and when: the same for the same run.
    """

    def __init__(self, clock: Clock, rng: Random, link: Link) -> None:
        self.link = link
        self.cuts: dict[tuple[str, str], None] = {}
        self.without_udp: dict[str, None] = {}
        self.gone: dict[str, None] = {}
        self.digest = 0
        self._clock = clock
        self._rng = rng
        self._endpoints: dict[Address, Endpoint] = {}
        self._by_host: dict[str, Endpoint] = {}

    def attach(self, endpoint: Endpoint) -> None:
        """It listens at its address. Raises CannotListenError if another does."""
        if endpoint.address in self._endpoints:
            raise CannotListenError(*endpoint.address, OSError("Address already in use"))
        self._endpoints[endpoint.address] = self._by_host[endpoint.host] = endpoint

    def detach(self, endpoint: Endpoint) -> None:
        """It does not listen any more; nothing if it did not."""
        if self._endpoints.get(endpoint.address) is endpoint:
            del self._endpoints[endpoint.address], self._by_host[endpoint.host]

    # Packets

    def send(self, sender: Endpoint, data: bytes, address: Address) -> None:
        """The packet is on its way, once or twice, or lost."""
        link, rng, source, target = self.link, self._rng, sender.host, address[0]
        if (source, target) in self.cuts or source in self.without_udp or target in self.without_udp:
            return
        if link.loss and rng.random() < link.loss:
            return
        self._deliver(sender.address, data, address)
        if link.copies and rng.random() < link.copies:
            self._deliver(sender.address, data, address)

    def _deliver(self, source: Address, data: bytes, address: Address) -> None:
        endpoint = self._endpoints.get(address)
        if endpoint is None:
            return
        if endpoint.clock.stalled_until > self._clock.now:
            endpoint.buffered += 1
        if endpoint.buffered <= BUFFERED_MAX:
            self._clock.call(self._delay_s(), endpoint.clock, self._arrive, endpoint, source, data)

    def _arrive(self, endpoint: Endpoint, source: Address, data: bytes) -> None:
        endpoint.buffered = 0
        if endpoint.receiver is not None and self._endpoints.get(endpoint.address) is endpoint:
            self.digest = zlib.crc32(data, self.digest ^ hash(self._clock.now) & 0xFFFFFFFF)
            endpoint.receiver.datagram_received(data, source)

    def _delay_s(self) -> float:
        delay_s = self.link.latency.draw(self._rng)
        if self.link.spikes and self._rng.random() < self.link.spikes:
            delay_s += self._rng.uniform(0, self.link.spike_s)
        return delay_s

    # Streams and calls

    def ask(self, sender: Endpoint, request: StreamRequest) -> None:
        """The stream is being opened. Its deadline is the core's business."""

        def arrived() -> None:
            endpoint = self._endpoints.get(request.address)
            if endpoint is None or endpoint.receiver is None:
                self._carry(request.address[0], sender.host, sender.clock, refused, request.deadline, trips=1)
            else:
                self._clock.call(0.0, endpoint.clock, self._answer, sender, endpoint, request)

        def refused() -> None:
            sender.told(request.request_id, Failure(ConnectionRefusedError()))

        self._carry(sender.host, request.address[0], None, arrived, request.deadline, trips=TRIPS_TO_ASK)

    def _answer(self, sender: Endpoint, endpoint: Endpoint, request: StreamRequest) -> None:
        if endpoint.receiver is None:
            return
        sent = request.data.encode()
        sender.stream_bytes += len(sent)
        back: bytes | None = None
        try:
            message = StreamDecoder(endpoint.envelope, is_request=True).feed(sent)
            assert message is not None, "a stream carries a whole message"
            reply = endpoint.receiver.stream_received(message)
            back = None if reply is None else reply.encode()
        except RemoteProtocolError as error:
            endpoint.receiver.stream_malformed(error, sender.host)

        def answered() -> None:
            sender.told(request.request_id, _decoded(sender.envelope, back))

        endpoint.stream_bytes += len(back or b"")
        self._carry(endpoint.host, sender.host, sender.clock, answered, request.deadline, trips=1)

    def post(
        self, sender: Endpoint, host: str, headers: dict[str, str], body: bytes, time_max_s: float
    ) -> "Deferred[tuple[int, dict[str, str], bytes]]":
        """Fires with the answer to an HTTP call, or fails if it is refused; with silence it never fires."""
        done: Deferred[tuple[int, dict[str, str], bytes]] = Deferred()
        deadline = self._clock.now + time_max_s
        if sender.address not in self._endpoints:
            return fail(ConnectionRefusedError())
        sender.http_bytes += len(body)

        def arrived() -> None:
            endpoint = self._by_host.get(host)
            if endpoint is None or endpoint.http is None:
                self._carry(host, sender.host, sender.clock, refused, deadline, trips=1)
            else:
                self._clock.call(0.0, endpoint.clock, answer, endpoint, endpoint.http)

        def answer(endpoint: Endpoint, http: HttpServer) -> None:
            http(headers, body).addCallback(send, endpoint)

        def send(told: tuple[int, dict[str, str], bytes], endpoint: Endpoint) -> None:
            endpoint.http_bytes += len(told[2])
            self._carry(host, sender.host, sender.clock, lambda: _fire(done, told), deadline, trips=1)

        def refused() -> None:
            _fire(done, Failure(ConnectionRefusedError()))

        self._carry(sender.host, host, None, arrived, deadline, trips=TRIPS_TO_ASK)
        return done

    def _carry(
        self, a: str, b: str, owner: NodeClock | None, then: Callable[[], None], until: float, *, trips: int
    ) -> None:
        """`then` is called when something has come from a to b by TCP, in so many trips, unless it takes too long."""
        if b in self.gone or (a, b) in self.cuts or (trips > 1 and (b, a) in self.cuts):
            if self._clock.now + 5 * RETRANSMISSION_S < until:
                self._clock.call(5 * RETRANSMISSION_S, None, self._carry_again, a, b, owner, then, until, trips)
            return
        delay_s = 0.0
        for _ in range(trips):
            delay_s += self._delay_s()
            pause_s = RETRANSMISSION_S
            while self.link.loss and self._rng.random() < self.link.loss and pause_s < until:
                delay_s += pause_s
                pause_s *= 2
        if self._clock.now + delay_s < until:
            self._clock.call(delay_s, owner, then)

    def _carry_again(
        self, a: str, b: str, owner: NodeClock | None, then: Callable[[], None], until: float, trips: int
    ) -> None:
        self._carry(a, b, owner, then, until, trips=trips)


def _decoded(envelope: Envelope, answer: bytes | None) -> StreamMessage | Failure:
    if answer is None:
        return Failure(RemoteProtocolError("closed without an answer"))
    try:
        message = StreamDecoder(envelope, is_request=False).feed(answer)
    except RemoteProtocolError:
        return Failure()
    assert message is not None, "a stream carries a whole message"
    return message


def _fire(done: "Deferred[tuple[int, dict[str, str], bytes]]", result: Any) -> None:
    if not done.called:
        done.callback(result)
