"""What intents and departures make of members: the tables of wire README 5.4 and 5.5, over all combinations."""

from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from onevalue.config import SerfSettings
from onevalue.serf.members import (
    LeaveRule,
    MemberStatus,
    SerfMember,
    after_join_intent,
    after_leave_intent,
    leave_rule,
    status_after_departure,
)
from onevalue.serf.roster import RECENT_INTENTS_MAX, Roster
from onevalue.swim.members import MemberRecord
from onevalue.types import Incarnation
from onevalue.wire.messages import NodeStatus
from onevalue.wire.serf_codec import encode_tags
from tests.unit.serf_net import time_of
from tests.unit.swim_net import PORT, VSN

NONE, ALIVE, LEAVING, LEFT, FAILED = (
    MemberStatus.NONE,
    MemberStatus.ALIVE,
    MemberStatus.LEAVING,
    MemberStatus.LEFT,
    MemberStatus.FAILED,
)
OLD, SAME, NEW = time_of(4), time_of(5), time_of(6)


def _member(status: MemberStatus) -> SerfMember:
    return SerfMember("m", b"\x0a\x00\x00\x01", PORT, {}, status, suspect=False, status_ltime=SAME, changed=0.0)


def _record(name: str = "m", host: int = 1, **tags: str) -> MemberRecord:
    addr = bytes([10, 0, 0, host])
    return MemberRecord(name, addr, PORT, encode_tags(tags), VSN, Incarnation(1), NodeStatus.ALIVE, 0.0)


class IntentTests(SynchronousTestCase):
    """Intents about members that are known."""

    def test_serfs_numbers_stand_for_the_statuses(self) -> None:
        """As conflict responses carry them."""
        assert [status.value for status in (NONE, ALIVE, LEAVING, LEFT, FAILED)] == [0, 1, 2, 3, 4]

    def test_an_intent_that_is_not_newer_changes_nothing(self) -> None:
        """Neither kind, in any status, at a time below or at the status time."""
        for status in MemberStatus:
            for ltime in (OLD, SAME):
                assert after_join_intent(_member(status), ltime) == _member(status)
                assert leave_rule(_member(status), ltime, disputed=False) is LeaveRule.STALE
            assert leave_rule(_member(status), OLD, disputed=True) is LeaveRule.STALE

    def test_a_leave_intent_at_the_time_of_the_own_join_is_refuted(self) -> None:
        """Others may have heard it first, and taken the join for stale: a node killed while it left makes both."""
        assert leave_rule(_member(ALIVE), SAME, disputed=True) is LeaveRule.REFUTE

    def test_a_join_intent_takes_back_only_leaving(self) -> None:
        """The status time moves in every status."""
        for before, after in [(NONE, NONE), (ALIVE, ALIVE), (LEAVING, ALIVE), (LEFT, LEFT), (FAILED, FAILED)]:
            member = after_join_intent(_member(before), NEW)
            assert (member.status, member.status_ltime) == (after, NEW), before

    def test_a_leave_intent_follows_the_table(self) -> None:
        """Alive is leaving, failed is left; leaving and left only take the time."""
        for before, after in [(ALIVE, LEAVING), (LEAVING, LEAVING), (LEFT, LEFT), (FAILED, LEFT)]:
            rule = leave_rule(_member(before), NEW, disputed=False)
            member = after_leave_intent(_member(before), NEW, rule)
            assert (member.status, member.status_ltime) == (after, NEW), before
        assert leave_rule(_member(NONE), NEW, disputed=False) is LeaveRule.STALE

    def test_a_leave_intent_about_a_node_that_stays_is_refuted_and_not_applied(self) -> None:
        """Its status time does not move either."""
        assert leave_rule(_member(ALIVE), NEW, disputed=True) is LeaveRule.REFUTE
        assert after_leave_intent(_member(ALIVE), NEW, LeaveRule.REFUTE) == _member(ALIVE)

    def test_only_after_a_leave_intent_does_a_departure_mean_left(self) -> None:
        """All others that were alive have failed; who was gone stays as it was."""
        table = [(NONE, NONE), (ALIVE, FAILED), (LEAVING, LEFT), (LEFT, LEFT), (FAILED, FAILED)]
        assert [(status, status_after_departure(status)) for status, _ in table] == table


