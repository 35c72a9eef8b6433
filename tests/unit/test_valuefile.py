"""The value in a file: always whole, always the newest soon, and no harm when the disk does not take it.

The thread is real, and so is the reactor that it reports to; time is virtual.
"""

import os
import shutil
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast
from unittest import mock

import pytest
from twisted.application.service import IService
from twisted.internet.defer import Deferred, gatherResults, inlineCallbacks
from twisted.internet.threads import deferToThreadPool
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface.verify import verifyObject

from onevalue.node import Node, Stop
from onevalue.store import Source, State, Store
from onevalue.types import Generation
from onevalue.valuefile import RETRY_MAX_S, RETRY_MIN_S, SLOW_S, ValueFile, check_path, replace_text
from onevalue.values import Value, canonical
from tests.unit.test_journal import ANSWER_TIMEOUT_S, HalfClock, Steps
from tests.unit.test_journal_file import as_nobody
from tests.unit.test_options import parse


def state(generation: int, value: Value = 0) -> State:
    """A state that a node has learnt."""
    return State(Generation(generation), value)


class Folder(TestCase):
    """A folder for each test, and a path in it."""

    timeout = 30

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="onevalue-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.path = self.folder / "value"

    def names(self) -> list[str]:
        """What is in the folder."""
        return sorted(each.name for each in self.folder.iterdir())


class ReplaceTests(Folder):
    """One writing."""

    def test_the_file_is_json_on_a_line(self) -> None:
        """Canonical, and alone in its folder, for all to read whatever the umask is."""
        before = os.umask(0o077)
        self.addCleanup(os.umask, before)
        table: list[tuple[Value, str]] = [
            (43, "43\n"),
            ({"b": [1.5], "a": "\u00e4"}, '{"a":"\u00e4","b":[1.5]}\n'),
            ("\n", '"\\n"\n'),
        ]
        for value, text in table:
            replace_text(self.path, canonical(value))
            assert self.path.read_text(encoding="utf-8") == text
            assert (self.names(), oct(self.path.stat().st_mode)[-3:]) == (["value"], "644")

    def test_it_is_on_the_disk_before_it_has_its_name(self) -> None:
        """A power cut in between must not leave it empty: what is renamed was synchronised, as a whole."""
        replace_text(self.path, canonical(1))
        synced: list[bytes] = []

        def fsync(descriptor: int) -> None:
            synced.append(Path(f"/proc/self/fd/{descriptor}").read_bytes())
            assert self.path.read_text() == "1\n"

        with mock.patch("os.fsync", fsync):
            replace_text(self.path, canonical(22))
        assert (synced, self.path.read_text()) == ([b"22\n"], "22\n")

    def test_what_fails_leaves_the_old_file_and_nothing_else(self) -> None:
        """Wherever it fails."""
        replace_text(self.path, canonical(1))
        for name in ("os.fsync", "os.fchmod", "pathlib.Path.replace"):
            with (
                mock.patch(name, side_effect=OSError(28, "No space left on device")),
                pytest.raises(OSError, match="28"),
            ):
                replace_text(self.path, canonical(2))
            assert (self.names(), self.path.read_text()) == (["value"], "1\n")

    def test_what_a_crash_left_is_no_obstacle(self) -> None:
        """Not even a link that somebody has put there."""
        other = self.folder / "other"
        other.write_text("precious")
        (self.folder / ".value.new").symlink_to(other)
        replace_text(self.path, canonical(2))
        assert (self.names(), other.read_text()) == (["other", "value"], "precious")


