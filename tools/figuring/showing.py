"""How figures are shown: tables in Markdown, curves and pictures. It must not know what they are of."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools.figuring.runs import Point

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


PICTURE_DPI = 75
OURS, OTHER = "tab:blue", "tab:orange"
"""Colours."""


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
