"""The journal's file: what is kept, in which order, and what stops a start without being touched."""

import itertools
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from unittest import mock

import pytest
from twisted.trial.unittest import SynchronousTestCase

from onevalue import journal_file
from onevalue.errors import JournalError
from onevalue.journal_file import FILE_NAME, HISTORY_MAX_DEFAULT, HISTORY_READ_SIZE_MAX, PEERS_MAX
from onevalue.journal_records import Contents, HistoryEntry, LamportClocks, Peer, Transaction
from onevalue.store import GENERATION_MAX, Source, State
from onevalue.types import Generation
from onevalue.values import VALUE_MAX, VALUE_MIN, Value

PAGE_SIZE = 4096


def state(generation: int, value: Value = 0, origin: str = "n1", time: float = 1.5) -> State:
    """A state with an origin and a time."""
    return State(Generation(generation), value, origin, time)


def write(
    path: Path,
    states: Sequence[State] = (),
    peers: Sequence[Peer] | None = None,
    clocks: LamportClocks | None = None,
    history_max: int = HISTORY_MAX_DEFAULT,
    *,
    source: Source = Source.SET,
    disowned: Sequence[str] = (),
) -> None:
    """One transaction and a clean close."""
    entries = [HistoryEntry(each, source) for each in states]
    with closing(journal_file.connect(path)) as connection:
        journal_file.write(connection, Transaction(entries, peers, clocks, disowned), history_max)
        connection.commit()


def read_generation(path: Path) -> int:
    """Of the current state."""
    current = journal_file.open_file(path).state
    assert current is not None
    return current.generation


def read_history(path: Path) -> list[HistoryEntry]:
    """All of the history, newest first."""
    with closing(journal_file.connect(path)) as connection:
        return journal_file.read_history(connection, 2 * HISTORY_MAX_DEFAULT)


