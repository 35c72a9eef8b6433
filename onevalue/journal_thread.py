"""The one thread in which the journal's file is written and read; a typed shell around Twisted's adbapi.

It owns the thread and its connection: neither exists before the reactor runs (twistd may fork until then), nor after
`close`. One thread only: with more, the pool gives "database is locked". It must not know when and what to write.
"""

import sqlite3
from pathlib import Path
from threading import Thread
from typing import Any

from twisted.enterprise.adbapi import ConnectionPool
from twisted.internet.defer import Deferred, succeed
from twisted.internet.threads import deferToThreadPool

from onevalue import journal_file
from onevalue.journal_place import Place
from onevalue.journal_records import HistoryEntry, Transaction


class DaemonThread(Thread):
    """Does not keep the process from ending, however long what it does may take."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs, daemon=True)


class JournalThread:
    """Does one thing after the other with the file at `path`; a failure leaves the connection fit for the next.

    Args:
        path: of a file that `journal_file.open_file` has accepted.
        reactor: IReactorCore and IReactorFromThreads in one.
        history_max: see `journal_file.write`.
    """

    def __init__(self, path: Path, reactor: Any, history_max: int) -> None:
        self._reactor = reactor
        self._history_max = history_max
        self._place = Place(path)
        pool = ConnectionPool(
            "sqlite3",
            journal_file.connection_uri(path),
            **journal_file.CONNECTION_OPTIONS,
            cp_min=1,
            cp_max=1,
            cp_openfun=self._opened,
            cp_reactor=reactor,
        )
        # A disk that never answers must not keep the process from ending.
        pool.threadpool.threadFactory = DaemonThread
        self._pool: Any = pool  # adbapi is not annotated

    def write(self, transaction: Transaction) -> Deferred[None]:
        """Fires when it is durable; see `journal_file.write`. Fails with sqlite3.Error, and then nothing of it is."""
        written: Deferred[None] = self._pool.runWithConnection(self._write, transaction)
        return written

    def read_history(self, limit: int) -> Deferred[list[HistoryEntry]]:
        """See `journal_file.read_history`."""
        reading: Deferred[list[HistoryEntry]] = self._pool.runWithConnection(journal_file.read_history, limit)
        return reading

    def close(self) -> Deferred[None]:
        """Fires when all that was asked for is done, and connection, thread and triggers are gone."""
        # In the thread, because SQLite moves its log into the file when the connection closes.
        disconnected: Deferred[None] = (
            deferToThreadPool(self._reactor, self._pool.threadpool, self._disconnect)
            if self._pool.running
            else succeed(None)
        )
        return disconnected.addBoth(self._stop)

    def abandon(self) -> None:
        """The end of the reactor will not wait for the thread, nor will that of the process."""
        if self._pool.shutdownID is not None:
            self._reactor.removeSystemEventTrigger(self._pool.shutdownID)
            self._pool.shutdownID = None

    def _opened(self, connection: sqlite3.Connection) -> None:
        self._place.opened()
        journal_file.configure(connection)

    def _write(
        self,
        connection: sqlite3.Connection,
        transaction: Transaction,
    ) -> None:
        self._place.demand()
        journal_file.write(connection, transaction, self._history_max)

    def _disconnect(self) -> None:
        for connection in list(self._pool.connections.values()):
            connection.close()
        self._pool.connections.clear()

    def _stop(self, result: Any) -> Any:
        self._pool.close()
        return result
