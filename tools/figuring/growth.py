"""What simulating takes, by the size of the cluster."""

import math
import textwrap
from collections.abc import Iterator
from pathlib import Path

from onevalue.simulation.planning import Plan
from tools.figuring.runs import MIB, Point, Results, Section, median, middles, values, worst
from tools.figuring.showing import OURS, curve, number, over_nodes, picture, table, write_picture, yes

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


SECTION = Section("growth", growth_grid, growth_plan, GROWTH, growth_tables, growth_draw, alone=True)
