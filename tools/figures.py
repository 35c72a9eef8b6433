"""`make figures`: what docs/simulation.md shows of spread, detection, false alarms, traffic and growth.

Runs grids of plans, each in a process of its own, and writes what came out as docs/simulation/NAME.json, as pictures
beside it, and as tables between the markers of the page. It owns the grids and how they are shown; it must not know how
anything is simulated, and it judges only the targets that it names.

`--draw` shows again what is in the JSON, without a run; `--keep` runs only what is not there yet; `--seeds 3` takes at
most three seeds for each point; `--quick` takes one seed, few points and short runs, and throws away what it shows.
"""

import argparse
import io
import json
import math
import os
import platform
import resource
import statistics
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from onevalue.config import LAN, SpreadSettings
from onevalue.simulation.cluster import Settings
from onevalue.simulation.command import timed
from onevalue.simulation.network import LATENCIES
from onevalue.simulation.planning import Outcome, Plan, reached

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "simulation"
PAGE = ROOT / "docs" / "simulation.md"

LARGE = 3200
"""Clusters of this size and above are simulated one at a time: their memory grows with the square of their size."""

LAN_LATENCY = LATENCIES["lan"]
HOP_MS = 1000 * LAN_LATENCY.slow_s
"""What 99 of 100 packets take at most, from one node to another."""

BARE = replace(LAN, awareness_max_multiplier=1, suspicion_max_timeout_mult=1)
"""Without two of Lifeguard's three parts: no awareness of the own health, and suspicions of one length."""

MODES = (True, False)
"""With Lifeguard, and without."""

REAL_SERF_S = {8: 6.0, 16: 7.1, 32: 9.1}
"""Real Serf agents on one machine: from kill -9 until the last of the others knew; seconds by number of agents."""

STALLING = 0.1
"""Share of nodes that stand still now and then, where any do."""

MIB = 2**20

PICTURE_DPI = 75
OURS, OTHER = "tab:blue", "tab:orange"
"""Colours."""


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


# What is run


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


# What is kept


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


def seeds_of(results: Results, points: Iterable[Point]) -> str:
    """How many seeds these points have, as people say it."""
    counts = sorted({len(results[point]) for point in points if point in results})
    if not counts:
        return "none"
    least, most = counts[0], counts[-1]
    return str(least) if least == most else f"{least} to {most}"


