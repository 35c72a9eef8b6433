"""What slow watchers cost, how many there may be, and how their streams end."""

import socket

from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from onevalue.store import Source, State
from onevalue.types import Generation
from onevalue.web.channel import HELD_SIZE_MAX
from onevalue.web.eventstream import (
    BEHIND_TIME_MAX_S,
    SEND_BUFFER_SIZE,
    UNACKNOWLEDGED_TIME_MAX_S,
    UNSENT_SIZE_MAX,
)
from onevalue.web.server import SWEEP_INTERVAL_S, LimitedSite
from onevalue.web.service import WebService
from onevalue.web.watching import WATCHERS_PERCENT_MAX
from tests.fakes import TurnClock
from tests.watch_support import LAST_CHUNK, WATCH, StalledWire, WatchTestCase, events, unchunked
from tests.web_support import WebNode, Wire, logged_errors


class SlowTests(WatchTestCase):
    """Clients that do not read."""

    def test_a_slow_client_costs_little_and_gets_the_latest(self) -> None:
        """However often the value changes, about one event waits for it; when it has taken that, it gets the last."""
        wire, quick = self.stall(), self.watch()
        for value in range(5000):
            self.change(value)
            self.settle()
        assert wire.unsent() <= UNSENT_SIZE_MAX + 300
        assert self.heard(quick)[-1] == 4999
        old = [value for _, value in events(unchunked(wire.drain()))]
        assert old == list(range(len(old)))
        assert [value for _, value in events(unchunked(wire.drain()))] == [4999]
        assert wire.drain() == b""

    def test_a_large_event_waits_alone(self) -> None:
        """An event that is larger than the bound is sent all the same, if nothing else waits."""
        wire = self.stall()
        states = [State(Generation(n), "x" * 4096) for n in (1, 2, 3)]
        for state in states:
            assert self.node.store.merge(state, Source.EVENT)
            self.settle()
        assert 4096 < wire.unsent() < 4096 + UNSENT_SIZE_MAX
        assert states[0].tag.encode() in wire.drain()
        assert states[2].tag.encode() in wire.drain()

    def test_who_stays_behind_is_cut_off(self) -> None:
        """In time, and counts no more; who takes what waits in time is not."""
        stuck, slow = self.stall(), self.stall()
        for value in range(20):
            self.change(value)
            self.settle()
        self.node.clock.pump([SWEEP_INTERVAL_S] * int(BEHIND_TIME_MAX_S - 2))
        assert not stuck.lost
        slow.drain()
        slow.drain()
        self.node.clock.pump([SWEEP_INTERVAL_S] * 4)
        assert (stuck.lost, slow.lost) == (True, False)
        assert self.node.site.traffic.watchers == 1
        self.node.clock.pump([SWEEP_INTERVAL_S] * int(2 * BEHIND_TIME_MAX_S))
        assert not slow.lost
        assert logged_errors(self) == []

    def test_the_system_holds_little_too(self) -> None:
        """Its buffer is small, and a host that acknowledges nothing is given up in time."""
        with socket.socket() as handle:

            class SocketWire(Wire):
                socket = handle

            wire = self.node.connect(kind=SocketWire)
            assert wire is not None
            self.node.send(wire, WATCH)
            assert handle.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) in {SEND_BUFFER_SIZE, 2 * SEND_BUFFER_SIZE}
            if hasattr(socket, "TCP_USER_TIMEOUT"):
                time_ms = handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
                assert time_ms == 1000 * UNACKNOWLEDGED_TIME_MAX_S

    def test_a_client_that_only_sends_is_not_read_for_ever(self) -> None:
        """It takes nothing and sends on: little of that is held, and it is cut off in time."""
        wire = self.stall()
        for value in range(10):
            self.change(value)
            self.settle()
        sent = 0
        while wire.producerState == "producing":
            self.node.send(wire, b"x" * UNSENT_SIZE_MAX)
            sent += UNSENT_SIZE_MAX
            assert sent <= HELD_SIZE_MAX + UNSENT_SIZE_MAX
        self.node.clock.pump([SWEEP_INTERVAL_S] * int(BEHIND_TIME_MAX_S + 2))
        assert wire.lost

    def test_what_a_watcher_sends_is_not_answered(self) -> None:
        """A request behind the one that watches waits for ever, and does no harm."""
        wire = self.watch(WATCH + b"GET /set/7 HTTP/1.1\r\nHost: n1\r\n\r\n")
        self.settle()
        assert self.node.store.current.generation == 0
        self.change(8)
        self.settle()
        assert self.heard(wire) == [8]


