"""How often running members are called failed: with loss, and where some of them stand still now and then."""

from collections.abc import Iterator
from pathlib import Path

from onevalue.simulation.planning import Plan
from tools.figuring.lifeguard import MODES, settings
from tools.figuring.runs import Point, Results, Section, seeds_of, values
from tools.figuring.showing import OTHER, OURS, number, picture, table, write_picture

STALLING = 0.1
"""Share of nodes that stand still now and then, where any do."""

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


SECTION = Section("stalls", stalls_grid, stalls_plan, ("false", "false_healthy"), stalls_tables, stalls_draw)
