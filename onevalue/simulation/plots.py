"""The picture of one simulated cluster: who has the value when, who knows of the crash when, what is sent.

Needs matplotlib (the extra `plot`). It must not know how anything was simulated.
"""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from onevalue.simulation.planning import Outcome

mpl.use("agg")

SIZE_INCH = (8.0, 8.0)


def draw(outcome: Outcome, path: Path) -> None:
    """The picture is at `path`; raises OSError or ValueError if it cannot be."""
    plan = outcome.plan
    figure = Figure(figsize=SIZE_INCH, layout="constrained")
    spread, detect, sent = figure.subplots(3, 1)
    figure.suptitle(f"{plan.nodes} nodes, {plan.latency}, {100 * plan.loss:g}% loss, seed {plan.seed}")
    _shares(spread, outcome.got_at, plan.nodes - 1, 1000.0)
    spread.set(title="a write", xlabel="ms after it was acknowledged", ylabel="share of the others that have it")
    _shares(detect, outcome.detected, plan.nodes - 1, 1.0)
    detect.set(title="a crash", xlabel="s after it", ylabel="share of the others that know it")
    sent.plot(range(1, len(outcome.traffic) + 1), outcome.traffic, drawstyle="steps-pre")
    sent.set(title="traffic", xlabel="virtual s", ylabel="bytes a node sends in a second", ylim=(0, None))
    figure.savefig(path, dpi=100)


def _shares(axes: "mpl.axes.Axes", times: Sequence[float], others: int, unit: float) -> None:
    """How many of the others had it by when."""
    ordered = [unit * time for time in sorted(times)]
    if ordered and others:
        axes.step([0.0, *ordered], [index / others for index in range(len(ordered) + 1)], where="post")
    axes.set_ylim(0, 1.05)
    axes.grid(visible=True, alpha=0.3)
