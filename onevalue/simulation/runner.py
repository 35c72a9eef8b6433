"""Runs by their seeds: a campaign of many on all cores, or one again, with the logs of its nodes.

It must not know what a scenario is made of.
"""

import gc
import sys
import time
from collections.abc import Mapping, Sequence
from multiprocessing import get_context
from typing import Any, TextIO

from twisted.logger import formatEvent, globalLogBeginner

from onevalue.simulation.command import quiet
from onevalue.simulation.run import Run, Verdict
from onevalue.simulation.scenario import draw

GC_THRESHOLDS = (200_000, 20, 100)
"""While it lasts a run makes little garbage in circles, and much that looks like it; at its end it is all garbage."""

PROGRESS_S = 10.0
"""Between two lines of progress."""


def play(seed: int) -> Verdict:
    """One run, by its seed; nothing of it is left in memory.

    A cluster is one large circle. With these thresholds Python itself would look for what is old after thousands of
    runs only, and a process would grow by some 0.7 MB with each.
    """
    verdict = Run(draw(seed)).play()
    gc.collect()
    return verdict


def campaign(seeds: Sequence[int], jobs: int, out: TextIO) -> list[Verdict]:
    """All seeds were run, in so many processes; what failed is told as it happens, and returned."""
    failed, settled, steps, began = [], [], 0, time.monotonic()
    told = began
    with get_context("spawn").Pool(jobs, prepare) as pool:
        for done, verdict in enumerate(pool.imap_unordered(play, seeds), 1):
            steps += verdict.steps
            if verdict.settled_s is not None:
                settled.append(verdict.settled_s)
            if verdict.complaint is not None:
                failed.append(verdict)
                print(f"seed {verdict.scenario.seed}: {verdict.complaint}", file=out)
                print(f"  {verdict.scenario}", file=out)
                print(f"  again: python -m onevalue.simulation --seed {verdict.scenario.seed}", file=out, flush=True)
            if time.monotonic() - told >= PROGRESS_S or done == len(seeds):
                told = time.monotonic()
                line = f"{done} of {len(seeds)} seeds, {len(failed)} failed, {told - began:.0f} s"
                print(line, file=sys.stderr, flush=True)
    longest = max(settled, default=0.0)
    print(
        f"{len(seeds)} seeds from {seeds[0]}: {len(failed)} failed; {time.monotonic() - began:.0f} s on {jobs} cores,"
        f" {steps} steps; all agreed again at most {longest:.0f} virtual s after the last fault",
        file=out,
        flush=True,
    )
    return failed


def again(seed: int, out: TextIO) -> Verdict:
    """One run, with each line of the nodes' logs and its virtual time."""
    run = Run(draw(seed))

    def write(event: Mapping[str, Any]) -> None:
        source = event.get("log_source")
        name = getattr(source, "local_name", None) or getattr(getattr(source, "_spread", None), "name", "")
        print(f"{run.cluster.clock.now:10.4f} {name:6} {formatEvent(dict(event))}", file=out)

    globalLogBeginner.beginLoggingTo([write], redirectStandardIO=False, discardBuffer=True)  # type: ignore[list-item]  # an observer
    run.tell = lambda text: print(f"{run.cluster.clock.now:10.4f} {text}", file=out)
    print(run.scenario, file=out)
    verdict = run.play()
    print(f"digest {verdict.digest:08x}, {verdict.steps} steps, {verdict.writes} writes", file=out)
    print(verdict.complaint or f"no complaint; all agreed {verdict.settled_s:g} s after the last fault", file=out)
    return verdict


def prepare() -> None:
    """What each process of a campaign begins with: no logs, and little collecting of garbage, never of the program."""
    quiet()
    gc.set_threshold(*GC_THRESHOLDS)
    gc.freeze()
