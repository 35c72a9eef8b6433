"""The journal's file: who may open it, what is in it, when it is damaged, and what one transaction writes.

One SQLite file in a folder of its own, with a lock beside it that one process holds. A file is made whole under another
name and then renamed, so a file under the right name that is empty or cut short was damaged after it was made. Opening
only reads, but for migrations; nothing here deletes or replaces a file under the right name.

It must not know Twisted, threads, nor when to write; SQLite's rules are from sqlite.org (wal.html, pragma.html,
fileformat2.html section 1.3).
"""

import fcntl
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from onevalue.errors import JournalError
from onevalue.journal_records import Contents, HistoryEntry, LamportClocks, Peer, Transaction
from onevalue.reasons import reason
from onevalue.store import Source, State
from onevalue.types import Generation

FILE_NAME = "journal.sqlite"
LOCK_NAME = "lock"
FOLDER_MODE = 0o700
FILE_MODE = 0o600

HISTORY_MAX_DEFAULT = 1000
"""Accepted states that are kept unless a node is told otherwise; older ones go in the next transaction."""

HISTORY_MAX_LIMIT = 10000
"""The most accepted states that a node can be told to keep."""

HISTORY_READ_SIZE_MAX = 4 * 1024 * 1024
"""Bytes of values, as canonical JSON, after which a reading of the history ends: they are held in memory."""

PEERS_MAX = 1000
"""Known peers that are kept; the rest of a longer list is left out."""

WAL_PAGES = 256
"""Pages (4 KiB) of write-ahead log after which SQLite moves them into the file."""

LOG_SIZE_MAX = 1024 * 1024
"""Bytes to which the log is cut when it begins anew; one transaction of many large values may make it longer."""

BUSY_TIMEOUT_S = 2.0
"""How long to wait for somebody who looks into the file with another program."""

