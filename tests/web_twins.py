"""Two nodes that live through the same: one remembers answers, the other answers everything in the ordinary way.

Whatever clients, peers and time do, both must have sent the same bytes, Date and all, and be about the same, but for
the count of remembered answers.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import pairwise

from onevalue.store import Source, State
from onevalue.types import Generation
from onevalue.web.channel import IDLE_TIME_MAX_S, LimitedChannel, Phase
from tests.fakes import make_member
from tests.web_support import WebNode, Wire

_DIGITS = re.compile(rb"\d+")


class Twins:
    """The two nodes, and connections to both of the same numbers.

    Args:
        kind: of the clients.
    """

    def __init__(self, kind: type[Wire] = Wire) -> None:
        self.ordinary, self.remembering = WebNode(), WebNode()
        self.ordinary.site.protocol = LimitedChannel
        self.sent = b""
        self._kind = kind
        self._wires: list[tuple[Wire | None, Wire | None]] = []

    def connect(self) -> int:
        """The number of a new connection."""
        self._wires.append((self.ordinary.connect(kind=self._kind), self.remembering.connect(kind=self._kind)))
        self.check()
        return len(self._wires) - 1

    def send(self, number: int, data: bytes) -> None:
        """A client sends bytes; nothing if its connection is gone."""
        for node, wire in zip((self.ordinary, self.remembering), self._wires[number], strict=True):
            if wire is not None and not wire.lost:
                node.send(wire, data)
        self.check()

    def send_cut(self, number: int, data: bytes, cuts: Sequence[int]) -> None:
        """A client sends bytes, which come in pieces."""
        for start, end in pairwise(sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})):
            self.send(number, data[start:end])

    def read(self, number: int) -> None:
        """A client reads again, if it had stopped."""
        for wire in self._wires[number]:
            if wire is not None and not wire.lost and wire.channel is not None and wire.channel.paused:
                wire.channel.resumeProducing()
        self.check()

    def pass_time(self, seconds: float) -> None:
        """So much time has passed, at once."""
        self._each(lambda node: node.clock.advance(seconds))

    def learn(self, value: int) -> None:
        """A peer has told a newer state."""
        generation = Generation(self.ordinary.store.current.generation + 1)
        self._each(lambda node: node.store.merge(State(generation, value), Source.EVENT))

    def hear(self, contact_s: float | None) -> None:
        """Another member was heard so long ago; with None, the members have changed."""
        for node in (self.ordinary, self.remembering):
            if contact_s is None:
                node.membership.set_members(make_member("n1"), make_member("n2"))
            else:
                node.membership.contact_s = contact_s
        self.check()

    def finish(self) -> None:
        """Nothing more happens until the deadlines of all phases have passed; then no connection is left."""
        for _ in Phase:
            self.pass_time(IDLE_TIME_MAX_S)
            self.pass_time(0.0)
        assert self.ordinary.site.traffic.connections == 0

    def _each(self, action: Callable[[WebNode], object]) -> None:
        for node in (self.ordinary, self.remembering):
            action(node)
        self.check()

    def check(self) -> None:
        """Both have sent the same, and are about the same."""
        for wires in self._wires:
            ordinary, remembering = (_seen(wire) for wire in wires)
            assert ordinary == remembering
            if wires[0] is not None:
                self.sent += wires[0].take_bytes()
            if wires[1] is not None:
                wires[1].take_bytes()
        counted = [asdict(node.site.traffic) for node in (self.ordinary, self.remembering)]
        for each in counted:
            del each["requests_remembered"]
        assert counted[0] == counted[1]
        assert self.ordinary.store.current == self.remembering.store.current
        assert self.ordinary.site.traffic.requests_remembered == 0


def _seen(wire: Wire | None) -> object:
    """All that a client, and a deadline, can tell of a connection."""
    if wire is None or wire.channel is None:
        return None
    sent: bytes = wire.value()  # type: ignore[no-untyped-call]  # likewise
    if b"requests_remembered" in sent:  # the status tells the count, in which the two differ
        sent = _DIGITS.sub(b"#", sent)
    channel = wire.channel
    return sent, channel.phase, channel.deadline, channel.paused, wire.lost, wire.disconnecting, wire.producerState
