"""SWIM, tied together: bytes and `now` go in; packets, stream requests, events and the next deadline are pulled out.

`Swim` owns one of each part: `states` (members and what is said of them), `probe`, `relay`, `pushpull`, `gossip`,
`outbox`, `streams`, `timers`. It decides only which part a message is for. Whoever holds it feeds it, and after every
call drains `datagrams_to_send`, `streams_to_open` and `next_event`, and looks at `next_deadline`. Follows wire README
4 and memberlist's memberlist.go, net.go and state.go.
"""

from collections import deque
from collections.abc import Callable
from typing import Final

from onevalue.config import SwimSettings
from onevalue.errors import LocalProtocolError, MislabelledError, RemoteProtocolError, UndecipherableError
from onevalue.histogram import Histogram
from onevalue.swim.address import is_addr, unmapped
from onevalue.swim.common import Common
from onevalue.swim.counters import PacketCounts
from onevalue.swim.delegate import Delegate
from onevalue.swim.events import PacketRefused, SwimEvent, UserMessage
from onevalue.swim.gossip import Gossip
from onevalue.swim.members import Acquaintances, MemberRecord
from onevalue.swim.outbox import Outbox
from onevalue.swim.probe import Prober
from onevalue.swim.pushpull import PushPulls
from onevalue.swim.relay import Relays, target_address
from onevalue.swim.sequence import Sequencer, reply_address
from onevalue.swim.stall import SelfDoubt
from onevalue.swim.states import MemberStates
from onevalue.swim.streams import StreamFailed, StreamOutcome, StreamRequest, Streams
from onevalue.types import Address, Incarnation, Rng
from onevalue.wire.codec import Packet, decode_packet, encode_message
from onevalue.wire.envelope import Envelope
from onevalue.wire.memberlist_schema import MESSAGE_IDS
from onevalue.wire.message_ids import MessageId
from onevalue.wire.messages import (
    Ack,
    Alive,
    Dead,
    IndirectPing,
    Nack,
    NodeStatus,
    PacketMessage,
    Ping,
    PushPull,
    StreamMessage,
    Suspect,
    User,
)
from onevalue.wire.schema import META_SIZE_MAX
from onevalue.wire.stream import Outgoing

__all__ = ["StreamRequest", "Swim"]

_PROTOCOL_WITH_RELAYS: Final = 5

STREAM_USER_SIZE_MAX: Final = 1 << 16
"""Bytes of a user message that comes on a stream: the owner decodes it at once. Serf sends none there.

DEPARTURE (stream-bounds): memberlist has the bound of the stream.
"""

PINGS_PER_PACKET_MAX: Final = 8
"""Pings and indirect pings of one packet that are answered; real nodes put one into a packet.

DEPARTURE (packet-pings): memberlist answers all, each with up to a packet full of news.
"""


