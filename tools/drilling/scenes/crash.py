"""kill -9 of a node that is being written to, and its return with its disk."""

from tools.drilling.exercise import Exercise


def crash(exercise: Exercise) -> None:
    """What it had acknowledged is there when it comes back, and the others went on."""
    story = exercise.story
    nodes = exercise.new_nodes()
    one, two, _ = nodes
    exercise.open(nodes)
    story.done("somebody writes through n1, and somebody else through n2, all the time")
    exercise.write_through(one, two)
    exercise.work()
    story.done("kill -9 of n1")
    with exercise.away(one):
        one.kill()
        took_s = exercise.sees(two, one, "failed")
        story.seen("n2, log", two.last_line("member failed: n1"))
        story.seen("n2, /v1/members", f"n1 failed, {took_s:.1f} s after the kill")
        exercise.work(without=one)
        story.done("n1 is started again, with its disk")
        took_s = exercise.comes_back(one)
    story.seen("n1, log", one.first_line())
    story.seen("n1, /readyz", f"{one.ask('/readyz').text}, {took_s:.1f} s after its start")
    exercise.all_alive()
    exercise.work()
    exercise.judge()
