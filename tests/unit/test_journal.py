"""The journal: when something becomes durable, together with what, and what happens when the disk does not answer.

The thread is real, and so is the reactor that it reports to; time is virtual.
"""

import shutil
import tempfile
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, TypeAlias, cast
from unittest import mock

import pytest
from twisted.internet.defer import CancelledError, Deferred, gatherResults, inlineCallbacks
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from onevalue import journal_queue
from onevalue.errors import JournalError
from onevalue.journal import (
    HISTORY_READS_MAX,
    LAZY_S,
    PEERS_MAX,
    STALL_S,
    Contents,
    IJournal,
    Journal,
    LamportClocks,
    NullJournal,
    Peer,
    open_journal,
)
from onevalue.journal_file import HISTORY_MAX_DEFAULT
from onevalue.journal_waiters import DURABLE_WAITERS_MAX
from onevalue.store import Source, State
from onevalue.types import Generation

Steps: TypeAlias = Generator["Deferred[Any]", Any, None]

ANSWER_TIMEOUT_S = 10.0


def state(generation: int, value: int = 0, origin: str = "n1") -> State:
    """A state as a node writes it."""
    return State(Generation(generation), value, origin, 1.5)


class HalfClock(Clock):
    """The time is the test's, the rest the real reactor's."""

    def __init__(self) -> None:
        super().__init__()
        from twisted.internet import reactor  # noqa: PLC0415  # never at module level

        self._reactor: Any = reactor

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_reactor"], name)


class Opened(TestCase):
    """A journal for each test, closed after it."""

    timeout = 30

    def setUp(self) -> None:
        """A new journal."""
        self.folder = Path(tempfile.mkdtemp(prefix="onevalue-"))
        # A thread that was abandoned may still be tidying up.
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.clock = HalfClock()
        self.journal = self.open()

    def open(self, history_max: int = HISTORY_MAX_DEFAULT) -> Journal:
        """The journal of this test's folder."""
        journal = open_journal(self.folder, self.clock, history_max)
        self.addCleanup(journal.close)
        return journal

    @inlineCallbacks
    def reopen(self) -> Steps:
        """The journal was closed and opened again."""
        yield self.journal.close()
        self.journal = self.open()

    def in_thread(self, call: Callable[[Any], object]) -> "Deferred[Any]":
        """`call` gets the connection after all that was asked for before."""
        return cast("Deferred[Any]", cast("Any", self.journal._thread)._pool.runWithConnection(call))

    def quiet(self) -> "Deferred[Any]":
        """Fires when all that was asked for is done."""
        return self.in_thread(lambda _: None)

    def hang(self) -> Callable[[], None]:
        """The disk does not answer until the result is called."""
        answer = threading.Event()
        self.addCleanup(answer.set)  # before the close, which was added earlier
        self.in_thread(lambda _: answer.wait(ANSWER_TIMEOUT_S))
        return answer.set

    def commits(self) -> object:
        """How many transactions were made."""
        return self.journal.status()["commits"]