class BoundTests(WatchTestCase):
    """How many there may be."""

    def setUp(self) -> None:
        self.clock = TurnClock()
        self.node = WebNode(connections_max=10, clock=self.clock)

    def test_more_watchers_than_the_bound_are_refused(self) -> None:
        """With a problem document that says so, while reads are answered; they are counted."""
        watchers_max = 10 * WATCHERS_PERCENT_MAX // 100
        for _ in range(watchers_max):
            self.watch()
        response = self.node.get("/v1/watch")
        assert (response.status, response.json["status"], response.headers["retry-after"]) == (503, 503, "5")
        assert str(watchers_max) in response.json["detail"]
        traffic = self.node.get("/v1/status").json["http"]
        assert (traffic["watchers"], traffic["watchers_max"], traffic["watchers_refused"]) == (8, 8, 1)

    def test_a_client_that_goes_makes_room_at_once(self) -> None:
        """Its place is free for the next."""
        for _ in range(30):
            wire = self.watch()
            assert self.node.site.traffic.watchers == 1
            wire.lose()
            assert self.node.site.traffic.watchers == 0
        assert logged_errors(self) == []


class StopTests(SynchronousTestCase):
    """The end of the service is the end of all streams."""

    def setUp(self) -> None:
        reactor = MemoryReactorClock()
        self.node = WebNode()
        self.node.clock = reactor
        self.service = WebService(reactor, TCP4ServerEndpoint(reactor, 8080, interface="127.0.0.1"), self.node.context)
        self.service.startService()
        [(_, site, *_)] = reactor.tcpServers
        assert isinstance(site, LimitedSite)
        self.node.site = site

    def test_streams_are_complete_at_once(self) -> None:
        """The last chunk comes, the connection closes, and the service has stopped without waiting."""
        wires = [self.node.dial(WATCH) for _ in range(3)]
        stopped = self.service.stopService()
        self.node.clock.advance(0)
        self.successResultOf(stopped)
        assert all(wire.take_bytes().endswith(LAST_CHUNK) and wire.lost for wire in wires)
        assert not self.node.clock.getDelayedCalls()
        assert logged_errors(self) == []

    def test_a_client_that_does_not_read_does_not_hold_up_the_stop(self) -> None:
        """It is cut off."""
        wire = self.node.connect(kind=StalledWire)
        assert isinstance(wire, StalledWire)
        self.node.send(wire, WATCH)
        wire.reads = False
        for generation in range(1, 20):
            self.node.store.merge(State(Generation(generation), 1), Source.EVENT)
            self.node.clock.pump([0.0, 1.0])
        stopped = self.service.stopService()
        self.node.clock.advance(0)
        self.successResultOf(stopped)
        assert wire.lost
        assert logged_errors(self) == []

    def test_no_stream_begins_while_it_stops(self) -> None:
        """A request that was complete too late is 503, as the last of its connection; after a new start all is well."""
        wire = self.node.dial(WATCH[:20])
        self.service.stopService()
        self.node.send(wire, WATCH[20:])
        [response] = wire.take_responses()
        assert (response.status, response.headers["connection"]) == (503, "close")
        self.service.startService()
        assert b"id: " in self.node.dial(WATCH).take_bytes()
