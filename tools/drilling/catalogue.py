"""The drills by name: what each is about, what it needs, and how one is run."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tools.drilling import disks, network
from tools.drilling.exercise import Exercise, Pace
from tools.drilling.scenes.clock import clock, why_no_clock
from tools.drilling.scenes.crash import crash
from tools.drilling.scenes.folder import folder
from tools.drilling.scenes.full import full
from tools.drilling.scenes.partition import partition
from tools.drilling.scenes.ports import ports
from tools.drilling.scenes.readonly import readonly
from tools.drilling.scenes.stop import stop
from tools.drilling.story import Story
from tools.drilling.waiting import DrillError

LOG_SHOWN = 15
"""Lines of each node's log that are told when something did not hold."""


def _nothing() -> str | None:
    return None


@dataclass(frozen=True, slots=True)
class Drill:
    """One drill.

    Attributes:
        name: by which one asks for it.
        title: what is done.
        scene: does it.
        why_not: why it cannot be done on this machine, or None.
    """

    name: str
    title: str
    scene: Callable[[Exercise], None]
    why_not: Callable[[], str | None] = _nothing


DRILLS = (
    Drill("kill", "kill -9 of a node that is being written to; it is started again", crash),
    Drill("stop", "a node stands still for a while (SIGSTOP)", stop),
    Drill("full", "the disk of a node is full, and then has room", full, disks.why_no_small_disk),
    Drill("readonly", "the disk of a node turns read-only, and is repaired", readonly, disks.why_no_failing_disk),
    Drill("clock", "the clock of a node is set forth and back by hours", clock, why_no_clock),
    Drill("port", "a node is started whose port is taken", ports),
    Drill("partition", "the network is cut in two, and heals", partition, network.why_not),
    Drill("folder", "the data folder of a node is removed while it runs", folder),
)


def run(drill: Drill, pace: Pace, tell: Callable[[str], None]) -> list[str]:
    """The drill was carried out on a cluster of its own, of which nothing is left; returns what did not hold."""
    with tempfile.TemporaryDirectory(prefix="onevalue-drill-") as place:
        story = Story(tell, Path(place))
        exercise = Exercise(Path(place), story, pace)
        try:
            with exercise:
                drill.scene(exercise)
        except DrillError as error:
            story.fault(str(error))
        if story.faults:
            for node in exercise.nodes:
                tell(f"  --- the end of the log of {node.name}\n" + "\n".join(node.lines(all_runs=True)[-LOG_SHOWN:]))
        return story.faults
