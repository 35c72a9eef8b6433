"""The store over any course of events: writes, commits that go well or not, and states of others in between."""

from collections.abc import Callable

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.trial.unittest import SynchronousTestCase

from onevalue.errors import ConflictError, ExhaustedError
from onevalue.store import GENERATION_MAX, Change, Condition, Source, State, Store, Write
from onevalue.types import Generation
from tests.strategies import LONG_LAW

some_values = st.integers(0, 5)


class Course(RuleBasedStateMachine):
    """A node with a journal that keeps the largest state that was in a commit which went well."""

    def __init__(self) -> None:
        super().__init__()
        self.store = Store(State(Generation(0), 0))
        self.seen = self.store.current
        self.durable = self.store.current
        self.in_flight: list[State] | None = None
        self.proposed: list[Write] = []
        self.ended: list[Write] = []
        self.made: list[State] = []

    @initialize(generation=st.sampled_from([0, GENERATION_MAX - 6]))
    def begin(self, generation: int) -> None:
        """A node that begins low, or near the end of all generations."""
        self.store = Store(State(Generation(generation), 0))
        self.seen = self.durable = self.store.current
        self.store.observe(self._changed)

    def _changed(self, change: Change) -> None:
        assert change.old == self.seen, "a change was not told"
        assert change.old < change.new, "current went back"
        self.seen = change.new

    def _done(self, write: Write) -> None:
        assert all(write is not other for other in self.ended), "a write ended twice"
        self.ended.append(write)
        if write.error is None:
            assert write.state <= self.store.current, "acknowledged above current"
            assert write.state <= self.durable, "acknowledged before it was durable"
            assert all(write.state.generation != other.generation for other in self.made), "one generation twice"
            self.made.append(write.state)

    @rule(value=some_values, demand=st.sampled_from(["nothing", "head", "current"]))
    def propose(self, value: int, demand: str) -> None:
        """Somebody writes here, perhaps upon head or upon what readers see."""
        demands: dict[str, Callable[[], str | None]] = {
            "nothing": lambda: None,
            "head": lambda: self.store.head.tag,
            "current": lambda: self.store.current.tag,
        }
        head = self.store.head
        try:
            write = self.store.propose(
                value,
                origin="",
                time=0.0,
                done=self._done,
                condition=None if (upon := demands[demand]()) is None else Condition.of(upon),
            )
        except ConflictError:
            assert demand == "current"
        except ExhaustedError:
            assert head.generation == GENERATION_MAX
        else:
            assert write.state.generation == head.generation + 1
            self.proposed.append(write)
            return
        assert self.store.head is head, "a refused write moved head"

    @precondition(lambda self: self.in_flight is None)
    @rule()
    def begin_commit(self) -> None:
        """The journal takes all that waits."""
        self.in_flight = self.store.begin_commit()
        assert all(one < other for one, other in zip(self.in_flight, self.in_flight[1:], strict=False))

    @precondition(lambda self: self.in_flight is not None)
    @rule()
    def commit_goes_well(self) -> None:
        """It is durable; what the journal holds is never above what the node holds."""
        self.durable = max([self.durable, *(self.in_flight or [])])
        self.in_flight = None
        self.store.end_commit()
        assert self.durable <= self.store.current, "a restart would bring back a write that was refused or renumbered"

    @precondition(lambda self: self.in_flight is not None)
    @rule()
    def commit_fails(self) -> None:
        """Nothing of it is kept."""
        self.in_flight = None
        before = self.store.current
        self.store.end_commit("the disk is full")
        assert self.store.head is self.store.current is before
        assert len(self.ended) == len(self.proposed)

    @rule(value=some_values, ahead=st.integers(-2, 3))
    def merge(self, value: int, ahead: int) -> None:
        """A state of another node comes, near ours."""
        generation = min(GENERATION_MAX, max(0, self.store.current.generation + ahead))
        self._merge(State(Generation(generation), value))

    @precondition(lambda self: self.in_flight)
    @rule(chance=st.data(), value=some_values)
    def merge_beside_a_write(self, chance: st.DataObject, value: int) -> None:
        """A state of another node has the generation of a write in flight."""
        self._merge(State(chance.draw(st.sampled_from(self.in_flight or [])).generation, value))

    def _merge(self, state: State) -> None:
        before = self.store.current
        assert self.store.merge(state, Source.NOTIFY) is (before < state)
        self.durable = max(self.durable, state)  # journalled behind
        assert self.store.current == max(before, state)

    @invariant()
    def current_is_what_was_told_last(self) -> None:
        """Observers know current; head is never below it, and is it when nothing waits."""
        assert self.store.current == self.seen
        assert self.store.current <= self.store.head
        if len(self.ended) == len(self.proposed):
            assert self.store.head is self.store.current

    def teardown(self) -> None:
        """In the end every write has ended."""
        if self.in_flight is not None:
            self.commit_goes_well()
        self.begin_commit()
        self.commit_goes_well()
        assert sorted(map(id, self.ended)) == sorted(map(id, self.proposed))
        for write in self.proposed:
            assert write.error is not None or any(write.state is made for made in self.made)


class LawTests(SynchronousTestCase):
    """Laws of the store."""

    def test_whatever_happens_writes_end_once_and_current_never_goes_back(self) -> None:
        """Acknowledged is durable and merged, refused never returns, over any course of events."""
        run_state_machine_as_test(Course, settings=LONG_LAW)
