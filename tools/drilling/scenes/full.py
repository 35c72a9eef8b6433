"""The disk of one node is full, and then has room again."""

from tools.drilling.disks import fill, small_disk
from tools.drilling.exercise import Exercise
from tools.drilling.nodes import Node
from tools.drilling.waiting import until

REFUSED_WITHIN_S = 60.0
"""Writes may find room in the journal's files for a while."""

HEARD_WITHIN_S = 10.0
REPAIRED_WITHIN_S = 45.0
"""The journal tries again after 30 s at most, and with each own write."""


def full(exercise: Exercise) -> None:
    """It refuses own writes and says why, reads and learns on, and mends itself when there is room."""
    story = exercise.story
    nodes = exercise.new_nodes()
    one, two, _ = nodes
    disk = exercise.folder / "disk"
    exercise.at_end.enter_context(small_disk(disk))
    one.data_dir = disk / "n1"
    exercise.open(nodes)
    story.done("n1 keeps its value on a disk of 2 MiB; somebody writes through n1, and somebody else through n2")
    exercise.write_through(one, two)
    exercise.work()
    story.done("something else fills the disk of n1 to the last byte")
    ballast = fill(disk)
    goes_on_without_its_disk(exercise, one, two)
    story.done("the disk has room again; nobody touches the node")
    ballast.unlink()
    took_s = until(lambda: one.ask("/readyz").text == "ready", REPAIRED_WITHIN_S, "n1 takes writes again")
    story.seen("n1, /readyz", f"ready, after {took_s:.1f} s")
    story.seen("n1, log", one.last_line("the journal works again"))
    exercise.work()
    exercise.judge()


def goes_on_without_its_disk(exercise: Exercise, node: Node, other: Node) -> None:
    """The node's disk takes nothing, and the story tells that it refuses own writes only, and says so."""
    story = exercise.story
    until(lambda: "own writes are refused" in node.ask("/readyz").text, REFUSED_WITHIN_S, f"{node.name} refuses writes")
    refusal = node.put(1)
    story.seen(f"{node.name}, PUT /v1/value", f"{refusal.status} {refusal.json()['detail']}")
    story.demand(refusal.status == 503, f"a write that the disk did not take was answered {refusal.status}")
    ready = node.ask("/readyz")
    story.seen(f"{node.name}, /readyz", f"{ready.status} {ready.text}")
    story.demand(ready.status == 200, f"/readyz says {ready.status}, so no more reads would be sent there")
    journal = node.ask("/v1/status").json()["journal"]
    story.demand(not journal["healthy"], f"/v1/status of {node.name} calls its journal healthy")
    story.seen(f"{node.name}, log", node.last_line("The journal cannot write"))
    written = exercise.write(other)
    took_s = until(lambda: int(node.ask("/get").body) >= written, HEARD_WITHIN_S, f"{node.name} hears of writes")
    story.seen(f"{node.name}, /get", f"what was written through {other.name}, {took_s:.1f} s later")
