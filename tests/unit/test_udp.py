"""The UDP socket gives other work its turn."""

from twisted.internet.task import Clock
from twisted.internet.udp import Port
from twisted.trial.unittest import SynchronousTestCase

from onevalue.types import Address
from onevalue.udp import TURN_TIME_MAX_S, Udp

SOURCE: Address = ("10.0.0.2", 7946)


class SlowClock(Clock):
    """A reactor whose time passes while packets are dealt with."""

    maxThroughput = Port.maxThroughput  # and the port, in one

    def turn(self) -> None:
        """The next turn of the reactor has come."""
        self.advance(0)


class TurnTests(SynchronousTestCase):
    """How many packets one turn of the reactor takes."""

    def test_after_some_time_the_port_takes_no_more_in_this_turn(self) -> None:
        """In the next it does."""
        reactor = SlowClock()
        udp = Udp(
            reactor,
            lambda _data, _source: setattr(reactor, "rightNow", reactor.rightNow + 0.4 * TURN_TIME_MAX_S),
            ipv6=False,
        )
        udp.makeConnection(reactor)  # type: ignore[arg-type]  # as much of a port as is used
        allowed = []
        for _ in range(4):
            udp.datagramReceived(b"", SOURCE)
            allowed.append(reactor.maxThroughput > 0)
        assert allowed == [True, True, False, False]
        reactor.turn()
        assert reactor.maxThroughput == Port.maxThroughput
        udp.datagramReceived(b"", SOURCE)
        assert reactor.maxThroughput > 0

    def test_a_closed_port_is_left_alone(self) -> None:
        """A turn may come after it."""
        reactor = SlowClock()
        udp = Udp(reactor, lambda _data, _source: None, ipv6=False)
        udp.makeConnection(reactor)  # type: ignore[arg-type]  # as above
        udp.datagramReceived(b"x", SOURCE)
        udp.transport = None  # as doStop leaves it
        reactor.maxThroughput = -1
        reactor.turn()
        assert reactor.maxThroughput == -1
