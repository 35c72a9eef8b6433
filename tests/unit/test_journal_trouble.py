"""The journal in trouble, and its end: a disk that is full, fails or hangs; what a close leaves.

The thread is real, and so is the reactor that it reports to; time is virtual.
"""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest
from twisted.internet.defer import Deferred, gatherResults, inlineCallbacks

from onevalue.errors import JournalError
from onevalue.journal import (
    CLOSE_TIMEOUT_S,
    PEERS_MAX,
    RETRY_MAX_S,
    RETRY_MIN_S,
    STALL_S,
    Contents,
    LamportClocks,
    Peer,
)
from onevalue.store import Source, State
from onevalue.types import Generation
from tests.unit.test_journal import Opened, Steps, state
from tests.unit.test_journal_file import as_nobody


def large(generation: int) -> list[State]:
    """States that need new pages."""
    return [state(generation + number, number, "x" * 256) for number in range(100)]


class Filled(Opened):
    """A disk that can be full."""

    @contextmanager
    def broken(self) -> Iterator[None]:
        """The file cannot be opened by the thread."""
        path = self.folder / "journal.sqlite"
        path.rename(self.folder / "away")
        yield
        (self.folder / "away").rename(path)

    def fill(self) -> "Deferred[Any]":
        """The disk is full; SQLite itself says so."""
        return self.in_thread(lambda connection: connection.execute("PRAGMA max_page_count=1").fetchone())

    def repair(self) -> "Deferred[Any]":
        """The disk has room again."""
        return self.in_thread(lambda connection: connection.execute("PRAGMA max_page_count=100000").fetchone())


