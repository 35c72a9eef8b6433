"""The simulated network: what is lost, doubled, late, cut off, refused, and what gets through."""

from random import Random
from statistics import median

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import CannotListenError, ConnectionRefusedError  # noqa: A004  # Twisted has its own
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from onevalue.errors import RemoteProtocolError
from onevalue.simulation.clock import Clock, NodeClock
from onevalue.simulation.network import (
    BUFFERED_MAX,
    IP_AND_UDP_HEADERS,
    LATENCIES,
    RETRANSMISSION_S,
    Endpoint,
    Latency,
    Link,
    Network,
)
from onevalue.swim.streams import StreamRequest
from onevalue.types import Address, SequenceNumber
from onevalue.wire.envelope import Envelope
from onevalue.wire.messages import Ack, Ping, StreamMessage
from onevalue.wire.stream import Outgoing

STEADY = Latency(floor_s=0.01, median_s=0.010000001, sigma=0.0)
"""Every trip takes 10 ms."""

A, B = ("10.0.0.1", 7946), ("10.0.0.2", 7946)


class Peer:
    """Keeps what arrives, answers every ping, and notes how its own streams end."""

    def __init__(self, network: Network, clock: Clock, address: Address) -> None:
        self.clock = NodeClock(clock)
        self.endpoint = Endpoint(network, address, self.clock, Envelope())
        self.endpoint.open(self)
        self.packets: list[tuple[float, bytes, Address]] = []
        self.ended: list[tuple[float, StreamMessage | Failure]] = []
        self.malformed: list[RemoteProtocolError] = []

    def datagram_received(self, data: bytes, source: Address) -> None:
        self.packets.append((round(self.clock.seconds(), 6), data, source))

    def stream_received(self, message: StreamMessage) -> Outgoing | None:
        assert isinstance(message, Ping)
        return outgoing(Ack(message.seq_no)) if message.node != "silent" else None

    def stream_malformed(self, error: RemoteProtocolError, _host: str) -> None:
        self.malformed.append(error)

    def stream_ended(self, request_id: int, result: StreamMessage | Failure) -> None:
        assert request_id == 1
        self.ended.append((round(self.clock.seconds(), 6), result))


def outgoing(message: StreamMessage) -> Outgoing:
    """A message in no envelope."""
    return Outgoing(lambda: message, Envelope().seal_request, compress=False)


def request(address: Address, node: str, deadline: float) -> StreamRequest:
    """A ping by stream."""
    return StreamRequest(1, address, outgoing(Ping(SequenceNumber(7), node)), deadline)


class NetworkTestCase(SynchronousTestCase):
    """Two nodes, 10 ms apart."""

    def setUp(self) -> None:
        self.build(Link(STEADY))

    def build(self, link: Link) -> None:
        """With this between them."""
        self.clock = Clock()
        self.network = Network(self.clock, Random(1), link)
        self.a, self.b = Peer(self.network, self.clock, A), Peer(self.network, self.clock, B)

    def send(self, count: int = 1, size: int = 3) -> None:
        """So many packets from a to b, and half a second."""
        for _ in range(count):
            self.a.endpoint.send(bytes(size), B)
        self.clock.run_until(self.clock.now + 1.0)


class PacketTests(NetworkTestCase):
    """UDP."""

    def test_a_packet_arrives_after_the_delay_and_is_counted_with_its_headers(self) -> None:
        """From the sender's address."""
        self.send(size=100)
        assert self.b.packets == [(0.01, bytes(100), A)]
        assert (self.a.endpoint.packets, self.a.endpoint.packet_bytes) == (1, 100 + IP_AND_UDP_HEADERS)

    def test_packets_are_lost_doubled_and_late_as_often_as_the_link_says(self) -> None:
        """Each share within a few per cent of what was asked for."""
        self.build(Link(STEADY, loss=0.2))
        self.send(2000)
        assert 0.77 < len(self.b.packets) / 2000 < 0.83
        self.build(Link(STEADY, copies=0.2))
        self.send(2000)
        assert 1.17 < len(self.b.packets) / 2000 < 1.23
        self.build(Link(STEADY, spikes=0.2, spike_s=0.5))
        self.send(2000)
        assert 0.17 < sum(at > 0.0101 for at, _, _ in self.b.packets) / 2000 < 0.23
        assert max(at for at, _, _ in self.b.packets) < 0.52

    def test_delays_have_the_median_and_the_slow_end_that_are_stated(self) -> None:
        """Of both networks for people."""
        rng = Random(1)
        for latency in LATENCIES.values():
            drawn = sorted(latency.draw(rng) for _ in range(20_000))
            assert abs(median(drawn) / latency.median_s - 1) < 0.03
            assert abs(drawn[19_800] / latency.slow_s - 1) < 0.06
            assert drawn[0] >= latency.floor_s

    def test_a_cut_is_one_way_and_blocked_udp_both(self) -> None:
        """What was cut gets through again later."""
        self.network.cuts[A[0], B[0]] = None
        self.send()
        self.b.endpoint.send(b"back", A)
        self.clock.run_until(2.0)
        assert (self.b.packets, [data for _, data, _ in self.a.packets]) == ([], [b"back"])
        self.network.cuts.clear()
        self.network.without_udp[B[0]] = None
        self.send()
        assert self.b.packets == []
        self.network.without_udp.clear()
        self.send()
        assert len(self.b.packets) == 1

    def test_for_a_node_that_stands_still_only_so_many_packets_are_kept(self) -> None:
        """The others are lost; afterwards it gets all again."""
        self.b.clock.stalled_until = 0.5
        self.send(BUFFERED_MAX + 10)
        assert len(self.b.packets) == BUFFERED_MAX
        assert self.b.packets[0][0] == 0.5
        self.send()
        assert len(self.b.packets) == BUFFERED_MAX + 1

    def test_who_does_not_listen_gets_nothing(self) -> None:
        """Nor who ceased to while the packet was under way; one address has one listener."""
        with pytest.raises(CannotListenError):
            self.network.attach(Endpoint(self.network, B, self.b.clock, Envelope()))
        self.a.endpoint.send(b"x", B)
        self.successResultOf(self.b.endpoint.close())
        self.send()
        assert self.b.packets == []


