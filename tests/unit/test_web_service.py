"""The life of the HTTP service: it listens, and stops in bounded time with nothing left behind."""

import pytest
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from onevalue.web.server import LimitedSite
from onevalue.web.service import STOP_GRACE_S, WebService, _readable
from tests.web_support import SlowJournal, WebNode


class TakenReactor(MemoryReactorClock):
    """Every port is taken."""

    def listenTCP(self, port: int, factory: object, backlog: int = 50, interface: str = "") -> IListeningPort:  # noqa: ARG002  # as its interface says
        """See IReactorTCP."""
        raise CannotListenError(interface, port, OSError("Address already in use"))


class ServiceTests(SynchronousTestCase):
    """WebService, on a reactor in memory."""

    def make(self, journal: SlowJournal | None = None) -> tuple[WebService, WebNode]:
        """A service that has started, and a node whose `site` is the service's."""
        reactor = MemoryReactorClock()
        node = WebNode(journal)
        node.clock = reactor
        service = WebService(reactor, TCP4ServerEndpoint(reactor, 8080, interface="127.0.0.1"), node.context)
        service.privilegedStartService()
        service.startService()
        [(_, site, *_)] = reactor.tcpServers
        assert isinstance(site, LimitedSite)
        node.site = site
        return service, node

    def test_it_listens_once_and_answers(self) -> None:
        """The port is known, and requests are answered."""
        service, node = self.make()
        assert service.port.port == 8080  # type: ignore[attr-defined]  # an IPv4Address
        assert node.get("/get").body == b"42"

    def test_addresses_are_logged_as_people_write_them(self) -> None:
        """Of any kind of port."""
        for address, words in [
            (IPv4Address("TCP", "127.0.0.1", 80), "127.0.0.1:80"),
            (IPv6Address("TCP", "::1", 80), "[::1]:80"),
            (UNIXAddress(b"/run/x"), "/run/x"),
        ]:
            assert _readable(address) == words

    def test_a_port_that_is_taken_surfaces_at_start(self) -> None:
        """The error is raised, not logged, and the service can be stopped all the same."""
        reactor = TakenReactor()  # type: ignore[no-untyped-call]  # Twisted has no types here
        service = WebService(reactor, TCP4ServerEndpoint(reactor, 8080), WebNode().context)
        with pytest.raises(CannotListenError):
            service.privilegedStartService()
        with pytest.raises(CannotListenError):
            service.startService()
        assert not service.running

    def test_it_stops_at_once_when_nothing_is_under_way(self) -> None:
        """Idle connections are closed, and nothing is left in the reactor."""
        service, node = self.make()
        wire = node.dial(b"GET /get HTTP/1.1\r\nHost: n1\r\n\r\n")
        stopped = service.stopService()
        node.clock.advance(0)
        self.successResultOf(stopped)
        assert wire.lost
        assert not node.clock.getDelayedCalls()

    def test_a_request_under_way_may_end(self) -> None:
        """It is answered, as the last of its connection, and then the service has stopped; no other gets in."""
        journal = SlowJournal()
        service, node = self.make(journal)
        wire = node.start_request("GET", "/set/7")
        stopped = service.stopService()
        assert node.connect() is None
        node.clock.advance(STOP_GRACE_S / 2)
        self.assertNoResult(stopped)  # type: ignore[no-untyped-call]  # Twisted has no types here
        journal.commits[0].callback(None)
        node.clock.advance(0)
        self.successResultOf(stopped)
        assert [r.body for r in wire.take_responses()] == [b"7"]
        assert not node.clock.getDelayedCalls()

    def test_a_request_that_is_complete_in_time_is_the_last_of_its_connection(self) -> None:
        """Half-sent when the service stops, it is still answered, with Connection: close."""
        for sent in [4, 25]:
            service, node = self.make()
            request = b"GET /get HTTP/1.1\r\nHost: n1\r\n\r\n"
            wire = node.dial(request[:sent])
            stopped = service.stopService()
            node.send(wire, request[sent:])
            [response] = wire.take_responses()
            assert (response.body, response.headers["connection"]) == (b"42", "close")
            self.successResultOf(stopped)

    def test_what_does_not_end_is_cut_off(self) -> None:
        """After the grace all connections are gone: half-sent, unanswered, unread."""
        service, node = self.make(SlowJournal())
        wires = [node.dial(b"GET /"), node.start_request("GET", "/set/7"), node.dial()]
        wires[2].reads = False
        stopped = service.stopService()
        node.clock.pump([STOP_GRACE_S, 0])
        self.successResultOf(stopped)
        assert all(wire.lost for wire in wires)
        assert not node.clock.getDelayedCalls()

    def test_stopping_twice_does_no_harm(self) -> None:
        """Both fire, whether the second comes during the first or after."""
        service, node = self.make(SlowJournal())
        node.start_request("GET", "/set/7")
        stops = [service.stopService(), service.stopService()]
        node.clock.pump([STOP_GRACE_S, 0])
        for stopped in [*stops, service.stopService()]:
            self.successResultOf(stopped)
        assert not node.clock.getDelayedCalls()

    def test_it_can_start_again(self) -> None:
        """After a stop, connections are taken again."""
        service, node = self.make()
        self.successResultOf(service.stopService())
        service.startService()
        assert node.get("/get").body == b"42"