@contextmanager
def as_nobody() -> Iterator[None]:
    """What is inside is done by a user whom permissions bind, which root is not."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


class Folder(SynchronousTestCase):
    """A folder for each test."""

    def setUp(self) -> None:
        """An empty folder."""
        self.folder = Path(tempfile.mkdtemp(prefix="onevalue-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.path = self.folder / FILE_NAME


class KeepingTests(Folder):
    """What is kept."""

    def test_a_new_file_holds_nothing(self) -> None:
        """A journal that is new has no state, no peers and no clocks."""
        assert journal_file.open_file(self.path) == Contents(None, (), None)

    def test_folder_and_file_are_for_their_owner_only(self) -> None:
        """A folder that is made has mode 0700, the file 0600."""
        folder = self.folder / "deep" / "er"
        os.close(journal_file.lock_folder(folder))
        journal_file.open_file(folder / FILE_NAME)
        assert oct(folder.stat().st_mode)[-3:] == "700"
        assert oct((folder / FILE_NAME).stat().st_mode)[-3:] == "600"

    def test_a_committed_state_is_there_after_reopening(self) -> None:
        """Generation, value, origin and time come back as they were, at the limits too."""
        journal_file.open_file(self.path)
        table: list[State] = [
            state(0, VALUE_MIN),
            state(1, VALUE_MAX, "", 0.0),
            state(2, -1, "knoten-\u00e4\u20ac\U0001f600"),
            state(3, 5, "bytes \udcff and half a pair \ud800"),
            state(4, None),
            state(5, {"b": [1, 2.5, True], "a": "\u00e4\0"}),
            state(GENERATION_MAX, VALUE_MAX, "x" * 256, 2.0**53 - 1),
        ]
        for want in table:
            write(self.path, [want])
            got = journal_file.open_file(self.path).state
            assert got is not None
            assert (got, got.origin, got.time) == (want, want.origin, want.time)

    def test_the_current_state_only_moves_up(self) -> None:
        """Written in any order, one by one or together, the largest in the store's order is the current one."""
        states = [state(1, 9), state(2, -5), state(2, 3), state(2, "text")]
        for number, order in enumerate(itertools.permutations(states)):
            for together in (False, True):
                path = self.folder / f"{number}-{together}"
                journal_file.open_file(path)
                for batch in [order] if together else [[each] for each in order]:
                    write(path, batch)
                assert journal_file.open_file(path).state == state(2, "text")

    def test_the_history_has_the_accepted_states_newest_first(self) -> None:
        """What was learnt is accepted only above the current one; an own write was acknowledged, also below it."""
        journal_file.open_file(self.path)
        learnt = [state(1), state(3), state(2), state(3)]
        write(self.path, learnt, source=Source.EVENT)
        write(self.path, [state(2), state(4)])
        assert [entry.state for entry in read_history(self.path)] == [state(4), state(2), state(3), state(1)]
        assert [entry.source.value for entry in read_history(self.path)] == ["set", "set", "event", "event"]
        assert read_generation(self.path) == 4

    def test_what_is_disowned_stands_in_the_history_no_more(self) -> None:
        """By its tag; the current state stays what it is."""
        journal_file.open_file(self.path)
        write(self.path, [state(1), state(2), state(3)])
        write(self.path, disowned=[state(2).tag, state(3).tag, state(3, 9).tag])
        assert [entry.state for entry in read_history(self.path)] == [state(1)]
        assert read_generation(self.path) == 3

    def test_the_newest_thousand_are_kept(self) -> None:
        """Of more accepted states than may be kept the newest stay, whether they came together or one by one."""
        journal_file.open_file(self.path)
        write(self.path, [state(generation) for generation in range(HISTORY_MAX_DEFAULT + 20)])
        write(self.path, [state(HISTORY_MAX_DEFAULT + 20)])
        generations = [entry.state.generation for entry in read_history(self.path)]
        assert generations == list(range(HISTORY_MAX_DEFAULT + 20, 20, -1))

    def test_fewer_may_be_kept(self) -> None:
        """The first transaction that is told so leaves the newest only; told to keep none, it keeps the state alone."""
        journal_file.open_file(self.path)
        write(self.path, [state(generation) for generation in range(10)])
        write(self.path, clocks=LamportClocks(1, 2, 3), history_max=3)
        assert [entry.state.generation for entry in read_history(self.path)] == [9, 8, 7]
        for history_max, kept in [(0, []), (0, []), (2, [12]), (2, [13, 12]), (2, [14, 13])]:
            write(self.path, [state(read_generation(self.path) + 1)], history_max=history_max)
            assert [entry.state.generation for entry in read_history(self.path)] == kept

    def test_a_reading_ends_when_its_values_are_too_many_bytes(self) -> None:
        """With the one that is too much; the newest are there."""
        journal_file.open_file(self.path)
        size = HISTORY_READ_SIZE_MAX // 4
        write(self.path, [state(generation, "x" * size) for generation in range(1, 9)])
        assert [entry.state.generation for entry in read_history(self.path)] == [8, 7, 6, 5]

    def test_a_transaction_of_nothing_writes_all_the_same(self) -> None:
        """Its commit reaches the disk, and the file holds what it held."""
        journal_file.open_file(self.path)
        with closing(journal_file.connect(self.path)) as connection:
            journal_file.write(connection, Transaction())
            connection.commit()
            assert self.path.with_name(f"{FILE_NAME}-wal").stat().st_size > PAGE_SIZE
        assert journal_file.open_file(self.path) == Contents(None, (), None)

    def test_what_is_rolled_back_was_never_there(self) -> None:
        """A transaction that is not committed leaves nothing, and the next one on the same connection is whole."""
        journal_file.open_file(self.path)
        with closing(journal_file.connect(self.path)) as connection:
            journal_file.write(connection, Transaction([HistoryEntry(state(7), Source.SET)]))
            # no commit: as after a rollback that failed
            journal_file.write(connection, Transaction([HistoryEntry(state(5), Source.SET)]))
            connection.commit()
        assert journal_file.open_file(self.path).state == state(5)

    def test_peers_and_clocks_are_replaced_whole(self) -> None:
        """The last peers and clocks count, in their order; names need not be UTF-8, Lamport times have 64 bits."""
        journal_file.open_file(self.path)
        peers = (Peer("b\udcff", "::1", 7946, "http:8080"), Peer("a", "127.0.0.1", 1))
        clocks = LamportClocks(2**64 - 1, 0, 5)
        write(self.path, [], [Peer("old", "10.0.0.1", 1)], LamportClocks(1, 2, 3))
        write(self.path, [], peers, clocks)
        write(self.path, [state(1)])
        assert journal_file.open_file(self.path) == Contents(state(1), peers, clocks)

    def test_a_bounded_number_of_peers_is_kept(self) -> None:
        """Of a longer list the first PEERS_MAX stay."""
        journal_file.open_file(self.path)
        peers = [Peer(str(number), "127.0.0.1", number) for number in range(PEERS_MAX + 1)]
        write(self.path, [], peers)
        assert journal_file.open_file(self.path).peers == tuple(peers[:PEERS_MAX])


