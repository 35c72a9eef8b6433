"""The disk of one node turns read-only, as the system makes it when it finds an error there, and is repaired."""

from tools.drilling.disks import FailingDisk
from tools.drilling.exercise import Exercise
from tools.drilling.scenes.full import goes_on_without_its_disk


def readonly(exercise: Exercise) -> None:
    """It goes on as with a full disk, does not start on it, and has all that it acknowledged when it is repaired."""
    story = exercise.story
    nodes = exercise.new_nodes()
    one, two, _ = nodes
    disk = FailingDisk(exercise.folder / "disk.image", exercise.folder / "disk")
    exercise.at_end.callback(disk.close)
    one.data_dir = disk.folder / "n1"
    exercise.open(nodes)
    story.done("n1 keeps its value on a disk of its own; somebody writes through n1, and somebody else through n2")
    exercise.write_through(one, two)
    exercise.work()
    story.done("the system finds an error on the disk of n1, and admits no more writes (errors=remount-ro)")
    disk.fail()
    goes_on_without_its_disk(exercise, one, two)
    with exercise.away(one):
        story.done("n1 is stopped, and started again on the same disk")
        one.stop()
        one.start()
        status = one.ended()
        story.seen(f"n1, log, exit status {status}", one.last_line("onevalue: "))
        story.demand(status == 1, f"the start on a read-only disk ended with {status}")
        story.done("the disk is unmounted, checked (e2fsck -p) and mounted again; n1 is started")
        disk.repair()
        took_s = exercise.comes_back(one)
        exercise.tell_return(one, took_s)
    exercise.all_alive()
    exercise.work()
    exercise.judge()
