"""How long a write takes until half, 99% and all of the other nodes have it, beside plain gossip and the floor."""

from collections.abc import Iterator
from pathlib import Path

from onevalue.config import SpreadSettings
from onevalue.simulation.planning import Plan
from tools.figuring.runs import (
    HOP_MS,
    LAN_LATENCY,
    Point,
    Results,
    Section,
    median,
    middles,
    seeds_of,
    values,
    worst,
    worsts,
)
from tools.figuring.showing import OTHER, OURS, curve, number, over_nodes, picture, table, write_picture, yes

SPREAD_NODES = {3: 10, 10: 10, 32: 10, 100: 10, 320: 5, 1000: 3, 3200: 3}
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


SECTION = Section("spread", spread_grid, spread_plan, ("p50_ms", "p99_ms", "last_ms"), spread_tables, spread_draw)
