"""The gossip shell: it starts whole, goes on after faults, never spins, and leaves nothing behind."""

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.error import (
    CannotListenError,
    ConnectionAborted,
    ConnectionRefusedError,  # noqa: A004  # Twisted has its own
    MessageLengthError,
)
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from onevalue.config import LAN, SerfSettings
from onevalue.connections import INBOUND_STREAMS_MAX
from onevalue.driver import FAULT_PAUSE_S
from onevalue.errors import LocalProtocolError
from onevalue.gossip import LEAVE_TIME_MAX_S, GossipService
from onevalue.member import Happening, QueryRequest
from onevalue.membership import IMembership
from onevalue.serf.core import Serf
from onevalue.serf.dialler import Dialler
from onevalue.serf.events import MemberJoin
from onevalue.transport import Sockets
from onevalue.types import Address, Incarnation, SequenceNumber
from onevalue.udp import Udp
from onevalue.wire.codec import encode_message
from onevalue.wire.envelope import Envelope
from onevalue.wire.messages import Alive, Ping
from tests.unit.gossip_bench import GossipReactor, Names
from tests.unit.swim_net import VSN

OWN: Address = ("10.0.0.1", 7946)
OTHER: Address = ("10.0.0.2", 7946)
PING = encode_message(Ping(SequenceNumber(7), "n1"))


class FaultySerf(Serf):
    """A core with faults of its own: these methods raise, and `always_due` is a deadline that never passes."""

    faults: tuple[str, ...] = ()
    always_due = False
    handled = 0
    refusals: list[bool] = []  # noqa: RUF012  # emptied for each test

    def _maybe(self, name: str) -> None:
        if name in self.faults:
            raise ZeroDivisionError(name)

    def receive_datagram(self, data: bytes, source: Address, now: float) -> None:
        """See Serf."""
        self._maybe("receive_datagram")
        super().receive_datagram(data, source, now)

    def handle_timer(self, now: float) -> None:
        """See Serf."""
        self.handled += 1
        self._maybe("handle_timer")
        super().handle_timer(now)

    def stream_failed(self, request_id: int, reason: str, now: float, *, refused: bool = False) -> None:
        """See Serf."""
        self.refusals.append(refused)
        super().stream_failed(request_id, reason, now, refused=refused)

    def leave(self, now: float) -> None:
        """See Serf."""
        self._maybe("leave")
        super().leave(now)

    def next_deadline(self) -> float | None:
        """See Serf."""
        return 0.0 if self.always_due else super().next_deadline()


class GossipTestCase(SynchronousTestCase):
    """A service on a reactor in memory."""

    def setUp(self) -> None:
        self.reactor = GossipReactor()
        self.names = Names()
        self.reactor.nameResolver = self.names  # type: ignore[assignment]  # as much of it as is used
        self.serf: FaultySerf
        self.gossip = self.make()

    def make(self, targets: Sequence[str] = (), *, host: str = OWN[0]) -> GossipService:
        """A service that has not started."""
        FaultySerf.refusals = []
        self.serf = FaultySerf(
            name="n1",
            addr=bytes([10, 0, 0, 1]),
            port=OWN[1],
            tags={},
            swim_settings=LAN,
            settings=SerfSettings(),
            rng=random.Random(1),
        )
        envelope = Envelope()
        return GossipService(
            reactor=self.reactor,
            name="n1",
            serf=self.serf,
            dialler=Dialler(targets, SerfSettings(), [OWN]),
            transport=Sockets(
                reactor=self.reactor, bind=(host, OWN[1]), envelope=envelope, stream_time_max_s=LAN.stream_timeout_s
            ),
            envelope=envelope,
        )

    def receive(self, data: bytes) -> None:
        """A packet arrives from the other node."""
        self.reactor.udp_ports[-1].protocol.datagramReceived(data, OTHER)

    def hear_of(self, name: str) -> None:
        """A packet says that a member is alive at the other address."""
        self.receive(encode_message(Alive(Incarnation(1), name, bytes([10, 0, 0, 2]), OTHER[1], b"", VSN)))

    def faults_logged(self) -> int:
        """How many since the last call."""
        return len(self.flushLoggedErrors(ZeroDivisionError))  # type: ignore[no-untyped-call]  # Twisted's has no types

    def check_stopped(self, stopped: "Deferred[None]") -> None:
        """It has stopped, with nothing left."""
        self.successResultOf(stopped)
        assert not self.reactor.getDelayedCalls()
        assert not any(port.open for port in self.reactor.udp_ports)


