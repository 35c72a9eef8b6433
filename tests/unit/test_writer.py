"""The writer: own writes through store and journal, in order, with group commit."""

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from onevalue.config import SpreadSettings
from onevalue.errors import ConflictError, JournalError, NotDurableError, NotReadyError, WriteRefusedError
from onevalue.histogram import Histogram
from onevalue.journal import Contents, HistoryEntry, IJournal, LamportClocks, NullJournal, Peer
from onevalue.spread import Spread
from onevalue.store import WAITING_WRITES_MAX, Condition, Source, State, Store
from onevalue.writer import ACKNOWLEDGED, Writer
from tests.fakes import at_once
from tests.spread_rig import state


@implementer(IJournal)
class HandDrivenJournal:
    """A journal whose commits end when the test says so."""

    contents = Contents(state=None, peers=(), clocks=None)
    trouble: str | None = None
    durable: State | None = None
    history_max = 0
    commit_times = Histogram()

    def __init__(self) -> None:
        self.commits: list[list[State]] = []
        self.waiting: list[tuple[State, Deferred[None]]] = []
        self.disowned: list[State] = []
        self._under_way: Deferred[None] | None = None

    def append(self, states: Sequence[State], source: Source) -> Deferred[None]:
        """Fires, or fails, when the test says so; two at once are a fault of the writer."""
        assert self._under_way is None
        assert source is Source.SET
        self.commits.append(list(states))
        self._under_way = Deferred()
        return self._under_way

    def end(self, error: str | None = None) -> None:
        """The commit under way is over."""
        done, self._under_way = self._under_way, None
        assert done is not None
        if error is None:
            done.callback(None)
        else:
            done.errback(JournalError(error))

    def disown(self, states: Sequence[State]) -> None:
        """It is noted."""
        self.disowned += states

    def learn(self, state: State, source: Source) -> None:
        """No effect."""

    def when_durable(self, state: State) -> Deferred[None]:
        """Fires when the test says so."""
        self.waiting.append((state, Deferred()))
        return self.waiting[-1][1]

    def save_peers(self, peers: Sequence[Peer]) -> None:
        """No effect."""

    def save_clocks(self, clocks: LamportClocks) -> None:
        """No effect."""

    def history(self, limit: int) -> Deferred[list[HistoryEntry]]:  # noqa: ARG002  # there is none
        """Fires at once with nothing."""
        return succeed([])

    def status(self) -> Mapping[str, object]:
        """Nothing to tell."""
        return {}

    def observe_trouble(self, observer: Callable[[], None]) -> None:
        """Nobody is told."""

    def observe_stall(self, observer: Callable[[str], None]) -> None:
        """It is told when the test says so."""
        self.stall = observer

    def close(self) -> Deferred[None]:
        """Fires at once."""
        return succeed(None)


class WriterRig(SynchronousTestCase):
    """A writer upon a journal that the test drives."""

    def setUp(self) -> None:
        """A ready node at generation 5."""
        self.journal = HandDrivenJournal()
        self.make(self.journal)

    def make(self, journal: IJournal | HandDrivenJournal | NullJournal) -> None:
        """The writer of a node with this journal."""
        self.clock = Clock()
        self.store = Store(state(5, 50))
        self.spread = Spread(name="me", store=self.store, settings=SpreadSettings(), rng=Random(1))
        self.writer = Writer(
            store=self.store,
            journal=IJournal(journal),
            spread=self.spread,
            clock=self.clock.seconds,
            wall_clock=lambda: 1234.5,
            soon=at_once,
        )

    def pending(self, done: Deferred[Any]) -> None:
        """It has not fired yet."""
        self.assertNoResult(done)  # type: ignore[no-untyped-call]  # trial's has no types

    def refused(self, done: Deferred[State], kind: type[WriteRefusedError]) -> BaseException:
        """It has failed with this kind of error."""
        failure: Failure = self.failureResultOf(done, kind)  # type: ignore[no-untyped-call]  # trial's has no types
        assert failure.value is not None
        return failure.value


