"""The store against a model of its whole life: writes, commits, states of others, stalls, crashes and restarts.

The model knows only what the docstrings of `store` promise: what was merged and acknowledged, which writes wait, and
what the disk holds. It must not know how the store does it.
"""

from collections.abc import Callable
from itertools import pairwise

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

from onevalue.errors import ConflictError, ExhaustedError, NotDurableError, WriteRefusedError
from onevalue.store import GENERATION_MAX, Change, Condition, Source, State, Store, Write
from onevalue.types import Generation
from onevalue.values import Value
from tests.strategies import LONG_LAW

some_values: st.SearchStrategy[Value] = st.sampled_from([0, 1, 2, None, True, 1.5, "", [1], {"a": []}])
"""Of all kinds, and so few that they are often equal; test_store.py has the order of all others."""

demands = st.sampled_from([*["nothing"] * 3, *["head"] * 2, "current", "another value", "a state that was"])
sources = st.sampled_from([Source.NOTIFY, Source.EVENT, Source.ANTI_ENTROPY, Source.JOIN])


class Life(RuleBasedStateMachine):
    """A node: its store, its disk, and those who write on it.

    The disk holds the largest state of all that reached it, as the journal does. What is learnt reaches it some time
    later; a commit that a crash interrupts has reached it as a whole, or not at all.
    """

    def __init__(self) -> None:
        super().__init__()
        self.store = Store(State(Generation(0), 0))
        self.disk = self.store.current
        self.expected = self.store.current
        self.changes: list[Change] = []
        self.commit: list[State] | None = None
        self.durable: list[State] = []  # what the commit held that is ending well just now
        self.waiting: list[Write] = []  # those that were not told yet, in order
        self.told: list[Write] = []  # in this life
        self.bases: dict[Write, State] = {}  # upon which state each was proposed
        self.made: list[State] = []  # what was acknowledged, in all lives
        self.past: list[State] = []  # what could be seen once

    @initialize(generation=st.sampled_from([0, GENERATION_MAX - 6]), value=some_values)
    def begin(self, generation: int, value: Value) -> None:
        """A node that begins low, or near the end of all generations."""
        self._start(State(Generation(generation), value))

    def _start(self, initial: State) -> None:
        self.store = Store(initial)
        self.disk = self.expected = initial
        self.past.append(initial)
        self.changes, self.waiting, self.told, self.bases = [], [], [], {}
        self.commit = None
        self.store.observe(self._changed)

    # What the store tells

    def _changed(self, change: Change) -> None:
        assert change.new is self.store.current, "an observer does not see what it is told"
        last = self.changes[-1].new if self.changes else self.past[-1]
        assert change.old == last, "a change was left out"
        assert change.old < change.new, "current went back"
        self.changes.append(change)

    def _done(self, write: Write) -> None:
        assert write in self.waiting, "a write was told twice"
        self.waiting.remove(write)
        self.told.append(write)
        if write.error is None:
            self._acknowledged(write)
        else:
            assert isinstance(write.error, ConflictError | ExhaustedError | NotDurableError)
            assert isinstance(write.error, ConflictError) <= (write.condition is not None)
            in_commit = self._is_in(self.commit, write)
            assert not in_commit or write.state <= self.store.current, "a restart would show a write that was refused"

    def _acknowledged(self, write: Write) -> None:
        assert self._is_in(self.durable, write), "acknowledged before it was durable"
        assert write.state <= self.store.current, "acknowledged before it was visible"
        if write.condition is not None:
            base = self.bases[write]  # what came between the two was made upon the same base, and has lost
            assert write.state.generation == base.generation + 1, "a conditional write stands upon another state"
            assert base in [*self.past, *self.made], "a conditional write stands upon one that was not made"
        assert all(write.state.generation != state.generation for state in self.made), "two writes of one generation"
        self.made.append(write.state)

    def _done_and_writes_again(self, write: Write) -> None:
        self._done(write)
        self._propose(0, None, self._done)

    # What happens to it

    @rule(demand=demands, count=st.integers(1, 3), again=st.booleans(), chance=st.data())
    def propose(self, demand: str, count: int, again: bool, chance: st.DataObject) -> None:
        """Some write here, perhaps upon a state, and perhaps anew when they are told; the journal takes the first."""
        wanted: dict[str, Callable[[], str | None]] = {
            "nothing": lambda: None,
            "head": lambda: self.store.head.tag,
            "current": lambda: self.store.current.tag,
            "another value": lambda: State(self.store.head.generation, ["of nobody"]).tag,
            "a state that was": lambda: chance.draw(st.sampled_from(self.past)).tag,
        }
        for _ in range(count):
            value = chance.draw(some_values)
            self._propose(value, wanted[demand](), self._done_and_writes_again if again else self._done)
            if self.commit is None and self.waiting:
                self._begin_commit()

    def _propose(self, value: Value, if_match: str | None, done: Callable[[Write], None]) -> None:
        head, current = self.store.head, self.store.current
        matches, has_room = if_match in {None, head.tag}, head.generation < GENERATION_MAX
        refused: type[WriteRefusedError] | None = None
        try:
            write = self.store.propose(
                value, origin="n1", time=1.0, done=done, condition=None if if_match is None else Condition.of(if_match)
            )
        except WriteRefusedError as error:
            refused = type(error)
        else:
            assert write.state == State(Generation(head.generation + 1), value)
            self.waiting.append(write)
            self.bases[write] = head
        assert refused is (ConflictError if not matches else None if has_room else ExhaustedError)
        assert self.store.head is (head if refused else self.waiting[-1].state)
        assert self.store.current is current, "seen before it was durable"

    def _begin_commit(self) -> None:
        """The journal takes all that waits."""
        self.commit = self.store.begin_commit()
        assert self.commit == [write.state for write in self.waiting]

    @precondition(lambda self: self.commit is not None)
    @rule(how=st.sampled_from(["well", "well", "well", "failed", "not yet", "not yet"]))
    def commit_ends(self, how: str) -> None:
        """Well, or not; or it does not end, and those behind it give up."""
        if how == "well":
            self._commit_went_well()
            if self.waiting:
                self._begin_commit()
        elif how == "failed":
            self.commit = None
            self._all_fail(self.waiting.copy(), lambda: self.store.end_commit("the disk is full"))
        else:
            behind = [write for write in self.waiting if not self._is_in(self.commit, write)]
            self._all_fail(behind, lambda: self.store.give_up_waiting("the disk does not answer"))

    def _commit_went_well(self) -> None:
        """What it held is durable, and the writes that are still as it held them are made."""
        self.durable, self.commit = self.commit or [], None
        self.disk = max([self.disk, *self.durable])
        made = [write for write in self.waiting if self._is_in(self.durable, write)]
        later = [write for write in self.waiting if write not in made]
        count = len(self.told)
        self.store.end_commit()
        assert self.told[count:] == made, "not those that are durable were told, or not in order"
        assert self.waiting[: len(later)] == later, "who was not in the commit was told"
        assert self.disk <= self.store.current, "a restart would show what this life never did"
        self._expect([write.state for write in made])
        self.durable = []

    def _is_in(self, commit: list[State] | None, write: Write) -> bool:
        return any(write.state is state for state in commit or [])

    def _all_fail(self, those: list[Write], fail: Callable[[], None]) -> None:
        current, count = self.store.current, len(self.told)
        fail()
        assert self.told[count : count + len(those)] == those, "not exactly those were told, in order"
        assert all(isinstance(write.error, NotDurableError) for write in those)
        assert self.store.current is current

    @rule(value=some_values, ahead=st.integers(-1, 2), source=sources)
    def merge(self, value: Value, ahead: int, source: Source) -> None:
        """A state of another node comes, near what readers see."""
        self._merge_near(self.store.current, value, ahead, source)

    @precondition(lambda self: self.waiting)
    @rule(value=some_values, ahead=st.sampled_from([0, 0, 0, 1]), source=sources, chance=st.data())
    def merge_beside_a_write(self, value: Value, ahead: int, source: Source, chance: st.DataObject) -> None:
        """A state of another node comes that has the generation of a write, or the one above."""
        self._merge_near(chance.draw(st.sampled_from(self.waiting)).state, value, ahead, source)

    def _merge_near(self, place: State, value: Value, ahead: int, source: Source) -> None:
        generation = min(GENERATION_MAX, max(0, place.generation + ahead))
        self._merge(State(Generation(generation), value), source)

    @rule(chance=st.data(), source=sources)
    def merge_what_was(self, chance: st.DataObject, source: Source) -> None:
        """A state that this node has had, or proposed, comes back from another."""
        self._merge(chance.draw(st.sampled_from([*self.past, *(write.state for write in self.waiting)])), source)

    def _merge(self, state: State, source: Source) -> None:
        current, head, changes = self.store.current, self.store.head, len(self.changes)
        before = [(write, write.state) for write in self.waiting]
        count = len(self.told)
        is_news = self.store.merge(state, source)
        assert is_news is (current < state)
        assert self.changes[changes:] == ([Change(current, state, source)] if is_news else [])
        if is_news and head <= state:
            self._check_overtaken(before, state)
        else:
            assert self.told[count:] == [], "a write was told, and nothing had overtaken it"
            assert all(write.state is was for write, was in before), "a write was renumbered without need"
        self._expect([state])

    def _check_overtaken(self, before: list[tuple[Write, State]], state: State) -> None:
        room = GENERATION_MAX - state.generation
        kept = [write for write, _ in before if write.condition is None][:room]
        for write, was in before:
            assert (write.error is None) is (write in kept), "lost without need, or kept upon another state"
            assert write.state.value == was.value
        generations = [write.state.generation - state.generation for write in kept]
        assert generations == list(range(1, len(kept) + 1)), "not numbered anew, in order, above what came"

    @rule(what=st.sampled_from([*["the journal catches up"] * 6, "a crash", "a crash when the commit was durable"]))
    def happens(self, what: str) -> None:
        """What was learnt is kept; or the process ends, tells nobody, and starts with what the disk holds."""
        if what == "the journal catches up":
            self.disk = max(self.disk, self.store.current)
            return
        if what == "a crash when the commit was durable":
            self.disk = max([self.disk, *(self.commit or [])])
        self._start(self.disk)

    def _expect(self, states: list[State]) -> None:
        self.expected = max([self.expected, *states])
        self.past.append(self.store.current)

    # What always holds

    @invariant()
    def current_is_the_largest(self) -> None:
        """Of all that this life began with, merged or acknowledged; observers know it."""
        assert self.store.current == self.expected
        assert not self.changes or self.store.current is self.changes[-1].new

    @invariant()
    def head_is_the_newest_that_waits(self) -> None:
        """Or current, if that is larger. Writes stand in the order of their generations; a commit holds the first."""
        states = [self.store.current, *(write.state for write in self.waiting)]
        assert self.store.head == max(states[0], states[-1])
        assert all(one.generation < other.generation for one, other in pairwise(states[1:]))
        flags = [write.in_flight for write in self.waiting]
        assert flags == sorted(flags, reverse=True), "a write overtook another"
        for write in self.waiting:
            assert write.in_flight is self._is_in(self.commit, write)

    @invariant()
    def what_was_acknowledged_is_kept(self) -> None:
        """On the disk, and so by every life that begins with it."""
        assert all(state <= self.disk for state in self.made)
        assert all(state <= self.store.current for state in self.made)

    def teardown(self) -> None:
        """In the end, when the disk answers, every write that waits is told."""
        if self.commit is not None:
            self._commit_went_well()
        while self.waiting:
            self._begin_commit()
            self._commit_went_well()
        assert self.store.head is self.store.current


class StoreMachineTests(SynchronousTestCase):
    """The store does what its model says."""

    def test_any_life_of_a_store(self) -> None:
        """Whatever happens, in any order, with crashes in between."""
        run_state_machine_as_test(Life, settings=LONG_LAW)
