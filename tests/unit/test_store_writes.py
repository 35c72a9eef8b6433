"""The store's own writes: head and current, group commit, writes that are overtaken, and who is told."""

from collections.abc import Callable

import pytest
from twisted.trial.unittest import SynchronousTestCase

from onevalue.errors import ConflictError, ExhaustedError, NotDurableError
from onevalue.store import (
    GENERATION_MAX,
    WAITING_SIZE_MAX,
    WAITING_WRITES_MAX,
    Change,
    Condition,
    Source,
    State,
    Store,
    Write,
)
from onevalue.types import Generation
from onevalue.values import Value


def state(generation: int, value: Value = 0) -> State:
    """A state without origin and time."""
    return State(Generation(generation), value)


class Desk:
    """A store, and how its writes ended, in order."""

    def __init__(self, initial: State) -> None:
        self.store = Store(initial)
        self.ended: list[tuple[Value, State, str]] = []
        self.changes: list[Change] = []
        self.store.observe(self.changes.append)

    def propose(self, value: Value, if_match: str | None = None) -> Write:
        """A write of `value` waits."""
        return self.store.propose(
            value,
            origin="here",
            time=1.0,
            done=self._done,
            condition=None if if_match is None else Condition.of(if_match),
        )

    def commit(self) -> list[State]:
        """A commit of all that waits went well; returns its states."""
        committed = self.store.begin_commit()
        self.store.end_commit()
        return committed

    def _done(self, write: Write) -> None:
        self.ended.append((write.state.value, write.state, type(write.error).__name__ if write.error else "made"))

    @property
    def results(self) -> list[tuple[Value, str]]:
        """Value and end of each write that ended, in order."""
        return [(value, how) for value, _, how in self.ended]


