"""A reader: asks one node all the time, and records every answer that did not come and every step back."""

import time
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPException
from threading import Event, Thread

from tools.drilling.asking import ask_on, connect
from tools.drilling.nodes import Node
from tools.drilling.records import Reads

POLL_S = 0.05
RECORDS_MAX = 100
"""Failures and steps back that are kept, of each; more would tell nothing new."""


class Reader(Thread):
    """Reads one node until `end`. It is told when the node is down by intention, and what fails then does not count.

    Args:
        node: whom to ask.
        clock: seconds, for the record.
    """

    def __init__(self, node: Node, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(name=f"reader of {node.name}", daemon=True)
        self.node = node
        self.reads = Reads()
        self.tried = 0
        self._clock = clock
        self._begun = clock()
        self._ended = Event()
        self._away = False
        self._lives = 0
        self._newest: tuple[int, int] | None = None

    def expect_silence(self) -> None:
        """The node is about to be taken down."""
        self._away = True

    def expect_answers(self) -> None:
        """The node answers again, and has to go on."""
        self._away = False

    def forget(self) -> tuple[int, int] | None:
        """The node has ended, and begins with what its disk has; returns the newest that it had shown.

        Only while silence is expected.
        """
        assert self._away
        self._lives += 1
        shown, self._newest = self._newest, None
        return shown

    def end(self) -> Reads:
        """What it saw; it asks no more."""
        self._ended.set()
        self.join()
        return self.reads

    def run(self) -> None:
        """Asks, until it is ended."""
        with self.node.place():  # once: to change the network takes long
            while not self._ended.wait(POLL_S):
                self._read()
                self.tried += 1

    def _read(self) -> None:
        excused, life, begun = self._away, self._lives, self._clock()
        try:
            with closing(connect(self.node.host)) as connection:
                int(ask_on(connection, "/get").body)
                document = ask_on(connection, "/v1/value").json()
            shown = (int(document["generation"]), int(document["value"]))  # a problem document has neither
        except (OSError, HTTPException, ValueError, KeyError) as error:
            if not (excused or self._away):
                self._record(self.reads.failures, f"a read failed {self._when(begun)}: {error!r}")
            return
        if not (excused or self._away):
            self.reads.slowest_s = max(self.reads.slowest_s, self._clock() - begun)
        self.reads.answered += 1
        if life != self._lives:  # an answer from before the node ended
            return
        if self._newest is not None and shown < self._newest:
            step = f"from value {self._newest[1]} at generation {self._newest[0]} to {shown[1]} at {shown[0]}"
            self._record(self.reads.steps_back, f"went back {self._when(begun)}: {step}")
        self._newest = shown

    def _when(self, begun: float) -> str:
        return f"{begun - self._begun:.1f} s after the start"

    @staticmethod
    def _record(records: list[str], what: str) -> None:
        if len(records) < RECORDS_MAX:
            records.append(what)
