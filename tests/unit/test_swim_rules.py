"""The state rules of wire README 4.5 as tables over what is known and what is said."""

from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from onevalue.swim.members import MemberRecord
from onevalue.swim.rules import (
    INCARNATION_MAX,
    Verdict,
    judge_alive,
    judge_dead,
    judge_suspect,
    may_reclaim,
    next_incarnation,
)
from onevalue.types import Incarnation
from onevalue.wire.messages import Alive, Dead, NodeStatus, Suspect

VSN = bytes([1, 5, 2, 2, 5, 5])
HERE, THERE = bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2])
IGNORE, CONFLICT, CONFIRM, REFUTE, ACCEPT = (
    Verdict.IGNORE,
    Verdict.CONFLICT,
    Verdict.CONFIRM,
    Verdict.REFUTE,
    Verdict.ACCEPT,
)


def _known(status: NodeStatus = NodeStatus.ALIVE, incarnation: int = 5) -> MemberRecord:
    return MemberRecord("n", HERE, 7946, b"m", VSN, Incarnation(incarnation), status, 100.0)


def _alive(incarnation: int = 5, addr: bytes = HERE, meta: bytes = b"m", vsn: bytes = VSN) -> Alive:
    return Alive(Incarnation(incarnation), "n", addr, 7946, meta, vsn)


def _judge(
    known: MemberRecord | None,
    news: Alive,
    *,
    local: bool = False,
    own: bool = False,
    leaving: bool = False,
    reclaim: bool = False,
) -> Verdict:
    return judge_alive(known, news, local=local, own=own, leaving=leaving, reclaim=reclaim)


class AliveTests(SynchronousTestCase):
    """alive(a), row by row."""

    def test_row_1_a_leaving_node_ignores_that_it_is_alive(self) -> None:
        """Not even a higher incarnation brings it back; about others the rule says nothing."""
        assert _judge(_known(), _alive(9), local=True, leaving=True) is IGNORE
        assert _judge(_known(), _alive(9), leaving=True) is ACCEPT

    def test_row_2_impossible_versions_are_ignored(self) -> None:
        """Minimum 0, maximum 0, minimum above maximum; and an unknown node without versions."""
        for head in ([0, 5], [1, 0], [3, 2], [0, 0]):
            assert _judge(None, _alive(9, vsn=bytes([*head, 2, 2, 5, 5]))) is IGNORE, head
        assert _judge(None, _alive(9, vsn=b"")) is IGNORE
        assert _judge(_known(), _alive(9, vsn=b"")) is ACCEPT

    def test_row_4_an_unknown_node_counts_as_dead_with_incarnation_0(self) -> None:
        """So incarnation 0 is invisible (pitfall 3), and 1 is enough."""
        assert _judge(None, _alive(0)) is IGNORE
        assert _judge(None, _alive(1)) is ACCEPT

    def test_rows_5_and_6_another_address_needs_a_name_that_is_free(self) -> None:
        """With reclaim any incarnation will do; without, none does, nor does another port or another form."""
        for incarnation in (0, 4, 5, 6):
            assert _judge(_known(NodeStatus.DEAD), _alive(incarnation, THERE), reclaim=True) is ACCEPT
            assert _judge(_known(), _alive(incarnation, THERE)) is CONFLICT
        assert _judge(_known(), replace(_alive(9), port=1)) is CONFLICT
        assert _judge(_known(), _alive(9, bytes(10) + b"\xff\xff" + HERE)) is CONFLICT
        assert _judge(_known(), _alive(9, THERE), local=True) is CONFLICT

    def test_row_7_others_need_a_larger_incarnation_in_every_state(self) -> None:
        """Over all pairs of what is known and said: larger is taken, equal and smaller are not."""
        for status in NodeStatus:
            for incarnation, verdict in [(4, IGNORE), (5, IGNORE), (6, ACCEPT)]:
                for reclaim in (False, True):
                    got = _judge(_known(status), _alive(incarnation), reclaim=reclaim)
                    assert got is verdict, (status, incarnation)

    def test_rows_8_and_9_about_self(self) -> None:
        """Old news is ignored, one's own words too, all else is refuted; own start and update are taken."""
        table = [
            (_alive(4), False, IGNORE),
            (_alive(4, meta=b"x"), False, IGNORE),
            (_alive(5), False, IGNORE),
            (_alive(5, meta=b"x"), False, REFUTE),
            (_alive(5, vsn=bytes([1, 4, 2, 2, 5, 5])), False, REFUTE),
            (_alive(6), False, REFUTE),
            (_alive(6), True, ACCEPT),
            (_alive(4), True, IGNORE),
        ]
        for news, own, verdict in table:
            assert _judge(_known(), news, local=True, own=own) is verdict, (news, own)

    def test_row_5_a_name_is_free_when_its_member_left_or_was_dead_long_enough(self) -> None:
        """Left: at once. Dead: after the time of reclaim, never when that is 0. Else never."""
        table = [
            (NodeStatus.LEFT, 0.0, 100.0, True),
            (NodeStatus.DEAD, 0.0, 1e6, False),
            (NodeStatus.DEAD, 5.0, 105.0, False),
            (NodeStatus.DEAD, 5.0, 105.1, True),
            (NodeStatus.ALIVE, 5.0, 1e6, False),
            (NodeStatus.SUSPECT, 5.0, 1e6, False),
        ]
        for status, reclaim_s, now, free in table:
            assert may_reclaim(_known(status), reclaim_s, now) is free, (status, now)


