"""The wall clock of one node is set forth and back by hours while it runs (libfaketime)."""

import time
from pathlib import Path

from tools.drilling.exercise import Exercise
from tools.drilling.nodes import Node
from tools.drilling.waiting import until

JUMPS_H = (6, -6, 0)
TOLERANCE_S = 120.0
LIBRARIES = ("lib*/faketime/libfaketimeMT.so.1", "lib/*/faketime/libfaketimeMT.so.1")


def library() -> Path | None:
    """Where Debian or another distribution has libfaketime, or None."""
    return next((path for pattern in LIBRARIES for path in sorted(Path("/usr").glob(pattern))), None)


def why_no_clock() -> str | None:
    """Why no clock can be set here, or None."""
    return None if library() else "libfaketime is missing (Debian's package libfaketime)"


def clock(exercise: Exercise) -> None:
    """Members and writes go on, `time` is what the clock says, and the order is untouched."""
    story = exercise.story
    nodes = exercise.new_nodes()
    one, two, _ = nodes
    offset = exercise.folder / "offset"
    _set(offset, 0)
    one.environ = {
        "LD_PRELOAD": str(library()),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",  # no system sets that one back
        "FAKETIME_FORCE_MONOTONIC_FIX": "0",  # with it Python's threads spin, and hardly anything else runs
    }
    exercise.open(nodes)
    story.done("somebody writes through n1, and somebody else through n2, all the time")
    exercise.write_through(one, two)
    exercise.work()
    for hours in JUMPS_H:
        story.done(f"the clock of n1 is set to {f'{abs(hours)} h ' if hours else ''}{_word(hours)}")
        _set(offset, hours * 3600)
        exercise.work()
        ahead_s = _written_ahead_s(one)
        story.seen(
            "n1, `time` of a write", f"{round(ahead_s / 3600, 2) + 0.0:+.2f} h beside the true time"
        )  # + 0.0: no -0.00
        story.demand(abs(ahead_s - hours * 3600) < TOLERANCE_S, f"`time` of a write at n1 is {ahead_s:.0f} s ahead")
    exercise.all_alive()
    story.seen("all, /v1/members", "all alive")
    wrong = exercise.failed_lines()
    story.demand(not wrong, f"a node was called failed: {wrong}")
    exercise.judge()


def _set(offset: Path, seconds: int) -> None:
    new = offset.with_suffix(".new")
    new.write_text(f"{seconds:+d}\n")
    new.rename(offset)


def _word(hours: int) -> str:
    return "fast" if hours > 0 else "slow" if hours < 0 else "the right time"


def _written_ahead_s(node: Node) -> float:
    """By how much the time of a write through the node is ahead of ours, seconds."""
    times: list[float] = []

    def written() -> bool:
        answer = node.put(1)
        if answer.status == 200:
            times.append(float(answer.json()["time"]))
        return bool(times)

    until(written, 10.0, f"{node.name} takes a write")
    return times[-1] - time.time()