class StartTests(GossipTestCase):
    """Starting."""

    def test_it_is_a_membership(self) -> None:
        """All that IMembership promises is there."""
        assert verifyObject(IMembership, self.gossip)

    def test_both_ports_are_bound(self) -> None:
        """And this node is a member."""
        self.gossip.startService()
        assert len(self.reactor.udp_ports) == len(self.reactor.tcpServers) == 1
        assert [member.name for member in self.gossip.members()] == ["n1"]
        assert self.gossip.status()["inbound_streams"] == 0

    def test_a_taken_port_leaves_none_bound(self) -> None:
        """The error is raised, the UDP port is closed again, and stopping does no harm."""
        self.reactor.tcp_taken = True
        with pytest.raises(CannotListenError):
            self.gossip.startService()
        assert not self.gossip.running
        self.check_stopped(self.gossip.stopService())

    def test_connections_to_it_are_bounded(self) -> None:
        """One more is closed unread."""
        self.gossip.startService()
        [(_, factory, *_)] = self.reactor.tcpServers
        for _ in range(INBOUND_STREAMS_MAX):
            stream = factory.buildProtocol(None)  # type: ignore[arg-type]  # it does not look at the address
            assert stream is not None
            stream.connectionMade()
        assert factory.buildProtocol(None) is None  # type: ignore[arg-type]  # as above
        assert self.gossip.status()["inbound_streams"] == INBOUND_STREAMS_MAX


class RefusedTests(GossipTestCase):
    """Streams that nobody takes."""

    def test_the_core_hears_whether_a_host_has_refused(self) -> None:
        """Only where nobody listens; not after a silence."""
        self.gossip._driver.stream_ended(1, Failure(ConnectionRefusedError()))
        self.gossip._driver.stream_ended(2, Failure(ConnectionAborted()))
        assert self.serf.refusals == [True, False]

    def test_whoever_looks_on_is_told_what_the_core_tells(self) -> None:
        """Before it is acted on."""
        seen: list[object] = []
        self.gossip.observe_engine(seen.append)
        self.gossip.startService()
        self.hear_of("n2")
        assert [event.member.name for event in seen if isinstance(event, MemberJoin)] == ["n1", "n2"]

    def test_people_are_told_in_words(self) -> None:
        """What the log has, as it happens."""
        seen: list[Happening] = []
        self.gossip.observe_happenings(seen.append)
        self.gossip.startService()
        self.hear_of("n2")
        assert [(each.kind, each.name) for each in seen] == [("joined", "n1"), ("joined", "n2")]
        assert seen[1].text.startswith("member joined: n2 at ")