class PathTests(Folder):
    """What may be named at start."""

    def test_a_path_that_cannot_be_is_a_usage_error(self) -> None:
        """One line names the option, the path and what to do; nothing is touched."""
        os.mkfifo(self.folder / "fifo")
        for path, words in [
            (self.folder, "is a folder"),
            (self.folder / "no" / "value", "Make it"),
            (self.folder / "fifo" / "value", "is no folder"),
            (self.folder / "fifo", "is no regular file"),
            (Path("/dev/null"), "is no regular file"),
        ]:
            for arguments, variables in [([f"--value-file={path}"], {}), ([], {"ONEVALUE_VALUE_FILE": str(path)})]:
                with pytest.raises(usage.UsageError) as error:
                    parse(*arguments, **variables)
                line = str(error.value)
                assert line.startswith("--value-file")
                assert (words in line, repr(str(path)) in line, "\n" in line) == (True, True, False), line

    def test_the_data_folder_is_no_place_for_it(self) -> None:
        """It is closed to others, and what is there is not to be replaced."""
        with pytest.raises(usage.UsageError, match="data folder"):
            parse(f"--data-dir={self.folder}", f"--value-file={self.folder}/../{self.folder.name}/journal.sqlite")

    def test_a_path_that_can_be_is_absolute(self) -> None:
        """A daemon changes its working directory. A file that is there may be replaced."""
        before = Path.cwd()
        self.addCleanup(os.chdir, before)
        os.chdir(self.folder)
        assert check_path("value") == self.path
        self.path.write_text("old")
        assert parse("--value-file=value").value_file == parse(ONEVALUE_VALUE_FILE="value").value_file == self.path
        assert parse().value_file is None

    def test_a_folder_that_may_not_be_looked_into_is_named(self) -> None:
        """With the reason."""
        closed = self.folder / "closed"
        (closed / "in").mkdir(parents=True)
        closed.chmod(0)
        self.addCleanup(closed.chmod, 0o700)
        self.folder.chmod(0o755)
        with as_nobody(), pytest.raises(ValueError, match="Permission denied"):
            check_path(str(closed / "in" / "value"))


class Followed(Folder):
    """A store, and a file that follows it."""

    def setUp(self) -> None:
        super().setUp()
        self.clock = HalfClock()
        self.store = Store(state(0, 42))
        self.service = ValueFile(reactor=self.clock, store=self.store, path=self.path)
        self.addCleanup(self.service.stopService)

    def quiet(self) -> "Deferred[Any]":
        """Fires when the writing under way is over."""
        return deferToThreadPool(cast("Any", self.clock), self.service._threads, lambda: None)

    def hang(self) -> Callable[[], None]:
        """The disk does not answer until the result is called."""
        answer = threading.Event()
        patch = mock.patch("os.fsync", side_effect=lambda _: answer.wait(ANSWER_TIMEOUT_S))
        patch.start()
        self.addCleanup(patch.stop)
        self.addCleanup(answer.set)
        return answer.set

    def healthy(self) -> object:
        """As /v1/status has it."""
        return self.service.status()["healthy"]


class FollowTests(Followed):
    """The file follows the store."""

    def test_it_is_a_service(self) -> None:
        """As twistd knows them; one that has not started has nothing to stop."""
        assert verifyObject(IService, self.service)
        self.successResultOf(self.service.stopService())

    @inlineCallbacks
    def test_it_is_written_at_start_and_at_each_change(self) -> Steps:
        """The status has the tag of what is there."""
        assert self.service.status() == {"path": str(self.path), "healthy": True, "trouble": None, "tag": None}
        self.service.startService()
        yield self.quiet()
        assert self.path.read_text() == "42\n"
        self.store.merge(state(3, 7), Source.EVENT)
        yield self.quiet()
        assert (self.path.read_text(), self.service.status()["tag"]) == ("7\n", state(3, 7).tag)
        assert self.clock.getDelayedCalls() == []

    @inlineCallbacks
    def test_the_newest_wins(self) -> Steps:
        """While one writing is under way no other begins; then the newest state is written, and none in between."""
        go_on = self.hang()
        written: list[str] = []
        with mock.patch("pathlib.Path.replace", lambda new, _: written.append(new.read_text())):
            self.service.startService()
            for generation in range(1, 6):
                self.store.merge(state(generation, generation), Source.EVENT)
            go_on()
            yield self.quiet()
            yield self.quiet()
        assert written == ["42\n", "5\n"]

    @inlineCallbacks
    def test_stopped_it_has_the_last_state(self) -> Steps:
        """What came while a writing was under way is written too; then no thread is left, and nothing follows."""
        threads = threading.active_count()
        go_on = self.hang()
        self.service.startService()
        self.store.merge(state(1, 1), Source.EVENT)
        stops = [self.service.stopService(), self.service.stopService()]
        self.store.merge(state(2, 2), Source.EVENT)
        go_on()
        yield gatherResults(stops)
        self.store.merge(state(3, 3), Source.EVENT)
        assert self.path.read_text() == "2\n"
        assert threading.active_count() == threads
        assert self.clock.getDelayedCalls() == []


