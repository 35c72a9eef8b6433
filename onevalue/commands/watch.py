"""The verb `watch`: a line for each change, or a run of a command.

It must not know how changes are heard, nor how a command is run.
"""

import argparse
import secrets
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from onevalue.commands.acting import ENVIRONMENT_VALUE_MAX, Latest, Runner, inherited
from onevalue.commands.hearing import changes
from onevalue.commands.nodes import Nodes, add_node_options, nodes_of
from onevalue.commands.tables import cell, json_text, utc
from onevalue.commands.verb import Exit, UsageError, Verb
from onevalue.replies import Reading

STOP_TIME_MAX_S = 10
"""So long a run that was told to end may take; then it is killed."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """See Verb."""
    parser.description = (
        "Prints the state now, and each newer one when it comes: generation, time, origin, value. It never goes back, "
        "and comes back to the nodes for ever. SIGTERM or SIGINT end it, with status 0."
    )
    parser.add_argument(
        "--exec",
        nargs=argparse.REMAINDER,
        dest="command",
        metavar="CMD",
        help="run CMD, with all arguments that follow, for each state, instead of printing: the value as JSON on its "
        "standard input, and in ONEVALUE_VALUE (up to "
        f"{ENVIRONMENT_VALUE_MAX // 1024} KiB), beside ONEVALUE_GENERATION, ONEVALUE_TAG, ONEVALUE_ORIGIN, "
        "ONEVALUE_TIME. One run at a time: of the states that come during a run the last is next. A run that fails is "
        "told, and not repeated. No shell: write sh -c '...' for one",
    )
    add_node_options(parser)


def run(options: argparse.Namespace, out: TextIO, err: TextIO) -> int:
    """See Verb."""
    nodes = nodes_of(options)

    def tell(sentence: str) -> None:
        err.write(f"onevalue: {sentence}\n")
        err.flush()

    if options.command is None:
        _print(nodes, out, tell, as_json=options.json)
    else:
        if not options.command or shutil.which(options.command[0]) is None:
            raise UsageError(f"--exec: there is no command {' '.join(options.command[:1])!r}")
        _act(nodes, Runner(options.command, tell, inherited()), tell)
    return Exit.DONE


def line(reading: Reading) -> str:
    """A state for people; the value comes last, as it may have spaces."""
    state = reading.state
    return f"{state.generation}  {utc(state.time)}  {cell(state.origin) or '-'}  {json_text(state.value)}"


class _EndedError(BaseException):
    """A signal has ended what was going on."""


def _print(nodes: Nodes, out: TextIO, tell: Callable[[str], None], *, as_json: bool) -> None:
    """Prints until a signal comes."""

    def end(*_: object) -> None:
        raise _EndedError

    try:
        with handling({signal.SIGTERM: end, signal.SIGINT: end}):
            for reading in changes(nodes, secrets.SystemRandom(), time.sleep, tell):
                out.write((json_text(reading.document) if as_json else line(reading)) + "\n")
                out.flush()
    except _EndedError:
        pass


def _act(nodes: Nodes, runner: Runner, tell: Callable[[str], None]) -> None:
    """Runs until a signal comes; then the run that is under way is told to end, waited for, and at last killed."""
    latest = Latest()

    def hear() -> None:
        try:
            for reading in changes(nodes, secrets.SystemRandom(), time.sleep, tell):
                latest.put(reading)
        except BaseException as error:  # noqa: BLE001  # it is raised where the runs are made
            latest.end(error)

    def end(*_: object) -> None:
        latest.end()
        runner.stop()
        signal.alarm(STOP_TIME_MAX_S)

    def kill(*_: object) -> None:
        runner.kill()

    with handling({signal.SIGTERM: end, signal.SIGINT: end, signal.SIGALRM: kill}):
        threading.Thread(target=hear, daemon=True).start()
        while (reading := latest.take()) is not None:
            runner.run(reading)
        signal.alarm(0)


@contextmanager
def handling(handlers: dict[signal.Signals, Callable[..., Any]]) -> Iterator[None]:
    """These signals have these handlers, within."""
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


WATCH = Verb(add_options, run)
