"""Telling of changes among many members, and the views of members that are told."""

from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from onevalue.member import Status
from onevalue.member_views import MemberViews
from onevalue.serf.members import MemberStatus, SerfMember
from onevalue.telling import TELL_PAUSE_PER_MEMBER_S, TOLD_AT_ONCE_MAX, Telling
from onevalue.types import LamportTime
from tests.fakes import TurnClock

MANY = 10_000


def serf_member(name: str, status: MemberStatus = MemberStatus.ALIVE) -> SerfMember:
    """As the core knows it."""
    return SerfMember(name, b"\x0a\x00\x00\x02", 7946, {}, status, False, LamportTime(0), 0.0)


class TellingTests(SynchronousTestCase):
    """When observers are told."""

    def setUp(self) -> None:
        self.clock = TurnClock()
        self.count = MANY
        self.told: list[str] = []
        observers = tuple(lambda name=name: self.told.append(name) for name in "abc")
        self.telling = Telling(self.clock, lambda: self.count, lambda: observers)

    def test_few_members_are_told_of_in_one_turn(self) -> None:
        """And in the next turn again."""
        self.count = TOLD_AT_ONCE_MAX
        for _ in range(2):
            self.telling.changed()
            self.telling.changed()
            self.clock.turn()
        assert self.told == [*"abcabc"]

    def test_with_many_each_observer_has_its_turn_and_there_is_a_pause(self) -> None:
        """As long as the members are many; what changed in it, or before its end, is told after it, once."""
        pause_s = TELL_PAUSE_PER_MEMBER_S * MANY
        self.telling.changed()
        for told in ("a", "ab", "abc"):
            self.clock.turn()
            assert "".join(self.told) == told
            self.telling.changed()
        self.clock.turn()
        self.telling.changed()
        self.clock.advance(pause_s * 0.99)
        assert self.told == [*"abc"]
        self.clock.advance(pause_s * 0.02)
        for _ in range(3):
            self.clock.turn()
        assert self.told == [*"abcabc"]
        self.clock.advance(10 * pause_s)
        assert self.told == [*"abcabc"]
        assert not self.clock.getDelayedCalls()

    def test_it_can_be_told_now(self) -> None:
        """All observers, and what waited is not told again."""
        self.telling.changed()
        self.telling.tell_now()
        self.clock.turn()
        assert self.told == [*"abc"]
        assert not self.clock.getDelayedCalls()

    def test_nothing_is_told_after_a_stop(self) -> None:
        """In the midst of a telling."""
        self.telling.changed()
        self.clock.turn()
        self.telling.stop()
        self.clock.advance(MANY)
        assert self.told == ["a"]
        assert not self.clock.getDelayedCalls()


class MemberViewsTests(SynchronousTestCase):
    """What is told of."""

    def test_a_member_that_looks_as_before_is_the_same_view(self) -> None:
        """Though the core has changed what does not show; others are new."""
        views = MemberViews()
        a, b, c = serf_member("a"), serf_member("b"), serf_member("c")
        before = views.of([a, b, c])
        later = [a, replace(b, status_ltime=LamportTime(9)), replace(c, status=MemberStatus.FAILED)]
        after = views.of(later)
        assert after[0] is before[0]
        assert after[1] is before[1]
        assert (before[2].status, after[2].status) == (Status.ALIVE, Status.FAILED)
        assert views.of(later)[2] is after[2]

    def test_views_can_be_renewed_before_they_are_given(self) -> None:
        """Some of them; the others stay."""
        views = MemberViews()
        a, b = serf_member("a"), serf_member("b")
        before = views.of([a, b])
        left = replace(b, status=MemberStatus.LEFT)
        views.renew([left, serf_member("c", MemberStatus.NONE)])
        after = views.of([a, left])
        assert after[0] is before[0]
        assert [view.status for view in after] == [Status.ALIVE, Status.LEFT]

    def test_for_the_same_members_the_list_is_the_same(self) -> None:
        """It is not made anew; for other members it is."""
        views = MemberViews()
        members = [serf_member("a"), serf_member("b")]
        before = views.of(members)
        assert views.of(members) is before
        assert [view.name for view in views.of(members[:1])] == ["a"]

    def test_who_has_no_status_is_not_seen(self) -> None:
        """Nor who is not there any more."""
        views = MemberViews()
        assert [view.name for view in views.of([serf_member("a"), serf_member("b", MemberStatus.NONE)])] == ["a"]
        assert [view.name for view in views.of([serf_member("b")])] == ["b"]
