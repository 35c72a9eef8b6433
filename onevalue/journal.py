"""The journal: the durable copy of the value, its history, the known peers and the Lamport clocks.

It owns when and together with what something becomes durable: group commit of own writes, everything else behind, tries
again after trouble, bounds on all that waits. The work is done in a thread of its own (`journal_thread`), never in the
reactor's; `journal_file` knows the file. It must not know the store, nor who writes or asks.

Group commit: while one transaction runs, all that arrives waits and goes together into the next.
"""

import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, Protocol

from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from onevalue import journal_file
from onevalue.errors import JournalError
from onevalue.histogram import Histogram
from onevalue.journal_file import HISTORY_MAX_DEFAULT, PEERS_MAX
from onevalue.journal_interface import IJournal, NullJournal
from onevalue.journal_place import RESTART, GoneError
from onevalue.journal_queue import Append, AppendQueue, Behind, tell
from onevalue.journal_records import Contents, HistoryEntry, LamportClocks, Peer, Transaction
from onevalue.journal_thread import JournalThread
from onevalue.journal_waiters import DurableWaiters
from onevalue.reasons import reason
from onevalue.store import Source, State

__all__ = [
    "PEERS_MAX",
    "Contents",
    "HistoryEntry",
    "IJournal",
    "Journal",
    "LamportClocks",
    "NullJournal",
    "Peer",
    "open_journal",
]

HISTORY_READS_MAX = 16
"""Readings of the history that wait for the thread; one more fails at once."""

LAZY_S = 1.0
"""How long peers and clocks may wait for company: they change often, and a little loss does no harm."""

RETRY_MIN_S = 0.5
RETRY_MAX_S = 30.0
"""What waits behind is tried again after a failure: first after RETRY_MIN_S, then twice as long, up to RETRY_MAX_S."""

STALL_S = 10.0
"""A transaction that takes longer counts as trouble: what waits for it, and what comes, fails."""

DURABLE_TIME_MAX_S = 2 * STALL_S
"""How long `when_durable` waits: the transaction under way, and the next, end or stall within that time."""

CLOSE_TIMEOUT_S = 2.0
"""How long `close` waits for what is under way and behind."""

_REPAIR = "Free space, make it writable or repair the disk; it tries again"
_NO_ANSWER = f"the disk has not answered for {STALL_S:g} s. Repair it; the node waits for it"


def open_journal(folder: Path, reactor: Any, history_max: int = HISTORY_MAX_DEFAULT) -> "Journal":
    """The journal in `folder`, checked and read; the folder and the file are made if need be.

    Synchronous, for the start of the program: no thread runs and no connection is open until the reactor runs, so that
    twistd may fork in between.

    Args:
        folder: nobody else's; only this process uses it until the journal is closed.
        reactor: the running or soon running one (IReactorCore, IReactorTime and IReactorFromThreads in one).
        history_max: how many accepted states are kept, 0 .. HISTORY_MAX_LIMIT.

    Raises:
        JournalError: names folder or file, and says what to do; what is there is as it was.
    """
    folder = folder.absolute()  # a daemon changes its working directory
    lock = journal_file.lock_folder(folder)
    path = folder / journal_file.FILE_NAME
    try:
        contents = journal_file.open_file(path)
    except BaseException:
        os.close(lock)
        raise
    thread = JournalThread(path, reactor, history_max)
    return Journal(path, contents, thread, partial(os.close, lock), reactor, history_max)


class Work(Protocol):
    """Where a journal's file is written and read, one thing after the other; `JournalThread`, or a simulator's."""

    def write(self, transaction: Transaction) -> "Deferred[None]":
        """Fires when it is durable; see `journal_file.write`. Fails with sqlite3.Error, and then nothing of it is."""

    def read_history(self, limit: int) -> "Deferred[list[HistoryEntry]]":
        """See `journal_file.read_history`."""

    def close(self) -> "Deferred[None]":
        """Fires when all that was asked for is done, and nothing is left of it."""

    def abandon(self) -> None:
        """Nobody will wait for it."""


