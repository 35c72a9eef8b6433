"""Runs the targets under atheris, each for so many seconds; or replays one input without it.

    python -m tests.fuzz [--seconds N] [TARGET ...]
    python -m tests.fuzz --replay FILE TARGET

It ends with 0 when nothing was found. Else it tells the input that was, and how to replay it.
"""

import argparse
import importlib.util
import re
import shutil
import subprocess
import sys
import tempfile
from collections import deque
from pathlib import Path

from tests.fuzz import seeds
from tests.fuzz.targets import NAMES, load, run_timed

HANG_S = 10
"""After so many seconds libFuzzer ends an input that does not end."""

MEMORY_MAX_MB = 1024

TAIL_LINES = 40
"""So much of what the fuzzer wrote is shown when it has found something."""

_PROGRESS = re.compile(r"^#(\d+)\s+(INITED|pulse|DONE)\s+cov: (\d+) ft: (\d+) corp: (\d+)/\S+.* exec/s: (\d+)")
_FOUND = re.compile(r"Test unit written to (\S+)")


def main(arguments: list[str]) -> int:
    """The exit code of the process."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzzes what comes from the network.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(NAMES)}; all by default")
    parser.add_argument("--seconds", type=int, default=60, help="how long each target runs (60)")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="run this one input, without atheris")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.targets if name not in NAMES]
    if unknown or (options.replay and len(options.targets) != 1):
        parser.error(f"no such target: {', '.join(unknown)}" if unknown else "name the one target that the input is of")
    if options.replay:
        seconds = run_timed(load(options.targets[0]), options.replay.read_bytes())
        _say(f"{options.replay}: nothing found; {seconds * 1000:.1f} ms")
        return 0
    if importlib.util.find_spec("atheris") is None:
        parser.error("atheris is not installed; `make fuzz` installs it")
    return max([_fuzz(name, options.seconds) for name in options.targets or NAMES])


def _fuzz(name: str, seconds: int) -> int:
    folder = Path(tempfile.mkdtemp(prefix=f"fuzz-{name}-"))
    corpus = folder / "corpus"
    corpus.mkdir()
    target = load(name)
    for number, seed in enumerate(target.seeds()):
        (corpus / f"seed-{number}").write_bytes(seed)
    words = folder / "words"
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in seeds.words()))
    command = [
        *(sys.executable, "-m", "tests.fuzz.child", name),
        f"-max_total_time={seconds}",
        f"-max_len={target.size_max}",
        f"-timeout={HANG_S}",
        f"-rss_limit_mb={MEMORY_MAX_MB}",
        f"-artifact_prefix={folder}/",
        f"-dict={words}",
        "-use_value_profile=1",
        str(corpus),
    ]
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    figures = "it did not begin"
    found: str | None = None
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            tail.append(line)
            if progress := _PROGRESS.match(line):
                runs, _, edges, features, inputs, rate = progress.groups()
                figures = f"{runs} runs, {rate} a second; {edges} edges, {features} features, {inputs} inputs kept"
            if written := _FOUND.search(line):
                found = written[1]
    if process.returncode == 0:
        shutil.rmtree(folder)
        _say(f"{name}: nothing found; {figures}")
        return 0
    _say("".join(tail) + f"{name}: FOUND; {figures}")
    if found:
        _say(f"the input is {found}\nreplay it with: {sys.executable} -m tests.fuzz --replay {found} {name}")
    return 1


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