class TroubleTests(Filled):
    """A disk that is full, fails or hangs."""

    @inlineCallbacks
    def test_a_full_disk_fails_the_append_and_the_one_after_repair_succeeds(self) -> Steps:
        """Nothing of a failed append is kept, `trouble` says why, and the next success clears it."""
        yield self.journal.append([state(1)], Source.SET)
        yield self.fill()
        with pytest.raises(JournalError, match="full"):
            yield self.journal.append(large(2), Source.SET)
        assert "full" in str(self.journal.trouble)
        assert str(self.folder) in str(self.journal.trouble)
        assert self.journal.status()["healthy"] is False
        assert self.journal.durable == state(1)
        assert [entry.state for entry in (yield self.journal.history(10))] == [state(1)]
        yield self.repair()
        yield self.journal.append(large(2), Source.SET)
        assert self.journal.trouble is None
        yield self.reopen()
        assert self.journal.contents.state == large(2)[-1]

    @inlineCallbacks
    def test_each_change_of_the_trouble_is_told(self) -> Steps:
        """Once, when it comes and when it ends."""
        told: list[bool] = []
        self.journal.observe_trouble(lambda: told.append(self.journal.trouble is not None))
        yield self.fill()
        for _ in range(2):
            with pytest.raises(JournalError):
                yield self.journal.append(large(1), Source.SET)
        yield self.repair()
        for generation in (1, 200):
            yield self.journal.append([state(generation)], Source.SET)
        assert told == [True, False]

    @inlineCallbacks
    def test_what_was_overtaken_is_no_history_once_the_disk_is_repaired(self) -> Steps:
        """Though the transaction that was to take it out has failed."""
        yield self.journal.append([state(1), state(2)], Source.SET)
        yield self.fill()
        self.journal.disown([state(2)])
        self.journal.learn(State(Generation(9), "x" * 10_000), Source.EVENT)
        yield self.quiet()
        assert self.journal.trouble is not None
        yield self.repair()
        yield self.journal.append([state(10)], Source.SET)
        entries = yield self.journal.history(10)
        assert [entry.state.generation for entry in entries] == [10, 9, 1]

    @inlineCallbacks
    def test_learnt_states_are_tried_again_until_they_are_durable(self) -> Steps:
        """The pauses double from RETRY_MIN_S to RETRY_MAX_S; only the newest learnt state is kept meanwhile."""
        yield self.fill()
        self.journal.save_peers([Peer(str(number), "x" * 40, number) for number in range(PEERS_MAX)])
        self.journal.learn(state(1), Source.EVENT)
        yield self.quiet()
        pause_s = RETRY_MIN_S
        for failures in range(1, 10):
            assert self.journal.status()["failures"] == failures
            self.journal.learn(state(failures + 1), Source.EVENT)
            self.clock.advance(pause_s * 0.99)
            yield self.quiet()
            assert self.journal.status()["failures"] == failures
            self.clock.advance(pause_s * 0.01 + 1e-6)
            yield self.quiet()
            pause_s = min(2 * pause_s, RETRY_MAX_S)
        yield self.repair()
        self.clock.advance(RETRY_MAX_S)
        yield self.quiet()
        assert (self.journal.trouble, self.journal.durable) == (None, state(10))
        assert [entry.state for entry in (yield self.journal.history(10))] == [state(10)]
        self.journal.learn(state(11), Source.EVENT)
        yield self.quiet()
        assert self.journal.durable == state(11)

    @inlineCallbacks
    def test_an_append_does_not_wait_for_the_pause_after_a_failure(self) -> Steps:
        """The next append is tried at once, and takes along what was learnt."""
        yield self.fill()
        self.journal.learn(state(50), Source.EVENT)
        with pytest.raises(JournalError):
            yield self.journal.append(large(1), Source.SET)
        yield self.repair()
        yield self.journal.append([state(60)], Source.SET)
        entries = yield self.journal.history(10)
        assert entries[0].state == state(60)
        assert self.clock.getDelayedCalls() == []

    @inlineCallbacks
    def test_a_connection_that_cannot_be_made_is_tried_again(self) -> Steps:
        """When the file cannot be opened by the thread the append fails, and the next one may succeed."""
        with self.broken(), pytest.raises(JournalError, match="unable to open"):
            yield self.journal.append([state(1)], Source.SET)
        yield self.journal.append([state(1)], Source.SET)
        assert self.journal.durable == state(1)

    @inlineCallbacks
    def test_trouble_ends_by_itself(self) -> Steps:
        """With nothing to write the disk is tried all the same, at the pauses of a retry, until it takes something."""
        with self.broken():
            with pytest.raises(JournalError):
                yield self.journal.append([state(1)], Source.SET)
            for failures in (1, 2):
                with pytest.raises(JournalError, match="history cannot be read"):
                    yield self.journal.history(1)
                assert self.journal.status()["failures"] == failures
                self.clock.advance(RETRY_MIN_S)
        self.clock.advance(RETRY_MIN_S)  # the second pause is twice as long
        yield self.quiet()
        assert (self.journal.trouble, self.journal.durable) == (None, None)
        assert self.clock.getDelayedCalls() == []

    @inlineCallbacks
    def test_a_read_only_file_fails_the_append(self) -> Steps:
        """The start reads it; an append fails until the file may be written again."""
        yield self.journal.append([state(1)], Source.SET)
        yield self.journal.close()
        self.folder.chmod(0o777)
        (self.folder / "lock").chmod(0o666)
        (self.folder / "journal.sqlite").chmod(0o444)
        with as_nobody():
            self.journal = self.open()
            assert self.journal.contents.state == state(1)
            with pytest.raises(JournalError, match="make it writable"):
                yield self.journal.append([state(2)], Source.SET)
        (self.folder / "journal.sqlite").chmod(0o666)
        with as_nobody():
            yield self.journal.append([state(2)], Source.SET)
            yield self.journal.close()
        assert self.journal.durable == state(2)

    @inlineCallbacks
    def test_a_disk_that_hangs_fails_all_but_what_is_under_way(self) -> Steps:
        """After STALL_S nobody waits for it any more but the transaction itself, whose outcome counts."""
        go_on = self.hang()
        under_way = self.journal.append([state(1)], Source.SET)
        waiting = self.journal.append([state(2)], Source.SET)
        self.clock.advance(STALL_S)
        with pytest.raises(JournalError, match="not answered"):
            yield waiting
        with pytest.raises(JournalError, match="not answered"):
            yield self.journal.append([state(3)], Source.SET)
        with pytest.raises(JournalError, match="not answered"):
            yield self.journal.history(1)
        assert "not answered" in str(self.journal.trouble)
        go_on()
        yield under_way
        assert (self.journal.trouble, self.journal.durable) == (None, state(1))
        yield self.journal.append([state(2)], Source.SET)
        assert self.journal.durable == state(2)

    @inlineCallbacks
    def test_a_fault_of_ours_is_logged_and_does_not_stop_the_journal(self) -> Steps:
        """What is no error of the database fails the append too, with a traceback in the log."""
        with pytest.raises(JournalError):
            yield self.journal.append([cast("State", object())], Source.SET)
        assert len(cast("Any", self).flushLoggedErrors(AttributeError)) == 1
        yield self.journal.append([state(1)], Source.SET)
        assert self.journal.durable == state(1)


class WaitTests(Filled):
    """Who waits for a state to be durable."""

    @inlineCallbacks
    def test_a_transaction_that_fails_fails_all_who_wait(self) -> Steps:
        """With its reason; the state comes to the disk later, and who waits then hears of it."""
        with self.broken():
            self.journal.learn(state(3), Source.EVENT)
            for waiter in [self.journal.when_durable(state(number)) for number in (2, 3, 4)]:
                with pytest.raises(JournalError, match="unable to open"):
                    yield waiter
        yield self.quiet()
        waiter = self.journal.when_durable(state(3))
        self.clock.advance(RETRY_MIN_S)
        yield waiter

    @inlineCallbacks
    def test_a_stall_fails_all_who_wait_and_who_come(self) -> Steps:
        """With the reason; after that they wait again."""
        go_on = self.hang()
        self.journal.learn(state(1), Source.EVENT)
        waiting = self.journal.when_durable(state(1))
        self.clock.advance(STALL_S)
        for waiter in (waiting, self.journal.when_durable(state(1))):
            with pytest.raises(JournalError, match="not answered"):
                yield waiter
        done = self.quiet()
        go_on()
        yield done
        yield self.journal.when_durable(state(1))

    @inlineCallbacks
    def test_a_close_ends_every_wait(self) -> Steps:
        """Well, if the last transaction brings the state; else with an error, as for who comes then."""
        self.journal.learn(state(1), Source.EVENT)
        well, not_so = self.journal.when_durable(state(1)), self.journal.when_durable(state(2))
        closing = self.journal.close()
        for refused in (not_so, self.journal.when_durable(state(2))):
            with pytest.raises(JournalError, match="closed"):
                yield refused
        yield closing
        yield well
        self.successResultOf(self.journal.when_durable(state(1)))
        assert self.clock.getDelayedCalls() == []

    @inlineCallbacks
    def test_a_close_does_not_wait_for_a_disk_that_hangs(self) -> Steps:
        """And neither do those who wait."""
        go_on = self.hang()
        self.journal.learn(state(1), Source.EVENT)
        waiting = self.journal.when_durable(state(1))
        closing = self.journal.close()
        self.clock.advance(CLOSE_TIMEOUT_S)
        yield closing
        with pytest.raises(JournalError, match="before the disk answered"):
            yield waiting
        done = self.quiet()
        go_on()
        yield done
        assert self.clock.getDelayedCalls() == []