class AppendTests(Opened):
    """Own writes."""

    @inlineCallbacks
    def test_what_was_acknowledged_is_there_after_reopening(self) -> Steps:
        """A new journal holds nothing; once `append` has fired the states are durable."""
        assert self.journal.contents == Contents(None, (), None)
        assert self.journal.durable is None
        result = yield self.journal.append([state(1), state(2)], Source.SET)
        assert result is None
        assert self.journal.durable == state(2)
        yield self.reopen()
        assert self.journal.contents == Contents(state(2), (), None)
        assert self.journal.durable == state(2)

    @inlineCallbacks
    def test_what_comes_during_a_commit_goes_together_into_the_next(self) -> Steps:
        """One hundred concurrent appends cost two transactions."""
        yield gatherResults([self.journal.append([state(number)], Source.SET) for number in range(1, 101)])
        assert self.commits() == 2
        assert self.journal.durable == state(100)

    @inlineCallbacks
    def test_who_writes_again_at_once_shares_the_next_commit(self) -> Steps:
        """Ten writers that each write again as soon as they may need one transaction a round, and one to start."""

        def again(_: object, number: int) -> "Deferred[None]":
            return self.journal.append([state(number + 10)], Source.SET)

        yield gatherResults(
            [self.journal.append([state(number)], Source.SET).addCallback(again, number) for number in range(1, 11)]
        )
        assert self.commits() == 3

    @inlineCallbacks
    def test_durable_keeps_the_order_of_states(self) -> Steps:
        """A smaller state that is appended later does not lower what is durable."""
        yield self.journal.append([state(2, 5)], Source.SET)
        yield self.journal.append([state(2, 4)], Source.SET)
        assert self.journal.durable == state(2, 5)
        yield self.reopen()
        assert self.journal.contents.state == state(2, 5)

    @inlineCallbacks
    def test_nothing_to_append_is_done_at_once(self) -> Steps:
        """No states need no transaction."""
        yield self.journal.append([], Source.SET)
        assert self.commits() == 0

    @inlineCallbacks
    def test_too_many_that_wait_are_refused(self) -> Steps:
        """Beyond the queue's bound an append fails at once, and those that wait are made."""
        go_on = self.hang()
        with mock.patch.object(journal_queue, "WAITING_STATES_MAX", 2):
            made = [self.journal.append([state(number)], Source.SET) for number in (1, 2, 3)]
            refused = self.journal.append([state(4)], Source.SET)
        with pytest.raises(JournalError, match="wait already"):
            yield refused
        go_on()
        yield gatherResults(made)
        assert self.journal.durable == state(3)

    @inlineCallbacks
    def test_the_history_is_newest_first_and_limited(self) -> Steps:
        """`history` gives the accepted states with their sources, at most as many as asked for."""
        yield self.journal.append([state(1), state(2)], Source.SET)
        self.journal.learn(state(5), Source.EVENT)
        yield self.quiet()
        entries = yield self.journal.history(2)
        assert [(entry.state, entry.source) for entry in entries] == [(state(5), Source.EVENT), (state(2), Source.SET)]
        assert len((yield self.journal.history(10**30))) == 3
        assert (yield self.journal.history(-1)) == []

    @inlineCallbacks
    def test_readings_of_the_history_are_bounded(self) -> Steps:
        """With HISTORY_READS_MAX readings under way one more fails; later ones do not."""
        go_on = self.hang()
        readings = [self.journal.history(1) for _ in range(HISTORY_READS_MAX)]
        with pytest.raises(JournalError, match="wait already"):
            yield self.journal.history(1)
        go_on()
        yield gatherResults(readings)
        assert (yield self.journal.history(1)) == []

    @inlineCallbacks
    def test_a_reading_has_a_deadline(self) -> Steps:
        """When the disk does not answer for STALL_S it fails; it counts until the disk has answered."""
        go_on = self.hang()
        readings = [self.journal.history(1) for _ in range(HISTORY_READS_MAX)]
        self.clock.advance(STALL_S)
        for reading in readings:
            with pytest.raises(JournalError, match="not answered"):
                yield reading
        with pytest.raises(JournalError, match="wait already"):
            yield self.journal.history(1)
        done = self.quiet()
        go_on()
        yield done
        assert (yield self.journal.history(1)) == []
        assert self.clock.getDelayedCalls() == []

    @inlineCallbacks
    def test_who_gives_up_a_reading_leaves_nothing(self) -> Steps:
        """No delayed call, no error; the next reading is made."""
        reading = self.journal.history(1)
        reading.addErrback(lambda failure: failure.trap(CancelledError) and None)
        reading.cancel()
        assert self.clock.getDelayedCalls() == []
        assert (yield self.journal.history(1)) == []

    @inlineCallbacks
    def test_as_many_are_kept_as_the_journal_is_told(self) -> Steps:
        """Also none; fewer than before from the next transaction on."""
        yield self.journal.append([state(number) for number in range(1, 6)], Source.SET)
        for history_max, kept in [(2, [state(9), state(5)]), (0, [])]:
            yield self.journal.close()
            self.journal = self.open(history_max)
            assert self.journal.history_max == self.journal.status()["history_max"] == history_max
            yield self.journal.append([state(9)], Source.SET)
            entries = yield self.journal.history(10)
            assert [entry.state for entry in entries] == kept