class FaultTests(GossipTestCase):
    """Whatever one turn stumbles over, the next one comes."""

    def test_a_fault_at_a_deadline_is_not_the_last(self) -> None:
        """It is logged, and the timer stands again, but not so soon that faults fill the log."""
        self.gossip.startService()
        self.serf.faults = ("handle_timer",)
        self.serf.always_due = True
        for _ in range(100):
            self.reactor.advance(FAULT_PAUSE_S / 10)
        assert 5 <= self.faults_logged() <= 11
        self.serf.faults, self.serf.always_due = (), False
        self.reactor.advance(FAULT_PAUSE_S)
        handled = self.serf.handled
        self.reactor.advance(60)
        assert self.serf.handled > handled
        assert not self.faults_logged()

    def test_a_fault_in_a_packet_is_not_the_last(self) -> None:
        """The next packet is answered."""
        self.gossip.startService()
        self.serf.faults = ("receive_datagram",)
        self.receive(PING)
        assert self.faults_logged() == 1
        self.serf.faults = ()
        self.receive(PING)
        assert self.reactor.udp_ports[0].written

    def test_a_deadline_that_is_always_past_does_not_spin(self) -> None:
        """The reactor has time for others: one turn, one call."""
        self.gossip.startService()
        self.serf.always_due = True
        self.receive(PING)
        before = self.serf.handled
        self.reactor.advance(1.0)
        assert self.serf.handled == before + 1

    def test_an_observer_that_raises_keeps_nobody_from_hearing(self) -> None:
        """Not the next observer, and not the next time."""
        told: list[int] = []

        def fault(*_: Any) -> None:
            raise ZeroDivisionError

        self.gossip.observe_addresses_tried(fault)
        self.gossip.observe_addresses_tried(lambda _: told.append(0))
        self.gossip.observe_members(fault)
        self.gossip.observe_members(lambda: told.append(len(self.gossip.members())))
        self.gossip.startService()
        self.hear_of("n2")
        self.reactor.advance(0)
        assert told[-1] == 2
        assert 0 in told
        assert self.faults_logged() >= 2

    def test_an_observer_may_call_back(self) -> None:
        """An event that is sent while another is told of leaves too."""
        self.gossip.startService()
        self.hear_of("n2")

        def send() -> None:
            self.gossip.send_event("deploy", b"now", coalesce=False)

        self.gossip.observe_members(send)
        self.reactor.advance(1.0)
        assert any(b"deploy" in data for data, _ in self.reactor.udp_ports[0].written)

    def test_what_is_asked_of_a_node_that_does_not_run_fails(self) -> None:
        """Before its start and after its stop: its timers would never end it."""
        self.refuses_questions()
        self.gossip.startService()
        self.gossip.stopService()
        self.reactor.advance(LEAVE_TIME_MAX_S)
        self.refuses_questions()

    def refuses_questions(self) -> None:
        """Whatever is asked fails at once."""
        for asked in (self.gossip.query(QueryRequest("uptime")), self.gossip.change_keys("list", b"", 0)):
            self.failureResultOf(asked, LocalProtocolError)  # type: ignore[no-untyped-call]  # Twisted's has no types

    def test_packets_that_cannot_be_sent_are_lost(self) -> None:
        """No route, a wrong family, a wrong port, too long: nothing is raised, and the next one leaves."""
        self.gossip.startService()
        [port] = self.reactor.udp_ports
        for fault in [OSError(101, "unreachable"), ValueError("family"), OverflowError("port"), MessageLengthError()]:
            port.fault = fault
            self.receive(PING)
        port.fault = None
        self.receive(PING)
        assert len(port.written) == 1

    def test_an_ipv6_socket_reaches_ipv4_in_its_mapped_form(self) -> None:
        """A node that is bound to :: answers those who come by IPv4."""
        for ipv6, sent in [(True, ["::ffff:10.0.0.2", "fe80::2"]), (False, ["10.0.0.2", "fe80::2"])]:
            udp = Udp(GossipReactor(), lambda _data, _address: None, ipv6=ipv6)
            port = self.reactor.listenUDP(7946, udp, maxPacketSize=65536)
            for host in ("10.0.0.2", "fe80::2"):
                udp.send(b"x", (host, 1))
            assert [address[0] for _, address in port.written] == sent