class StreamTests(NetworkTestCase):
    """TCP streams."""

    def ask(self, node: str = "b", within_s: float = 10.0) -> list[tuple[float, StreamMessage | Failure]]:
        """How a ping by stream ended."""
        self.a.endpoint.ask(request(B, node, self.clock.now + within_s))
        self.clock.run_until(self.clock.now + 20.0)
        return self.a.ended

    def test_an_answer_takes_two_round_trips(self) -> None:
        """One for the connection; UDP may be blocked."""
        self.network.without_udp[B[0]] = None
        [(at, answer)] = self.ask()
        assert (at, answer) == (0.04, Ack(SequenceNumber(7)))
        assert self.a.endpoint.stream_bytes > 0
        assert self.b.endpoint.stream_bytes > 0

    def test_no_answer_and_nobody_are_failures(self) -> None:
        """Refused, if the host is there; without a word, if it is gone."""
        [(_, closed)] = self.ask(node="silent")
        assert isinstance(closed, Failure)
        assert closed.check(RemoteProtocolError)
        self.a.ended.clear()
        self.b.endpoint.close()
        [(_, refused)] = self.ask()
        assert isinstance(refused, Failure)
        assert refused.check(ConnectionRefusedError)
        self.a.ended.clear()
        self.network.gone[B[0]] = None
        assert self.ask() == []

    def test_a_lossy_network_is_slow_for_streams_and_loses_none(self) -> None:
        """Unless it takes longer than the deadline."""
        self.build(Link(STEADY, loss=0.4))
        took = []
        for _ in range(50):
            began = self.clock.now
            [(at, answer)] = self.ask(within_s=20.0)
            assert isinstance(answer, Ack)
            took.append(at - began)
            self.a.ended.clear()
        assert max(took) > 2 * RETRANSMISSION_S

    def test_a_cut_that_heals_in_time_is_a_delay(self) -> None:
        """A longer one is silence."""
        self.network.cuts[B[0], A[0]] = None
        self.clock.call(3.0, None, self.network.cuts.clear)
        [(at, answer)] = self.ask()
        assert isinstance(answer, Ack)
        assert 3.0 < at < 6.0
        self.a.ended.clear()
        self.network.cuts[A[0], B[0]] = None
        assert self.ask(within_s=5.0) == []

    def test_nonsense_is_told_to_the_other_side(self) -> None:
        """And ends the stream here."""
        nonsense = Outgoing(lambda: Ping(SequenceNumber(1), "b"), lambda _: b"\xc8", compress=False)
        self.a.endpoint.ask(StreamRequest(1, B, nonsense, 10.0))
        self.clock.run_until(1.0)
        [(_, failure)] = self.a.ended
        assert isinstance(failure, Failure)
        assert len(self.b.malformed) == 1


class CallTests(NetworkTestCase):
    """HTTP."""

    def call(self) -> "Deferred[tuple[int, dict[str, str], bytes]]":
        """A call from a to b, and some time."""
        done = self.network.post(self.a.endpoint, B[0], {"x": "1"}, b"body", 2.0)
        self.clock.run_until(self.clock.now + 3.0)
        return done

    def test_a_call_brings_the_answer_back(self) -> None:
        """Its bytes are counted on both sides."""
        self.b.endpoint.http = lambda headers, body: succeed((200, {**headers, "y": "2"}, body + b"!"))
        assert self.successResultOf(self.call()) == (200, {"x": "1", "y": "2"}, b"body!")
        assert (self.a.endpoint.http_bytes, self.b.endpoint.http_bytes) == (4, 5)

    def test_without_a_service_it_is_refused_and_without_a_host_silent(self) -> None:
        """As for streams."""
        self.failureResultOf(self.call(), ConnectionRefusedError)  # type: ignore[no-untyped-call]  # Twisted's has no types
        self.network.gone[B[0]] = None
        self.assertNoResult(self.call())  # type: ignore[no-untyped-call]  # Twisted's has no types
        self.a.endpoint.close()
        self.failureResultOf(self.call(), ConnectionRefusedError)  # type: ignore[no-untyped-call]  # Twisted's has no types