class BehindTests(Opened):
    """What is journalled behind."""

    @inlineCallbacks
    def test_a_learnt_state_is_soon_durable(self) -> Steps:
        """Without anybody waiting for it, it is written at once."""
        self.journal.learn(state(3), Source.EVENT)
        yield self.quiet()
        assert self.journal.durable == state(3)

    @inlineCallbacks
    def test_only_the_newest_is_written_when_behind(self) -> Steps:
        """Of the states that are learnt during a commit the largest is written, whatever their order."""
        first = self.journal.append([state(1)], Source.SET)
        for generation in (5, 9, 7):
            self.journal.learn(state(generation), Source.EVENT)
        yield first
        yield self.quiet()
        yield self.quiet()  # the first one was asked for before the next transaction
        assert self.commits() == 2
        entries = yield self.journal.history(10)
        assert [entry.state for entry in entries] == [state(9), state(1)]

    @inlineCallbacks
    def test_what_is_durable_already_is_not_written_again(self) -> Steps:
        """A learnt state that is not above the durable one costs no transaction."""
        yield self.journal.append([state(5)], Source.SET)
        self.journal.learn(state(5), Source.EVENT)
        self.journal.learn(state(4), Source.EVENT)
        yield self.quiet()
        assert self.commits() == 1
        assert not self.journal.status()["behind"]

    @inlineCallbacks
    def test_a_write_that_was_overtaken_is_no_history(self) -> Steps:
        """Whether it is being written or waits: it is gone when what overtook it is durable; all others stay."""
        appended = [self.journal.append([state(1), state(2)], Source.SET), self.journal.append([state(3)], Source.SET)]
        self.journal.disown([state(2), state(3)])
        self.journal.learn(state(9), Source.EVENT)
        yield gatherResults(appended)
        entries = yield self.journal.history(10)
        assert [entry.state for entry in entries] == [state(9), state(1)]

    @inlineCallbacks
    def test_a_write_that_was_not_overtaken_is_history_whatever_was_learnt_before(self) -> Steps:
        """A state falls between two writes, and above one that waits still: both were acknowledged."""
        first = self.journal.append([state(1)], Source.SET)
        second = self.journal.append([state(2), state(4)], Source.SET)
        self.journal.learn(state(3), Source.EVENT)
        yield gatherResults([first, second])
        entries = yield self.journal.history(10)
        assert [(entry.state, entry.source.value) for entry in entries] == [
            (state(4), "set"),
            (state(3), "event"),
            (state(2), "set"),
            (state(1), "set"),
        ]

    @inlineCallbacks
    def test_peers_and_clocks_wait_for_company(self) -> Steps:
        """They are written LAZY_S later, in one transaction, the newest only."""
        for number in (1, 2):
            self.journal.save_peers([Peer(f"n{number}", "127.0.0.1", 7946)])
            self.journal.save_clocks(LamportClocks(number, number, number))
        self.clock.advance(LAZY_S - 0.01)
        yield self.quiet()
        assert self.commits() == 0
        self.clock.advance(0.01)
        yield self.quiet()
        assert self.commits() == 1
        yield self.reopen()
        assert self.journal.contents == Contents(None, (Peer("n2", "127.0.0.1", 7946),), LamportClocks(2, 2, 2))

    @inlineCallbacks
    def test_peers_and_clocks_ride_with_a_write(self) -> Steps:
        """A transaction that is made anyway takes them along."""
        self.journal.save_clocks(LamportClocks(2**64 - 1, 2, 3))
        yield self.journal.append([state(1)], Source.SET)
        assert not self.journal.status()["behind"]
        assert self.clock.getDelayedCalls() == []
        yield self.reopen()
        assert self.journal.contents.clocks == LamportClocks(2**64 - 1, 2, 3)

    @inlineCallbacks
    def test_peers_are_bounded(self) -> Steps:
        """Of a longer list the first PEERS_MAX are kept, in memory too."""
        self.journal.save_peers([Peer(str(number), "::1", number) for number in range(PEERS_MAX + 1)])
        assert len(self.journal._behind.peers or ()) == PEERS_MAX
        yield self.reopen()
        assert len(self.journal.contents.peers) == PEERS_MAX


