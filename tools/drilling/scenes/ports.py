"""A node is started whose port another program has."""

import socket
from contextlib import ExitStack

from tools.drilling.asking import HTTP_PORT
from tools.drilling.exercise import Exercise
from tools.drilling.nodes import GOSSIP_PORT, Node, free_address

TAKEN = (
    ("its HTTP port", socket.SOCK_STREAM, HTTP_PORT),
    ("its port for gossip (TCP)", socket.SOCK_STREAM, GOSSIP_PORT),
    ("its port for gossip (UDP)", socket.SOCK_DGRAM, GOSSIP_PORT),
)


def ports(exercise: Exercise) -> None:
    """It ends with one clear line and status 1, and the cluster never hears of it."""
    story = exercise.story
    nodes = exercise.new_nodes()
    exercise.open(nodes)
    story.done("somebody writes through n1 all the time")
    exercise.write_through(nodes[0])
    exercise.work()
    for what, kind, port in TAKEN:
        with ExitStack() as stack:
            host = free_address()
            other = stack.enter_context(socket.socket(socket.AF_INET, kind))
            other.bind((host, port))
            if kind == socket.SOCK_STREAM:
                other.listen()
            story.done(f"n4 is started; {what} is taken by another program")
            late = Node("n4", host, exercise.folder, [node.host for node in nodes], exercise.pace.options)
            stack.callback(late.kill)
            late.start()
            status = late.ended()
        lines = late.lines("cannot listen")
        story.seen(f"n4, log, exit status {status}", late.last_line("cannot listen"))
        story.demand(status == 1, f"it ended with status {status}")
        story.demand(len(lines) == 1, f"its log has {len(lines)} lines about it")
        story.demand(not late.lines("Traceback"), "its log has a traceback")
    exercise.work()
    for node in nodes:
        listed = sorted(node.statuses())
        story.demand("n4" not in listed, f"{node.name} lists n4, which never ran: {listed}")
    story.seen("n1, /v1/members", ", ".join(sorted(nodes[0].statuses())))
    exercise.judge()
