"""The journal among processes: another one on the same folder, a kill, a fork, a disk that takes no more.

Each test starts this file as a program with a folder and the name of one of the `run_` functions.
"""

import itertools
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Coroutine
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import SynchronousTestCase

from onevalue.errors import JournalError
from onevalue.journal import Journal, open_journal
from onevalue.journal_file import FILE_NAME, HISTORY_MAX_DEFAULT, connect, open_file, read_history
from onevalue.journal_records import Contents
from onevalue.store import Source, State
from onevalue.types import Generation

PROGRAM = Path(__file__).resolve()
PROCESS_TIMEOUT_S = 60.0
ACKNOWLEDGED = 50

Job = Callable[[Journal, Path, Any], Coroutine["Deferred[Any]", Any, None]]


def state(generation: int) -> State:
    """A state of a node."""
    return State(Generation(generation), generation, "n1" * 100, 1.5)


def say(what: object) -> None:
    """A line for the test."""
    sys.stdout.write(f"{json.dumps(what)}\n")
    sys.stdout.flush()


async def run_write_on(journal: Journal, folder: Path, reactor: Any) -> None:  # noqa: ARG001  # see Job
    """Append for ever, three at a time, and say what was acknowledged."""
    for generation in itertools.count(1, 3):
        writes = [journal.append([state(generation + number)], Source.SET) for number in range(3)]
        for number, write in enumerate(writes):
            await write
            say(generation + number)


async def run_full(journal: Journal, folder: Path, reactor: Any) -> None:
    """Write until the system lets no file grow, then until it does again."""
    await journal.append([state(1)], Source.SET)
    log = folder / f"{FILE_NAME}-wal"
    resource.setrlimit(resource.RLIMIT_FSIZE, (log.stat().st_size + 1000, resource.RLIM_INFINITY))
    try:
        await journal.append([state(2)], Source.SET)
    except JournalError as error:
        say(str(error))
    say(journal.trouble)
    journal.learn(state(10), Source.EVENT)
    say([entry.state.generation for entry in await journal.history(10)])
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    while journal.durable != state(10):
        await deferLater(reactor, 0.01)
    say(journal.trouble)
    await journal.append([state(11)], Source.SET)
    await journal.close()


async def run_fork(journal: Journal, folder: Path, reactor: Any) -> None:  # noqa: ARG001  # see Job
    """What a daemon does after twistd has forked."""
    await journal.append([state(5)], Source.SET)
    say("written")
    sys.stdin.readline()
    await journal.close()


def main() -> None:
    """The journal is opened, then the reactor runs the job, in a forked child if the job is that."""
    from twisted.internet import reactor as installed  # noqa: PLC0415  # never at module level

    reactor: Any = installed
    folder, name = Path(sys.argv[1]), sys.argv[2]
    job: Job = {"write_on": run_write_on, "full": run_full, "fork": run_fork}[name]
    journal = open_journal(folder, reactor)
    if name == "fork" and os.fork():
        os._exit(0)

    def start() -> None:
        done = ensureDeferred(job(journal, folder, reactor))
        done.addErrback(lambda failure: failure.printTraceback())
        done.addBoth(lambda _: reactor.stop())

    reactor.callWhenRunning(start)
    reactor.run()


class ProcessTests(SynchronousTestCase):
    """Each with processes of their own."""

    def setUp(self) -> None:
        """An empty folder."""
        self.folder = Path(tempfile.mkdtemp(prefix="onevalue-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.path = self.folder / FILE_NAME

    def start(self, job: str) -> "subprocess.Popen[str]":
        """The job runs in a process that does not outlive the test."""
        command = [sys.executable, str(PROGRAM), str(self.folder), job]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        watchdog = threading.Timer(PROCESS_TIMEOUT_S, process.kill)
        self.addCleanup(watchdog.cancel)
        watchdog.start()
        return process

    def open_and_close(self) -> Contents:
        """What a start finds."""
        journal = open_journal(self.folder, NoReactor())
        self.successResultOf(journal.close())
        return journal.contents

    def test_every_acknowledged_write_survives_a_kill(self) -> None:
        """After kill -9 in the middle of appends all that were acknowledged are there."""
        process = self.start("write_on")
        assert process.stdout is not None
        acknowledged = [int(process.stdout.readline()) for _ in range(ACKNOWLEDGED)]
        process.kill()
        acknowledged += [int(line) for line in process.stdout if line.endswith("\n")]
        assert acknowledged == list(range(1, len(acknowledged) + 1))
        contents = self.open_and_close()
        assert contents.state is not None
        assert contents.state.generation >= acknowledged[-1]
        with closing(connect(self.path)) as connection:
            kept = [entry.state.generation for entry in reversed(read_history(connection, HISTORY_MAX_DEFAULT))]
        assert kept == list(range(1, contents.state.generation + 1))[-HISTORY_MAX_DEFAULT:]

    def test_another_process_is_refused(self) -> None:
        """While one process has the folder another cannot open it; after its death it can."""
        process = self.start("write_on")
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(JournalError, match=f"{self.folder}: another onevalue runs there"):
            self.open_and_close()
        process.kill()
        process.communicate(timeout=PROCESS_TIMEOUT_S)
        assert self.open_and_close().state is not None

    def test_a_file_that_cannot_grow_fails_the_append_only(self) -> None:
        """The system refuses to write: the append fails, the history is readable, and all goes on when it gives way."""
        process = self.start("full")
        output, _ = process.communicate(timeout=PROCESS_TIMEOUT_S)
        error, trouble, history, after = (json.loads(line) for line in output.splitlines())
        assert str(self.path) in error
        assert trouble == error
        assert history == [1]
        assert after is None
        assert open_file(self.path).state == state(11)

    def test_a_fork_before_the_reactor_runs_keeps_lock_and_journal(self) -> None:
        """As twistd does to become a daemon: the child writes, and nobody else gets in though the parent is gone."""
        process = self.start("fork")
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == '"written"\n'
        process.wait(timeout=PROCESS_TIMEOUT_S)
        with pytest.raises(JournalError, match="another onevalue runs there"):
            self.open_and_close()
        process.communicate("end\n", timeout=PROCESS_TIMEOUT_S)
        assert open_file(self.path).state == state(5)


class NoReactor(Clock):
    """For a journal that is opened and never used."""

    def callWhenRunning(self, call: Callable[[], None]) -> None:
        """It never runs."""


if __name__ == "__main__":
    main()