class RosterTests(SynchronousTestCase):
    """The table of members."""

    def setUp(self) -> None:
        """An empty table."""
        self.settings = SerfSettings()
        self.roster = Roster(self.settings)

    def _known(self, status: MemberStatus) -> None:
        self.roster.joined(_record(), 0.0)
        if status is LEAVING or status is LEFT:
            self.roster.leave_intent("m", SAME, 0.0)
        if status in {LEFT, FAILED}:
            self.roster.departed("m", 0.0)

    def test_a_member_that_returns_is_alive_with_its_new_address_and_tags(self) -> None:
        """Whatever its status was; the time of its newest intent stays."""
        for status in (ALIVE, LEAVING, LEFT, FAILED):
            self.roster = Roster(self.settings)
            self._known(status)
            before = self.roster.get("m")
            member = self.roster.joined(_record(host=7, role="db"), 1.0)
            assert before is not None
            assert before.status is status
            assert (member.status, member.addr[-1], member.tags) == (ALIVE, 7, {"role": "db"})
            assert member.status_ltime == before.status_ltime

    def test_the_members_are_the_same_object_until_one_of_them_changes(self) -> None:
        """Sorted by name, whatever changes; what says nothing new changes none."""
        self.roster.joined(_record("b"), 0.0)
        changes: list[Callable[[], object]] = [
            lambda: self.roster.joined(_record("a"), 1.0),
            lambda: self.roster.set_suspect("b", suspect=True),
            lambda: self.roster.join_intent("b", NEW, 1.0),
            lambda: self.roster.forget("b"),
        ]
        for change in changes:
            before = self.roster.members()
            assert self.roster.members() is before
            change()
            after = self.roster.members()
            assert after != before
            assert [member.name for member in after] == sorted(member.name for member in after)
        same = self.roster.members()
        self.roster.join_intent("a", time_of(0), 2.0)
        assert self.roster.members() is same

    def test_an_intent_that_came_before_its_member_is_applied_when_it_joins(self) -> None:
        """A join sets the time; a leave makes it leaving."""
        for is_leave, status in [(False, ALIVE), (True, LEAVING)]:
            self.roster = Roster(self.settings)
            intent = self.roster.leave_intent if is_leave else self.roster.join_intent
            assert intent("m", SAME, 0.0).is_news
            member = self.roster.joined(_record(), 1.0)
            assert (member.status, member.status_ltime) == (status, SAME)

    def test_of_the_intents_before_its_member_the_newest_counts(self) -> None:
        """Only what is newer is news, whichever kind it is."""
        assert self.roster.join_intent("m", SAME, 0.0).is_news
        assert not self.roster.leave_intent("m", SAME, 0.0).is_news
        assert self.roster.leave_intent("m", NEW, 0.0).is_news
        assert not self.roster.join_intent("m", OLD, 0.0).is_news
        assert self.roster.joined(_record(), 1.0).status is LEAVING

    def test_intents_before_their_members_are_forgotten_after_five_minutes(self) -> None:
        """A member that comes later starts without them; one that comes before has them, whoever was reaped."""
        timeout_s = self.settings.recent_intent_timeout_s
        for reaped_at, status in [(timeout_s - 1.0, LEAVING), (timeout_s + 1.0, ALIVE)]:
            self.roster = Roster(self.settings)
            self.roster.leave_intent("m", SAME, 0.0)
            self.roster.reap(reaped_at, keep_failed=False)
            assert self.roster.joined(_record(), 400.0).status is status

    def test_the_intents_before_their_members_are_bounded(self) -> None:
        """The oldest make room."""
        for index in range(RECENT_INTENTS_MAX + 1):
            self.roster.leave_intent(f"m{index}", SAME, 0.0)
        assert len(self.roster._recent) == RECENT_INTENTS_MAX
        assert self.roster.joined(_record("m0"), 1.0).status is ALIVE
        assert self.roster.joined(_record("m1"), 1.0).status is LEAVING

    def test_the_members_are_bounded_and_who_is_gone_longest_makes_room(self) -> None:
        """Who is alive stays."""
        self.roster = Roster(self.settings, members_max=3)
        for index, name in enumerate(["a", "b", "c"]):
            self.roster.joined(_record(name), float(index))
        self.roster.departed("c", 5.0)
        self.roster.departed("b", 6.0)
        self.roster.joined(_record("d"), 7.0)
        assert [member.name for member in self.roster.members()] == ["a", "b", "d"]

    def test_the_left_and_the_failed_make_room_alike(self) -> None:
        """Whichever of them is gone longest."""
        for first, second in (("failed", "left"), ("left", "failed")):
            self.roster = Roster(self.settings, members_max=2)
            for name in ("failed", "left"):
                self.roster.joined(_record(name), 0.0)
            self.roster.leave_intent("left", SAME, 0.0)
            self.roster.departed(first, 5.0)
            self.roster.departed(second, 6.0)
            self.roster.joined(_record("new"), 7.0)
            assert [member.name for member in self.roster.members()] == sorted(["new", second])

    def test_news_of_who_is_gone_does_not_put_its_end_off(self) -> None:
        """Nor does it hide others that are gone as long."""
        day_s = self.settings.reconnect_timeout_s
        for index, name in enumerate(["a", "b", "c"]):
            self.roster.joined(_record(name), 0.0)
            self.roster.departed(name, 10.0 * index)
        self.roster.join_intent("a", NEW, 100.0)
        self.roster.updated(_record("a", role="db"))
        assert [member.name for member in self.roster.reap(day_s + 15.0, keep_failed=False)] == ["a", "b"]

    def test_who_is_gone_for_a_day_is_reaped(self) -> None:
        """Left and failed ones, after the time of each; never one that is alive."""
        day_s = self.settings.tombstone_timeout_s
        for status in (ALIVE, LEFT, FAILED):
            self.roster = Roster(self.settings)
            self._known(status)
            assert self.roster.reap(day_s, keep_failed=False) == []
            assert len(self.roster.reap(day_s + 1.0, keep_failed=False)) == int(status is not ALIVE)

    def test_the_day_of_a_failed_member_that_is_made_to_leave_begins_then(self) -> None:
        """It has been left for less long than it had failed."""
        self._known(FAILED)
        assert self.roster.leave_intent("m", NEW, 1000.0).left is not None
        assert self.roster.reap(self.settings.tombstone_timeout_s + 1000.0, keep_failed=False) == []
        assert len(self.roster.reap(self.settings.tombstone_timeout_s + 1001.0, keep_failed=False)) == 1

    def test_failed_members_that_must_still_be_dialled_are_not_reaped(self) -> None:
        """A node that sees nobody keeps them for as long as it takes; left ones go."""
        for status, reaped in [(FAILED, 0), (LEFT, 1)]:
            self.roster = Roster(self.settings)
            self._known(status)
            assert len(self.roster.reap(1e9, keep_failed=True)) == reaped

    def test_pruning_forgets_who_is_gone_at_once_and_who_is_there_when_it_is_gone(self) -> None:
        """A leave intent with prune, by status."""
        for status in (LEFT, FAILED, ALIVE, LEAVING):
            self.roster = Roster(self.settings)
            self._known(status)
            outcome = self.roster.leave_intent("m", NEW, 1.0, prune=True)
            assert (outcome.reaped is not None) == (status in {LEFT, FAILED}), status
            assert self.roster.prune("m") is None
            if status in {ALIVE, LEAVING}:
                departed = self.roster.departed("m", 2.0)
                assert departed is not None
                assert departed.status is LEFT
                assert self.roster.prune("m") == departed
            assert self.roster.get("m") is None
            self.roster.joined(_record(), 3.0)
            self.roster.departed("m", 4.0)
            assert self.roster.prune("m") is None

    def test_a_member_that_contradicts_in_time_is_not_pruned(self) -> None:
        """A join intent takes the leave back."""
        self._known(ALIVE)
        self.roster.leave_intent("m", NEW, 0.0, prune=True)
        self.roster.join_intent("m", time_of(NEW + 1), 0.0)
        self.roster.departed("m", 1.0)
        assert self.roster.prune("m") is None
        assert self.roster.get("m") is not None

    def test_a_stale_contradiction_does_not_keep_a_member(self) -> None:
        """It was said before the leave intent, and came after it."""
        self._known(ALIVE)
        self.roster.leave_intent("m", NEW, 0.0, prune=True)
        self.roster.join_intent("m", SAME, 0.0)
        self.roster.departed("m", 1.0)
        assert self.roster.prune("m") is not None

    def test_of_a_name_that_is_not_known_nothing_can_be_changed(self) -> None:
        """What comes too late makes no member."""
        assert self.roster.departed("m", 1.0) is None
        assert self.roster.updated(_record()) is None
        assert self.roster.prune("m") is None
        self.roster.set_suspect("m", suspect=True)
        assert (self.roster.members(), len(self.roster)) == ((), 0)

    def test_a_member_that_is_back_in_time_is_not_pruned(self) -> None:
        """It was gone for less than it took to hear of that."""
        self._known(ALIVE)
        self.roster.leave_intent("m", NEW, 0.0, prune=True)
        self.roster.joined(_record(), 1.0)
        self.roster.departed("m", 2.0)
        assert self.roster.prune("m") is None

    def test_a_push_pull_does_not_tell_the_time_of_a_leave_that_is_under_way(self) -> None:
        """It would be read as that of a join, and the member would count as failed."""
        self._known(LEAVING)
        self.roster.joined(_record("other"), 0.0)
        assert list(self.roster.status_ltimes()) == ["other"]
        assert self.roster.left_names() == ()
        self.roster.departed("m", 1.0)
        assert self.roster.status_ltimes() == {"m": SAME, "other": 0}
        assert self.roster.left_names() == ("m",)