class WriterTests(WriterRig):
    """A write is acknowledged when it is durable, or refused."""

    def test_the_fake_is_a_journal(self) -> None:
        """It has all that IJournal asks for."""
        assert verifyObject(IJournal, self.journal)

    def test_a_write_is_acknowledged_when_it_is_durable(self) -> None:
        """With its state, origin and time; until then nobody sees it."""
        done = self.writer.write(60)
        self.pending(done)
        assert (self.store.current, self.journal.commits) == (state(5, 50), [[state(6, 60)]])
        self.journal.end()
        made = self.successResultOf(done)
        assert (made, made.origin, made.time) == (state(6, 60), "me", 1234.5)
        assert self.store.current == made

    def test_each_end_is_counted_once(self) -> None:
        """As metrics show it, also of those that are refused before they begin."""
        for value in (60, 70):
            self.writer.write(value)
        self.journal.end()
        self.journal.end()
        for condition, value in ((Condition.of("1-" + "0" * 16), 80), (None, 90)):
            self.writer.write(value, condition).addErrback(lambda _: None)
        self.journal.end("the disk is full")
        self.writer.close()
        self.writer.write(100).addErrback(lambda _: None)
        ended = {ACKNOWLEDGED: 2, "conflict": 1, "not_durable": 1, "not_ready": 1, "exhausted": 0}
        assert self.writer.results == ended

    def test_closed_it_takes_no_more_writes_and_ends_those_under_way(self) -> None:
        """A node that stops could not tell anybody of a later one; what it has begun is made, and told while it can."""
        first = self.writer.write(1)
        self.writer.close()
        assert "stopping" in str(self.writer.not_ready)
        self.refused(self.writer.write(2), NotReadyError)
        self.journal.end()
        assert self.successResultOf(first) == self.store.current == state(6, 1)
        assert self.journal.commits == [[state(6, 1)]]

    def test_writes_of_one_turn_stand_together_in_one_commit(self) -> None:
        """It begins in the next; until then the writer is not idle."""
        later: list[Callable[[], None]] = []
        writer = Writer(
            store=self.store,
            journal=self.journal,
            spread=self.spread,
            clock=self.clock.seconds,
            wall_clock=lambda: 1.0,
            soon=later.append,
        )
        done = [writer.write(value) for value in (60, 70, 80)]
        idle = writer.when_idle()
        assert (self.journal.commits, len(later)) == ([], 1)
        later.pop()()
        assert [each.value for each in self.journal.commits[0]] == [60, 70, 80]
        self.pending(idle)
        self.journal.end()
        assert [self.successResultOf(each).generation for each in done] == [6, 7, 8]
        self.successResultOf(idle)

    def test_writes_during_a_commit_stand_together_in_the_next(self) -> None:
        """In order, each with its own generation, acknowledged in order."""
        order: list[int] = []
        for number in range(5):
            self.writer.write(number).addCallback(lambda _, number: order.append(number), number)
        assert self.journal.commits == [[state(6, 0)]]
        self.journal.end()
        assert order == [0]
        assert self.journal.commits[1:] == [[state(7, 1), state(8, 2), state(9, 3), state(10, 4)]]
        self.journal.end()
        assert order == [0, 1, 2, 3, 4]
        assert self.store.current == state(10, 4)

    def test_a_failing_journal_refuses_all_that_wait(self) -> None:
        """With its reason; the next write tries again."""
        refused = [self.writer.write(60), self.writer.write(70)]
        self.journal.end("the disk is full")
        for done in refused:
            error = self.refused(done, NotDurableError)
            assert "the disk is full" in str(error)
        assert self.store.head == self.store.current == state(5, 50)
        done = self.writer.write(80)
        self.journal.end()
        assert self.successResultOf(done) == state(6, 80)

    def test_a_conditional_write_that_comes_too_late_is_refused(self) -> None:
        """At once, and the journal hears nothing of it."""
        self.refused(self.writer.write(60, Condition.of(state(5, 49).tag)), ConflictError)
        assert self.journal.commits == []
        done = self.writer.write(60, Condition.of(state(5, 50).tag))
        self.journal.end()
        assert self.successResultOf(done) == state(6, 60)

    def test_overtaken_in_flight_a_write_is_committed_once_more(self) -> None:
        """Above the state that came; a conditional one is refused when it comes."""
        plain = self.writer.write(60)
        conditional = self.writer.write(70, Condition.of(state(6, 60).tag))
        self.store.merge(state(9, 90), Source.NOTIFY)
        self.refused(conditional, ConflictError)
        self.journal.end()
        self.pending(plain)
        assert self.journal.commits[1:] == [[state(10, 60)]]
        self.journal.end()
        assert self.successResultOf(plain) == self.store.current == state(10, 60)

    def test_while_learning_no_write_is_made(self) -> None:
        """The writer hears how long to wait; afterwards writes go on."""
        self.spread.start(self.clock.seconds(), somebody_to_ask=True)
        self.clock.advance(2.0)
        error = self.refused(self.writer.write(60), NotReadyError)
        assert isinstance(error, NotReadyError)
        assert error.retry_after_s == SpreadSettings().join_timeout_s - 2.0
        assert (self.journal.commits, self.store.head) == ([], state(5, 50))
        self.clock.advance(3.0)
        self.spread.handle_timer(self.clock.seconds())
        self.writer.write(60)
        assert self.journal.commits == [[state(6, 60)]]

    def test_too_many_writes_are_refused(self) -> None:
        """Those that wait are still made."""
        waiting = [self.writer.write(number) for number in range(WAITING_WRITES_MAX)]
        self.refused(self.writer.write(1), NotDurableError)
        self.journal.end()
        self.journal.end()
        assert self.successResultOf(waiting[-1]) == self.store.current

    def test_who_gives_up_does_not_disturb_the_others(self) -> None:
        """A cancelled wait is not a cancelled write."""
        impatient, patient = self.writer.write(60), self.writer.write(70)
        impatient.addErrback(lambda _: None)
        impatient.cancel()
        self.journal.end()
        self.journal.end()
        assert self.successResultOf(patient) == self.store.current == state(7, 70)

    def test_idle_is_when_nothing_is_under_way_and_nothing_waits(self) -> None:
        """At once without writes; else after the last commit, also one that failed."""
        self.successResultOf(self.writer.when_idle())
        for error in (None, "the disk is full"):
            self.writer.write(60).addErrback(lambda _: None)
            idle = [self.writer.when_idle(), self.writer.when_idle()]
            self.writer.write(70).addErrback(lambda _: None)
            if error is None:
                self.journal.end()
                self.pending(idle[0])
            self.journal.end(error)
            for one in idle:
                self.successResultOf(one)

    def test_it_is_not_idle_while_an_overtaken_write_waits_on(self) -> None:
        """Not even in the eyes of one who hears of the end of another in the same commit."""
        idle: list[Deferred[None]] = []
        self.writer.write(60)
        last = self.writer.write(70)
        last.addCallback(lambda _: idle.append(self.writer.when_idle()))
        self.journal.end()
        again = self.writer.write(80)
        self.journal.end()
        self.pending(again)
        self.pending(idle[0])
        self.journal.end()
        self.successResultOf(idle[0])

    def test_who_writes_again_at_once_goes_into_the_next_commit(self) -> None:
        """With all others that do so: one commit for them all."""
        self.writer.write(0)
        again: list[Deferred[State]] = []
        for number in range(1, 4):
            self.writer.write(number).addCallback(
                lambda _, number: again.append(self.writer.write(10 + number)), number
            )
        self.journal.end()
        self.journal.end()
        assert self.journal.commits[2:] == [[state(10, 11), state(11, 12), state(12, 13)]]
        self.journal.end()
        assert [self.successResultOf(one).value for one in again] == [11, 12, 13]

    def test_without_a_journal_a_write_is_made_at_once(self) -> None:
        """Also many, one after the other, each when the one before was made."""
        self.make(NullJournal())
        assert self.successResultOf(self.writer.write(60)) == state(6, 60)
        done = self.writer.write(0)
        for number in range(1, 50):
            done.addCallback(lambda _, number: self.writer.write(number), number)
        assert self.successResultOf(done) == self.store.current == state(56, 49)
        self.successResultOf(self.writer.when_idle())