# How it is shown


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown."""
    lines = [" | ".join(head), "|".join("---" for _ in head), *(" | ".join(row) for row in rows)]
    return "".join(f"| {line} |\n".replace("| ---", "|---").replace("--- |", "---|") for line in lines)


def number(value: float | None, digits: int = 3) -> str:
    """With so many digits that matter; what was not observed is a dash."""
    if value is None:
        return "-"
    if value == 0:
        return "0"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:.{places}f}"


def yes(*, holds: bool) -> str:
    """Whether a target holds."""
    return "holds" if holds else "**does not hold**"


def curve(axes: "Axes", points: Sequence[Point], heights: Sequence[float | None], **style: Any) -> None:
    """Over the number of nodes; nothing where nothing was observed."""
    there = [(point.nodes, height) for point, height in zip(points, heights, strict=True) if height is not None]
    if there:
        axes.plot(*zip(*there, strict=True), marker=".", **style)


def over_nodes(axes: "Axes", nodes: Iterable[int]) -> None:
    """A logarithmic axis with the sizes that were simulated."""
    ticks = sorted(nodes)
    axes.set_xscale("log")
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.set_xlabel("nodes")
    axes.grid(visible=True, alpha=0.3)


def picture(width: float = 8.0, height: float = 4.0) -> "Figure":
    """An empty one; inches."""
    from matplotlib.figure import Figure  # noqa: PLC0415  # the processes that simulate do without it

    return Figure(figsize=(width, height), layout="constrained")


def write_picture(figure: "Figure", path: Path) -> None:
    """Small enough for the repository."""
    figure.savefig(path, dpi=PICTURE_DPI)


# spread

SPREAD_NODES = {3: 10, 10: 10, 32: 10, 100: 10, 320: 5, 1000: 3, 3200: 1}
LOSSES = (0.0, 0.01, 0.05, 0.20)
SPREAD_S = {1000: 6.0, 3200: 6.0}
PLAIN_NODES_MAX = 1000
HEAVY_LOSS, HEAVY_SEEDS = 0.20, {1000: 1, 3200: 1}
"""With so much loss many are suspected all the time, and everybody hears of each: a large cluster takes very long."""


def spread_point(kind: str, nodes: int, loss: float) -> Point:
    """The write is at 1/6 of the duration: 10 s are left for it, in the largest clusters 5."""
    return Point(kind, nodes, loss, duration_s=SPREAD_S.get(nodes, 12.0))


def spread_grid() -> Iterator[tuple[Point, int]]:
    """See Section."""
    for nodes, seeds in SPREAD_NODES.items():
        for loss in LOSSES:
            runs = HEAVY_SEEDS.get(nodes, seeds) if loss >= HEAVY_LOSS else seeds
            yield spread_point("ours", nodes, loss), runs
            if nodes <= PLAIN_NODES_MAX:
                yield spread_point("plain", nodes, loss), runs


def spread_plan(point: Point) -> Plan:
    """See Section."""
    return Plan(
        nodes=point.nodes, loss=point.loss, duration_s=point.duration_s, crash=False, plain=point.kind == "plain"
    )


def hops(nodes: int) -> int:
    """How many trips one after another bring a value to all, if none is lost."""
    return 1 if nodes - 1 <= SpreadSettings().direct_members_max else 2


def spread_points(results: Results, kind: str, loss: float) -> list[Point]:
    """Those that were run, by size."""
    return sorted(point for point in results if point.kind == kind and point.loss == loss)


def middles(results: Results, points: Sequence[Point], name: str) -> list[float | None]:
    """The median of each point."""
    return [median(values(results, point, name)) if point in results else None for point in points]


def worsts(results: Results, points: Sequence[Point], name: str) -> list[float | None]:
    """The worst seed of each point."""
    return [worst(values(results, point, name)) if point in results else None for point in points]


def spread_tables(results: Results) -> str:
    """See Section."""
    text = spread_targets(results)
    head = ["nodes", "seeds", "floor", "slow floor", "half", "99%", "last", "worst last", "in hops"]
    head += ["plain: half", "99%", "last", "worst last"]
    for loss in LOSSES:
        rows = []
        for point in spread_points(results, "ours", loss):
            plain = point._replace(kind="plain")
            last = worst(values(results, point, "last_ms"))
            row = [str(point.nodes), seeds_of(results, [point])]
            row += [number(hops(point.nodes) * each) for each in (1000 * LAN_LATENCY.median_s, HOP_MS)]
            row += [number(each) for each in spread_row(results, point)]
            row += [number(None if last is None else last / HOP_MS)]
            row += [number(each) for each in spread_row(results, plain)]
            rows.append(row)
        text += f"\n{100 * loss:g}% loss; times in ms:\n\n{table(head, rows)}" if rows else ""
    return text


def spread_row(results: Results, point: Point) -> list[float | None]:
    """Medians, and the worst last."""
    if point not in results:
        return [None] * 4
    medians = [median(values(results, point, name)) for name in ("p50_ms", "p99_ms", "last_ms")]
    return [*medians, worst(values(results, point, "last_ms"))]


def spread_targets(results: Results) -> str:
    """Each target at the worst seed of each size."""
    rows = []
    for told, loss, name, most_ms in (
        (f"no loss: the last within 2 hops' time ({2 * HOP_MS:.2f} ms)", 0.0, "last_ms", 2 * HOP_MS),
        (f"5% loss: 99% within 3 hops' time ({3 * HOP_MS:.2f} ms)", 0.05, "p99_ms", 3 * HOP_MS),
        ("5% loss: all within 3 s", 0.05, "last_ms", 3000.0),
    ):
        points = spread_points(results, "ours", loss)
        late = [
            f"{point.nodes} nodes: {number(slowest)} ms"
            for point, slowest in zip(points, worsts(results, points, name), strict=True)
            if slowest is None or slowest > most_ms
        ]
        sizes = f"{points[0].nodes} to {points[-1].nodes} nodes" if points else "nothing was run"
        rows.append([told, sizes, yes(holds=bool(points) and not late), "; ".join(late) or "none"])
    return table(["target, at the worst seed", "looked at", "", "exceptions"], rows)


def spread_draw(results: Results, path: Path) -> None:
    """See Section."""
    figure = picture(8.2, 6.4)
    panels = figure.subplots(2, 2, sharex=True, sharey=True)
    for axes, loss in zip(panels.flat, LOSSES, strict=True):
        ours, plain = (spread_points(results, kind, loss) for kind in ("ours", "plain"))
        curve(axes, ours, [hops(p.nodes) * HOP_MS for p in ours], label="floor, slow", color="gray", linestyle=":")
        curve(axes, ours, middles(results, ours, "p50_ms"), label="half", color=OURS, linestyle=":")
        curve(axes, ours, middles(results, ours, "p99_ms"), label="99%", color=OURS, linestyle="--")
        curve(axes, ours, worsts(results, ours, "last_ms"), label="worst last", color=OURS)
        curve(axes, plain, middles(results, plain, "p50_ms"), label="plain: half", color=OTHER, linestyle=":")
        curve(axes, plain, middles(results, plain, "p99_ms"), label="plain: 99%", color=OTHER, linestyle="--")
        curve(axes, plain, worsts(results, plain, "last_ms"), label="plain: worst last", color=OTHER)
        axes.set(title=f"{100 * loss:g}% loss", yscale="log", ylabel="ms after the write")
        over_nodes(axes, SPREAD_NODES)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, fontsize="small", loc="outside lower center", ncols=4)
    figure.suptitle("Who has a write when")
    write_picture(figure, path)


# detect

DETECT_NODES = {3: 15, 8: 15, 16: 15, 32: 15, 100: 5, 320: 3}
DETECT_LOSSES = (0.05, 0.1, 0.2, 0.3)
DETECT_LOSSES_AT = 32
KINDS = {"killed": "The process is killed, its host refuses", "gone": "The host is gone"}


def detect_grid() -> Iterator[tuple[Point, int]]:
    """See Section."""
    for kind in KINDS:
        for lifeguard in MODES:
            for nodes, seeds in DETECT_NODES.items():
                yield Point(kind, nodes, 0.0, lifeguard), seeds
            for loss in DETECT_LOSSES:
                yield Point(kind, DETECT_LOSSES_AT, loss, lifeguard), DETECT_NODES[DETECT_LOSSES_AT]


def detect_plan(point: Point) -> Plan:
    """See Section."""
    return Plan(
        nodes=point.nodes,
        loss=point.loss,
        duration_s=point.duration_s,
        settings=settings(lifeguard=point.lifeguard),
        power=point.kind == "gone",
        write=False,
    )


def settings(*, lifeguard: bool) -> Settings:
    """Of all nodes."""
    return Settings(with_journal=False, swim=LAN if lifeguard else BARE)


def detect_tables(results: Results) -> str:
    """See Section."""
    text = ""
    plain = "with Lifeguard: first", "last", "worst last", "without: first", "last", "worst last"
    for kind, told in KINDS.items():
        rows = []
        for nodes in DETECT_NODES:
            row = detect_row(results, kind, nodes, 0.0)
            if row is not None:
                rows.append([str(nodes), *row, number(REAL_SERF_S.get(nodes), 2)])
        text += f"\n{told}; no loss; s:\n\n{table(['nodes', 'seeds', *plain, 'real Serf'], rows)}"
    for kind, told in KINDS.items():
        rows = []
        for loss in (0.0, *DETECT_LOSSES):
            row = detect_row(results, kind, DETECT_LOSSES_AT, loss)
            if row is not None:
                rows.append([f"{100 * loss:g}%", *row])
        text += f"\n{told}; {DETECT_LOSSES_AT} nodes; s:\n\n{table(['loss', 'seeds', *plain], rows)}"
    return text[1:]


def detect_row(results: Results, kind: str, nodes: int, loss: float) -> list[str] | None:
    """The cells of one row; None if nothing of it was run."""
    points = [Point(kind, nodes, loss, lifeguard) for lifeguard in MODES]
    if not any(point in results for point in points):
        return None
    row = [seeds_of(results, points)]
    for point in points:
        first, last = (values(results, point, name) for name in ("first_s", "last_s"))
        row += [number(each) for each in ((median(first), median(last), worst(last)) if last else (None,) * 3)]
    return row


def detect_draw(results: Results, path: Path) -> None:
    """See Section."""
    figure = picture(9.0, 4.2)
    over_size, over_loss = figure.subplots(1, 2, sharey=True)
    for kind, told in KINDS.items():
        for lifeguard in MODES:
            color = OURS if kind == "killed" else OTHER
            style = "-" if lifeguard else "--"
            label = f"{told}{'' if lifeguard else ', without Lifeguard'}"
            points = [Point(kind, nodes, 0.0, lifeguard) for nodes in DETECT_NODES]
            lasts = [median(values(results, p, "last_s")) if p in results else None for p in points]
            curve(over_size, points, lasts, color=color, linestyle=style, label=label)
            for loss in (0.0, *DETECT_LOSSES):
                last = values(results, Point(kind, DETECT_LOSSES_AT, loss, lifeguard), "last_s")
                dots = [each for each in last if each is not None]
                mark = "o" if lifeguard else "x"
                shift = (0.4 if lifeguard else 1.2) * (-1 if kind == "killed" else 1)
                over_loss.plot([100 * loss + shift] * len(dots), dots, mark, color=color, ms=3, alpha=0.6)
    over_size.plot(list(REAL_SERF_S), list(REAL_SERF_S.values()), "k^", label="real Serf, process killed")
    over_nodes(over_size, DETECT_NODES)
    over_size.set(title="no loss, median", ylabel="s from the crash until the last knows it", ylim=(0, None))
    over_size.legend(fontsize="x-small")
    over_loss.set(title=f"{DETECT_LOSSES_AT} nodes, each seed (x: without Lifeguard)", xlabel="loss, %")
    over_loss.grid(visible=True, alpha=0.3)
    write_picture(figure, path)


# stalls

STALLS_NODES = 32
STALLS_SEEDS = 3
STALLS_LOSSES = (0.0, 0.05, 0.1, 0.2, 0.3)
STALLS_S = (2.0, 5.0, 10.0, 20.0)
STALLS_DURATION_S = 300.0


def stalls_grid() -> Iterator[tuple[Point, int]]:
    """See Section."""
    for lifeguard in MODES:
        for loss in STALLS_LOSSES:
            yield Point("loss", STALLS_NODES, loss, lifeguard, 0.0, STALLS_DURATION_S), STALLS_SEEDS
        for stall_s in STALLS_S:
            yield Point("stalls", STALLS_NODES, 0.0, lifeguard, stall_s, STALLS_DURATION_S), STALLS_SEEDS


def stalls_plan(point: Point) -> Plan:
    """See Section."""
    return Plan(
        nodes=point.nodes,
        loss=point.loss,
        duration_s=point.duration_s,
        settings=settings(lifeguard=point.lifeguard),
        crash=False,
        write=False,
        stalling=STALLING if point.stall_s else 0.0,
        stall_s=point.stall_s,
    )


def rate(results: Results, point: Point, name: str) -> float | None:
    """Incidents in an hour of one node."""
    incidents = [each for each in values(results, point, name) if each is not None]
    return 3600 * sum(incidents) / (len(incidents) * point.nodes * point.duration_s) if incidents else None


def stalls_tables(results: Results) -> str:
    """See Section."""
    text = ""
    for kind, told in (("loss", "loss"), ("stalls", "stands still for up to")):
        rows = []
        for point in sorted(point for point in results if point.kind == kind and point.lifeguard):
            bare = point._replace(lifeguard=False)
            row = [f"{100 * point.loss:g}%" if kind == "loss" else f"{point.stall_s:g} s", seeds_of(results, [point])]
            for name in ("false", "false_healthy"):
                ours, without = rate(results, point, name), rate(results, bare, name)
                row += [number(ours), number(without), f"{without / ours:.1f}" if ours and without is not None else "-"]
            rows.append(row)
        head = [told, "seeds", "all: with Lifeguard", "without", "ratio", "healthy: with Lifeguard", "without", "ratio"]
        text += f"\nIncidents per node and hour, {STALLS_NODES} nodes:\n\n{table(head, rows)}"
    return text[1:]


def stalls_draw(results: Results, path: Path) -> None:
    """See Section."""
    figure = picture(9.0, 3.8)
    by_loss, by_stall = figure.subplots(1, 2)
    for lifeguard in MODES:
        color, word = (OURS, "with") if lifeguard else (OTHER, "without")
        for axes, kind in ((by_loss, "loss"), (by_stall, "stalls")):
            points = sorted(point for point in results if point.kind == kind and point.lifeguard is lifeguard)
            at = [100 * point.loss if kind == "loss" else point.stall_s for point in points]
            for name, told, style in (("false", "all", "-"), ("false_healthy", "healthy members", "--")):
                heights = [rate(results, point, name) or 0.0 for point in points]
                if kind == "stalls" or name == "false":  # with loss alone all members are healthy
                    label = f"{word} Lifeguard, {told}"
                    axes.plot(at, heights, marker=".", color=color, linestyle=style, label=label)
    by_loss.set(title="loss alone", xlabel="loss, %", ylabel="called failed though it runs,\nper node and hour")
    by_stall.set(title="a tenth of the nodes stands still at times", xlabel="for up to, s")
    for axes in (by_loss, by_stall):
        axes.set_ylim(bottom=0)
        axes.grid(visible=True, alpha=0.3)
        axes.legend(fontsize="x-small")
    write_picture(figure, path)


# traffic

SENT = ("packets", "bytes")
TRAFFIC_S = {3: 120.0, 10: 120.0, 32: 120.0, 100: 60.0, 320: 30.0, 1000: 15.0}


def traffic_grid() -> Iterator[tuple[Point, int]]:
    """See Section."""
    for kind in ("idle", "writes"):
        for nodes, duration_s in TRAFFIC_S.items():
            yield Point(kind, nodes, duration_s=duration_s), 1


def traffic_plan(point: Point) -> Plan:
    """See Section."""
    return Plan(
        nodes=point.nodes,
        duration_s=point.duration_s,
        crash=False,
        write=False,
        writes_per_s=1.0 if point.kind == "writes" else 0.0,
    )


def traffic_tables(results: Results) -> str:
    """See Section."""
    head = ["nodes", "virtual s", "idle: packets", "bytes", "one write a second: packets", "bytes"]
    rows = []
    for nodes, duration_s in TRAFFIC_S.items():
        points = [Point(kind, nodes, duration_s=duration_s) for kind in ("idle", "writes")]
        if any(point in results for point in points):
            cells = [
                number(median(values(results, p, name)) if p in results else None) for p in points for name in SENT
            ]
            rows.append([str(nodes), f"{duration_s:g}", *cells])
    return f"What a node sends in a second:\n\n{table(head, rows)}"


def traffic_draw(results: Results, path: Path) -> None:
    """See Section."""
    figure = picture(9.0, 3.6)
    for axes, name in zip(figure.subplots(1, 2), SENT, strict=True):
        for kind, told, color in (("idle", "idle", OURS), ("writes", "one write a second in the cluster", OTHER)):
            points = sorted(point for point in results if point.kind == kind)
            curve(axes, points, middles(results, points, name), color=color, label=told)
        over_nodes(axes, TRAFFIC_S)
        axes.set(title=f"{name} a node sends in a second", ylim=(0, None))
        axes.legend(fontsize="small")
    write_picture(figure, path)


# growth

GROWTH = ("wall_s", "cpu_s", "steps", "peak_mib")
GUESS_NODES = 10_000
GROWTH_S = {100: 60.0, 320: 60.0, 1000: 60.0, 3200: 20.0}


def growth_grid() -> Iterator[tuple[Point, int]]:
    """See Section."""
    for nodes, duration_s in GROWTH_S.items():
        yield Point("crash", nodes, 0.05, duration_s=duration_s), 1


def growth_plan(point: Point) -> Plan:
    """See Section."""
    return Plan(nodes=point.nodes, loss=point.loss, duration_s=point.duration_s)


def growth_tables(results: Results) -> str:
    """See Section."""
    head = ["nodes", "virtual s", "real s", "processor s", "processor s a virtual s", "steps", "steps a processor s"]
    head += ["peak memory, MiB"]
    rows = []
    for point in sorted(results, key=lambda point: point.nodes):
        wall_s, cpu_s, steps, peak = (median(values(results, point, name)) or 0.0 for name in GROWTH)
        row = [str(point.nodes), f"{point.duration_s:g}", number(wall_s), number(cpu_s)]
        row += [number(cpu_s / point.duration_s), f"{steps:.0f}", f"{steps / cpu_s:.0f}", f"{peak:.0f}"]
        rows.append(row)
    return f"{table(head, rows)}\n{growth_target(results)}\n{growth_guess(results)}"


def growth_target(results: Results) -> str:
    """Whether 1000 nodes are fast and small enough."""
    point = Point("crash", 1000, 0.05, duration_s=60.0)
    if point not in results:
        return "The target's run, of 1000 nodes, was not made.\n"
    wall_s, peak = (worst(values(results, point, name)) or math.inf for name in ("wall_s", "peak_mib"))
    holds = wall_s < 300 and peak < 4096
    return (
        f"Target, 1000 nodes for 60 virtual seconds in less than 300 s on one core and 4096 MiB: {yes(holds=holds)} "
        f"({wall_s:.0f} s, {peak:.0f} MiB).\n"
    )


def growth_guess(results: Results) -> str:
    """What GUESS_NODES nodes would take: time by the slope between the two largest, memory by the square."""
    points = sorted(results, key=lambda point: point.nodes)[-2:]
    if len(points) < 2:
        return ""
    nodes = [point.nodes for point in points]
    costs = [(median(values(results, p, "cpu_s")) or 0.0) / p.duration_s for p in points]
    peaks = [median(values(results, point, "peak_mib")) or 0.0 for point in points]
    slope = math.log(costs[1] / costs[0]) / math.log(nodes[1] / nodes[0])
    cost_s = costs[1] * (GUESS_NODES / nodes[1]) ** slope
    each = (peaks[1] - peaks[0]) / (nodes[1] ** 2 - nodes[0] ** 2)
    memory = peaks[1] + each * (GUESS_NODES**2 - nodes[1] ** 2)
    told = (
        f"From {nodes[0]} to {nodes[1]} nodes the time of a virtual second grows as N to the {slope:.2f}, and memory "
        f"by {each * MIB:.0f} bytes for each pair of nodes. {GUESS_NODES} nodes would so take {cost_s:.0f} s for each "
        f"virtual second and {memory / 1024:.0f} GiB; that is a guess, and was not run."
    )
    return textwrap.fill(told, 120) + "\n"


def growth_draw(results: Results, path: Path) -> None:
    """See Section."""
    figure = picture(9.0, 3.6)
    points = sorted(results, key=lambda point: point.nodes)
    time_axes, memory_axes = figure.subplots(1, 2)
    costs = [(median(values(results, p, "cpu_s")) or 0.0) / p.duration_s for p in points]
    curve(time_axes, points, costs, color=OURS)
    time_axes.set(title="processor time of a virtual second", ylabel="s", yscale="log")
    curve(memory_axes, points, middles(results, points, "peak_mib"), color=OURS)
    memory_axes.set(title="peak resident memory", ylabel="MiB", yscale="log")
    for axes in (time_axes, memory_axes):
        over_nodes(axes, [point.nodes for point in points])
    write_picture(figure, path)


SECTIONS = {
    "spread": Section("spread", spread_grid, spread_plan, ("p50_ms", "p99_ms", "last_ms"), spread_tables, spread_draw),
    "detect": Section("detect", detect_grid, detect_plan, ("first_s", "last_s"), detect_tables, detect_draw),
    "stalls": Section("stalls", stalls_grid, stalls_plan, ("false", "false_healthy"), stalls_tables, stalls_draw),
    "traffic": Section("traffic", traffic_grid, traffic_plan, SENT, traffic_tables, traffic_draw),
    "growth": Section("growth", growth_grid, growth_plan, GROWTH, growth_tables, growth_draw, alone=True),
}

# The page


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


def put(page: Path, name: str, text: str) -> None:
    """The text stands between the markers of this name; where the page has none, they are added at its end."""
    begin, end = f"<!-- figures: {name} -->", "<!-- end -->"
    old = page.read_text() if page.exists() else ""
    if begin not in old:
        old += f"\n{begin}\n{end}\n"
    before, _, rest = old.partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"{page} has no {end} after {begin}")
    page.write_text(f"{before}{begin}\n\n{text.strip()}\n\n{end}{after}")


def show(name: str, section: Section, folder: Path, page: Path) -> None:
    """The picture and the tables of what is in the JSON."""
    path = folder / f"{name}.json"
    results = load(path, section)
    section.draw(results, folder / f"{name}.png")
    ran = f"Machine: {json.loads(path.read_text())['machine']}. Seeds: {seeds_of(results, results)} for each point.\n"
    put(page, name, f"{ran}\n![{section.title}](simulation/{name}.png)\n\n{section.tables(results)}")


QUICK_NODES_MAX = 32
QUICK_S = 20.0
QUICK_EVERY = 4
"""Of these sizes and this length at most, and of so many points one: to see that the tool works, and for no figures."""


def points_of(section: Section, options: argparse.Namespace) -> list[tuple[Point, int]]:
    """What is to be run of a section, and with how many seeds."""
    points = [(point, min(seeds, options.seeds)) for point, seeds in section.grid()]
    if options.quick:
        small = [(point, 1) for point, _ in points if point.nodes <= QUICK_NODES_MAX]
        return small[::QUICK_EVERY] or [(points[0][0], 1)]
    return [
        (point, seeds) for point, seeds in points if point.nodes <= options.nodes_max and point.loss <= options.loss_max
    ]


def main() -> None:
    """Run, keep, show."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", metavar="section", help=f"of {', '.join(SECTIONS)} (all)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes at once (all cores)")
    parser.add_argument("--seeds", type=int, default=sys.maxsize, help="at most so many for each point")
    parser.add_argument("--nodes-max", type=int, default=sys.maxsize, help="no larger clusters")
    parser.add_argument("--loss-max", type=float, default=1.0, help="no more loss")
    parser.add_argument(
        "--page", type=Path, default=PAGE, metavar="FILE", help="where the tables go (docs/simulation.md)"
    )
    parser.add_argument("--keep", action="store_true", help="what is in the JSON is not run again")
    parser.add_argument("--draw", action="store_true", help="nothing is run; what is in the JSON is shown again")
    parser.add_argument("--quick", action="store_true", help="see above")
    options = parser.parse_args()
    unknown = set(options.sections) - set(SECTIONS)
    if unknown:
        parser.error(f"no such section: {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory() as thrown_away:
        folder = Path(thrown_away) if options.quick else FOLDER
        page = folder / "page.md" if options.quick else options.page
        folder.mkdir(parents=True, exist_ok=True)
        for name in options.sections or SECTIONS:
            section, path = SECTIONS[name], folder / f"{name}.json"
            results = load(path, section) if (options.keep or options.draw) and path.exists() else {}
            if not options.draw:
                longest_s = QUICK_S if options.quick else math.inf
                for _ in run(section, points_of(section, options), options.jobs, results, longest_s):
                    save(path, section, results)
            show(name, section, folder, page)
        if options.quick:
            print(page.read_text())


if __name__ == "__main__":
    main()
