"""`onevalue simulate`: its options, its progress, its table and its JSON.

It must not know how anything is simulated; `planning` does, and `plots` makes the picture.
"""

import argparse
import gc
import json
import math
import os
import time
from pathlib import Path
from typing import TextIO

from twisted.logger import globalLogBeginner

from onevalue.commands.verb import Verb
from onevalue.options import PROFILES
from onevalue.simulation.cluster import Settings
from onevalue.simulation.network import LATENCIES
from onevalue.simulation.planning import CRASH_AT, WRITE_AT, Outcome, Plan, simulate

NODES_MAX = 10_000

BYTES_PER_PAIR = 750
"""What it takes in memory that a node knows another, in all its tables (docs/simulation.md, "Growth")."""

BYTES_BESIDE = 100_000_000

PROGRESS_S = 0.5
"""Real seconds between two lines of progress."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    parser.description = (
        "Runs the node's own code in virtual time: a cluster with one write at 1/6 and one crash, of a whole host, at "
        "1/2 of the duration. One seed gives one run."
    )
    parser.add_argument("--nodes", type=_nodes, default=100, help=f"how many, from 1 to {NODES_MAX} (100)")
    parser.add_argument("--loss", type=_share, default=0.0, help="share of packets that vanish, from 0 to below 1 (0)")
    parser.add_argument("--latency", choices=sorted(LATENCIES), default="lan", help="of the network (lan)")
    parser.add_argument("--seed", type=int, default=1, help="sets all chance (1)")
    parser.add_argument("--duration", type=_seconds, default=60.0, help="virtual seconds (60)")
    parser.add_argument(
        "--cold", action="store_true", help="nobody knows anybody at the start: all join the first three"
    )
    parser.add_argument("--json", action="store_true", help="one object on one line, instead of a table")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="a picture of it (needs onevalue[plot])")


def run(options: argparse.Namespace, out: TextIO, err: TextIO) -> int:
    """The plan was simulated and told; returns the status of the process."""
    if options.plot is not None:
        try:
            from onevalue.simulation.plots import draw  # noqa: PLC0415  # matplotlib takes long to load, and is an extra
        except ImportError:
            err.write("onevalue: --plot needs matplotlib: pip install 'onevalue[plot]'\n")
            return 2
    needed, there = BYTES_PER_PAIR * options.nodes**2 + BYTES_BESIDE, memory_bytes()
    if needed > there:
        err.write(f"onevalue: {options.nodes} nodes need {needed / 1e9:.0f} GB of memory, this machine has")
        err.write(f" {there / 1e9:.0f}: fewer --nodes\n")
        return 2
    plan = Plan(
        nodes=options.nodes,
        loss=options.loss,
        latency=options.latency,
        seed=options.seed,
        duration_s=options.duration,
        cold=options.cold,
        settings=Settings(with_journal=False, swim=PROFILES[options.latency]),
    )
    outcome = timed(plan, err)
    out.write(json.dumps(outcome.to_json()) + "\n" if options.json else table(outcome))
    out.flush()
    if options.plot is not None:
        try:
            draw(outcome, options.plot)
        except (OSError, ValueError) as error:
            err.write(f"onevalue: the picture cannot be written: {error}\n")
            return 1
    return 0


def timed(plan: Plan, err: TextIO) -> Outcome:
    """The outcome of a plan, with the real time that it took; progress is written to `err` meanwhile."""
    quiet()
    began = told = time.monotonic()

    def progress(virtual_s: float) -> None:
        nonlocal told
        now = time.monotonic()
        if now - told >= PROGRESS_S:
            told = now
            err.write(f"\rsimulated {virtual_s:.0f} of {plan.duration_s:g} s in {now - began:.0f} s ")
            err.flush()

    collecting = gc.isenabled()
    gc.disable()  # nothing is garbage until the end, and there may be millions of things to look at
    try:
        outcome = simulate(plan, progress)
    finally:
        if collecting:
            gc.enable()
    if told > began:
        err.write("\r" + " " * 60 + "\r")
        err.flush()
    outcome.wall_s = time.monotonic() - began
    return outcome


def memory_bytes() -> int:
    """What this machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def quiet() -> None:
    """The nodes' logs go nowhere."""
    globalLogBeginner.beginLoggingTo([], redirectStandardIO=False, discardBuffer=True)


def table(outcome: Outcome) -> str:
    """What people read."""
    plan, figures = outcome.plan, outcome.to_json()
    spread, detect = figures["spread_s"], figures["detect_s"]
    assert isinstance(spread, dict)
    assert isinstance(detect, dict)
    known = "nobody known at the start" if plan.cold else "all known at the start"
    rows = [
        ("cluster", f"{plan.nodes} nodes, {plan.latency}, {100 * plan.loss:g}% loss, {known}, seed {plan.seed}"),
        ("simulated", f"{plan.duration_s:g} s, in {outcome.wall_s:.1f} s"),
        (f"write at {WRITE_AT * plan.duration_s:g} s", "acknowledged" if outcome.written_at is not None else "refused"),
        ("  half of the others have it after", _time(spread["p50"])),
        ("  99% of them", _time(spread["p99"])),
        ("  the last", _time(spread["last"])),
        (f"crash at {CRASH_AT * plan.duration_s:g} s", "of a host" if outcome.crashed_at is not None else "none"),
        ("  the first knows it after", _time(detect["first"])),
        ("  the last", _time(detect["last"])),
        ("running nodes called failed", str(figures["false_failures"])),
        ("sent by a node", f"{_number(figures['packets_per_node_s'])} packets and "),
    ]
    rows[-1] = (rows[-1][0], rows[-1][1] + f"{_number(figures['bytes_per_node_s'])} bytes a second")
    width = max(len(name) for name, _ in rows) + 2
    return "".join(f"{name:{width}}{value}\n" for name, value in rows)


def _time(seconds: object) -> str:
    if not isinstance(seconds, float):
        return "not observed"
    return f"{1000 * seconds:.2f} ms" if seconds < 1 else f"{seconds:.2f} s"


def _number(number: object) -> str:
    return f"{number:.1f}" if isinstance(number, float) else "-"


def _nodes(text: str) -> int:
    number = int(text)
    if not 1 <= number <= NODES_MAX:
        raise argparse.ArgumentTypeError(f"from 1 to {NODES_MAX}, not {text}")
    return number


def _share(text: str) -> float:
    number = float(text)
    if not 0 <= number < 1:
        raise argparse.ArgumentTypeError(f"from 0 to below 1, not {text}")
    return number


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"more than 0 seconds, not {text}")
    return number


SIMULATE = Verb(add_options, run)
