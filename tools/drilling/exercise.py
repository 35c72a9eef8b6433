"""A cluster under a drill: real nodes, somebody who writes, somebody who reads each, and the judge at the end.

It must not know what is done to the nodes; the scenes do it, and tell it what is done by intention: a node that is down
need not answer, and one whose disk is lost need not remember.
"""

import itertools
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self

from tools.drilling.judging import Evidence, Restart, faults
from tools.drilling.nodes import Node, free_address
from tools.drilling.reading import Reader
from tools.drilling.records import Written
from tools.drilling.story import Story
from tools.drilling.waiting import DrillError, until
from tools.drilling.writing import Writer, Writes

HISTORY_MAX = 10000
START_WITHIN_S = 30.0
AGREE_WITHIN_S = 10.0
"""After the writes have ended, and all reach each other: two rounds of anti-entropy, and time for a busy machine."""

NOTICE_WITHIN_S = 40.0
"""A member that does not answer is called failed; some 6 s with the settings for a LAN."""

VALUES_BEGIN = 1000
_HELD = re.compile(r"holds (-?\d+) at generation (\d+),")


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a cluster notices, and how long faults last.

    Attributes:
        options: of each node.
        stop_s: how long a node is stopped (SIGSTOP).
        spell_s: how long other faults last, and how long there is ordinary work before and after them.
    """

    options: tuple[str, ...]
    stop_s: float
    spell_s: float


DESK = Pace(options=(), stop_s=30.0, spell_s=3.0)
"""As in production, for people who watch."""

QUICK = Pace(
    options=tuple(
        word
        for setting in (
            *("probe_interval_s=0.5", "probe_timeout_s=0.3", "suspicion_mult=6", "push_pull_interval_s=5"),
            *("join_retry_max_s=2", "reconnect_interval_s=1", "reap_interval_s=1"),
        )
        for word in ("--setting", setting)
    ),
    stop_s=7.0,
    spell_s=0.5,
)
"""For tests: a failure is noticed in some 4 s, and not sooner, since the machine may be busy."""


class Exercise:
    """One drill's cluster; a context, at whose end all processes are gone.

    Args:
        folder: an empty one, for logs and data.
        story: hears what is judged.
        pace: see there.
    """

    def __init__(self, folder: Path, story: Story, pace: Pace) -> None:
        self.folder = folder
        self.story = story
        self.pace = pace
        self.nodes: list[Node] = []
        self.at_end = ExitStack()  # what a scene has made, and is to be undone when the nodes are gone
        self._readers: dict[Node, Reader] = {}
        self._writers: list[Writer] = []
        self._writes = Writes()  # by the scene itself
        self._restarts: list[Restart] = []
        self._lost: list[Node] = []
        self._values = itertools.count(VALUES_BEGIN)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Processes and threads have ended, then what the scene made is undone."""
        with self.at_end:
            for node in self.nodes:
                node.kill()  # first: who waits for one of them waits no longer
            self.end_writers()
            for reader in self._readers.values():
                reader.end()

    def new_nodes(self, count: int = 3) -> list[Node]:
        """Nodes n1, n2, ... that are to know each other, not started yet."""
        hosts = [free_address() for _ in range(count)]
        options = ("--history-max", str(HISTORY_MAX), "--debug-interval", "0", *self.pace.options)
        return [Node(f"n{i}", host, self.folder, hosts, options) for i, host in enumerate(hosts, start=1)]

    def open(self, nodes: Sequence[Node]) -> None:
        """They run and know each other, and each is read from now on."""
        self.nodes += nodes
        for node in nodes:
            node.start()
        for node in nodes:
            until(node.is_ready, START_WITHIN_S, f"{node.name} takes writes")
        self.all_alive()
        for node in nodes:
            reader = Reader(node)
            reader.start()
            self._readers[node] = reader

    def all_alive(self, within_s: float = START_WITHIN_S) -> float:
        """Every node lists every node as alive; how long that took."""
        wanted = {node.name: "alive" for node in self.nodes}

        def holds(node: Node) -> bool:
            return node.statuses() == wanted

        return sum(until(partial(holds, node), within_s, f"{node.name} sees all alive") for node in self.nodes)

    def sees(self, node: Node, other: Node, status: str, within_s: float = NOTICE_WITHIN_S) -> float:
        """The node lists the other with this status; how long that took."""
        what = f"{node.name} lists {other.name} as {status}"
        return until(lambda: node.statuses().get(other.name) == status, within_s, what)

    def write_through(self, *nodes: Node) -> None:
        """Somebody writes through each of them from now on, some 15 times a second."""
        for node in nodes:
            writer = Writer(node, self._values)
            writer.start()
            self._writers.append(writer)

    def open_written(self) -> list[Node]:
        """Three nodes run, are read, and two of them are written to, for a while."""
        nodes = self.new_nodes()
        self.open(nodes)
        self.story.done("somebody writes through n1, and somebody else through n2, all the time")
        self.write_through(*nodes[:2])
        self.work()
        return nodes

    def tell_return(self, node: Node, took_s: float) -> None:
        """The story has what a node said that was started again, and is ready after so many seconds."""
        self.story.seen(f"{node.name}, log", node.first_line())
        self.story.seen(f"{node.name}, /readyz", f"{node.ask('/readyz').text}, {took_s:.1f} s after its start")

    def write(self, node: Node) -> int:
        """One write was acknowledged by the node; returns its value. DrillError if it was not."""
        value = next(self._values)
        if not self._writes.write(node, value):
            raise DrillError(f"{node.name} did not take a write: {self._writes.refusal or 'no answer'}")
        return value

    def end_writers(self) -> None:
        """Nobody writes any more."""
        for writer in self._writers:
            writer.end()

    def pause(self) -> None:
        """A spell of time has passed, in which readers and writers went on."""
        time.sleep(self.pace.spell_s)

    def work(self, *, without: Node | None = None) -> None:
        """The same, and each writer has had a write acknowledged, but those at a node that is down."""
        writers = [each for each in self._writers if each.node is not without]
        before = [len(each.writes.acknowledged) for each in writers]
        self.pause()
        until(
            lambda: all(len(w.writes.acknowledged) > b for w, b in zip(writers, before, strict=True)),
            START_WITHIN_S,
            "writes are acknowledged",
        )

    @contextmanager
    def away(self, node: Node) -> Iterator[None]:
        """Within, the node is taken down by intention; at the end it has to answer reads again."""
        self._readers[node].expect_silence()
        yield
        self._readers[node].expect_answers()

    def comes_back(self, node: Node) -> float:
        """A node that had ended was started again with its disk, and takes writes; how long that took."""
        acknowledged = max(self.acknowledged_by(node), default=None)
        shown = self._readers[node].forget()
        begun = time.monotonic()
        node.start()
        until(node.is_ready, START_WITHIN_S, f"{node.name} takes writes")
        took_s = time.monotonic() - begun
        held = self.held_at_start(node)
        if acknowledged is not None:
            newest = (acknowledged.generation, acknowledged.value)
            self._restarts.append(Restart(node.name, held, newest))
        if shown is not None and held < shown:
            self.story.value(
                f"{node.name} had shown generation {shown[0]}, and comes back with {held[0]}: what it had learnt from "
                "others was not on its disk yet"
            )
        return took_s

    def held_at_start(self, node: Node) -> tuple[int, int]:
        """Generation and value that the node had from its disk when it started, by the first line of its log."""
        for line in node.lines("at generation"):
            found = _HELD.search(line)
            if found:
                return int(found[2]), int(found[1])
        raise DrillError(f"the log of {node.name} does not say what it holds")

    def disk_lost(self, node: Node) -> None:
        """What the node had is gone; only while it is away."""
        self._lost.append(node)
        self._readers[node].forget()

    @property
    def acknowledged(self) -> list[Written]:
        """All writes that were acknowledged until now."""
        return [each for writes in self._all_writes for each in list(writes.acknowledged)]

    def acknowledged_by(self, node: Node) -> list[Written]:
        """Those that this node has acknowledged."""
        return [each for each in self.acknowledged if each.node == node.name]

    def failed_lines(self, *admitted: Node) -> list[str]:
        """What any node's log says of a member that failed, but for the admitted ones."""
        names = [node.name for node in admitted]
        return [
            f"{node.name}: {line}"
            for node in self.nodes
            for line in node.lines("member failed: ", all_runs=True)
            if not any(f"member failed: {name} " in line for name in names)
        ]

    @property
    def _all_writes(self) -> list[Writes]:
        return [*(writer.writes for writer in self._writers), self._writes]

    def judge(self, *, within_s: float = AGREE_WITHIN_S) -> None:
        """The writes end, all come to one state in time, and the story tells whether the cluster kept its promises."""
        self.end_writers()
        took_s = until(self._agree, within_s, "all nodes hold the same state")
        final = {node.name: _written(node) for node in self.nodes}
        histories = {node.name: _tags(node) for node in self.nodes if node not in self._lost}
        reads = {node.name: reader.end() for node, reader in self._readers.items()}
        acknowledged = self.acknowledged
        found = faults(Evidence(acknowledged, histories, final, self._restarts, reads))
        one = next(iter(final.values()))
        self.story.value(
            f"all nodes hold {one.value} at generation {one.generation}, {took_s:.1f} s after the last write"
        )
        counts = ", ".join(
            f"{sum(each.node == node.name for each in acknowledged)} by {node.name}" for node in self.nodes
        )
        if not found:
            self.story.value(f"{len(acknowledged)} writes were acknowledged ({counts}); none is lost")
        slowest = ", ".join(
            f"{name} {each.answered} (slowest {each.slowest_s * 1000:.0f} ms)" for name, each in reads.items()
        )
        self.story.value(f"reads answered: {slowest}")
        for fault in found:
            self.story.fault(fault)

    def _agree(self) -> bool:
        return len({node.state()["tag"] for node in self.nodes}) == 1


def _written(node: Node) -> Written:
    state = node.state()
    return Written(state["generation"], state["value"], state["tag"], node.name)


def _tags(node: Node) -> frozenset[str]:
    entries = node.ask(f"/v1/history?limit={HISTORY_MAX}").json()["history"]
    return frozenset(entry["tag"] for entry in entries)