class SuspectTests(SynchronousTestCase):
    """suspect(s)."""

    def test_over_all_states_and_incarnations(self) -> None:
        """Equal incarnations suffice; only an alive member becomes suspect, and a running timer is confirmed."""
        for status in NodeStatus:
            for incarnation in (4, 5, 6):
                for local in (False, True):
                    news = Suspect(Incarnation(incarnation), "n", "x")
                    expected = REFUTE if local else ACCEPT
                    if incarnation < 5 or status is not NodeStatus.ALIVE:
                        expected = IGNORE
                    got = judge_suspect(_known(status), news, local=local, suspected=False)
                    assert got is expected, (status, incarnation, local)

    def test_a_running_suspicion_takes_confirmations_that_are_not_old(self) -> None:
        """The same or a newer incarnation confirms, an older one does not."""
        for incarnation, verdict in [(4, IGNORE), (5, CONFIRM), (6, CONFIRM)]:
            news = Suspect(Incarnation(incarnation), "n", "x")
            got = judge_suspect(_known(NodeStatus.SUSPECT), news, local=False, suspected=True)
            assert got is verdict, incarnation

    def test_an_unknown_node_cannot_be_suspect_or_dead(self) -> None:
        """News about a name that nobody introduced is ignored."""
        assert judge_suspect(None, Suspect(Incarnation(9), "n", "x"), local=False, suspected=False) is IGNORE
        assert judge_dead(None, Dead(Incarnation(9), "n", "x"), local=False, leaving=False) is IGNORE


class DeadTests(SynchronousTestCase):
    """dead(d)."""

    def test_over_all_states_and_incarnations(self) -> None:
        """Equal incarnations suffice; the dead and the left stay as they are; self refutes unless it is leaving."""
        for status in NodeStatus:
            for incarnation in (4, 5, 6):
                for local, leaving in [(False, False), (False, True), (True, False), (True, True)]:
                    news = Dead(Incarnation(incarnation), "n", "x")
                    expected = REFUTE if local and not leaving else ACCEPT
                    if incarnation < 5 or status in {NodeStatus.DEAD, NodeStatus.LEFT}:
                        expected = IGNORE
                    got = judge_dead(_known(status), news, local=local, leaving=leaving)
                    assert got is expected, (status, incarnation, local, leaving)


class RefutationTests(SynchronousTestCase):
    """The incarnation of a refutation."""

    def test_it_is_above_the_own_and_above_the_accused(self) -> None:
        """Whichever is larger, plus one, and never beyond 32 bits."""
        for own, accused, expected in [(1, 1, 2), (5, 3, 6), (3, 7, 8), (1, INCARNATION_MAX, INCARNATION_MAX)]:
            assert next_incarnation(Incarnation(own), Incarnation(accused)) == expected
