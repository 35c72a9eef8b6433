"""A node is started whose port another program has."""

import socket
from contextlib import ExitStack

from tools.drilling.asking import HTTP_PORT
from tools.drilling.exercise import Exercise
from tools.drilling.nodes import GOSSIP_PORT, Node, free_address
from tools.drilling.story import Story

TAKEN = (
    ("n4", "its HTTP port", socket.SOCK_STREAM, HTTP_PORT),
    ("n5", "its port for gossip (TCP)", socket.SOCK_STREAM, GOSSIP_PORT),
    ("n6", "its port for gossip (UDP)", socket.SOCK_DGRAM, GOSSIP_PORT),
)


def ports(exercise: Exercise) -> None:
    """It ends with one clear line and status 1, and the cluster never hears of it."""
    story = exercise.story
    nodes = exercise.new_nodes()
    exercise.open(nodes)
    story.done("somebody writes through n1 all the time")
    exercise.write_through(nodes[0])
    exercise.work()
    with ExitStack() as stack:
        late = []
        for name, what, kind, port in TAKEN:
            story.done(f"{name} is started; {what} is taken by another program")
            host = free_address()
            other = stack.enter_context(socket.socket(type=kind))
            other.bind((host, port))
            if kind == socket.SOCK_STREAM:
                other.listen()
            late.append(Node(name, host, exercise.folder, [node.host for node in nodes], exercise.pace.options))
            stack.callback(late[-1].kill)
            late[-1].start()
        for node in late:
            _ends(story, node)
    exercise.work()
    for node in nodes:
        listed = node.statuses()
        ghosts = [name for name, *_ in TAKEN if name in listed]
        story.demand(not ghosts, f"{node.name} lists nodes that never ran: {ghosts}")
    story.seen("n1, /v1/members", ", ".join(f"{name} {status}" for name, status in sorted(listed.items())))
    exercise.judge()


def _ends(story: Story, node: Node) -> None:
    """It ended by itself, with one clear line."""
    status = node.ended()
    lines = node.lines("cannot listen")
    story.seen(f"{node.name}, log, exit status {status}", node.last_line("cannot listen"))
    story.demand(status == 1, f"{node.name} ended with status {status}")
    story.demand(len(lines) == 1, f"the log of {node.name} has {len(lines)} lines about it")
    story.demand(not node.lines("Traceback"), f"the log of {node.name} has a traceback")
