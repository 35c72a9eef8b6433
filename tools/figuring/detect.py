"""From a crash until the first and the last of the other nodes call the member failed."""

from collections.abc import Iterator
from pathlib import Path

from onevalue.simulation.planning import Plan
from tools.figuring.lifeguard import MODES, settings
from tools.figuring.runs import Point, Results, Section, median, seeds_of, values, worst
from tools.figuring.showing import OTHER, OURS, curve, number, over_nodes, picture, table, write_picture

REAL_SERF_S = {8: 6.0, 16: 7.1, 32: 9.1}
"""Real Serf agents on one machine: from kill -9 until the last of the others knew; seconds by number of agents."""

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


SECTION = Section("detect", detect_grid, detect_plan, ("first_s", "last_s"), detect_tables, detect_draw)