class MigrationTests(Folder):
    """From one schema to the next."""

    def test_an_older_file_is_migrated(self) -> None:
        """A file of the version before gets the steps that it lacks, and keeps what it holds."""
        journal_file.open_file(self.path)
        write(self.path, [state(3)])
        steps = (*journal_file.MIGRATIONS, ("CREATE TABLE more (a)",))
        with mock.patch.object(journal_file, "MIGRATIONS", steps):
            assert journal_file.open_file(self.path).state == state(3)
        with closing(journal_file.connect(self.path)) as connection:
            assert connection.execute("SELECT count(*) FROM more").fetchone() == (0,)
            assert connection.execute("PRAGMA user_version").fetchone() == (len(steps),)

    def test_a_file_of_the_first_schema_keeps_its_peers(self) -> None:
        """Where they serve HTTP is not known."""
        with mock.patch.object(journal_file, "MIGRATIONS", journal_file.MIGRATIONS[:1]), pytest.raises(JournalError):
            journal_file.open_file(self.path)  # which made it, and cannot read it by today's columns
        with closing(journal_file.connect(self.path)) as connection, connection:
            connection.execute("INSERT INTO peers (name, address, port) VALUES (?, ?, ?)", (b"n2", b"10.0.0.2", 7946))
            connection.commit()
        assert journal_file.open_file(self.path).peers == (Peer("n2", "10.0.0.2", 7946),)

    def test_a_migration_that_fails_changes_nothing(self) -> None:
        """A step is made whole or not at all; the message names the file."""
        journal_file.open_file(self.path)
        write(self.path, [state(3)])
        steps = (*journal_file.MIGRATIONS, ("CREATE TABLE more (a)", "CREATE TABLE current (a)"))
        with mock.patch.object(journal_file, "MIGRATIONS", steps), pytest.raises(JournalError) as error:
            journal_file.open_file(self.path)
        assert str(self.path) in str(error.value)
        assert journal_file.open_file(self.path).state == state(3)

    def test_a_start_that_was_cut_short_does_no_harm(self) -> None:
        """What a start left before it could rename the file is made anew."""
        for name in (".new", ".new-journal", ".new-wal"):
            self.path.with_name(FILE_NAME + name).write_bytes(b"half")
        journal_file.open_file(self.path)
        assert [each.name for each in self.folder.iterdir()] == [FILE_NAME]


