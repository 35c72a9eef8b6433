"""What a node sends in a second, idle and with one write a second in the cluster."""

from collections.abc import Iterator
from pathlib import Path

from onevalue.simulation.planning import Plan
from tools.figuring.runs import Point, Results, Section, median, middles, values
from tools.figuring.showing import OTHER, OURS, curve, number, over_nodes, picture, table, write_picture

SENT = ("packets", "bytes")
TRAFFIC_S = {3: 120.0, 10: 120.0, 32: 120.0, 100: 60.0, 320: 30.0, 1000: 15.0}


def traffic_grid() -> Iterator[tuple[Point, int]]:
    """See Section."""
    for kind in ("idle", "writes"):
        for nodes, duration_s in TRAFFIC_S.items():
            yield Point(kind, nodes, duration_s=duration_s), 3


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


SECTION = Section("traffic", traffic_grid, traffic_plan, SENT, traffic_tables, traffic_draw)
