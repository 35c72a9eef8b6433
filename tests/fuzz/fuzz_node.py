"""Fuzz target: a node that has started, and what peers, its owner and time do to it.

The first byte of an input says how the node is set up; steps follow. A step is one byte (what happens, after how long,
and from whom), the length of its data in two bytes, and the data. What must hold after each step: nothing is raised,
all bounds hold, the node goes on being a member, its clocks never step back, and what it sends can be read.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from onevalue.errors import LocalProtocolError, RemoteProtocolError
from onevalue.serf.answering import RELAYS_PER_ANSWER_MAX
from onevalue.serf.asking import Question
from onevalue.serf.broadcasts import QUEUE_MAX as SERF_QUEUE_MAX
from onevalue.serf.core import Serf
from onevalue.serf.events import KeyringChange, LeaveDone, QueryReceived
from onevalue.serf.keys import KeyAction
from onevalue.serf.members import MemberStatus
from onevalue.serf.roster import LOST_MAX
from onevalue.swim.backlog import BACKLOG_ENTRIES_MAX
from onevalue.swim.relay import RELAYS_MAX
from onevalue.swim.states import QUEUE_MAX
from onevalue.swim.streams import STREAM_REQUESTS_MAX, StreamRequest
from onevalue.types import Address, LamportTime
from onevalue.wire.codec import PACKET_PARTS_MAX, decode_packet
from onevalue.wire.envelope import Envelope
from onevalue.wire.messages import PushPull, StreamMessage
from onevalue.wire.serf_messages import EventSlot, SerfState
from onevalue.wire.stream import Outgoing, StreamDecoder, encode_stream
from tests.fuzz import seeds
from tests.fuzz.targets import Target
from tests.unit.serf_net import make_serf

STREAM_SIZE_MAX = 1 << 13
"""Of a stream that comes; larger ones take long, and go in slices."""

STEPS_MAX = 32
MEMBERS_MAX = 6
"""Instead of thousands, so that an input can reach the bound."""

DATAGRAM_SIZE_MAX = 65507
WAKES_MAX = 10
"""How often the node's timer wakes it while one step waits; the last time may come late, as on a busy machine."""

_NAMES = ("a1", "a5", "b2", "g1")  # of the vectors, so that what they say is about this node
_PAUSES_S = (0.0, 0.0, 0.001, 0.3, 1.0, 7.0, 70.0, 90000.0)
_SOURCES: tuple[Address, ...] = (("127.0.0.3", 7946), ("127.0.0.4", 7946), ("10.0.0.1", 7946), ("::1", 1))
_FOREIGN, _REQUEST, _ANSWER, _FAILURE, _OWNER = 3, 4, 5, 6, 7  # below: datagrams


@dataclass(frozen=True)
class _Step:
    what: int
    pause_s: float
    source: Address
    data: bytes


def step(what: int, data: bytes, pause: int = 0, source: int = 0) -> bytes:
    """How a step is spelled."""
    return bytes([what | pause << 3 | source << 6]) + len(data).to_bytes(2, "big") + data


def _steps(data: bytes) -> Iterator[_Step]:
    pos = 1
    for _ in range(STEPS_MAX):
        if pos >= len(data):
            return
        lead, size = data[pos], int.from_bytes(data[pos + 1 : pos + 3], "big")
        pos += 3
        yield _Step(lead & 7, _PAUSES_S[lead >> 3 & 7], _SOURCES[lead >> 6], data[pos : pos + size])
        pos += size


