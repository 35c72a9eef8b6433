"""Learn before you write: how learning ends, whom it asks, and how often."""

from twisted.trial.unittest import SynchronousTestCase

from onevalue.config import SpreadSettings
from onevalue.spread.admission import PULLED_GENERATION_MAX
from onevalue.spread.learning import PARALLEL_MAX, PAUSE_S
from onevalue.store import GENERATION_MAX, Source
from tests.spread_rig import Node, member, members, state

TIMEOUT_S = SpreadSettings().join_timeout_s


class EndTests(SynchronousTestCase):
    """A node with somebody to ask takes no writes until it knows, or knows that nobody can tell."""

    def test_with_nobody_to_ask_it_never_learns(self) -> None:
        """It is ready at once, and says why."""
        node = Node()
        node.start(somebody_to_ask=False)
        assert not node.spread.learning
        assert node.spread.retry_after_s(node.now) == 0.0
        assert node.spread.ready_because
        assert node.spread.next_deadline() is None

    def test_its_end_is_told(self) -> None:
        """Once, when it is over."""
        node = Node()
        told: list[bool] = []
        node.spread.observe_ready(lambda: told.append(node.spread.learning))
        node.start()
        node.meet(member("b"))
        assert told == []
        node.meet(member("b"), member("c"), member("d"))
        node.answer("b", state(7, 70))
        why = node.spread.ready_because
        node.answer("c", state(8, 80))
        node.fail("d")
        node.spread.addresses_tried(node.now, nobody_else=True)
        node.run(TIMEOUT_S)
        node.meet(member("b"), member("e"))
        assert told == [False]
        assert node.spread.ready_because == why
        assert node.store.current == state(8, 80)

    def test_it_ends_though_nothing_at_all_happens(self) -> None:
        """No member is seen, and no address was tried by then."""
        node = Node()
        node.spread.start(node.now, somebody_to_ask=True)
        node.turn()
        node.run(TIMEOUT_S)
        assert not node.spread.learning

    def test_who_fails_after_the_end_is_not_remembered(self) -> None:
        """Memory does not grow with all that was ever there."""
        node = Node()
        node.start()
        node.meet(*members(5))
        node.answer("m00000", state(7, 70))
        for name in list(node.under_way):
            node.fail(name)
        assert (node.spread._learning._silent, node.spread._learning._not_before) == ({}, {})

    def test_a_ready_member_ends_it(self) -> None:
        """With its state merged, even from a generation far above what a push may bring."""
        for held in (state(0, 42), state(7, 70), state(2**40, 1), state(PULLED_GENERATION_MAX, 1)):
            node = Node()
            node.start()
            node.meet(member("b"))
            assert node.spread.learning
            assert node.spread.statement().learning
            node.answer("b", held)
            assert not node.spread.learning
            assert not node.spread.statement().learning
            assert node.store.current == held
            assert node.sources in ([], [Source.JOIN])
            assert "b" in node.spread.ready_because

    def test_a_state_that_is_not_admitted_does_not_end_it(self) -> None:
        """The member that answers with one is asked again, like one that fails; another one's answer counts."""
        node = Node()
        node.start()
        node.meet(member("b"), member("c"))
        node.answer("b", state(GENERATION_MAX, 1))
        assert node.spread.learning
        assert node.store.current == state(0, 42)
        assert node.spread.counters["states_refused"] == 1
        node.answer("c", state(3, 30))
        assert not node.spread.learning
        assert node.store.current == state(3, 30)

    def test_it_ends_when_the_time_is_up_and_not_before(self) -> None:
        """With nobody answering, with plain members only, and with a member that is asked and silent."""
        for others in ([], [member("plain", None)], [member("b")], [member("closed", "-")]):
            node = Node()
            node.start()
            begun = node.now
            node.meet(*others)
            node.spread.addresses_tried(node.now, nobody_else=False)
            assert node.spread.next_deadline() == begun + TIMEOUT_S
            assert node.spread.retry_after_s(node.now) == TIMEOUT_S
            node.run(TIMEOUT_S - 0.01)
            assert node.spread.learning
            assert 0 < node.spread.retry_after_s(node.now) < 0.02
            assert node.spread.retry_after_s(node.now + 1.0) == 0.0
            node.run(0.02)
            assert not node.spread.learning
            assert "own cluster" in node.spread.ready_because

    def test_it_ends_when_all_addresses_are_its_own(self) -> None:
        """There is nobody to ask after all."""
        node = Node()
        node.start()
        node.spread.addresses_tried(node.now, nobody_else=True)
        assert not node.spread.learning
        assert node.spread.next_deadline() is None

    def test_a_late_answer_is_still_merged(self) -> None:
        """What was asked while learning counts after its end too."""
        node = Node()
        node.start()
        node.meet(member("b"))
        node.run(TIMEOUT_S + 1)
        node.answer("b", state(9, 90))
        assert node.store.current == state(9, 90)

    def test_a_push_does_not_end_it(self) -> None:
        """It is merged, but whoever pushed may know less than the cluster."""
        node = Node()
        node.start()
        assert node.spread.receive_original(state(4, 44), node.now).changed
        assert node.spread.learning


