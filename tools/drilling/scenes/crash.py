"""kill -9 of a node that is being written to, and its return with its disk."""

from tools.drilling.exercise import Exercise


def crash(exercise: Exercise) -> None:
    """What it had acknowledged is there when it comes back, and the others went on."""
    story = exercise.story
    one, two, _ = exercise.open_written()
    story.done("kill -9 of n1")
    with exercise.away(one):
        one.kill()
        took_s = exercise.sees(two, one, "failed")
        story.seen("n2, log", two.last_line("member failed: n1"))
        story.seen("n2, /v1/members", f"n1 failed, {took_s:.1f} s after the kill")
        exercise.work(without=one)
        story.done("n1 is started again, with its disk")
        took_s = exercise.comes_back(one)
    exercise.tell_return(one, took_s)
    exercise.all_alive()
    exercise.work()
    exercise.judge()
