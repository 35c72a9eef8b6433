"""Runs the commands of one page of the documentation, as its reader would: `python page_runner.py PAGE [SETUP]`.

A comment before each block of commands says how it is run; readers do not see it:

    <!-- run -->                    all of it, by bash; ends with status 0
    <!-- run: until "TEXT" -->      again and again, until it prints TEXT
    <!-- run: for 2 s -->           so long; it still runs then, and has printed something
    <!-- run: background -->        it runs on until the end
    <!-- run: stops NAME -->        first the one in the background of this --name is interrupted, and ends
    <!-- not run: WHY -->

and `<!-- says: TEXT -->` behind a block, what its last line is. SETUP is a page whose blocks are run before. The
current folder is the reader's; the network should be one that nobody else uses.
"""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PATIENCE_S = 30.0
POLL_S = 0.2

_PIECE = re.compile(
    r"^<!-- (?P<how>(?:not run: |run|says: ).*?) -->$|^(?P<block>(?: {4}.*\n| *\n(?= {4}))+)", re.MULTILINE
)
_RUN = re.compile(r"run(?:: (?P<word>until|for|background|stops)(?: (?P<what>.*))?)?")


class PageError(Exception):
    """A page says what does not hold."""


@dataclass(frozen=True)
class Block:
    """Some commands of a page, how they are run, and what their last line is; None: nobody says."""

    how: str
    commands: str
    says: str | None


def blocks(page: str) -> Iterator[Block]:
    """All blocks of a page; PageError if one has no comment."""
    how: str | None = None
    found: list[Block] = []
    for piece in _PIECE.finditer(page):
        text = piece["how"]
        if text is None:
            commands = re.sub("^ {4}", "", piece["block"], flags=re.MULTILINE).strip() + "\n"
            if how is None:
                raise PageError(f"nobody says how this is run:\n{commands}")
            found.append(Block(how, commands, None))
            how = None
        elif text.startswith("says: "):
            last = found.pop()
            found.append(Block(last.how, last.commands, text.removeprefix("says: ")))
        else:
            how = text
    return iter(found)


class Reader:
    """Who follows a page."""

    def __init__(self) -> None:
        self._running: list[tuple[str, subprocess.Popen[bytes]]] = []

    def follow(self, page: Path) -> None:
        """All that is to be run was run, and did what the page says."""
        for block in blocks(page.read_text(encoding="utf-8")):
            sys.stderr.write(f"--- {block.how}\n{block.commands}")
            self._do(block)

    def stop(self) -> None:
        """Nothing runs any more."""
        for _, process in self._running:
            process.kill()
            process.wait()

    def _do(self, block: Block) -> None:
        if block.how.startswith("not run: "):
            return
        run = _RUN.fullmatch(block.how)
        if run is None:
            raise PageError(f"what is {block.how!r}?")
        word, what = run["word"], (run["what"] or "").strip('"')
        if word == "background":
            self._running.append((block.commands, subprocess.Popen(["bash", "-c", f"exec {block.commands}"])))
        elif word == "for":
            self._run_for(block.commands, float(what.removesuffix(" s")))
        elif word == "until":
            self._run_until(block.commands, what)
        else:
            if word == "stops":
                self._interrupt(what)
            said = _bash(block.commands)
            if block.says is not None and said.splitlines()[-1] != block.says:
                raise PageError(f"it says {said!r}, not {block.says!r}")

    def _run_until(self, commands: str, text: str) -> None:
        end, said = time.monotonic() + PATIENCE_S, ""
        while text not in said:
            if time.monotonic() > end:
                raise PageError(f"after {PATIENCE_S:g} s it still says {said!r}, and not {text!r}")
            time.sleep(POLL_S)
            said = _bash(commands, check=False)

    @staticmethod
    def _run_for(commands: str, seconds: float) -> None:
        try:
            done = subprocess.run(["bash", "-c", f"exec {commands}"], capture_output=True, timeout=seconds, check=False)
        except subprocess.TimeoutExpired as late:
            if not late.stdout:
                raise PageError("it has printed nothing") from None
        else:
            raise PageError(f"it ended with {done.returncode}: {done.stderr.decode()}")

    def _interrupt(self, name: str) -> None:
        for commands, process in self._running:
            if f"--name {name} " in commands and process.poll() is None:
                process.send_signal(signal.SIGINT)
                if process.wait(PATIENCE_S) not in {0, -signal.SIGINT}:  # Twisted ends by the signal itself
                    raise PageError(f"{name} ended with {process.returncode}")
                return
        raise PageError(f"nobody called {name} runs")


def _bash(commands: str, *, check: bool = True) -> str:
    done = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", commands],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    sys.stderr.write(done.stdout + done.stderr)
    if check and done.returncode != 0:
        raise PageError(f"it ended with {done.returncode}")
    return done.stdout


def main() -> int:
    """Returns 1, and says why, if a page does not hold."""
    reader = Reader()
    # Whatever runs in the background of a shell ignores it, and all that it starts, too; a terminal does not.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    page, *setup = map(Path, sys.argv[1:])
    try:
        for each in [*setup, page]:
            reader.follow(each)
    except (PageError, subprocess.TimeoutExpired) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    finally:
        reader.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