@implementer(IJournal)
class Journal:
    """A journal in a file; made by `open_journal`.

    `release` is called once, when nothing will be written any more.

    One transaction is under way at most (`_busy`); `_timer` is the one delayed call that begins the next one for what
    waits behind.
    """

    _log = Logger()

    def __init__(
        self,
        path: Path,
        contents: Contents,
        thread: Work,
        release: Callable[[], None],
        reactor: Any,
        history_max: int = HISTORY_MAX_DEFAULT,
    ) -> None:
        self.contents = contents
        self.history_max = history_max
        self.trouble: str | None = None
        self.durable = contents.state
        self._path = path
        self._release = release
        self._reactor = reactor
        self._thread = thread
        self._waiting = AppendQueue()
        self._under_way: list[Append] = []
        self._behind = Behind()
        self._waiters = DurableWaiters(reactor, DURABLE_TIME_MAX_S, str(path))
        self._busy = self._stalled = self._closed = False
        self._timer: Any = None
        self._stall_timer: Any = None
        self._close_timer: Any = None
        self._closers: list[Deferred[None]] = []
        self._trouble_observers: list[Callable[[], None]] = []
        self._stall_observers: list[Callable[[str], None]] = []
        self._retry_s = 0.0  # 0: the last transaction went well
        self._reads = self._failures = 0
        self.commit_times = Histogram()
        self._began = 0.0  # the transaction under way

    def append(self, states: Sequence[State], source: Source) -> Deferred[None]:
        """See IJournal."""
        if not states:
            return succeed(None)
        if self._closers:
            return fail(JournalError(f"{self._path}: the journal is closed"))
        if self._stalled:
            return fail(JournalError(self.trouble))
        append = Append([HistoryEntry(state, source) for state in states])
        if not self._waiting.put(append):
            return fail(JournalError(f"{self._path}: {self._waiting.states} states wait already. Try again later"))
        self._begin()
        return append.done

    def disown(self, states: Sequence[State]) -> None:
        """See IJournal."""
        if states:
            self._later(Behind(disowned=tuple(state.tag for state in states)).over(self._behind))

    def learn(self, state: State, source: Source) -> None:
        """See IJournal."""
        known = self._behind.learnt
        if (self.durable is None or self.durable < state) and (known is None or known.state < state):
            self._later(replace(self._behind, learnt=HistoryEntry(state, source)))

    def when_durable(self, state: State) -> Deferred[None]:
        """See IJournal."""
        if self.durable is not None and state <= self.durable:
            return succeed(None)
        if self._closers:
            return fail(JournalError(f"{self._path}: the journal is closed"))
        if self._stalled:
            return fail(JournalError(self.trouble))
        return self._waiters.add(state)

    def save_peers(self, peers: Sequence[Peer]) -> None:
        """See IJournal."""
        self._later(replace(self._behind, peers=tuple(peers[:PEERS_MAX])))

    def save_clocks(self, clocks: LamportClocks) -> None:
        """See IJournal."""
        self._later(replace(self._behind, clocks=clocks))

    def history(self, limit: int) -> Deferred[list[HistoryEntry]]:
        """See IJournal."""
        if self._closers or self._reads >= HISTORY_READS_MAX:
            why = "the journal is closed" if self._closers else f"{self._reads} readings wait already. Try again later"
            return fail(JournalError(f"{self._path}: {why}"))
        if self._stalled:
            return fail(JournalError(self.trouble))
        self._reads += 1
        read: Deferred[list[HistoryEntry]] = Deferred()  # who gives up does not end the reading, which counts on
        self._thread.read_history(max(0, min(limit, self.history_max))).addBoth(self._history_read).chainDeferred(read)
        return read.addTimeout(STALL_S, self._reactor, self._late)

    def status(self) -> Mapping[str, object]:
        """See IJournal."""
        return {
            "kind": "sqlite",
            "path": str(self._path),
            "healthy": self.trouble is None,
            "trouble": self.trouble,
            "durable": self.durable.tag if self.durable is not None else None,
            "behind": bool(self._behind),
            "waiting": self._waiting.states,
            "commits": self.commit_times.count,
            "failures": self._failures,
            "history_max": self.history_max,
        }

    def observe_trouble(self, observer: Callable[[], None]) -> None:
        """See IJournal."""
        self._trouble_observers.append(observer)

    def observe_stall(self, observer: Callable[[str], None]) -> None:
        """See IJournal."""
        self._stall_observers.append(observer)

    def close(self) -> Deferred[None]:
        """See IJournal."""
        if self._closed:
            return succeed(None)
        closer: Deferred[None] = Deferred()
        self._closers.append(closer)
        if len(self._closers) == 1:
            self._close_timer = self._reactor.callLater(CLOSE_TIMEOUT_S, self._abandon)
            self._begin()
            if not self._busy:
                self._disconnect()
        return closer

    def _later(self, behind: Behind) -> None:
        if not self._closers:
            self._behind = behind
            self._go_on()

    def _go_on(self) -> None:
        """What waits is written now or soon: peers and clocks wait for company, and after a failure all but appends."""
        if self._waiting or (self._behind.learnt is not None and self._retry_s == 0.0):
            self._begin()
        elif (self._behind or self._retry_s) and not self._busy and self._timer is None:
            self._timer = self._reactor.callLater(self._retry_s or LAZY_S, self._begin)

    def _begin(self) -> None:
        """A transaction with all that waits is under way, unless one was; in trouble an empty one will do."""
        if self._busy or not (self._waiting or self._behind or self._retry_s):
            return
        self._cancel("_timer")
        self._busy = True
        self._began = self._reactor.seconds()
        self._under_way = self._waiting.take_batch()
        behind, self._behind = self._behind, Behind()
        entries = [entry for append in self._under_way for entry in append.entries]
        if behind.disowned:
            disowned = set(behind.disowned)
            entries = [entry for entry in entries if entry.state.tag not in disowned]
        if behind.learnt is not None:
            # In its place: one that falls between writes has overtaken none of them.
            entries = sorted([*entries, behind.learnt], key=lambda entry: entry.state)
        self._stall_timer = self._reactor.callLater(STALL_S, self._stall)
        commit = self._thread.write(Transaction(entries, behind.peers, behind.clocks, behind.disowned))
        outcome = commit.addCallbacks(self._committed, self._failed, callbackArgs=(entries,), errbackArgs=(behind,))
        outcome.addCallback(self._ended).addErrback(self._log_bug)

    def _committed(self, _: object, entries: list[HistoryEntry]) -> str | None:
        self.commit_times.observe(self._reactor.seconds() - self._began)
        for entry in entries:
            if self.durable is None or self.durable < entry.state:
                self.durable = entry.state
        self._retry_s = 0.0
        self._tell_trouble(None)
        return None

    def _failed(self, failure: Failure, behind: Behind) -> str:
        if not isinstance(failure.value, sqlite3.Error):
            self._log_bug(failure)
        self._failures += 1
        self._behind = self._behind.over(behind)
        self._retry_s = min(RETRY_MAX_S, 2 * self._retry_s) or RETRY_MIN_S
        why = reason(failure.value)
        remedy = RESTART if isinstance(failure.value, GoneError) else _REPAIR
        trouble = f"{self._path}: {why}. {remedy}"
        self._tell_trouble(trouble)
        return trouble

    def _ended(self, trouble: str | None) -> None:
        """The transaction is over: its appends know, and the next one begins or is put off."""
        self._cancel("_stall_timer")
        self._stalled = False
        appends, self._under_way = self._under_way, []
        self._tell_waiters(trouble)
        tell(appends, trouble)  # while still busy, so that all who write again now go together
        self._busy = False
        if not self._closers:
            self._go_on()
        elif trouble is None and (self._waiting or self._behind):
            self._begin()
        else:
            self._disconnect()

    def _tell_waiters(self, trouble: str | None) -> None:
        """Also who waits for the next transaction hears of a failure: it may be long until that begins."""
        if trouble is not None:
            self._waiters.fail_all(trouble)
        elif self.durable is not None:
            self._waiters.tell(self.durable)

    def _stall(self) -> None:
        """The disk has not answered for long: nobody but those under way waits for it any more."""
        self._stalled = True
        trouble = f"{self._path}: {_NO_ANSWER}"
        self._tell_trouble(trouble)
        self._waiting.fail_all(trouble)
        self._waiters.fail_all(trouble)
        for observer in self._stall_observers:
            observer(trouble)

    def _tell_trouble(self, trouble: str | None) -> None:
        """This is the trouble now; who observes it, and the log, hear of it if it is another than before."""
        if trouble == self.trouble:
            return
        self.trouble = trouble
        if trouble is None:
            self._log.info("{path}: the journal works again", path=self._path)
        else:
            self._log.error("The journal cannot write. {trouble}", trouble=trouble)
        for observer in self._trouble_observers:
            observer()

    def _history_read(self, result: Any) -> Any:
        self._reads -= 1
        if isinstance(result, Failure):
            raise JournalError(f"{self._path}: the history cannot be read: {reason(result.value)}")
        return result

    def _late(self, _: object, __: float) -> NoReturn:
        raise JournalError(f"{self._path}: {_NO_ANSWER}")

    def _disconnect(self) -> None:
        """Nothing is written any more; when the thread is gone, the lock is free and whoever closes knows."""
        self._waiting.fail_all(f"{self._path}: the journal is closed")
        self._waiters.fail_all(f"{self._path}: the journal is closed")
        self._thread.close().addErrback(self._log_bug).addCallback(self._free)

    def _free(self, _: object) -> None:
        if not self._closed:
            self._release()
            self._end()

    def _abandon(self) -> None:
        """The disk did not answer in time: its thread and the lock are left to the end of the process."""
        trouble = f"{self._path}: the journal was closed before the disk answered; what was written may be there or not"
        self._log.error("{trouble}", trouble=trouble)
        self._thread.abandon()
        self._waiting.fail_all(trouble)
        self._waiters.fail_all(trouble)
        appends, self._under_way = self._under_way, []
        tell(appends, trouble)
        self._behind = Behind()
        self._end()

    def _end(self) -> None:
        self._closed = True
        for timer in ("_timer", "_stall_timer", "_close_timer"):
            self._cancel(timer)
        for closer in self._closers:
            closer.callback(None)

    def _cancel(self, timer: str) -> None:
        call = getattr(self, timer)
        setattr(self, timer, None)
        if call is not None and call.active():
            call.cancel()

    def _log_bug(self, failure: Failure) -> None:
        self._log.failure("A fault in the journal", failure=failure)