class Swim:
    """One member of a cluster, without I/O.

    `now` may stand still or step back: the largest that was seen counts. Every method that takes it may make packets,
    stream requests and events.
    """

    def __init__(
        self,
        *,
        name: str,
        addr: bytes,
        port: int,
        meta: bytes,
        vsn: bytes,
        settings: SwimSettings,
        rng: Rng,
        delegate: Delegate,
        envelope: Envelope | None = None,
    ) -> None:
        if not name or not is_addr(addr) or not 0 < port < 65536 or len(vsn) != 6:
            raise LocalProtocolError("a member has a name, 4 or 16 bytes of address, a port and six version bytes")
        _check_meta(meta)
        self.last_heard: float | None = None
        self._now = float("-inf")
        self._started = False
        self._delegate = delegate
        self._events: deque[SwimEvent] = deque()
        self._common = common = Common(settings, rng, self._events.append, envelope or Envelope())
        local = MemberRecord(name, addr, port, meta, vsn, Incarnation(0), NodeStatus.DEAD, 0.0)
        self._states = states = MemberStates(local, common)
        self._outbox = outbox = Outbox(states, delegate, common)
        self._streams = streams = Streams(common)
        self._sequencer = sequencer = Sequencer()
        self._relays = Relays(states, outbox, sequencer, common)
        self._prober = Prober(states, outbox, streams, sequencer, common)
        self._push_pulls = PushPulls(states, streams, delegate, common)
        self._doubt = SelfDoubt(states, self._prober, common)
        self._gossip = Gossip(states, outbox, self._doubt, common)

    # What is known

    @property
    def counters(self) -> dict[str, int]:
        """What was counted since the start (`counters`)."""
        return self._common.counters

    @property
    def queue_length(self) -> int:
        """How many of memberlist's messages wait to be gossiped."""
        return len(self._states.queue)

    @property
    def round_trips(self) -> Histogram:
        """Seconds from a direct ping to its ack."""
        return self._common.round_trips

    @property
    def packets(self) -> dict[str, PacketCounts]:
        """What was received (`in`) and sent (`out`)."""
        return {"in": self._common.received, "out": self._common.sent}

    @property
    def local(self) -> MemberRecord:
        """This node; dead with incarnation 0 before `start`, left after `leave`."""
        return self._states.local

    @property
    def health_score(self) -> int:
        """How slow this node seems to itself; 0 is best (Lifeguard)."""
        return self._states.awareness.score

    def member(self, name: str) -> MemberRecord | None:
        """What is known of a member, or None."""
        return self._states.table.get(name)

    def members(self) -> list[MemberRecord]:
        """All members that are remembered, this node first, in the order in which their names became known."""
        return self._states.table.records()

    def alive_others(self) -> list[MemberRecord]:
        """The other members that are alive, perhaps under suspicion, in the order of `members`."""
        return [record for record in self.members() if self._states.is_other(record)]

    def choose_relays(self, count: int) -> list[MemberRecord]:
        """Up to so many random other members that are alive and pass on answers to queries (wire README 5.9)."""

        def suits(record: MemberRecord) -> bool:
            alive = record.status is NodeStatus.ALIVE and record.name != self._states.local_name
            return alive and record.protocol_max >= _PROTOCOL_WITH_RELAYS

        return self._states.table.choose(count, suits, self._common.rng)

    def status(self) -> dict[str, object]:
        """What people may want to know: members by state, queue lengths, health, counters."""
        statuses = [record.status for record in self.members()]
        members = {status.name.lower(): statuses.count(status) for status in NodeStatus}
        (packets_in, bytes_in), (packets_out, bytes_out) = self._common.received.totals, self._common.sent.totals
        traffic = {"packets_in": packets_in, "packets_out": packets_out, "bytes_in": bytes_in, "bytes_out": bytes_out}
        return {
            "members": members,
            "health_score": self.health_score,
            "incarnation": int(self.local.incarnation),
            "queue": self.queue_length,
            "suspicions": self._states.suspicions,
            "relays": len(self._relays),
            "streams": len(self._streams),
            "unmerged": self._push_pulls.unmerged,
            "leaving": self._states.leaving,
            "counters": {**traffic, **self.counters},
        }

    # What is pulled out

    def next_deadline(self) -> float | None:
        """When `handle_timer` is to be called next, at the latest; None: only after another call."""
        return self._common.timers.next_deadline()

    def datagrams_to_send(self) -> list[tuple[bytes, Address]]:
        """The packets that were built since the last call."""
        return self._outbox.take()

    def streams_to_open(self) -> list[StreamRequest]:
        """The stream requests that were made since the last call; the shell ends each by one of two calls below."""
        return self._streams.take()

    def next_event(self) -> SwimEvent | None:
        """The oldest event that was not pulled yet, or None."""
        return self._events.popleft() if self._events else None

    # What goes in

    def meet(self, known: Acquaintances) -> None:
        """These are known as alive before the start, without a word to anybody."""
        self._states.table.meet(known, self._common.rng)

    def start(self, now: float) -> None:
        """This node is alive, with incarnation 1, and gossips it; probes, gossip and exchanges begin."""
        if self._started:
            raise LocalProtocolError("this member has been started already")
        self._started = True
        now = self._at(now)
        self._states.announce(self.local.meta, now)
        self._gossip.start(now)
        self._prober.start(now)
        self._push_pulls.start(now)

    def handle_timer(self, now: float) -> None:
        """What is due has been done, each thing once; nobody is accused for what passed while this node stood still."""
        now = self._at(now)
        self._doubt.look(now)
        self._common.timers.run(now)
        self._states.settle()

    def receive_datagram(self, data: bytes, source: Address, now: float) -> None:
        """What the packet says has been taken in; what means nothing is counted as malformed. Never raises."""
        if not self._started:
            return
        now, source = self._at(now), unmapped(source)
        try:
            plain = self._common.envelope.open_packet(data)
        except (MislabelledError, UndecipherableError) as error:
            self._common.received.count(None, len(data))
            self.count_refused(error)
            self._events.append(PacketRefused(source, str(error)))
            return
        packet = decode_packet(plain)
        self._common.received.count(_first(packet), len(data))
        self.counters["malformed"] += len(packet.errors)
        if packet.messages:
            self._heard_from(self._states.table.at(source), now)
        pings = 0
        for message in packet.messages:
            pings += isinstance(message, Ping | IndirectPing)
            if pings > PINGS_PER_PACKET_MAX and isinstance(message, Ping | IndirectPing):
                self.counters["pings_refused"] += 1
            else:
                self._receive(message, source, now)
        self._states.settle()

    def count_refused(self, error: RemoteProtocolError) -> None:
        """What came, in a packet or stream, was not taken in: it is counted by the kind of its fault."""
        if isinstance(error, MislabelledError):
            self.counters["mislabelled"] += 1
        elif isinstance(error, UndecipherableError):
            self.counters["undecipherable"] += 1
        else:
            self.counters["malformed"] += 1

    def receive_stream(self, message: StreamMessage, now: float) -> Outgoing | None:
        """A message on a stream that another opened has been taken in; the answer, or None to close silently."""
        if not self._started:
            return None
        reply: Outgoing | None = None
        now = self._at(now)
        if isinstance(message, PushPull):
            self._heard_in(message, now)
            reply = self._push_pulls.answer(message, now)
        elif isinstance(message, Ping) and message.node in {"", self._states.local_name}:
            ack = Ack(message.seq_no)
            reply = self._streams.reply(lambda: ack)
        elif isinstance(message, User) and len(message.body) <= STREAM_USER_SIZE_MAX:
            self._events.append(UserMessage(message.body, None))
        else:
            self.counters["streams_refused"] += 1
        self._states.settle()
        return reply

    def stream_answered(self, request_id: int, message: StreamMessage, now: float) -> None:
        """The stream request was answered so; ignored when it has ended already."""
        now = self._at(now)
        if isinstance(message, PushPull):
            self._heard_in(message, now)
        self._streams.end(request_id, message, now)
        self._states.settle()

    def stream_failed(self, request_id: int, reason: str, now: float, *, refused: bool = False) -> None:
        """The stream request has failed, for a reason told to people; ignored when it has ended already.

        `refused`: the host has said that nobody listens there.
        """
        self._streams.end(request_id, StreamFailed(reason, refused), self._at(now))
        self._states.settle()

    # What this node wants

    def push_pull(self, address: Address, *, join: bool, now: float) -> int:
        """An exchange of all state with the member at `address` is under way; it ends as PushPullDone with this id."""
        return self._push_pulls.request(address, join=join, now=self._at(now))

    def ping_by_stream(self, address: Address, name: str, done: Callable[[bool, float], None], now: float) -> None:
        """Whether the member of this name is at `address` is being asked; `done(is_there, now)` is called once."""
        local, now = self.local, self._at(now)
        ping = Ping(self._sequencer.next(), name, local.addr, local.port, local.name)

        def over(_request_id: int, outcome: StreamOutcome, late: float) -> None:
            done(isinstance(outcome, Ack) and outcome.seq_no == ping.seq_no, late)

        self._streams.open(address, lambda: ping, now + self._common.settings.stream_timeout_s, now, over)

    def update_meta(self, meta: bytes, now: float) -> None:
        """This node has this meta, and gossips it with a new incarnation; nothing happens once it is leaving.

        Raises LocalProtocolError above META_SIZE_MAX; nothing changed.
        """
        _check_meta(meta)
        self._states.announce(meta, self._at(now))
        self._states.settle()

    def insist(self) -> None:
        """This node gossips again where it is, though nothing has changed: it seems not to be known there."""
        self._states.insist()

    def probe_soon(self, name: str) -> None:
        """This member is probed at one of the next turns, before those whose turn it is."""
        self._prober.probe_soon(name)

    def gossip_now(self, now: float) -> None:
        """The next rounds of gossip are made at once, unless some were a moment ago: what is urgent need not wait."""
        self._gossip.urgently(self._at(now))

    def gossip_once(self, now: float) -> None:
        """The next round of gossip is made at once, however many there were: whoever asks for it bounds how often."""
        self._gossip.at_once(self._at(now))

    def leave(self, now: float) -> None:
        """This node has left and gossips it; LeaveSent follows. It goes on answering for as long as it is fed."""
        self._states.leave(self._at(now))
        self._states.settle()

    def send_user(self, address: Address, body: bytes, now: float) -> None:
        """The body is on its way to `address`, once, alone in a packet."""
        self._at(now)
        self._outbox.send_alone([encode_message(User(body))], address)

    # Inside

    def _at(self, now: float) -> float:
        self._now = max(self._now, now)
        return self._now

    def _receive(self, message: PacketMessage, source: Address, now: float) -> None:
        match message:
            case Ping():
                self._receive_ping(message, source, now)
            case Ack():
                self._receive_ack(message, now)
            case Nack():
                self._prober.nack(message.seq_no)
            case IndirectPing():
                self._receive_indirect_ping(message, source, now)
            case Alive():
                self._states.alive(message, now)
            case Suspect():
                self._states.suspect(message, now)
            case Dead():
                self._states.dead(message, now)
            case User():
                self._events.append(UserMessage(message.body, source))

    def _receive_ping(self, message: Ping, source: Address, now: float) -> None:
        """Answered, unless it is for a node of another name: then silence (pitfall 15)."""
        if message.node not in {"", self._states.local_name}:
            return
        self._heard_from(self._states.table.get(message.source_node), now)
        ack = Ack(message.seq_no, self._delegate.ack_payload())
        self._outbox.send(encode_message(ack), reply_address(message, source))

    def _receive_ack(self, message: Ack, now: float) -> None:
        if self._prober.ack(message, now) or self._relays.ack(message.seq_no):
            self.last_heard = now

    def _receive_indirect_ping(self, message: IndirectPing, source: Address, now: float) -> None:
        if not is_addr(message.target):
            self.counters["malformed"] += 1
            return
        self._relays.begin(message, target_address(message, self.local.port), source, now)

    def _heard_from(self, record: MemberRecord | None, now: float) -> None:
        if record is not None and record.name != self._states.local_name:
            self.last_heard = now

    def _heard_in(self, message: PushPull, now: float) -> None:
        if any(node.name != self._states.local_name for node in message.nodes):
            self.last_heard = now


def _first(packet: Packet) -> int | None:
    """The number of the first message; None if none could be read."""
    return MESSAGE_IDS.get(type(packet.messages[0]), MessageId.USER) if packet.messages else None


def _check_meta(meta: bytes) -> None:
    if len(meta) > META_SIZE_MAX:
        raise LocalProtocolError(f"the meta of a member has at most {META_SIZE_MAX} bytes, not {len(meta)}")
