"""Follows one page of the documentation, as its reader would: `python -m tests.e2e.page_runner PAGE`.

Its comments say how (page_blocks.py). The current folder is the reader's. A page may change network and mounts, and
leave processes behind: all of these should be this program's own.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from tests.e2e.page_blocks import Block, PageError, blocks

SETUPS = Path(__file__).parents[1] / "data" / "pages"

PATIENCE_S = 30.0
POLL_S = 0.1
PRINTED_MAX = 1 << 20
"""Bytes of what runs in the background that are looked at."""

BASH = ("bash", "-eu", "-o", "pipefail", "-c")
ON_A_HOST = 'hostname "$0"; mkdir -p "$0"; cd "$0"; exec "$@"'


class Running:
    """What runs on: in a session of its own, so that all of it can be ended."""

    def __init__(self, code: str, prefix: Sequence[str] = ()) -> None:
        self.code = code
        self._output = tempfile.TemporaryFile()  # noqa: SIM115  # it is open while this runs
        self._process = subprocess.Popen(
            [*prefix, *BASH, code], stdout=self._output, stderr=subprocess.STDOUT, start_new_session=True
        )

    def prints(self, text: str) -> None:
        """It has printed what matches the text, and runs."""

        def printed() -> bool:
            status = self._process.poll()
            if status is not None:
                raise PageError(f"it ended with {status}, and should go on")
            return re.search(text, self._printed(), re.MULTILINE) is not None

        _wait(printed, lambda: f"it has not printed {text!r}")

    def interrupt(self) -> None:
        """Ctrl-C was pressed, and it has ended."""
        os.killpg(self._process.pid, signal.SIGINT)
        if self._process.wait(PATIENCE_S) not in {0, -signal.SIGINT}:  # Twisted ends by the signal itself
            raise PageError(f"it ended with {self._process.returncode} when it was interrupted")

    def end(self) -> None:
        """Nothing of it runs any more; what it printed is told."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        sys.stderr.write(f"--- ran in the background:\n{self.code}{self._printed()}")
        self._output.close()

    def _printed(self) -> str:
        return os.pread(self._output.fileno(), PRINTED_MAX, 0).decode()


class Reader:
    """Who follows a page."""

    def __init__(self) -> None:
        self._running: list[Running] = []

    def follow(self, page: Path) -> None:
        """All that is to be run was run, and did what the page says."""
        for block in blocks(page.read_text(encoding="utf-8")):
            sys.stderr.write(f"--- {block.how} {block.what}\n{block.code}")
            self._do(block)

    def stop(self) -> None:
        """Nothing runs in the background any more."""
        while self._running:
            self._running.pop().end()

    def _do(self, block: Block) -> None:
        match block.how:
            case "run":
                _run(block)
            case "run: with":
                _run(block, options=block.what)
            case "run: until":
                _repeat(block)
            case "run: up to":
                self._start(block.what, Running(block.code))
                self._running.pop().end()
            case "run: background":
                self._start(block.what, Running(block.code))
            case "run: hosts":
                hosts = [f"n{number}" for number in range(1, 1 + len(block.code.splitlines()))]
                self._start(block.what, *map(_on_host, hosts, block.code.splitlines()))
            case "run: stops":
                self._named(block.what).interrupt()
                _run(block)
            case "dry run:":
                _run(block, environ={**os.environ, "MAKEFLAGS": "n"})
            case "afresh:":
                self.stop()
                self.follow(SETUPS / block.what)

    def _start(self, text: str, *started: Running) -> None:
        self._running += started
        for each in started:
            each.prints(text)  # at once, if there is no text

    def _named(self, name: str) -> Running:
        """What was started last of this name."""
        for running in reversed(self._running):
            if f"--name {name} " in running.code:
                return running
        raise PageError(f"nobody called {name} runs")


def _on_host(name: str, line: str) -> Running:
    """It runs in a folder of its own, too, which has the name of the host."""
    enter = ("nsenter", f"--net=/run/netns/{name}", "unshare", "--uts", "sh", "-c", ON_A_HOST, name)
    return Running(f"{line}\n", enter)


def _run(block: Block, *, options: str = "", environ: dict[str, str] | None = None) -> None:
    """It ends with status 0, and says what the page says."""
    done = _ended(f"{block.code.rstrip()} {options}", block.language, environ)
    if done.returncode != 0:
        raise PageError(f"it ended with {done.returncode}")
    if block.says is not None and done.stdout.splitlines()[-1:] != [block.says]:
        raise PageError(f"it says {done.stdout!r}, not {block.says!r}")


def _repeat(block: Block) -> None:
    """It says what matches the text, sooner or later."""
    said = ""

    def says() -> bool:
        nonlocal said
        said = _ended(block.code, block.language).stdout
        return re.search(block.what, said, re.DOTALL) is not None

    _wait(says, lambda: f"it says {said!r}, and not {block.what!r}")


def _ended(code: str, language: str, environ: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    if language not in {"", "python"}:
        raise PageError(f"nobody knows how to run {language}")
    program = [sys.executable, "-c"] if language else BASH
    done = subprocess.run(
        [*program, code], env=environ, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    sys.stderr.write(done.stdout + done.stderr)
    return done


def _wait(done: Callable[[], bool], trouble: Callable[[], str]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not done():
        if time.monotonic() > end:
            raise PageError(f"after {PATIENCE_S:g} s {trouble()}")
        time.sleep(POLL_S)


def main() -> int:
    """Returns 1, and says why, if a page does not hold."""
    reader = Reader()
    # Whatever runs in the background of a shell ignores it, and all that it starts, too; a terminal does not.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        reader.follow(Path(sys.argv[1]))
    except (PageError, subprocess.TimeoutExpired) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    finally:
        reader.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