APPLICATION_ID = int.from_bytes(b"1val")

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE current (
            one INTEGER PRIMARY KEY CHECK (one = 1), generation INTEGER NOT NULL, value TEXT NOT NULL,
            origin BLOB NOT NULL, time REAL NOT NULL, tag TEXT NOT NULL
        )""",
        """CREATE TABLE history (
            id INTEGER PRIMARY KEY, generation INTEGER NOT NULL, value TEXT NOT NULL,
            origin BLOB NOT NULL, time REAL NOT NULL, tag TEXT NOT NULL, source TEXT NOT NULL
        )""",
        """CREATE TABLE peers (
            id INTEGER PRIMARY KEY, name BLOB NOT NULL, address BLOB NOT NULL, port INTEGER NOT NULL
        )""",
        # As text: Lamport times have 64 bits without a sign, one more than SQLite's integers.
        """CREATE TABLE clocks (
            one INTEGER PRIMARY KEY CHECK (one = 1), member TEXT NOT NULL, event TEXT NOT NULL, query TEXT NOT NULL
        )""",
    ),
    ("ALTER TABLE peers ADD COLUMN http BLOB NOT NULL DEFAULT X''",),
)
"""What leads from schema version n to n + 1; what was released once never changes."""

CONNECTION_OPTIONS: Mapping[str, Any] = {
    "uri": True,
    "isolation_level": None,  # a transaction begins where `write` says so
    "check_same_thread": False,  # adbapi closes in another thread than it opened in
    "timeout": BUSY_TIMEOUT_S,
}

_MAGIC = b"SQLite format 3\0"
_HEADER_SIZE = 100
_DAMAGED = (
    "Nothing was changed. Restore it from a copy, or move it away: the node then learns the value from its cluster"
)
_USABLE = "Nothing was changed. Let the user that runs onevalue read and write it, and the disk have room"


def unusable(folder: Path, error: OSError) -> str:
    """That this data folder cannot be used, why, and what to do."""
    return f"{folder}: the data folder cannot be used: {reason(error)}. {_USABLE}"


def lock_folder(folder: Path) -> int:
    """The folder exists and is this process's alone, until the file descriptor that is returned is closed.

    The lock belongs to the open file (flock), so it outlives the fork by which twistd becomes a daemon.

    Raises:
        JournalError: the folder cannot be made or written, or another process holds it.
    """
    try:
        folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        lock = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT, FILE_MODE)
    except OSError as error:
        raise JournalError(unusable(folder, error)) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        if isinstance(error, BlockingIOError):
            raise JournalError(
                f"{folder}: another onevalue runs there. Stop it, or give this one a --data-dir or --name of its own"
            ) from error
        raise JournalError(f"{folder / LOCK_NAME}: cannot be locked: {reason(error)}. {_USABLE}") from error
    return lock


def open_file(path: Path) -> Contents:
    """The file at `path` is whole and of this version's schema, made if there was none; returns what it holds.

    The caller holds the folder's lock.

    Raises:
        JournalError: it is damaged, unreadable, of another program or of a newer version; its bytes are as they were.
    """
    with _named(path):
        if not path.exists():
            _create(path)
        _check_header(path)
        with closing(_connect_to_read(path)) as connection:
            version = _check(path, connection)
        if version < len(MIGRATIONS):
            with closing(connect(path)) as connection:
                _migrate(connection, version)
        with closing(_connect_to_read(path)) as connection:
            return _read(connection)


def connect(path: Path) -> sqlite3.Connection:
    """A connection to an existing file at `path`, to read and write, ready for `write`."""
    connection: sqlite3.Connection = sqlite3.connect(connection_uri(path), **CONNECTION_OPTIONS)
    configure(connection)
    return connection


def connection_uri(path: Path) -> str:
    """What SQLite is to open; mode=rw, as it would else make an empty file where there is none."""
    return f"{path.as_uri()}?mode=rw"


def configure(connection: sqlite3.Connection) -> None:
    """What is committed from now on is on the disk, and no other connection can get in between.

    Raises:
        sqlite3.Error: the file cannot be written; the connection is closed.
    """
    try:
        # Exclusive: the index of the log is kept in memory, so that a full disk has no shared-memory file to trip over.
        # The lock also fails a connection that SQLite could open only to read; kept, it would never be fit to write.
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(f"PRAGMA wal_autocheckpoint={WAL_PAGES}")
        connection.execute(f"PRAGMA journal_size_limit={LOG_SIZE_MAX}")
        connection.execute("PRAGMA temp_store=MEMORY")
    except sqlite3.Error:
        connection.close()
        raise


def write(connection: sqlite3.Connection, transaction: Transaction, history_max: int = HISTORY_MAX_DEFAULT) -> None:
    """A transaction is begun that holds all this; the caller commits it, or rolls it back when this raises.

    An entry whose state is above the current one, and above those before it, is the current one then. Such entries
    stand in the history, and so do all own writes: they may be acknowledged below what was learnt meanwhile. The newest
    `history_max` are left of it.

    Args:
        connection: from `connect`, or configured alike.
        transaction: what is written.
        history_max: 0 .. HISTORY_MAX_LIMIT.

    With nothing to write the transaction still writes, so that its commit tells whether the disk takes anything.
    """
    connection.rollback()  # without effect, unless the rollback of a failed transaction failed too
    connection.execute("BEGIN IMMEDIATE")
    peers, clocks = transaction.peers, transaction.clocks
    rows = [
        (int(tag.partition("-")[0]), tag) for tag in transaction.disowned
    ]  # SQLite need not read a value to rule a row out
    connection.executemany("DELETE FROM history WHERE generation = ? AND tag = ?", rows)
    current: State | None = None
    for entry in transaction.entries:
        is_above = current < entry.state if current is not None else _is_above_current(connection, entry.state)
        if is_above:
            current = entry.state
        if is_above or entry.source is Source.SET:
            connection.execute(
                "INSERT INTO history (generation, value, origin, time, tag, source) VALUES (?, ?, ?, ?, ?, ?)",
                (*_row(entry.state), entry.source.value),
            )
    if current is not None:
        connection.execute("INSERT OR REPLACE INTO current VALUES (1, ?, ?, ?, ?, ?)", _row(current))
    # In each transaction: the node before may have kept more.
    connection.execute("DELETE FROM history WHERE id <= (SELECT max(id) FROM history) - ?", (history_max,))
    if peers is not None:
        connection.execute("DELETE FROM peers")
        connection.executemany(
            "INSERT INTO peers (name, address, port, http) VALUES (?, ?, ?, ?)",
            [(_bytes(peer.name), _bytes(peer.address), peer.port, _bytes(peer.http)) for peer in peers[:PEERS_MAX]],
        )
    if clocks is not None:
        times = (str(clocks.member), str(clocks.event), str(clocks.query))
        connection.execute("INSERT OR REPLACE INTO clocks VALUES (1, ?, ?, ?)", times)
    if not transaction.entries and peers is None and clocks is None:
        connection.execute(f"PRAGMA user_version={len(MIGRATIONS)}")  # what it is already, but written


def read_history(connection: sqlite3.Connection, limit: int) -> list[HistoryEntry]:
    """The newest accepted states, newest first: at most `limit`, none after HISTORY_READ_SIZE_MAX bytes of values."""
    entries: list[HistoryEntry] = []
    size = 0
    query = "SELECT source, generation, value, origin, time, tag FROM history ORDER BY id DESC LIMIT ?"
    with closing(connection.execute(query, (limit,))) as rows:  # closed, or it would hold up checkpoints
        for source, *row in rows:
            entries.append(HistoryEntry(_state(row), Source(source)))
            size += len(str(row[1]).encode())
            if size >= HISTORY_READ_SIZE_MAX:
                break
    return entries


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """What goes wrong inside is a JournalError that names the file and says what to do."""
    try:
        yield
    except (sqlite3.OperationalError, OSError) as error:
        raise JournalError(f"{path}: cannot be opened: {reason(error)}. {_USABLE}") from error
    except (sqlite3.Error, ValueError) as error:
        raise JournalError(f"{path}: is damaged: {reason(error)}. {_DAMAGED}") from error


def _create(path: Path) -> None:
    """A new journal is at `path`, whole: it is made beside it and renamed."""
    log = path.with_name(f"{path.name}-wal")
    if log.exists():
        raise JournalError(f"{path}: is gone, but its {log.name} is there. Restore both, or move that away too")
    for leftover in path.parent.glob(f"{path.name}.new*"):
        leftover.unlink()  # of a start that was cut short; nobody was ever told that something is in it
    new = path.with_name(f"{path.name}.new")
    os.close(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE))
    with closing(sqlite3.connect(connection_uri(new), **CONNECTION_OPTIONS)) as connection:
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
        _migrate(connection, 0)
        connection.execute("PRAGMA journal_mode=WAL")  # last: until here all is in this one file, and not in a log
    new.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _check_header(path: Path) -> None:
    """The file is one of ours, as far as its first 100 bytes tell; SQLite has not touched it."""
    with path.open("rb") as file:
        header = file.read(_HEADER_SIZE)
    if len(header) < _HEADER_SIZE or not header.startswith(_MAGIC):
        raise sqlite3.DatabaseError("it is no SQLite database" if header else "it is empty")
    if int.from_bytes(header[68:72]) != APPLICATION_ID:
        raise JournalError(f"{path}: belongs to another program. Nothing was changed. Give onevalue its own folder")


def _connect_to_read(path: Path) -> sqlite3.Connection:
    """A connection that cannot change the file, its log, nor the folder, whatever is in them.

    An ordinary one would move the log into the file as it closes. Without SQLite's own locks (unix-none; the folder's
    lock stands in for them) one that only reads may have the index of the log in memory.
    """
    connection: sqlite3.Connection = sqlite3.connect(f"{path.as_uri()}?mode=ro&vfs=unix-none", **CONNECTION_OPTIONS)
    connection.execute("PRAGMA locking_mode=EXCLUSIVE")
    return connection


def _check(path: Path, connection: sqlite3.Connection) -> int:
    """The file is sound; returns its schema version, at most ours."""
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > len(MIGRATIONS):
        raise JournalError(
            f"{path}: has schema version {version}, and this onevalue knows none above {len(MIGRATIONS)}."
            " Nothing was changed. Run the newer onevalue that wrote it"
        )
    faults = [str(row[0]) for row in connection.execute("PRAGMA quick_check(3)")]
    if faults != ["ok"]:
        raise sqlite3.DatabaseError("; ".join(" ".join(fault.split()) for fault in faults))
    if version < 1:
        raise sqlite3.DatabaseError("it has no schema version")
    return version


def _migrate(connection: sqlite3.Connection, version: int) -> None:
    """The schema went from `version` to ours, one transaction a step."""
    for number, statements in enumerate(MIGRATIONS[version:], version + 1):
        connection.execute("BEGIN IMMEDIATE")
        for statement in statements:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version={number}")
        connection.execute("COMMIT")


def _read(connection: sqlite3.Connection) -> Contents:
    peers = connection.execute("SELECT name, address, port, http FROM peers ORDER BY id LIMIT ?", (PEERS_MAX,))
    clocks = connection.execute("SELECT member, event, query FROM clocks").fetchone()
    return Contents(
        state=_read_current(connection),
        peers=tuple(Peer(_text(name), _text(addr), int(port), _text(http)) for name, addr, port, http in peers),
        clocks=LamportClocks(*(int(time) for time in clocks)) if clocks else None,
    )


def _read_current(connection: sqlite3.Connection) -> State | None:
    row = connection.execute("SELECT generation, value, origin, time, tag FROM current").fetchone()
    return _state(row) if row else None


def _is_above_current(connection: sqlite3.Connection, state: State) -> bool:
    """The state is above that in the file, if there is one. A large value is looked at only if it must be."""
    row = connection.execute("SELECT generation FROM current").fetchone()
    if row is not None and row[0] == state.generation:
        found = _read_current(connection)
        return found is None or found < state
    return row is None or row[0] < state.generation


def _row(state: State) -> tuple[int, str, bytes, float, str]:
    return (state.generation, state.text.decode(), _bytes(state.origin), state.time, state.tag)


def _state(row: Sequence[object]) -> State:
    """The state that `_row` stored. The tag says whether it is still the same, which quick_check cannot see."""
    generation, value, origin, time, tag = row
    if not (isinstance(generation, int) and isinstance(value, str) and isinstance(time, float)):
        raise sqlite3.DatabaseError("a state has fields of the wrong type")
    state = State(Generation(generation), json.loads(value), _text(origin), time)
    if state.tag != tag:
        raise sqlite3.DatabaseError(f"a state does not match its tag {tag}")
    return state


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")  # names need not be UTF-8 on the wire; nothing may fail here


def _text(data: object) -> str:
    if not isinstance(data, bytes):
        raise sqlite3.DatabaseError("a name is not stored as bytes")
    return data.decode("utf-8", "surrogatepass")
