"""A writer: writes through one node all the time, and records what was acknowledged, refused and left open."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from http.client import HTTPException
from threading import Event, Thread

from tools.drilling.nodes import Node
from tools.drilling.records import Written

PAUSE_S = 0.05
PAUSE_AFTER_TROUBLE_S = 0.2
WRITES_MAX = 5000
"""A writer ends after so many: nodes keep 10,000 states in their history, and a drill judges by that."""


@dataclass
class Writes:
    """What came of writes.

    Attributes:
        acknowledged: in the order of the answers.
        refused: how often, by status.
        refusal: the newest that was refused, in the node's words.
        unanswered: writes that may have been made or not, or reached nobody.
    """

    acknowledged: list[Written] = field(default_factory=list)
    refused: dict[int, int] = field(default_factory=dict)
    refusal: str = ""
    unanswered: int = 0

    def write(self, node: Node, value: int) -> bool:
        """One write was tried, and is recorded; True if it was acknowledged."""
        try:
            answer = node.put(value)
            document = answer.json()
        except (OSError, HTTPException, ValueError):
            self.unanswered += 1
            return False
        if answer.status != 200:
            self.refused[answer.status] = self.refused.get(answer.status, 0) + 1
            self.refusal = f"{answer.status} {document.get('detail')}"
            return False
        self.acknowledged.append(Written(document["generation"], document["value"], document["tag"], node.name))
        return True


class Writer(Thread):
    """Writes through one node until `end`, each value once.

    Args:
        node: whom to ask.
        values: numbers that nobody else writes.
    """

    def __init__(self, node: Node, values: Iterator[int]) -> None:
        super().__init__(name=f"writer at {node.name}", daemon=True)
        self.writes = Writes()
        self.node = node
        self._values = values
        self._ended = Event()

    def end(self) -> Writes:
        """What came of its writes; it makes no more."""
        self._ended.set()
        self.join()
        return self.writes

    def run(self) -> None:
        """Writes, until it is ended."""
        pause_s = PAUSE_S
        for _ in range(WRITES_MAX):
            if self._ended.wait(pause_s):
                return
            pause_s = PAUSE_S if self.writes.write(self.node, next(self._values)) else PAUSE_AFTER_TROUBLE_S