class TroubleTests(Followed):
    """A disk that does not take it."""

    def setUp(self) -> None:
        super().setUp()
        self.lines: list[str] = []
        globalLogPublisher.addObserver(self.look)  # type: ignore[arg-type]  # an observer
        self.addCleanup(globalLogPublisher.removeObserver, self.look)  # type: ignore[arg-type]  # likewise

    def look(self, event: LogEvent) -> None:
        """An observer of the log."""
        if event["log_namespace"] == "onevalue.valuefile.ValueFile" and "log_failure" not in event:
            self.lines.append(formatEvent(event))

    @inlineCallbacks
    def test_it_is_tried_again_until_it_succeeds(self) -> Steps:
        """After growing pauses, whatever changes meanwhile; each reason is logged once."""
        self.folder.rename(away := self.folder.with_name(f"{self.folder.name}-away"))
        self.service.startService()
        yield self.quiet()
        pause_s = RETRY_MIN_S
        for generation in range(1, 10):
            self.store.merge(state(generation, generation), Source.EVENT)
            self.clock.advance(pause_s * 0.99)
            assert self.service._retry is not None
            self.clock.advance(pause_s * 0.01 + 1e-6)
            assert self.service._retry is None
            yield self.quiet()
            pause_s = min(2 * pause_s, RETRY_MAX_S)
        assert not self.healthy()
        assert len(self.lines) == 1
        assert f"{self.path}: No such file or directory" in self.lines[0]
        away.rename(self.folder)
        self.clock.advance(RETRY_MAX_S)
        yield self.quiet()
        assert (self.path.read_text(), self.healthy(), len(self.lines)) == ("9\n", True, 2)
        self.store.merge(state(10, 10), Source.EVENT)
        yield self.quiet()
        assert self.path.read_text() == "10\n"

    @inlineCallbacks
    def test_another_reason_is_logged_too(self) -> Steps:
        """And it is what the status shows."""
        self.path.mkdir()
        self.service.startService()
        yield self.quiet()
        assert "Is a directory" in str(self.service.status()["trouble"])
        with mock.patch("os.fsync", side_effect=OSError(28, "No space left on device")):
            self.clock.advance(RETRY_MIN_S)
            yield self.quiet()
        assert "No space left" in str(self.service.status()["trouble"])
        assert len(self.lines) == 2

    @inlineCallbacks
    def test_a_last_try_is_made_at_the_stop(self) -> Steps:
        """It fails, and the stop ends all the same; or it succeeds."""
        self.path.mkdir()
        self.service.startService()
        yield self.quiet()
        self.path.rmdir()
        yield self.service.stopService()
        assert self.path.read_text() == "42\n"
        other = ValueFile(reactor=self.clock, store=self.store, path=self.folder / "no" / "value")
        other.startService()
        yield other.stopService()
        assert self.clock.getDelayedCalls() == []

    @inlineCallbacks
    def test_a_disk_that_hangs_is_trouble_until_it_answers(self) -> Steps:
        """A node does not wait for it when it stops; when it answers all the same, the file is whole."""
        go_on = self.hang()
        self.service.startService()
        self.clock.advance(SLOW_S)
        assert "not answered for 10 s" in str(self.service.status()["trouble"])
        node = Node(self.clock, [], [Stop(self.service.stopService, 1.0)])
        stopped = node.stopService()
        self.assertNoResult(stopped)  # type: ignore[no-untyped-call]  # likewise
        self.clock.advance(1.0)
        self.successResultOf(stopped)
        quiet = self.quiet()
        go_on()
        yield quiet
        assert (self.path.read_text(), self.healthy()) == ("42\n", True)

    @inlineCallbacks
    def test_a_fault_of_ours_is_logged_and_tried_again(self) -> Steps:
        """With a traceback."""
        with mock.patch("os.fchmod", side_effect=ZeroDivisionError("x")):
            self.service.startService()
            yield self.quiet()
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1  # type: ignore[no-untyped-call]  # likewise
        self.clock.advance(RETRY_MIN_S)
        yield self.quiet()
        assert (self.path.read_text(), self.healthy()) == ("42\n", True)


class ReaderTests(SynchronousTestCase):
    """Whoever reads."""

    def test_a_reader_never_sees_half_a_file(self) -> None:
        """Long and short values follow each other, and every look finds one of them, whole."""
        folder = Path(tempfile.mkdtemp(prefix="onevalue-"))
        self.addCleanup(shutil.rmtree, folder)
        values: list[Value] = [1, "x" * 100_000]
        replace_text(folder / "value", canonical(values[0]))
        over = threading.Event()

        def write() -> None:
            with mock.patch("os.fsync"):
                for number in range(200):
                    replace_text(folder / "value", canonical(values[number % 2]))
            over.set()

        writer = threading.Thread(target=write)
        writer.start()
        lengths: dict[int, None] = {}
        while not over.is_set():
            lengths[len((folder / "value").read_bytes())] = None
        writer.join()
        assert set(lengths) <= {2, 100_003}