class StopTests(GossipTestCase):
    """Stopping."""

    def stop_within(self, seconds: float) -> "Deferred[None]":
        """The service is told to stop, and that much time passes."""
        stopped = self.gossip.stopService()
        for _ in range(int(seconds * 10)):
            self.reactor.advance(0.1)
        return stopped

    def test_alone_it_stops_at_once(self) -> None:
        """Nobody has to hear of it."""
        self.gossip.startService()
        self.check_stopped(self.gossip.stopService())

    def test_with_others_it_leaves_first(self) -> None:
        """They are told before the ports close, within the budget."""
        self.gossip.startService()
        self.hear_of("n2")
        self.assertNoResult(stopped := self.gossip.stopService())  # type: ignore[no-untyped-call]  # Twisted has no types
        for _ in range(80):
            self.reactor.advance(0.1)
        self.check_stopped(stopped)
        assert self.reactor.udp_ports[0].written

    def test_stopping_twice_does_no_harm(self) -> None:
        """Both fire, and so does a third, later."""
        self.gossip.startService()
        self.hear_of("n2")
        first = self.gossip.stopService()
        self.check_stopped(self.stop_within(8))
        self.check_stopped(first)
        self.check_stopped(self.gossip.stopService())

    def test_what_never_started_stops(self) -> None:
        """At once."""
        self.check_stopped(self.gossip.stopService())

    def test_a_fault_in_the_leave_does_not_keep_the_ports_open(self) -> None:
        """They are closed when the shell's own deadline has come."""
        self.gossip.startService()
        self.serf.faults = ("leave",)
        stopped = self.stop_within(LEAVE_TIME_MAX_S + 1)
        assert self.faults_logged() == 1
        assert len(self.flushLoggedErrors()) == 1  # type: ignore[no-untyped-call]  # Twisted's has no types
        self.check_stopped(stopped)

    def test_streams_under_way_are_cut(self) -> None:
        """A join that is being dialled, and one that hangs in the middle of an exchange."""
        self.gossip = self.make(["10.0.0.2", "10.0.0.3"])
        self.gossip.startService()
        assert len(self.reactor.tcpClients) == 2
        (_, _, factory, _, _), _ = self.reactor.tcpClients
        stream = factory.buildProtocol(None)
        assert stream is not None
        transport = HangingTransport(lambda: stream.connectionLost(Failure(ConnectionAborted())))
        stream.makeConnection(transport)  # type: ignore[arg-type]  # as much of it as is used
        assert transport.written
        self.check_stopped(self.gossip.stopService())
        assert self.reactor.connectors[1].stoppedConnecting

    def test_a_lookup_that_hangs_begins_no_join_later(self) -> None:
        """Its deadline is gone, and a late answer leads nowhere."""
        self.gossip = self.make(["somewhere.example"])
        self.gossip.startService()
        self.check_stopped(self.gossip.stopService())
        self.names.answer(0, "10.0.0.9")
        assert not self.reactor.tcpClients
        assert not self.reactor.getDelayedCalls()


class HangingTransport:
    """A connection to somebody who never answers."""

    def __init__(self, lost: Callable[..., None]) -> None:
        self.written = b""
        self._lost = lost

    def write(self, data: bytes) -> None:
        """See ITransport."""
        self.written += data

    def abortConnection(self) -> None:
        """See ITCPTransport."""
        lost, self._lost = self._lost, lambda: None
        lost()


class JoinTests(GossipTestCase):
    """Joining."""

    def test_with_no_addresses_all_have_been_tried(self) -> None:
        """Who asks hears it at the start; later, at once."""
        told: list[bool] = []
        self.gossip.observe_addresses_tried(told.append)
        self.gossip.startService()
        self.gossip.observe_addresses_tried(told.append)
        assert told == [True, True]

    def test_an_address_that_does_not_answer_is_dialled_again(self) -> None:
        """For ever, and observers hear once that it was tried."""
        told: list[bool] = []
        self.gossip = self.make(["10.0.0.2"])
        self.gossip.observe_addresses_tried(told.append)
        self.gossip.startService()
        for _ in range(1200):
            self.reactor.advance(0.1)
        assert len(self.reactor.tcpClients) > 4
        assert told == [False]

    def test_a_name_is_looked_up_again(self) -> None:
        """One that led nowhere, and one that the resolver cannot even ask for."""
        self.gossip = self.make(["somewhere.example", "x" * 64 + ".example"])
        self.gossip.startService()
        assert [host for host, _ in self.names.asked] == ["somewhere.example"]
        self.names.answer(0)
        self.reactor.advance(1.0)
        assert [host for host, _ in self.names.asked] == ["somewhere.example"] * 2
        self.names.answer(1, "10.0.0.2", "10.0.0.3")
        assert [client[0] for client in self.reactor.tcpClients] == ["10.0.0.2", "10.0.0.3"]

    def test_a_join_counts_who_answered(self) -> None:
        """Nobody: addresses that are silent, or that are none."""
        self.gossip.startService()
        joined = self.gossip.join(["10.0.0.2", "10.0.0.3:1:2", ""])
        for _ in range(110):
            self.reactor.advance(0.1)
        assert self.successResultOf(joined) == 0
