"""The operator's program: lists the drills, runs those that he names, and says of each whether it holds."""

import argparse
import signal
import time
from collections.abc import Sequence

from tools.drilling.catalogue import DRILLS, Drill, run
from tools.drilling.exercise import DESK, QUICK, Pace

ABOUT = """
Failure drills: each starts three nodes of its own on this machine, has them written to and read all the time, does
something to them, and says whether they kept their promises. Nothing of yours is touched.
"""
NOTE = """
A power cut cannot be rehearsed here: kill -9 stands for it, but leaves what the system has not put on the disk yet.
"""
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0 if all that ran holds, 1 if something does not, or nothing could run, 2 for wrong usage."""
    names = [drill.name for drill in DRILLS]
    parser = argparse.ArgumentParser(prog="drills.py", description=ABOUT)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(names)}; or all")
    parser.add_argument("--quick", action="store_true", help="shorter faults, and nodes that notice sooner")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in {*names, "all"}]
    if unknown:
        parser.error(f"no such drill: {', '.join(unknown)}. There are {', '.join(names)}; or all")
    if not options.names:
        _list()
        return 0
    chosen = [drill for drill in DRILLS if drill.name in options.names or "all" in options.names]
    before = [(number, signal.signal(number, _interrupt)) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        return _run_all(chosen, QUICK if options.quick else DESK)
    except KeyboardInterrupt:
        print("\ninterrupted; the nodes have ended, and nothing is mounted any more")
        return INTERRUPTED
    finally:
        for number, handler in before:
            signal.signal(number, handler)


def _interrupt(*_: object) -> None:
    """What runs is undone, and a second Ctrl-C does not get in between."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _list() -> None:
    print(ABOUT)
    for drill in DRILLS:
        reason = drill.why_not()
        print(f"  {drill.name:11}{drill.title}{f' (not here: {reason})' if reason else ''}")
    print(NOTE)
    print("python tools/drills.py NAME..., or all")


def _run_all(drills: Sequence[Drill], pace: Pace) -> int:
    verdicts: dict[str, str] = {}
    for drill in drills:
        print(f"{drill.name}: {drill.title}", flush=True)
        reason = drill.why_not()
        begun = time.monotonic()
        if reason is not None:
            verdict = f"skipped: {reason}"
        else:
            broken = run(drill, pace, lambda line: print(line, flush=True))
            verdict = "DOES NOT HOLD" if broken else "holds"
        verdicts[drill.name] = verdict
        print(f"{drill.name}: {verdict} ({time.monotonic() - begun:.0f} s)\n", flush=True)
    for name, verdict in verdicts.items():
        print(f"  {name:11}{verdict}")
    if "holds" not in verdicts.values():
        print("\nNothing was shown to hold.")
        return 1
    return 1 if "DOES NOT HOLD" in verdicts.values() else 0