class WaitTests(Opened):
    """Who waits for a state to be durable, and writes nothing."""

    @inlineCallbacks
    def test_it_fires_when_the_state_or_a_larger_one_is_durable(self) -> Steps:
        """Whatever brings it; at once if it is there. It brings nothing itself."""
        waiting = [self.journal.when_durable(state(number)) for number in (1, 2, 3)]
        yield self.quiet()
        assert self.commits() == 0
        yield self.journal.append([state(1)], Source.SET)
        assert [waiter.called for waiter in waiting] == [True, False, False]
        self.journal.learn(state(5), Source.EVENT)
        yield gatherResults(waiting)
        assert self.journal.durable == state(5)
        self.successResultOf(self.journal.when_durable(state(5)))
        yield self.reopen()
        self.successResultOf(self.journal.when_durable(state(4)))
        assert self.clock.getDelayedCalls() == []

    @inlineCallbacks
    def test_too_many_that_wait_are_refused(self) -> Steps:
        """One more fails at once; one that is cancelled makes room, and leaves nothing."""
        waiting = [self.journal.when_durable(state(1)) for _ in range(DURABLE_WAITERS_MAX)]
        with pytest.raises(JournalError, match="wait already"):
            yield self.journal.when_durable(state(1))
        waiting[0].addErrback(lambda failure: failure.trap(CancelledError) and None)
        waiting[0].cancel()
        waiting[0] = self.journal.when_durable(state(1))
        yield self.journal.append([state(1)], Source.SET)
        yield gatherResults(waiting)
        assert self.clock.getDelayedCalls() == []

    @inlineCallbacks
    def test_who_is_told_may_cancel_another_and_wait_again(self) -> Steps:
        """The other hears of that only, and the new one of what comes."""
        first, second = (self.journal.when_durable(state(1)) for _ in range(2))
        again: list[Deferred[None]] = []
        second.addErrback(lambda failure: failure.trap(CancelledError) and None)

        def told(_: None) -> None:
            second.cancel()
            again.append(self.journal.when_durable(state(2)))

        first.addCallback(told)
        yield self.journal.append([state(1)], Source.SET)
        assert not again[0].called
        yield self.journal.append([state(2)], Source.SET)
        yield again[0]


class InterfaceTests(Opened):
    """Both journals are journals."""

    def test_both_provide_the_interface(self) -> None:
        """zope.interface finds every attribute and method."""
        assert verifyObject(IJournal, self.journal)
        assert verifyObject(IJournal, NullJournal())

    @inlineCallbacks
    def test_the_null_journal_keeps_nothing(self) -> Steps:
        """It takes everything at once, and says that it is none."""
        journal = NullJournal()
        yield journal.append([state(1)], Source.SET)
        journal.learn(state(2), Source.EVENT)
        journal.save_peers([])
        journal.save_clocks(LamportClocks(1, 1, 1))
        assert (yield journal.history(10)) == []
        yield journal.when_durable(state(2))
        assert (journal.durable, journal.trouble, journal.contents) == (None, None, Contents(None, (), None))
        assert journal.status()["kind"] == "none"
        yield journal.close()
