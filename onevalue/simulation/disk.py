"""The disk of a host: what survives a crash, and how long it takes to write.

The shipped journal runs upon it; only its thread and file are replaced. It must not know who writes.
"""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from random import Random

from twisted.internet.defer import Deferred, fail, succeed

from onevalue.journal import Contents, HistoryEntry, Journal
from onevalue.journal_records import Transaction
from onevalue.simulation.clock import NodeClock
from onevalue.store import State


class Disk:
    """The file of one host.

    Attributes:
        contents: what is there.
        write_s: the longest that a transaction takes usually.
        broken: why it takes nothing, or None.
        hangs: transactions do not end until it is repaired.
    """

    def __init__(self, rng: Random, write_s: float = 0.01) -> None:
        self.contents = Contents(state=None, peers=(), clocks=None)
        self.write_s = write_s
        self.broken: str | None = None
        self.hangs = False
        self._rng = rng
        self._held: list[Callable[[], None]] = []

    @property
    def state(self) -> State | None:
        """The state that is durable."""
        return self.contents.state

    def open(self, clock: NodeClock) -> Journal:
        """The journal of a process that starts now."""
        self._held.clear()
        return Journal(Path("/simulated"), self.contents, _Thread(self, clock), lambda: None, clock)

    def wipe(self) -> None:
        """Nothing is there any more."""
        self.contents = Contents(state=None, peers=(), clocks=None)

    def repair(self) -> None:
        """It takes all again, and what was held up is done."""
        self.broken, self.hangs = None, False
        held, self._held = self._held, []
        for go_on in held:
            go_on()

    def wait(self, clock: NodeClock, done: Callable[[], None]) -> None:
        """`done` is called when a transaction has had its time."""
        if self.hangs:
            self._held.append(lambda: self.wait(clock, done))
        else:
            clock.callLater(self._rng.uniform(0, self.write_s), done)

    def write(self, transaction: Transaction) -> None:
        """See `journal_file.write`, but there is no history; raises sqlite3.OperationalError while it is broken."""
        if self.broken is not None:
            raise sqlite3.OperationalError(self.broken)
        state = self.contents.state
        for entry in transaction.entries:
            if state is None or state < entry.state:
                state = entry.state
        self.contents = Contents(
            state=state,
            peers=self.contents.peers if transaction.peers is None else tuple(transaction.peers),
            clocks=self.contents.clocks if transaction.clocks is None else transaction.clocks,
        )


class _Thread:
    """See journal.Work. What is under way when the process ends may be there or not: the disk's time decides."""

    def __init__(self, disk: Disk, clock: NodeClock) -> None:
        self._disk = disk
        self._clock = clock

    def write(self, transaction: Transaction) -> "Deferred[None]":
        written: Deferred[None] = Deferred()

        def on_disk() -> None:
            try:
                self._disk.write(transaction)
            except sqlite3.Error as error:
                self._clock.callLater(0, written.errback, error)
            else:
                self._disk.wait(self._clock, lambda: written.callback(None))

        self._disk.wait(self._clock, on_disk)
        return written

    def read_history(self, limit: int) -> "Deferred[list[HistoryEntry]]":
        return fail(sqlite3.OperationalError(f"the simulated disk keeps no history, so not {limit} of it"))

    def close(self) -> "Deferred[None]":
        return succeed(None)

    def abandon(self) -> None:
        pass
