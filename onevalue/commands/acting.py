"""Runs a command for each new state: one run at a time, the latest state wins.

The state comes in on one thread and waits in `Latest`, where a newer one takes its place; runs are made on another.
It must not know where states come from.
"""

import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from onevalue.commands.tables import json_text
from onevalue.replies import Reading

ENVIRONMENT_VALUE_MAX = 64 * 1024
"""Bytes of a value that is put into the environment, where Linux admits 128 KiB; standard input has all values."""

GROUP_LOOK_INTERVAL_S = 0.05
"""Between two looks whether all processes of a run that was told to end are gone."""


class Latest:
    """At most one state that waits, and at last an end. `put` and `end` are for any thread, `end` for signals too."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: Reading | None = None
        self._bell: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        self._ended = False

    def put(self, reading: Reading) -> None:
        """The reading waits, instead of any that waited."""
        with self._lock:
            rings = self._waiting is None
            self._waiting = reading
        if rings:  # so that at most one ring waits, however many states come during a run
            self._bell.put(None)

    def end(self, error: BaseException | None = None) -> None:
        """`take` gives nothing more; it raises the error, if there is one."""
        self._ended = True  # no lock: a signal may interrupt whoever has it
        self._bell.put(error)

    def take(self) -> Reading | None:
        """The state that waits, as soon as there is one; None at the end."""
        error = self._bell.get()
        if error is not None:
            raise error
        if self._ended:
            return None
        with self._lock:
            reading, self._waiting = self._waiting, None
        return reading


class Runner:
    """Runs `command` (a program and its arguments, no shell), one run at a time, each in a session of its own.

    What a run has started is told to end with it. What it leaves behind when it ends of itself is its own affair.

    Args:
        tell: gets one sentence for each run that failed.
        environ: of the command, beside what tells of the state.
    """

    def __init__(self, command: Sequence[str], tell: Callable[[str], None], environ: Mapping[str, str]) -> None:
        self._command = list(command)
        self._tell = tell
        self._environ = environ
        self._child: subprocess.Popen[bytes] | None = None
        self._told_to_end = False
        self._killed = False

    def run(self, reading: Reading) -> None:
        """The command has run with this state, and ended; if it failed, that is told, and all there is."""
        text = json_text(reading.value)
        try:
            child = subprocess.Popen(  # noqa: S603  # to run what the user names is what this is for
                self._command,
                stdin=subprocess.PIPE,
                env={**self._environ, **environment(reading, text)},
                start_new_session=True,  # and so a group of processes, which signals reach as one
            )
        except OSError as error:
            self._tell(f"{self._command[0]} cannot be run: {error.strerror}")
            return
        self._child = child
        if self._told_to_end:  # a signal came while it was being started
            self._signal(signal.SIGTERM)
        child.communicate(text.encode() + b"\n")
        while self._told_to_end and not self._killed and self._signal(0):  # the program is gone, others of its are not
            time.sleep(GROUP_LOOK_INTERVAL_S)
        self._child = None
        if child.returncode < 0:
            self._tell(f"{self._command[0]} was ended by signal {-child.returncode}, with {reading.tag}")
        elif child.returncode:
            self._tell(f"{self._command[0]} failed with status {child.returncode}, with {reading.tag}")

    def stop(self) -> None:
        """The run that is under way is told to end (SIGTERM), all of it; a signal's handler may call it."""
        self._told_to_end = True
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """The run that is under way is ended the hard way, all of it; likewise."""
        self._killed = self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> bool:
        """All processes of the run have this signal, 0 for none; False if there are none."""
        if self._child is not None:
            with suppress(ProcessLookupError, PermissionError):  # a process that became another user's is out of reach
                os.killpg(self._child.pid, number)
                return True
        return False


def environment(reading: Reading, text: str) -> dict[str, str]:
    """The variables that tell a command of the state; `text` is its value as JSON."""
    told = {
        "ONEVALUE_GENERATION": str(reading.generation),
        "ONEVALUE_TAG": reading.tag,
        "ONEVALUE_ORIGIN": reading.state.origin.replace("\0", "?"),
        "ONEVALUE_TIME": repr(reading.state.time),
    }
    if len(text.encode()) <= ENVIRONMENT_VALUE_MAX:
        told["ONEVALUE_VALUE"] = text
    return told


def inherited() -> dict[str, str]:
    """The environment of this process, without what another `onevalue watch` above it may have said, and its token."""
    ours = ("ONEVALUE_VALUE", "ONEVALUE_GENERATION", "ONEVALUE_TAG", "ONEVALUE_ORIGIN", "ONEVALUE_TIME")
    return {name: value for name, value in os.environ.items() if name not in (*ours, "ONEVALUE_TOKEN")}
