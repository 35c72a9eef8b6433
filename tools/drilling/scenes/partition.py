"""The network is cut in two, both sides are written to, and it heals."""

from functools import partial

from tools.drilling.exercise import Exercise
from tools.drilling.network import Network
from tools.drilling.nodes import Node
from tools.drilling.waiting import until

WRITES_ALONE = 12
WRITES_OF_TWO = 5
STALE_S = 3.0
HEALED_WITHIN_S = 60.0
"""Failed members are dialled every 30 s with the settings for a LAN."""


def partition(exercise: Exercise) -> None:
    """Both sides read and write on; the side that made more writes wins, everywhere."""
    story = exercise.story
    network = Network()
    exercise.at_end.callback(network.close)
    nodes = exercise.new_nodes()
    for node in nodes:
        node.host, node.place = network.host()
    for node in nodes:
        node.join = [each.host for each in nodes]
    alone, two, three = nodes
    exercise.open(nodes)
    exercise.write(two)
    until(lambda: len({node.ask("/get").text for node in nodes}) == 1, 10.0, "all hold the same value")
    story.done("the network is cut: n1 here, n2 and n3 there")
    network.cut([alone.host])
    story.done(
        f"{WRITES_ALONE} writes through n1, {WRITES_OF_TWO} through n2. More writes win: it will be the value of n1"
    )
    winner = [exercise.write(alone) for _ in range(WRITES_ALONE)][-1]
    loser = [exercise.write(two) for _ in range(WRITES_OF_TWO)][-1]
    until(partial(_holds, three, loser), 10.0, "n3 holds what was written through n2")
    for node, other in ((alone, two), (alone, three), (two, alone), (three, alone)):
        exercise.sees(node, other, "failed")
    until(lambda: alone.state()["last_contact_s"] > STALE_S, 20.0, "n1 says how old its value may be")
    _tell_both_sides(exercise, alone, two)
    story.done("the network is whole again")
    network.heal([alone.host])
    took_s = max(until(partial(_holds, node, winner), HEALED_WITHIN_S, f"{node.name} holds {winner}") for node in nodes)
    back_s = exercise.all_alive(HEALED_WITHIN_S)
    story.seen("all, /get", f"{winner}, as said before, {took_s:.1f} s after it healed")
    story.seen("all, /v1/members", f"all alive, {took_s + back_s:.1f} s after it healed")
    story.value(f"{loser} was acknowledged by n2 and has lost; it stands in the history of n2")
    exercise.judge()


def _tell_both_sides(exercise: Exercise, alone: Node, two: Node) -> None:
    story, state = exercise.story, alone.state()
    refused = alone.ask(f"/v1/value?max_stale={STALE_S:g}")
    story.seen("n1, /v1/value", f"value {state['value']}, last_contact_s {state['last_contact_s']:.1f}")
    story.seen(f"n1, /v1/value?max_stale={STALE_S:g}", f"{refused.status} {refused.json()['detail']}")
    story.demand(refused.status == 503, f"max_stale was answered {refused.status}")
    story.seen("n1, /v1/members", ", ".join(f"{name} {status}" for name, status in alone.statuses().items()))
    other = two.state()
    story.seen("n2, /v1/value", f"value {other['value']}, last_contact_s {other['last_contact_s']:.1f}")
    story.demand(other["last_contact_s"] < STALE_S, "n2 looks stale, though it hears n3")


def _holds(node: Node, value: int) -> bool:
    return int(node.ask("/get").body) == value