class RefusalTests(Folder):
    """What stops the start, and is left as it is."""

    def setUp(self) -> None:
        """A journal with many pages."""
        super().setUp()
        journal_file.open_file(self.path)
        write(self.path, [state(generation, generation) for generation in range(500)])

    def assert_refused(self, *words: str) -> None:
        """Opening names the file and has these words; the folder is as it was, byte by byte."""
        before = {each.name: each.read_bytes() for each in sorted(self.folder.iterdir())}
        with pytest.raises(JournalError) as error:
            journal_file.open_file(self.path)
        for word in (str(self.path), *words):
            assert word in str(error.value)
        assert {each.name: each.read_bytes() for each in sorted(self.folder.iterdir())} == before

    def test_garbage_is_refused(self) -> None:
        """A file that is no database at all is damaged."""
        self.path.write_bytes(os.urandom(3 * PAGE_SIZE))
        self.assert_refused("damaged", "move it away")

    def test_an_empty_file_is_refused(self) -> None:
        """SQLite would take it for a new database; ours are never empty, so it was cut to nothing."""
        self.path.write_bytes(b"")
        self.assert_refused("damaged", "empty")

    def test_a_truncated_file_is_refused(self) -> None:
        """A file that lost its end, at a page or within one, is damaged."""
        whole = self.path.read_bytes()
        for size in (1, 99, 100, 1000, PAGE_SIZE, 2 * PAGE_SIZE, 5 * PAGE_SIZE + 7, len(whole) - PAGE_SIZE):
            self.path.write_bytes(whole[:size])
            self.assert_refused("damaged")

    def test_a_page_of_zeros_is_refused(self) -> None:
        """Whichever page of the file was zeroed, that is noticed."""
        whole = self.path.read_bytes()
        assert len(whole) > 8 * PAGE_SIZE
        for start in range(0, len(whole), PAGE_SIZE):
            self.path.write_bytes(whole[:start] + bytes(PAGE_SIZE) + whole[start + PAGE_SIZE :])
            self.assert_refused("damaged")

    def test_a_changed_value_is_refused(self) -> None:
        """The current value with one digit changed no longer matches its tag."""
        with closing(journal_file.connect(self.path)) as connection:
            connection.execute("UPDATE current SET value = '498'")
        self.assert_refused("damaged", "tag")

    def test_damage_beside_a_log_leaves_both_alone(self) -> None:
        """A damaged file beside the log of a crashed node gets nothing of the log written into it."""
        connection = journal_file.connect(self.path)
        self.addCleanup(connection.close)
        journal_file.write(connection, Transaction([HistoryEntry(state(1000), Source.SET)]))
        connection.commit()
        crashed = self.folder / "crashed"
        crashed.mkdir()
        for name in (FILE_NAME, f"{FILE_NAME}-wal"):
            (crashed / name).write_bytes((self.folder / name).read_bytes())
        self.folder, self.path = crashed, crashed / FILE_NAME
        assert journal_file.open_file(self.path).state == state(1000)
        whole = self.path.read_bytes()
        self.path.write_bytes(whole[: 5 * PAGE_SIZE] + bytes(PAGE_SIZE) + whole[6 * PAGE_SIZE :])
        self.assert_refused("damaged")

    def test_a_log_without_its_file_is_refused(self) -> None:
        """A new file beside an old log would take over the log's pages."""
        self.path.rename(self.path.with_name(f"{FILE_NAME}-wal"))
        self.assert_refused("is gone")

    def test_the_file_of_another_program_is_refused(self) -> None:
        """A database with another application id is not ours to open."""
        self.path.unlink()
        with closing(sqlite3.connect(self.path)) as connection:
            connection.execute("CREATE TABLE current (a)")
        self.assert_refused("another program")

    def test_a_newer_schema_is_refused(self) -> None:
        """A file of a schema that this version does not know is left to the newer version."""
        with closing(journal_file.connect(self.path)) as connection:
            connection.execute(f"PRAGMA user_version={len(journal_file.MIGRATIONS) + 1}")
        self.assert_refused("schema version", "newer")

    def test_what_is_no_file_is_refused(self) -> None:
        """A folder where the file should be cannot be opened."""
        self.path.unlink()
        self.path.mkdir()
        with pytest.raises(JournalError) as error:
            journal_file.open_file(self.path)
        assert str(self.path) in str(error.value)


class LockTests(Folder):
    """One process a folder."""

    def test_a_folder_is_locked_once(self) -> None:
        """A second lock is refused, with the folder's name, until the first is closed."""
        lock = journal_file.lock_folder(self.folder)
        with pytest.raises(JournalError) as error:
            journal_file.lock_folder(self.folder)
        assert f"{self.folder}: another onevalue runs there" in str(error.value)
        os.close(lock)
        os.close(journal_file.lock_folder(self.folder))

    def test_a_folder_that_cannot_be_made_is_refused(self) -> None:
        """A file where the folder should be is named."""
        self.path.write_text("in the way")
        with pytest.raises(JournalError) as error:
            journal_file.lock_folder(self.path)
        assert str(self.path) in str(error.value)

    def test_a_folder_that_is_not_writable_is_refused(self) -> None:
        """Without the right to write, the message names the folder and says for whom to make it writable."""
        self.folder.chmod(0o555)
        with pytest.raises(JournalError) as error, as_nobody():
            journal_file.lock_folder(self.folder)
        assert str(self.folder) in str(error.value)
        assert "Let the user that runs onevalue read and write it" in str(error.value)

    def test_a_file_that_is_not_readable_is_refused(self) -> None:
        """Without the right to read, the message names the file."""
        journal_file.open_file(self.path)
        self.folder.chmod(0o755)
        self.path.chmod(0)
        with pytest.raises(JournalError) as error, as_nobody():
            journal_file.open_file(self.path)
        assert str(self.path) in str(error.value)
