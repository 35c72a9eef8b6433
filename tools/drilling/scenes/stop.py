"""A node that stands still for a while (SIGSTOP), as a host does that swaps, or a virtual machine that is moved."""

import signal
import time
from http.client import HTTPException

from tools.drilling.exercise import START_WITHIN_S, Exercise
from tools.drilling.nodes import Node
from tools.drilling.waiting import until

IMPATIENT_S = 1.0
CAUGHT_UP_WITHIN_S = 10.0


def stop(exercise: Exercise) -> None:
    """The others call it failed and go on; it comes back, catches up, and nobody else is called failed."""
    story, stop_s = exercise.story, exercise.pace.stop_s
    nodes = exercise.new_nodes()
    one, two, three = nodes
    exercise.open(nodes)
    story.done("somebody writes through n2 all the time")
    exercise.write_through(two)
    exercise.work()
    story.done(f"n1 stands still for {stop_s:g} s (SIGSTOP)")
    begun = time.monotonic()
    with exercise.away(one):
        one.signal(signal.SIGSTOP)
        try:
            story.seen("n1, /get", _asked(one))
            for node in (two, three):
                exercise.sees(node, one, "failed")
            story.seen("n2 and n3, /v1/members", f"n1 failed, {time.monotonic() - begun:.1f} s after it stopped")
            story.seen("n2, /get", two.ask("/get").text)
            missed = exercise.write(three)
            time.sleep(max(0.0, begun + stop_s - time.monotonic()))
        finally:
            story.done("n1 goes on (SIGCONT)")
            one.signal(signal.SIGCONT)
        took_s = until(one.is_ready, START_WITHIN_S, "n1 answers again")
    caught_s = until(lambda: _value(one) >= missed, CAUGHT_UP_WITHIN_S, "n1 holds what it has missed")
    story.seen("n1, /get", f"{one.ask('/get').text}, {took_s + caught_s:.1f} s after it went on")
    back_s = exercise.all_alive()
    story.seen("n2, log", two.last_line("member joined: n1"))
    story.seen("all, /v1/members", f"all alive, {took_s + caught_s + back_s:.1f} s after it went on")
    exercise.work()
    wrong = exercise.failed_lines(one)
    story.demand(not wrong, f"a node that was well was called failed: {wrong}")
    exercise.judge()


def _asked(node: Node) -> str:
    try:
        return node.ask("/get", timeout_s=IMPATIENT_S).text
    except (OSError, HTTPException) as error:
        return f"no answer ({error})"


def _value(node: Node) -> int:
    return int(node.ask("/get").body)