class CloseTests(Filled):
    """The end."""

    @inlineCallbacks
    def test_close_writes_what_is_behind(self) -> Steps:
        """What was learnt, saved or appended just before the close is there after reopening."""
        made = self.journal.append([state(1)], Source.SET)
        self.journal.learn(state(3), Source.EVENT)
        self.journal.save_clocks(LamportClocks(1, 2, 3))
        yield self.reopen()
        yield made
        assert self.journal.contents == Contents(state(3), (), LamportClocks(1, 2, 3))

    @inlineCallbacks
    def test_close_leaves_nothing(self) -> Steps:
        """No thread, no delayed call, no open log; the lock is free."""
        yield self.journal.append([state(1)], Source.SET)
        threads = threading.active_count()
        yield self.journal.close()
        assert threading.active_count() == threads - 1
        assert self.clock.getDelayedCalls() == []
        assert sorted(each.name for each in self.folder.iterdir()) == ["journal.sqlite", "lock"]
        self.open()

    @inlineCallbacks
    def test_close_twice_does_no_harm(self) -> Steps:
        """Both fire, whether the second comes during the first or after it."""
        yield gatherResults([self.journal.close(), self.journal.close()])
        yield self.journal.close()

    @inlineCallbacks
    def test_a_closed_journal_takes_nothing(self) -> Steps:
        """`append` and `history` fail, the rest has no effect."""
        closing = self.journal.close()
        for refused in (self.journal.append([state(1)], Source.SET), self.journal.history(1)):
            with pytest.raises(JournalError, match="closed"):
                yield refused
        self.journal.learn(state(1), Source.EVENT)
        self.journal.save_peers([])
        yield closing
        assert self.clock.getDelayedCalls() == []
        assert self.open().contents == Contents(None, (), None)

    @inlineCallbacks
    def test_close_ends_though_the_disk_is_full(self) -> Steps:
        """What cannot be written is tried once more and given up; what is there stays."""
        yield self.journal.append([state(1)], Source.SET)
        yield self.fill()
        failing = self.journal.append(large(2), Source.SET)
        waiting = self.journal.append(large(200), Source.SET)
        yield self.reopen()
        for refused in (failing, waiting):
            with pytest.raises(JournalError):
                yield refused
        assert self.journal.contents.state == state(1)

    @inlineCallbacks
    def test_close_does_not_wait_for_a_disk_that_hangs(self) -> Steps:
        """After CLOSE_TIMEOUT_S it fires; the lock stays, as the thread may still write."""
        go_on = self.hang()
        under_way = self.journal.append([state(1)], Source.SET)
        waiting = self.journal.append([state(2)], Source.SET)
        closing = self.journal.close()
        self.clock.advance(CLOSE_TIMEOUT_S)
        yield closing
        for refused in (under_way, waiting):
            with pytest.raises(JournalError, match="before the disk answered"):
                yield refused
        with pytest.raises(JournalError, match="another onevalue"):
            self.open()
        done = self.quiet()
        go_on()
        yield done
        assert self.clock.getDelayedCalls() == []

    def test_a_second_open_is_refused(self) -> None:
        """One journal a folder, in the same process too."""
        with pytest.raises(JournalError, match=f"{self.folder}: another onevalue runs there"):
            self.open()

    @inlineCallbacks
    def test_a_refused_open_frees_the_lock(self) -> Steps:
        """After a damaged file was put right the same process can open it."""
        yield self.journal.close()
        path = self.folder / "journal.sqlite"
        whole = path.read_bytes()
        path.write_bytes(b"garbage")
        with pytest.raises(JournalError, match=str(path)):
            self.open()
        path.write_bytes(whole)
        self.open()

    @inlineCallbacks
    def test_nobody_else_gets_in_between(self) -> Steps:
        """While the journal is in use another program cannot change it."""
        yield self.journal.append([state(1)], Source.SET)
        other = sqlite3.connect(self.folder / "journal.sqlite", timeout=0)
        self.addCleanup(other.close)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("DELETE FROM current")
