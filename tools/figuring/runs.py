"""Points, each simulated with some seeds, every run in a process of its own; and what came out, kept as JSON.

It must not know what the points are for, nor how they are shown.
"""

import io
import json
import math
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from onevalue.simulation.command import timed
from onevalue.simulation.network import LATENCIES
from onevalue.simulation.planning import Outcome, Plan, reached

LARGE = 3200
"""Clusters of this size and above are simulated one at a time: their memory grows with the square of their size."""

LAN_LATENCY = LATENCIES["lan"]
HOP_MS = 1000 * LAN_LATENCY.slow_s
"""What 99 of 100 packets take at most, from one node to another."""

MIB = 2**20


class Point(NamedTuple):
    """What is simulated with one seed or more.

    Attributes:
        kind: what is compared, by a word of the section's own.
        lifeguard: all of Lifeguard, or the little of BARE.
        nodes: how many.
        loss: share of packets.
        stall_s: for how long at most some nodes stand still; 0: none does.
        duration_s: virtual.
    """

    kind: str
    nodes: int
    loss: float = 0.0
    lifeguard: bool = True
    stall_s: float = 0.0
    duration_s: float = 60.0


Runs = dict[str, float | None]
"""The figures of one run by their names; None is what was not observed."""

Results = dict[Point, dict[int, Runs]]
"""By seed."""


@dataclass(frozen=True)
class Section:
    """One subject.

    Attributes:
        title: in progress.
        grid: points and how many seeds each has; of small clusters only if so asked.
        plan: of a point.
        figures: what is kept of a run.
        tables: Markdown.
        draw: the picture.
        alone: its runs are timed, so nothing else may run.
    """

    title: str
    grid: Callable[[], Iterable[tuple[Point, int]]]
    plan: Callable[[Point], Plan]
    figures: Sequence[str]
    tables: Callable[[Results], str]
    draw: Callable[[Results, Path], None]
    alone: bool = False


class Task(NamedTuple):
    """One run; everything that a process must know."""

    point: Point
    plan: Plan
    figures: tuple[str, ...]


def measure(task: Task) -> tuple[Point, int, Runs]:
    """One run, in a process that does nothing else."""
    outcome = timed(task.plan, io.StringIO())
    figures = figures_of(outcome)
    return task.point, task.plan.seed, {name: figures[name] for name in task.figures}


def figures_of(outcome: Outcome) -> Runs:
    """All that any section keeps: times in ms where the name says so, else in s."""
    others = outcome.plan.nodes - 1

    def spread_ms(share: float) -> float | None:
        at = reached(outcome.got_at, others, share)
        return None if at is None else round(1000 * at, 4)

    return {
        "p50_ms": spread_ms(0.50),
        "p99_ms": spread_ms(0.99),
        "last_ms": spread_ms(1.0),
        "first_s": _rounded(min(outcome.detected, default=None)),
        "last_s": _rounded(reached(outcome.detected, others, 1.0)),
        "false": outcome.false_failures,
        "false_healthy": outcome.false_failures_healthy,
        "packets": _rounded(outcome.packets / outcome.traffic_s),
        "bytes": round(outcome.bytes / outcome.traffic_s, 1),
        "wall_s": round(outcome.wall_s, 2),
        "cpu_s": round(time.process_time(), 2),
        "steps": outcome.steps,
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MIB),
    }


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 3)


def run(
    section: Section, points: Iterable[tuple[Point, int]], jobs: int, results: Results, duration_max_s: float = math.inf
) -> Iterator[None]:
    """What `results` lacks of these points is run, small clusters first; each result is in there when it is yielded."""
    tasks = []
    for point, seeds in points:
        plan = section.plan(point)
        short = replace(plan, duration_s=min(plan.duration_s, duration_max_s))
        wanted = [seed for seed in range(1, seeds + 1) if seed not in results.get(point, {})]
        tasks += [Task(point, replace(short, seed=seed), tuple(section.figures)) for seed in wanted]
    tasks.sort(key=lambda task: (task.point.nodes, task.plan.seed))
    began = time.monotonic()
    done = 0
    for large in (False, True):
        share = [task for task in tasks if (task.point.nodes >= LARGE) is large]
        workers = 1 if large or section.alone else jobs
        with get_context("spawn").Pool(workers, maxtasksperchild=1) as pool:
            for point, seed, figures in pool.imap_unordered(measure, share):
                results.setdefault(point, {})[seed] = figures
                done += 1
                told = f"{section.title}: {done} of {len(tasks)} runs in {time.monotonic() - began:.0f} s; {point}"
                print(told, file=sys.stderr, flush=True)
                yield


def save(path: Path, section: Section, results: Results) -> None:
    """The results as JSON, one point a line."""
    lines = []
    for point, by_seed in sorted(results.items()):
        seeds = sorted(by_seed)
        runs = {name: [by_seed[seed][name] for seed in seeds] for name in section.figures}
        medians = {name: median(each) for name, each in runs.items()}
        lines.append(json.dumps({**point._asdict(), "seeds": seeds, "medians": medians, "runs": runs}))
    head = json.dumps({"section": section.title, "machine": machine(), "latency": "lan", "hop_ms": round(HOP_MS, 4)})
    text = head[:-1] + ', "points": [\n' + ",\n".join(lines) + "\n]}\n"
    path.write_text(text.replace('": ', '":').replace(', "', ',"'))


def load(path: Path, section: Section) -> Results:
    """What `save` wrote."""
    results: Results = {}
    for each in json.loads(path.read_text())["points"]:
        point = Point(**{name: each[name] for name in Point._fields})
        results[point] = {
            seed: {name: each["runs"][name][i] for name in section.figures} for i, seed in enumerate(each["seeds"])
        }
    return results


def machine() -> str:
    """What ran this, and when."""
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.machine(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores ({model}), {memory:.0f} GiB, {platform.system()}, "
        f"Python {platform.python_version()}"
    )


def median(numbers: Sequence[float | None]) -> float | None:
    """Where what was not observed counts as later than all else."""
    middle = statistics.median_high([math.inf if number is None else number for number in numbers])
    return None if math.isinf(middle) else middle


def worst(numbers: Sequence[float | None]) -> float | None:
    """The largest; None if one was not observed."""
    known = [number for number in numbers if number is not None]
    return max(known) if len(known) == len(numbers) else None


def values(results: Results, point: Point, name: str) -> list[float | None]:
    """One figure of all seeds of a point."""
    return [figures[name] for figures in results.get(point, {}).values()]


def middles(results: Results, points: Sequence[Point], name: str) -> list[float | None]:
    """The median of each point."""
    return [median(values(results, point, name)) if point in results else None for point in points]


def worsts(results: Results, points: Sequence[Point], name: str) -> list[float | None]:
    """The worst seed of each point."""
    return [worst(values(results, point, name)) if point in results else None for point in points]


def seeds_of(results: Results, points: Iterable[Point]) -> str:
    """How many seeds these points have, as people say it."""
    counts = sorted({len(results[point]) for point in points if point in results})
    if not counts:
        return "none"
    least, most = counts[0], counts[-1]
    return str(least) if least == most else f"{least} to {most}"