class WriteTests(SynchronousTestCase):
    """Own writes are durable before they are visible or acknowledged; they work on head."""

    def setUp(self) -> None:
        """A node at generation 5."""
        self.desk = Desk(state(5, 50))
        self.store = self.desk.store

    def test_a_write_is_seen_only_when_it_is_durable(self) -> None:
        """Head has it at once, current and the writer after the commit."""
        write = self.desk.propose(60)
        assert (self.store.head, self.store.current) == (state(6, 60), state(5, 50))
        assert (write.state.origin, write.state.time) == ("here", 1.0)
        assert self.store.begin_commit() == [state(6, 60)]
        assert (self.store.current, self.desk.ended) == (state(5, 50), [])
        self.store.end_commit()
        assert (self.store.head, self.store.current) == (state(6, 60), state(6, 60))
        assert self.desk.results == [(60, "made")]

    def test_two_writes_during_one_commit_get_two_generations(self) -> None:
        """They wait for the next commit, together, and end in order."""
        self.desk.propose(60)
        self.store.begin_commit()
        self.desk.propose(70)
        self.desk.propose(10)
        self.store.end_commit()
        assert self.desk.results == [(60, "made")]
        assert self.desk.commit() == [state(7, 70), state(8, 10)]
        assert self.desk.results == [(60, "made"), (70, "made"), (10, "made")]
        assert self.store.current == state(8, 10)

    def test_if_match_is_about_head(self) -> None:
        """A conditional write stands upon the writes that wait before it, and one upon the past changes nothing."""
        first = self.desk.propose(60, if_match=state(5, 50).tag)
        self.desk.propose(70, if_match=first.state.tag)
        with pytest.raises(ConflictError) as caught:
            self.desk.propose(80, if_match=state(5, 50).tag)
        assert state(7, 70).tag in str(caught.value)
        assert self.desk.commit() == [state(6, 60), state(7, 70)]

    def test_if_match_wants_the_value_not_only_the_generation(self) -> None:
        """A generation alone does not name a state."""
        with pytest.raises(ConflictError):
            self.desk.propose(60, if_match=state(5, 51).tag)
        assert self.store.head == self.store.current

    def test_what_a_writer_may_demand(self) -> None:
        """One of some states, none of some others, or both; or that there is no state, which never holds."""
        here, other, more = state(5, 50).tag, state(5, 51).tag, state(6, 50).tag
        for condition, made in (
            (Condition(), True),
            (Condition((here,)), True),
            (Condition((other, here)), True),
            (Condition((other, more)), False),
            (Condition(()), False),
            (Condition(none_match=(other, more)), True),
            (Condition(none_match=(other, here)), False),
            (Condition((here,), none_match=(other,)), True),
            (Condition((here,), none_match=(here,)), False),
            (Condition(no_state=True), False),
            (Condition((here,), no_state=True), False),
        ):
            assert (condition.refuses(self.store.current) is None) is made, condition

    def test_a_failed_commit_fails_all_that_wait(self) -> None:
        """Those of the commit and those behind it; head falls back, and the next write takes the generation anew."""
        self.desk.propose(60)
        self.store.begin_commit()
        self.desk.propose(70)
        self.store.end_commit("the disk is full")
        assert self.desk.results == [(60, "NotDurableError"), (70, "NotDurableError")]
        assert (self.store.head, self.store.current) == (state(5, 50), state(5, 50))
        assert self.desk.changes == []
        assert self.desk.propose(80).state == state(6, 80)

    def test_nothing_waits_nothing_is_committed(self) -> None:
        """An empty commit has no states and changes nothing."""
        assert self.desk.commit() == []
        assert (self.store.current, self.desk.ended) == (state(5, 50), [])

    def test_only_so_many_writes_wait(self) -> None:
        """One more than WAITING_WRITES_MAX is refused, and changes nothing."""
        for value in range(WAITING_WRITES_MAX):
            self.desk.propose(value)
        head = self.store.head
        with pytest.raises(NotDurableError):
            self.desk.propose(1)
        assert self.store.head is head
        assert len(self.desk.commit()) == WAITING_WRITES_MAX

    def test_only_so_many_bytes_of_writes_wait(self) -> None:
        """Up to WAITING_SIZE_MAX, the last byte included; what was committed, failed or given up makes room again."""
        ends: list[Callable[[], object]] = [
            self.desk.commit,
            lambda: self.store.end_commit("the disk is full"),
            lambda: self.store.give_up_waiting("the node stops"),
        ]
        half = "x" * (WAITING_SIZE_MAX // 2 - 2)
        for end in ends:
            for _ in range(2):
                self.desk.propose(half)
            head = self.store.head
            with pytest.raises(NotDurableError):
                self.desk.propose(1)
            assert self.store.head is head
            end()
            assert self.store.head is self.store.current
        self.desk.propose(half)
        with pytest.raises(NotDurableError):
            self.desk.propose(half + "x")

    def test_writes_that_are_refused_upon_a_merge_make_room(self) -> None:
        """Those that wait on count as before."""
        half = "x" * (WAITING_SIZE_MAX // 2 - 2)
        self.desk.propose(half, if_match=state(5, 50).tag)
        self.desk.propose(half)
        self.store.merge(state(9, 90), Source.NOTIFY)
        self.desk.propose(half)
        with pytest.raises(NotDurableError):
            self.desk.propose(1)

    def test_the_largest_generation_can_be_written_but_not_passed(self) -> None:
        """The write that would need one more is refused, and changes nothing."""
        desk = Desk(state(GENERATION_MAX - 1))
        desk.propose(1)
        with pytest.raises(ExhaustedError):
            desk.propose(2)
        assert desk.commit() == [state(GENERATION_MAX, 1)]
        with pytest.raises(ExhaustedError):
            desk.propose(2)

    def test_who_writes_again_when_told_goes_into_the_next_commit(self) -> None:
        """A write that is proposed by the one who hears of the end waits behind all others."""
        store = self.store
        again: list[State] = []
        store.propose(
            60,
            origin="",
            time=0.0,
            done=lambda _: again.append(store.propose(80, origin="", time=0.0, done=lambda _: None).state),
        )
        store.begin_commit()
        self.desk.propose(70)
        store.end_commit()
        assert again == [state(8, 80)]
        assert store.begin_commit() == [state(7, 70), state(8, 80)]


class OvertakenTests(SynchronousTestCase):
    """A merge that overtakes head numbers unconditional writes anew, and fails conditional ones."""

    def setUp(self) -> None:
        """A node at generation 5."""
        self.desk = Desk(state(5, 50))
        self.store = self.desk.store

    def test_unconditional_writes_are_numbered_anew_in_order(self) -> None:
        """Nobody's write is lost to a state that came while it waited."""
        self.desk.propose(60)
        self.desk.propose(70)
        assert self.store.merge(state(9, 90), Source.NOTIFY)
        assert (self.store.current, self.store.head) == (state(9, 90), state(11, 70))
        assert self.desk.commit() == [state(10, 60), state(11, 70)]
        assert self.desk.results == [(60, "made"), (70, "made")]

    def test_conditional_writes_fail(self) -> None:
        """What the writer demanded is no longer the state to write upon; the others close the gap."""
        first = self.desk.propose(60)
        self.desk.propose(70, if_match=first.state.tag)
        self.desk.propose(80)
        self.store.merge(state(9, 90), Source.NOTIFY)
        assert self.desk.results == [(70, "ConflictError")]
        assert self.desk.commit() == [state(10, 60), state(11, 80)]

    def test_the_state_is_seen_before_a_writer_hears_of_the_conflict(self) -> None:
        """Who reads when told finds the state that came first."""
        seen: list[State] = []
        self.store.propose(
            60,
            origin="",
            time=0.0,
            done=lambda _: seen.append(self.store.current),
            condition=Condition.of(state(5, 50).tag),
        )
        self.store.merge(state(6, 90), Source.NOTIFY)
        assert seen == [state(6, 90)]

    def test_overtaken_during_a_commit_a_write_waits_for_the_next_one(self) -> None:
        """The end of the commit is not its end: what the journal has is not what the write has become."""
        self.desk.propose(60)
        self.store.begin_commit()
        self.store.merge(state(6, 90), Source.EVENT)
        self.store.end_commit()
        assert (self.desk.ended, self.store.current) == ([], state(6, 90))
        assert self.desk.commit() == [state(7, 60)]
        assert self.desk.results == [(60, "made")]

    def test_overtaken_during_a_commit_a_conditional_write_fails_at_once(self) -> None:
        """And once only: the end of the commit does not acknowledge it."""
        self.desk.propose(60, if_match=state(5, 50).tag)
        self.store.begin_commit()
        self.store.merge(state(6, 90), Source.EVENT)
        assert self.desk.results == [(60, "ConflictError")]
        self.store.end_commit()
        assert self.desk.results == [(60, "ConflictError")]
        assert (self.store.current, self.store.head) == (state(6, 90), state(6, 90))

    def test_the_journal_hears_which_states_in_flight_were_not_accepted(self) -> None:
        """Those of refused writes and of those that are numbered anew, once; not of those that nobody has written."""
        told: list[State] = []
        self.store.when_overtaken(told.extend)
        self.desk.propose(60)
        self.desk.propose(70, if_match=state(6, 60).tag)
        self.store.begin_commit()
        self.desk.propose(80)
        self.store.merge(state(7, 99), Source.EVENT)
        assert told == []  # it is below head
        self.store.merge(state(8, 99), Source.EVENT)
        assert told == [state(6, 60), state(7, 70)]
        self.store.merge(state(9, 99), Source.EVENT)
        assert told == [state(6, 60), state(7, 70)]

    def test_overtaken_by_the_very_same_a_state_is_accepted(self) -> None:
        """The journal is told nothing of it."""
        told: list[State] = []
        self.store.when_overtaken(told.extend)
        self.desk.propose(60)
        self.store.begin_commit()
        self.store.merge(state(6, 60), Source.EVENT)
        assert told == []

    def test_overtaken_twice_during_a_commit(self) -> None:
        """The second time counts from the newer state."""
        self.desk.propose(60)
        self.store.begin_commit()
        self.store.merge(state(7, 90), Source.EVENT)
        self.store.merge(state(8, 95), Source.EVENT)
        self.store.end_commit()
        assert self.desk.commit() == [state(9, 60)]

    def test_a_state_below_head_changes_no_waiting_write(self) -> None:
        """It becomes current until the commit ends; the writes that wait are larger."""
        self.desk.propose(60)
        self.store.begin_commit()
        assert self.store.merge(state(6, 55), Source.EVENT)
        assert self.store.current == state(6, 55)
        self.store.end_commit()
        assert (self.store.current, self.desk.results) == (state(6, 60), [(60, "made")])

    def test_a_commit_that_ends_below_what_is_held_takes_nothing_back(self) -> None:
        """The write is made: others have passed it since those behind it were given up."""
        self.desk.propose(60)
        self.store.begin_commit()
        self.desk.propose(70)
        self.store.merge(state(7, 65), Source.EVENT)
        self.store.give_up_waiting("the disk does not answer")
        assert self.store.head is self.store.current
        self.store.end_commit()
        assert (self.store.current, self.store.head) == (state(7, 65), state(7, 65))
        assert self.desk.results == [(70, "NotDurableError"), (60, "made")]
        assert [change.new for change in self.desk.changes] == [state(7, 65)]

    def test_a_refused_write_is_never_above_what_is_held(self) -> None:
        """A state between two writes of a commit under way fails neither: the journal may have both already.

        Were the second one refused, a restart would bring it back, above the first one's acknowledged new number.
        """
        first = self.desk.propose(60)
        self.desk.propose(70, if_match=first.state.tag)
        in_flight = self.store.begin_commit()
        self.store.merge(state(6, 65), Source.EVENT)
        self.store.end_commit()
        assert max(in_flight) <= self.store.current
        assert self.desk.results == [(60, "made"), (70, "made")]

    def test_without_room_above_the_state_writes_are_refused(self) -> None:
        """A write that cannot be numbered anew fails; one that still has a generation is made."""
        self.desk.propose(60)
        self.desk.propose(70)
        self.store.merge(state(GENERATION_MAX - 1), Source.JOIN)
        assert self.desk.results == [(70, "ExhaustedError")]
        assert self.desk.commit() == [state(GENERATION_MAX, 60)]
        self.desk = Desk(state(5, 50))
        self.desk.propose(60)
        self.desk.store.merge(state(GENERATION_MAX), Source.JOIN)
        assert self.desk.results == [(60, "ExhaustedError")]


class ObserverTests(SynchronousTestCase):
    """Observers are told once per change, in order."""

    def test_each_change_is_told_once_in_order_with_its_source(self) -> None:
        """A merge without a change is none; a commit of many writes is one."""
        desk = Desk(state(5, 50))
        desk.store.merge(state(6, 60), Source.EVENT)
        desk.store.merge(state(6, 60), Source.NOTIFY)
        desk.propose(1)
        desk.propose(2)
        desk.commit()
        assert desk.changes == [
            Change(state(5, 50), state(6, 60), Source.EVENT),
            Change(state(6, 60), state(8, 2), Source.SET),
        ]

    def test_observers_see_the_new_state(self) -> None:
        """Current has changed when they are called, and the writer has not heard yet."""
        desk = Desk(state(5, 50))
        seen: list[tuple[State, int]] = []
        desk.store.observe(lambda _: seen.append((desk.store.current, len(desk.ended))))
        desk.propose(60)
        desk.commit()
        assert seen == [(state(6, 60), 0)]

    def test_an_observer_that_ended_is_not_told(self) -> None:
        """Not even when it ends during a change that others hear of."""
        store = Store(state(0))
        told: list[str] = []

        def once(_: Change) -> None:
            told.append("first")
            end()

        end = store.observe(once)
        store.observe(lambda _: told.append("second"))
        store.merge(state(1), Source.NOTIFY)
        store.merge(state(2), Source.NOTIFY)
        assert told == ["first", "second", "second"]
