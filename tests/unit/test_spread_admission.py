"""Admission: one bad message must not use up all generations."""

from twisted.trial.unittest import SynchronousTestCase

from onevalue.spread.admission import GENERATION_LEAP_MAX, PULLED_GENERATION_MAX, refuse_pulled, refuse_pushed
from onevalue.spread.core import PULL_PAUSE_S, PULLS_AFTER_REFUSAL
from onevalue.store import GENERATION_MAX, Source
from onevalue.types import Generation
from tests.spread_rig import Node, member, members, state


class BoundTests(SynchronousTestCase):
    """The edges."""

    def test_the_bounds(self) -> None:
        """2**32 ahead of ours for a push; 2**63-1-2**32 for a pull."""
        assert GENERATION_LEAP_MAX == 2**32
        assert PULLED_GENERATION_MAX == 2**63 - 1 - 2**32

    def test_pushed_states(self) -> None:
        """Ours and any older, and up to the leap ahead; never out of the range of generations."""
        leap = GENERATION_LEAP_MAX
        high = GENERATION_MAX - 5
        for generation, ours, admitted in (
            (0, 0, True),
            (0, high, True),
            (leap, 0, True),
            (leap + 1, 0, False),
            (7 + leap, 7, True),
            (8 + leap, 7, False),
            (GENERATION_MAX - 1, 0, False),
            (GENERATION_MAX, high, True),
            (GENERATION_MAX + 1, high, False),
            (-1, 0, False),
            (-5, high, False),
        ):
            assert (refuse_pushed(Generation(generation), Generation(ours)) is None) is admitted, (generation, ours)

    def test_pulled_states(self) -> None:
        """Up to a bound that leaves room for writes, whatever we hold."""
        for generation, admitted in (
            (0, True),
            (2**33, True),
            (PULLED_GENERATION_MAX, True),
            (PULLED_GENERATION_MAX + 1, False),
            (GENERATION_MAX, False),
        ):
            assert (refuse_pulled(Generation(generation)) is None) is admitted, generation


class PushTests(SynchronousTestCase):
    """A refused push changes nothing, and makes the node ask its members."""

    def test_a_push_is_merged_and_tells_its_outcome(self) -> None:
        """Changed or not; in the original's way or as a statement."""
        node = Node()
        assert node.spread.receive_original(state(1, 5), node.now).changed
        assert not node.spread.receive_original(state(1, 5), node.now).changed
        outcome = node.spread.receive_statement(Node("b", initial=state(2, 5)).spread.statement(), node.now)
        assert (outcome.changed, outcome.refused) == (True, None)
        assert (node.store.current, node.sources) == (state(2, 5), [Source.NOTIFY] * 2)

    def test_a_stranger_cannot_freeze_the_value(self) -> None:
        """The push of the largest generations is refused with a reason, and writes go on."""
        node = Node()
        node.meet(*members(5))
        outcome = node.spread.receive_original(state(GENERATION_MAX - 1, 666), node.now)
        assert not outcome.changed
        assert outcome.refused
        assert str(GENERATION_MAX - 1) in outcome.refused
        assert node.store.current == state(0, 42)
        node.write(1)
        assert node.store.current == state(1, 1)

    def test_a_refused_push_pulls_from_two_members(self) -> None:
        """If the cluster is really that far ahead, they say so."""
        node = Node()
        node.meet(*members(5))
        node.answer("m00000", state(0, 42))  # the first contact of all
        node.spread.receive_original(state(2**40, 5), node.now)
        node.turn()
        assert len(node.under_way) == PULLS_AFTER_REFUSAL == 2
        node.answer(next(iter(node.under_way)), state(2**40, 5))
        assert node.store.current == state(2**40, 5)

    def test_a_flood_of_refused_pushes_pulls_once_a_second(self) -> None:
        """Whoever floods us, with whatever kind of push."""
        node = Node()
        node.meet(*members(50))
        node.answer("m00000", state(0, 42))
        before = len(node.asked)
        for _ in range(40):
            node.spread.receive_original(state(2**40, 5), node.now)
            node.spread.receive_statement(Node("b", initial=state(2**41)).spread.statement(), node.now)
            node.turn()
            node.run(PULL_PAUSE_S / 10)
        assert len(node.asked) - before == 4 * PULLS_AFTER_REFUSAL
        assert node.spread.counters["states_refused"] == 80

    def test_only_members_that_tell_their_state_are_asked(self) -> None:
        """An original or a plain member cannot say what the cluster holds; a stranger's flood is not its business."""
        node = Node()
        node.meet(member("b"), *[member(f"plain{number}", None) for number in range(9)])
        node.answer("b", state(0, 42))
        for _ in range(5):
            node.spread.receive_original(state(2**40, 5), node.now)
            node.turn()
            node.run(PULL_PAUSE_S)
        assert [name for _, name in node.asked] == ["b", "b"]

    def test_a_pulled_state_beyond_the_bound_is_refused(self) -> None:
        """Counted, and nothing changes."""
        node = Node()
        node.meet(member("b"))
        node.answer("b", state(PULLED_GENERATION_MAX + 1, 1))
        assert (node.store.current, node.spread.counters["states_refused"]) == (state(0, 42), 1)