class ColdStartTests(SynchronousTestCase):
    """All that answer are learning too: a cluster that starts cold."""

    def test_it_ends_when_all_were_asked_twice(self) -> None:
        """Half a second apart, so that they could learn from those whom only they know."""
        node = Node()
        node.start()
        node.meet(member("b"), member("c"))
        node.spread.addresses_tried(node.now, nobody_else=False)
        for name in ("b", "c"):
            node.answer(name, state(3, 30), learning=True)
        assert node.under_way == {}
        assert node.store.current == state(3, 30)
        node.run(PAUSE_S - 0.01)
        assert node.under_way == {}
        node.run(0.02)
        assert list(node.under_way) == ["b", "c"]
        node.answer("b", state(3, 30), learning=True)
        assert node.spread.learning
        node.answer("c", state(4, 40), learning=True)
        assert not node.spread.learning
        assert node.store.current == state(4, 40)

    def test_not_before_each_address_was_tried(self) -> None:
        """A member behind an address not yet dialled may be the ready one."""
        node = Node()
        node.start()
        node.meet(member("b"))
        for _ in range(2):
            node.answer("b", state(0, 42), learning=True)
            node.run(PAUSE_S + 0.01)
        assert node.spread.learning
        node.spread.addresses_tried(node.now, nobody_else=False)
        assert not node.spread.learning

    def test_not_beside_a_member_that_may_be_an_original(self) -> None:
        """It holds a state and only pushes it; so the time decides, or a ready member, or that the other has left."""
        for end in ("time", "answer", "gone"):
            node = Node()
            node.start()
            node.meet(member("b"), member("c"), member("original", None))
            node.spread.addresses_tried(node.now, nobody_else=False)
            for name in ("b", "c"):
                node.answer(name, state(0, 42), learning=True)
            node.run(PAUSE_S + 0.01)
            node.answer("b", state(0, 42), learning=True)
            if end == "answer":
                node.answer("c", state(0, 42))
            else:
                node.answer("c", state(0, 42), learning=True)
                assert node.spread.learning
                if end == "time":
                    node.spread.receive_original(state(100, 5), node.now)
                    assert node.spread.learning, "whoever pushes may know less than others"
                    node.run(TIMEOUT_S)
                    assert node.store.current == state(100, 5)
                else:
                    node.meet(member("b"), member("c"))
            assert not node.spread.learning

    def test_where_no_original_can_be_nobody_waits_for_members_without_the_tag(self) -> None:
        """Beside encrypted Serf agents a cluster that starts cold is ready as soon as one without them."""
        for originals in (False, True):
            node = Node(settings=SpreadSettings(originals=originals))
            node.start()
            node.meet(member("b"), *[member(f"agent{number}", None) for number in range(5)])
            node.spread.addresses_tried(node.now, nobody_else=False)
            node.answer("b", state(0, 42), learning=True)
            node.run(PAUSE_S + 0.01)
            node.answer("b", state(0, 42), learning=True)
            assert node.spread.learning == originals

    def test_with_members_without_the_tag_only_the_time_decides(self) -> None:
        """Also where no original can be: no agent can say whether one of ours that is gone comes back."""
        node = Node(settings=SpreadSettings(originals=False))
        node.start()
        node.meet(member("agent", None))
        node.spread.addresses_tried(node.now, nobody_else=False)
        node.run(TIMEOUT_S - 0.01)
        assert node.spread.learning
        node.run(0.02)
        assert not node.spread.learning
        assert node.asked == []

    def test_members_that_are_silent_twice_are_not_waited_for(self) -> None:
        """They are asked again after a pause, but those that answer decide."""
        node = Node()
        node.start()
        node.meet(member("b"), member("dead"))
        node.spread.addresses_tried(node.now, nobody_else=False)
        node.answer("b", state(0, 42), learning=True)
        node.fail("dead")
        node.run(PAUSE_S + 0.01)
        assert list(node.under_way) == ["b", "dead"]
        node.answer("b", state(0, 42), learning=True)
        node.fail("dead")
        assert not node.spread.learning, "dead was silent, so nobody waits for it"

    def test_one_failure_does_not_hide_the_member_that_holds_the_value(self) -> None:
        """Else a write here would be acknowledged, and then lost to the state that it could have told."""
        node = Node()
        node.start()
        node.meet(member("b"), member("holder"))
        node.spread.addresses_tried(node.now, nobody_else=False)
        node.answer("b", state(0, 42), learning=True)
        node.fail("holder")
        node.run(PAUSE_S + 0.01)
        node.answer("b", state(0, 42), learning=True)
        assert node.spread.learning, "the holder has been asked once only"
        node.answer("holder", state(100, 5))
        assert not node.spread.learning
        assert node.store.current == state(100, 5)

    def test_only_failures_in_a_row_count(self) -> None:
        """A member that answers now and then is there."""
        node = Node()
        node.start()
        node.meet(member("b"), member("holder"))
        node.spread.addresses_tried(node.now, nobody_else=False)
        node.fail("holder")
        node.answer("b", state(0, 42), learning=True)
        node.run(PAUSE_S + 0.01)
        node.answer("holder", state(0, 42), learning=True)
        node.answer("b", state(0, 42), learning=True)
        node.run(PAUSE_S + 0.01)
        assert list(node.under_way) == ["holder"]
        node.fail("holder")
        assert node.spread.learning
        node.run(PAUSE_S + 0.01)
        node.answer("holder", state(100, 5))
        assert node.store.current == state(100, 5)

    def test_a_silent_member_that_answers_counts_again(self) -> None:
        """And may be the ready one."""
        node = Node()
        node.start()
        node.meet(member("b"))
        node.fail("b")
        node.run(PAUSE_S + 0.01)
        node.answer("b", state(5, 50))
        assert not node.spread.learning
        assert node.store.current == state(5, 50)

    def test_when_all_are_silent_the_time_decides(self) -> None:
        """Nobody who answers is not everybody who answers."""
        node = Node()
        node.start()
        node.meet(member("b"))
        node.spread.addresses_tried(node.now, nobody_else=False)
        node.fail("b")
        assert node.spread.learning

    def test_a_member_that_appears_is_asked_at_once(self) -> None:
        """And the end waits for it."""
        node = Node()
        node.start()
        node.meet(member("b"))
        node.spread.addresses_tried(node.now, nobody_else=False)
        node.answer("b", state(0, 42), learning=True)
        node.run(PAUSE_S + 0.01)
        node.meet(member("b"), member("c"))
        assert list(node.under_way) == ["b", "c"]
        node.answer("b", state(0, 42), learning=True)
        assert node.spread.learning
        node.answer("c", state(8, 80))
        assert node.store.current == state(8, 80)

    def test_two_that_start_together_become_ready_with_one_value(self) -> None:
        """Neither waits for the timeout, and both hold the larger state."""
        pair = {"b": Node("b", initial=state(3, 30)), "c": Node("c", initial=state(5, 50))}
        for name, other in (("b", "c"), ("c", "b")):
            pair[name].start()
            pair[name].meet(member(other))
            pair[name].spread.addresses_tried(pair[name].now, nobody_else=False)
        for _ in range(3):
            for name, other in (("b", "c"), ("c", "b")):
                if other in pair[name].under_way:
                    said = pair[other].spread.statement()
                    pair[name].answer(other, said.state, learning=said.learning)
            for node in pair.values():
                node.run(PAUSE_S + 0.01)
        for node in pair.values():
            assert not node.spread.learning
            assert node.store.current == state(5, 50)
            assert node.now < 1.7e9 + TIMEOUT_S


