"""The data folder of a node is removed while it runs (rm -r), and the node is started again."""

import shutil

from tools.drilling.exercise import START_WITHIN_S, Exercise
from tools.drilling.waiting import until

LEARNT_WITHIN_S = 10.0


def folder(exercise: Exercise) -> None:
    """It refuses own writes, since they would be on no disk; started again, it learns before it writes."""
    story = exercise.story
    one, *_ = exercise.open_written()
    story.done("rm -r of the data folder of n1, which goes on running")
    shutil.rmtree(one.data_dir)
    exercise.pause()
    before = len(exercise.acknowledged_by(one))
    exercise.pause()
    later = len(exercise.acknowledged_by(one))
    story.demand(before == later, f"n1 acknowledged {later - before} writes that are on no disk")
    story.demand("own writes are refused" in one.ask("/readyz").text, "n1 says nothing about it")
    refusal = one.put(1)
    story.seen("n1, PUT /v1/value", f"{refusal.status} {refusal.json().get('detail', 'written')}")
    story.seen("n1, /readyz", one.ask("/readyz").text)
    story.seen("n1, log", one.last_line("The journal cannot write"))
    story.done("n1 is killed, and started again without a disk; it is written to at once")
    with exercise.away(one):
        one.kill()
        exercise.disk_lost(one)
        known = max(exercise.acknowledged)
        one.start()
        until(lambda: one.ask("/healthz").status == 200, START_WITHIN_S, "n1 answers")
        early = one.put(1)
        shown = early.json()
        said = shown["detail"] if early.status != 200 else f"written, at generation {shown['generation']}"
        story.seen("n1, PUT /v1/value at its start", f"{early.status} {said}")
        took_s = until(one.is_ready, START_WITHIN_S, "n1 takes writes")
        story.seen("n1, log", one.first_line())
        story.seen("n1, /v1/value", f"generation {one.state()['generation']}, {took_s:.1f} s later")
        story.demand(
            early.status == 503 or shown["generation"] > known.generation,
            f"its first write hides behind what was acknowledged before: {known.tag}",
        )
        until(lambda: one.state()["generation"] >= known.generation, LEARNT_WITHIN_S, "n1 has learnt")
    exercise.work()
    exercise.judge()
