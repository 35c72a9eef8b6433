"""The debug line: members and state, every few seconds, whatever the members call themselves."""

from collections.abc import Sequence

from twisted.internet.task import Clock
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from onevalue.debugline import MEMBERS_SHOWN_MAX, DebugLine
from onevalue.membership import Member, Status
from onevalue.store import State, Store
from onevalue.types import Generation
from tests.fakes import FakeMembership, make_member


class BrokenMembership(FakeMembership):
    """Members that cannot be told while `broken`."""

    broken = False

    def members(self) -> Sequence[Member]:
        """See IMembership."""
        if self.broken:
            raise ZeroDivisionError
        return super().members()


class DebugLineTests(SynchronousTestCase):
    """DebugLine, in virtual time."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.membership = BrokenMembership()
        self.lines: list[str] = []
        globalLogPublisher.addObserver(self.observe)  # type: ignore[arg-type]  # its kind of event is an Any
        self.addCleanup(globalLogPublisher.removeObserver, self.observe)  # type: ignore[arg-type]  # as above

    def observe(self, event: LogEvent) -> None:
        """Keep the lines of this module."""
        if event.get("log_namespace") == "onevalue.debugline.DebugLine":
            self.lines.append(formatEvent(event))

    def make(self, interval_s: float) -> DebugLine:
        """A service that has started."""
        store = Store(State(Generation(3), 44))
        service = DebugLine(reactor=self.clock, store=store, membership=self.membership, interval_s=interval_s)
        service.startService()
        return service

    def test_members_and_state_are_printed_each_interval(self) -> None:
        """As the original prints them; first after one interval, never again after the stop."""
        self.membership.set_members(make_member("n1"), make_member("n2", "::1", status=Status.FAILED))
        service = self.make(5.0)
        assert not self.lines
        self.clock.advance(5.0)
        assert self.lines == ["Members: n1@127.0.0.1:7946=alive n2@[::1]:7946=failed", "State: Val: 44 Gen: 3"]
        service.stopService()
        self.clock.advance(5.0)
        assert len(self.lines) == 2
        assert not self.clock.getDelayedCalls()

    def test_a_long_list_is_cut(self) -> None:
        """The line tells how many more there are."""
        self.membership.set_members(*(make_member(f"n{number:03}") for number in range(MEMBERS_SHOWN_MAX + 5)))
        self.make(5.0)
        self.clock.advance(5.0)
        assert self.lines[0].endswith("and 5 more")
        assert self.lines[0].count("=alive") == MEMBERS_SHOWN_MAX

    def test_names_are_printable(self) -> None:
        """A member may call itself anything."""
        self.membership.set_members(make_member("n\x1b[2J\ud800{x}"))
        self.make(5.0)
        self.clock.advance(5.0)
        assert "n?[2J?{x}@" in self.lines[0]

    def test_0_is_never(self) -> None:
        """No loop runs, and the stop has nothing to end."""
        service = self.make(0.0)
        assert not self.clock.getDelayedCalls()
        service.stopService()

    def test_a_fault_is_not_the_last_line(self) -> None:
        """It is logged, and the next line comes."""
        self.make(5.0)
        self.membership.broken = True
        self.clock.advance(5.0)
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1  # type: ignore[no-untyped-call]  # Twisted's has no types
        self.membership.broken = False
        self.clock.advance(5.0)
        assert self.lines[-1] == "State: Val: 44 Gen: 3"