class QuestionTests(SynchronousTestCase):
    """Questions are bounded: in number at once, and in time to the same member."""

    def test_only_so_many_are_asked_at_once(self) -> None:
        """The next one when one has answered."""
        node = Node()
        node.start()
        node.meet(*members(10))
        assert len(node.under_way) == PARALLEL_MAX
        node.fail("m00000")
        assert len(node.under_way) == PARALLEL_MAX
        assert "m00000" not in node.under_way
        node.run(2 * PAUSE_S)
        assert len(node.under_way) == PARALLEL_MAX

    def test_plain_and_unreachable_members_are_not_asked(self) -> None:
        """They have no state to tell."""
        node = Node()
        node.start()
        node.meet(member("plain", None), member("closed", "-"))
        node.run(TIMEOUT_S)
        assert node.asked == []

    def test_a_failing_member_is_asked_once_a_pause(self) -> None:
        """However fast it fails."""
        node = Node()
        node.start()
        node.meet(member("b"))
        while node.spread.learning:
            if "b" in node.under_way:
                node.fail("b")
            node.run(0.05)
        assert len(node.asked) <= TIMEOUT_S / PAUSE_S + 1

    def test_one_of_ours_that_answers_without_a_state_is_one_that_failed(self) -> None:
        """It is not asked again before the pause is over."""
        node = Node()
        node.start()
        node.meet(member("b"))
        node.answer("b", None)
        assert node.under_way == {}
        assert node.spread.counters["failures"] == 1
        node.run(PAUSE_S + 0.01)
        assert list(node.under_way) == ["b"]

    def test_questions_end_with_learning(self) -> None:
        """Nobody is asked any more, whatever was planned."""
        node = Node()
        node.start()
        node.meet(*members(8))
        node.answer("m00000", state(1, 1))
        asked = len(node.asked)
        for name in list(node.under_way):
            node.fail(name)
        node.run(20.0)
        assert len(node.asked) == asked
        assert node.spread.next_deadline() is None

    def test_a_tie_that_is_due_waits_without_haste(self) -> None:
        """While the node learns it writes nothing, and its shell is not kept busy."""
        node = Node(initial=state(3, 30), settings=SpreadSettings(join_timeout_s=10.0, tie_patience_s=1.0))
        node.start()
        node.spread.receive_original(state(3, 29), node.now)
        node.run(9.0)
        assert node.raised == []
        node.run(1.5)
        assert [one for _, one in node.raised] == [state(3, 30)]

    def test_a_tie_is_dealt_with_when_learning_ends_early(self) -> None:
        """The shell is told of the deadline that now counts."""
        node = Node(initial=state(3, 30))
        node.start()
        node.spread.receive_original(state(3, 29), node.now)
        node.turn()
        node.spread.addresses_tried(node.now, nobody_else=True)
        node.turn()
        node.run(SpreadSettings().tie_patience_s)
        assert [one for _, one in node.raised] == [state(3, 30)]