class _Node:
    """The node and its shell."""

    def __init__(self, setup: int) -> None:
        self.now = 100.0
        self.envelope = Envelope(keyring=seeds.keyring() if setup & 1 else None)
        self.serf: Serf = make_serf(1, name=_NAMES[setup >> 1 & 3], envelope=self.envelope, held_events=["onevalue"])
        self.serf.swim._states.table._members_max = MEMBERS_MAX
        self.serf._roster._members_max = 2 * MEMBERS_MAX
        self.streams: list[StreamRequest] = []
        self.left = False
        self.clocks = self.serf.clocks
        self.serf.start(self.now)
        self.drain()

    def do(self, each: _Step) -> None:
        """The step has happened, and what came of it is drained."""
        self.wait(each.pause_s)
        if each.what < _FOREIGN:
            self.serf.receive_datagram(self.envelope.seal_packet(each.data), each.source, self.now)
        elif each.what == _FOREIGN:
            self.serf.receive_datagram(each.data, each.source, self.now)
        elif each.what == _REQUEST:
            if (message := self._read(each.data)) is not None:
                self._check_reply(self.serf.receive_stream(message, self.now))
        elif each.what == _OWNER:
            self._own(each.data[:1], each.data[1:], each.source)
        elif self.streams:
            self._end_stream(self.streams.pop(0), each)
        self.drain()
        self.check()

    def wait(self, seconds: float) -> None:
        """So much time has passed."""
        end = self.now + seconds
        for _ in range(WAKES_MAX):
            deadline = self.serf.next_deadline()
            assert deadline is not None
            if deadline > end:
                break
            self.now = max(self.now, deadline)
            self.serf.handle_timer(self.now)
            self.drain()
        self.now = end

    def _read(self, data: bytes) -> StreamMessage | None:
        try:
            return StreamDecoder(size_max=STREAM_SIZE_MAX).feed(data)
        except RemoteProtocolError as error:
            self.serf.swim.count_refused(error)
            return None

    def _end_stream(self, request: StreamRequest, each: _Step) -> None:
        assert StreamDecoder(self.envelope).feed(request.data.encode()) is not None
        message = self._read(each.data) if each.what == _ANSWER else None
        if message is None:
            self.serf.stream_failed(request.request_id, "no answer", self.now)
        else:
            self.serf.stream_answered(request.request_id, message, self.now)

    def _check_reply(self, reply: Outgoing | None) -> None:
        if reply is not None:
            assert StreamDecoder(self.envelope, is_request=False).feed(reply.encode()) is not None

    def _own(self, what: bytes, data: bytes, source: Address) -> None:
        """What the owner of the node wants; it may be told that it cannot be."""
        name, payload = data[:8].decode("utf-8", "surrogateescape"), data[8:]
        try:
            match what:
                case b"j":
                    self.serf.join(source, self.now)
                case b"e":
                    self.serf.user_event(name, payload, coalesce=False, now=self.now)
                case b"q":
                    self.serf.ask(Question(name, payload, ack=True, relay_factor=2), self.now)
                case b"k":
                    self.serf.ask_about_keys(KeyAction.LIST, b"", 1, self.now)
                case b"f":
                    self.serf.force_leave(name, prune=bool(payload), now=self.now)
                case b"l":
                    self.left = True
                    self.serf.leave(self.now)
                case _:
                    pass
        except LocalProtocolError:
            pass

    def drain(self) -> None:
        """All that the node tells and sends is taken, and answered as an owner would."""
        while (event := self.serf.next_event()) is not None:
            match event:
                case QueryReceived(received):
                    self.serf.respond(received, b"here", self.now)
                case KeyringChange(change_id):
                    self.serf.keyring_kept(change_id, None, self.now)
                case LeaveDone():
                    assert self.left, "it left, and nobody wanted it"
                case _:
                    pass
        self.streams += self.serf.streams_to_open()
        datagrams = self.serf.datagrams_to_send()
        assert len(datagrams) <= PACKET_PARTS_MAX * 2 * (1 + RELAYS_PER_ANSWER_MAX)
        for datagram, _ in datagrams:
            assert len(datagram) <= DATAGRAM_SIZE_MAX
            packet = decode_packet(self.envelope.open_packet(datagram))
            assert packet.messages
            assert not packet.errors, packet.errors

    def check(self) -> None:
        """All bounds hold, and the node goes on."""
        self._check_bounds()
        self._check_self()

    def _check_bounds(self) -> None:
        serf, swim = self.serf, self.serf.swim
        assert len(swim.members()) <= MEMBERS_MAX
        assert serf.remembered <= 2 * MEMBERS_MAX
        assert len(serf.lost()) <= LOST_MAX
        assert len(swim._states.queue) <= QUEUE_MAX
        assert len(swim._relays) <= RELAYS_MAX
        assert len(swim._streams) <= STREAM_REQUESTS_MAX
        assert swim._states.suspicions <= MEMBERS_MAX
        assert all(length <= SERF_QUEUE_MAX for length in dict(serf._broadcasts.lengths()).values())
        assert swim._push_pulls.unmerged <= BACKLOG_ENTRIES_MAX

    def _check_self(self) -> None:
        serf = self.serf
        clocks, self.clocks = self.clocks, serf.clocks
        for name in ("member", "event", "query"):
            assert getattr(clocks, name) <= getattr(self.clocks, name), "a clock stepped back"
        if not self.left:
            own = [member.status for member in serf.members() if member.name == serf.name]
            assert own == [MemberStatus.ALIVE], "it was talked out of being alive"


def run(data: bytes) -> None:
    """The input is a setup and its steps; afterwards some time passes."""
    if not data:
        return
    node = _Node(data[0])
    for each in _steps(data):
        node.do(each)
    for pause_s in (0.05, 3.0, 60.0):
        node.wait(pause_s)
        node.check()
    assert json.dumps(node.serf.status())


def _impossible_times() -> bytes:
    last = LamportTime((1 << 64) - 1)
    state = SerfState(last, {"a3": last}, ("a3",), last, (EventSlot(last, (("deploy", b""),)),), last)
    return encode_stream(PushPull(join=True, nodes=(), user_state=state), compress=False)


def _seeds() -> list[bytes]:
    """Each packet and stream to two nodes; and courses of many, one kind of step after the other."""
    datagrams, streams = seeds.plain("udp"), seeds.plain("tcp")
    found = [bytes([setup]) + step(0, data) for setup in (0, 3) for data in datagrams]
    found.append(bytes([0]) + b"".join(step(0, data) for data in seeds.edges()[-STEPS_MAX:]))
    for what in (_REQUEST, _ANSWER):
        found += [bytes([2]) + step(_OWNER, b"j") + step(what, data, 3) for data in [*streams, _impossible_times()]]
    for setup in (0, 1, 3, 6):
        found += [
            bytes([setup])
            + step(_REQUEST, streams[setup % len(streams)])
            + step(_OWNER, owner, 3)
            + b"".join(step(0, data, number % 6, number % 4) for number, data in enumerate(datagrams[first::12]))
            for first, owner in enumerate((b"j", b"eping\0\0\0\0x", b"qdeploy\0\0x", b"k", b"fa4\0\0", b"l"))
        ]
    return found


TARGET = Target(run=run, seeds=_seeds, size_max=4096)
