"""Watchers of a node in memory: how one watches, reads what came, and does not read."""

import json

from twisted.trial.unittest import SynchronousTestCase

from onevalue.store import Source, State
from onevalue.types import Generation
from onevalue.web.rounds import TELL_PAUSE_PER_WATCHER_S
from onevalue.web.turns import DONE_PER_TURN
from tests.fakes import TurnClock
from tests.web_support import WebNode, Wire

WATCH = b"GET /v1/watch HTTP/1.1\r\nHost: n1\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"


class StalledWire(Wire):
    """A client that takes nothing until `drain`; its transport pauses the producer as Twisted's does."""

    bufferSize = 65536

    def write(self, data: bytes) -> None:
        """Written; perhaps there is no more room."""
        super().write(data)  # type: ignore[no-untyped-call]  # Twisted has no types here
        self._look()

    def writeSequence(self, data: list[bytes]) -> None:
        """Likewise."""
        super().writeSequence(data)  # type: ignore[no-untyped-call]  # likewise
        self._look()

    def drain(self) -> bytes:
        """The client takes all; what that was."""
        data = self.take_bytes()
        if self.producer is not None:
            self.producer.resumeProducing()
        return data

    def unsent(self) -> int:
        """Bytes that wait."""
        return len(self.value())  # type: ignore[no-untyped-call]  # likewise

    def _look(self) -> None:
        if self.producer is not None and self.unsent() > self.bufferSize:
            self.producer.pauseProducing()


def unchunked(data: bytes) -> bytes:
    """The content of whole chunks."""
    content = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        length = int(size, 16)
        content += data[:length]
        data = data[length + 2 :]
    return content


def events(content: bytes) -> list[tuple[str, int]]:
    """Id and value of each event in the content of a stream."""
    found = []
    for block in content.decode().split("\n\n")[:-1]:
        fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line and not line.startswith(":"))
        if "data" in fields:
            state = json.loads(fields["data"])
            assert state["tag"] == fields["id"], "the id of an event is the tag of its state"
            found.append((fields["id"], state["value"]))
    return found


class WatchTestCase(SynchronousTestCase):
    """Knows how to watch."""

    def setUp(self) -> None:
        self.clock = TurnClock()
        self.node = WebNode(clock=self.clock)

    def change(self, value: int) -> State:
        """The node learns of a value that is new."""
        state = State(Generation(self.node.store.current.generation + 1), value, "n2", 12.5)
        assert self.node.store.merge(state, Source.EVENT)
        return state

    def settle(self) -> None:
        """All who are to be told have been told."""
        turns = self.node.site.traffic.watchers // DONE_PER_TURN + 3
        self.clock.turn(turns)
        self.clock.advance(TELL_PAUSE_PER_WATCHER_S * self.node.site.traffic.watchers)
        self.clock.turn(turns)

    def watch(self, request: bytes = WATCH, *, taken: bool = True) -> Wire:
        """A client that watches, and has taken head, preamble and first event if `taken`."""
        wire = self.node.dial(request, peer="127.0.0.1")
        if taken:
            assert wire.take_bytes().startswith(b"HTTP/1.1 200 OK\r\n")
        return wire

    def heard(self, wire: Wire) -> list[int]:
        """The values of the events since the last call."""
        return [value for _, value in events(unchunked(wire.take_bytes()))]

    def stall(self) -> StalledWire:
        """A client that watches and takes nothing any more, having taken the first event."""
        wire = self.node.connect(kind=StalledWire)
        assert isinstance(wire, StalledWire)
        self.node.send(wire, WATCH)
        assert b"id: " in wire.drain() + wire.drain()
        return wire
