"""The Serf core: bytes and `now` in; datagrams, streams, events and the next deadline out.

It ties SWIM below to the parts above it: the roster of members, the intents, the user events, the queries, places,
joining, leaving; and is what SWIM asks for broadcasts (wire README section 5; Serf's serf.go and delegate.go). What a
Serf message does is `intake`'s; this file must not know how packets and streams are made, nor what events mean.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Final

from onevalue.config import SerfSettings, SwimSettings
from onevalue.errors import LocalProtocolError
from onevalue.serf.answering import ReceivedQuery
from onevalue.serf.asking import Question
from onevalue.serf.broadcasts import Broadcasts
from onevalue.serf.dispute import Dispute
from onevalue.serf.events import LeaveDone, SerfEvent
from onevalue.serf.healing import Healing
from onevalue.serf.intake import Intake
from onevalue.serf.joins import Joins
from onevalue.serf.keys import KeyAction
from onevalue.serf.lamport import Clocks
from onevalue.serf.leave import GracefulLeave, LeaveStage
from onevalue.serf.leaving import INTENT_SENT, Leaving
from onevalue.serf.members import MemberStatus, SerfMember
from onevalue.serf.names import Names
from onevalue.serf.news import take_in
from onevalue.serf.places import Places
from onevalue.serf.queries import Queries
from onevalue.serf.roster import Roster
from onevalue.swim.address import to_address
from onevalue.swim.backlog import Backlog
from onevalue.swim.core import Swim
from onevalue.swim.events import (
    AckReceived,
    LeaveSent,
    MemberForgotten,
    NameConflict,
    PushPullDone,
    SwimEvent,
    UserMessage,
    UserStateReceived,
)
from onevalue.swim.members import Acquaintances
from onevalue.swim.streams import StreamRequest
from onevalue.swim.timers import Timers
from onevalue.types import Address, LamportTime, Rng
from onevalue.wire.envelope import Envelope
from onevalue.wire.messages import StreamMessage, UserState
from onevalue.wire.serf_codec import encode_tags
from onevalue.wire.serf_messages import SerfState
from onevalue.wire.stream import Outgoing

VSN: Final = bytes((1, 5, 2, 2, 5, 5))
"""Versions as Serf agents send them: memberlist 1 to 5, speaking 2; Serf 2 to 5, speaking 5."""


class Serf:
    """One node of a Serf cluster, without I/O.

    Its owner hands in what arrives and calls `handle_timer` when `next_deadline` has come; after each call it pulls
    `datagrams_to_send`, `streams_to_open` and `next_event` until they are empty. `now` may stand still or step back.

    Attributes:
        name: of the node.
        swim: below; read it, and feed it through this.
        places: where this node and the others stand.
    """

    def __init__(  # noqa: PLR0913  # all that one node is told when it begins
        self,
        *,
        name: str,
        addr: bytes,
        port: int,
        tags: Mapping[str, str],
        swim_settings: SwimSettings,
        settings: SerfSettings,
        rng: Rng,
        clocks: Clocks | None = None,
        held_events: Sequence[str] = (),
        envelope: Envelope | None = None,
        lost: Sequence[SerfMember] = (),
    ) -> None:
        """A node that has not started.

        Args:
            name: unique in the cluster.
            addr: 4 or 16 raw bytes, as others reach it.
            port: of gossip, UDP and TCP.
            tags: told to all members, at most 512 bytes when encoded.
            swim_settings: of memberlist.
            settings: of Serf.
            rng: chance.
            clocks: where the clocks stood before a restart; what is older is not delivered again.
            held_events: names of user events that are not sent on by this core, but told with `relay_wanted`.
            envelope: label and keys of the cluster.
            lost: who is looked for from the start, those before whom others are to be dropped last.
        """
        self.name = name
        self._now = float("-inf")
        self._events: deque[SerfEvent] = deque()
        self._timers = Timers()
        self._backlog = Backlog(self._timers, "state backlog")
        self._roster = Roster(settings, lost=lost)
        self._broadcasts = Broadcasts(swim_settings)
        envelope = envelope or Envelope()
        self.swim = Swim(
            name=name,
            addr=addr,
            port=port,
            meta=encode_tags(tags),
            vsn=VSN,
            settings=swim_settings,
            rng=rng,
            delegate=self,
            envelope=envelope,
        )
        stood = clocks or Clocks(LamportTime(0), LamportTime(0), LamportTime(0))
        self._queries = Queries(
            swim=self.swim,
            settings=settings,
            gossip_interval_s=swim_settings.gossip_interval_s,
            roster=self._roster,
            broadcasts=self._broadcasts,
            envelope=envelope,
            stood=stood.query,
            timers=self._timers,
            rng=rng,
            tell=self._events.append,
        )
        self._intake = Intake(
            name, settings, self._roster, self._broadcasts, self._events.append, stood, held_events, self._queries
        )
        self._healing = Healing(self._roster, self.swim, settings, self._timers, rng, self._events.append)
        self._joins = Joins(self._healing, self._joined, self._events.append)
        self._leaving = Leaving(
            GracefulLeave(settings), self.swim, self._intake, self._healing, self._timers, self._events.append
        )
        self.places = Places(name, rng)
        self._names = Names(self.swim, self._queries, self._timers, self._events.append)

    # What the shell hands in

    def meet(self, known: Acquaintances, members: Mapping[str, SerfMember]) -> None:
        """These are known as alive before the start, without a word to anybody; `members` are the same, for Serf."""
        self.swim.meet(known)
        self._roster.meet(members)

    def start(self, now: float) -> None:
        """This node is an alive member of a cluster of its own, and its periodic tasks have begun."""
        now = self._clamp(now)
        self.swim.start(now)
        self._healing.start(now)
        self._settle(now)

    def receive_datagram(self, data: bytes, source: Address, now: float) -> None:
        """A datagram was dealt with, whatever it held; never raises."""
        now = self._clamp(now)
        self.swim.receive_datagram(data, source, now)
        self._settle(now)

    def receive_stream(self, message: StreamMessage, now: float) -> Outgoing | None:
        """The reply to the request on an inbound stream; None: close it without a word."""
        now = self._clamp(now)
        reply = self.swim.receive_stream(message, now)
        self._settle(now)
        return reply

    def stream_answered(self, request_id: int, message: StreamMessage, now: float) -> None:
        """A stream that this node asked for brought this answer."""
        now = self._clamp(now)
        self.swim.stream_answered(request_id, message, now)
        self._settle(now)

    def stream_failed(self, request_id: int, reason: str, now: float, *, refused: bool = False) -> None:
        """A stream that this node asked for brought no answer; `refused`: the host said that nobody listens there."""
        now = self._clamp(now)
        self.swim.stream_failed(request_id, reason, now, refused=refused)
        self._settle(now)

    def handle_timer(self, now: float) -> None:
        """What was due at `now` is done."""
        now = self._clamp(now)
        self.swim.handle_timer(now)
        self._timers.run(now)
        self._settle(now)

    # What the shell pulls out

    def next_deadline(self) -> float | None:
        """When `handle_timer` is to be called next, seconds; None before the start."""
        deadlines = (self.swim.next_deadline(), self._timers.next_deadline())
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def datagrams_to_send(self) -> list[tuple[bytes, Address]]:
        """The datagrams that wait to be sent, in order; they are no longer kept."""
        return self.swim.datagrams_to_send()

    def streams_to_open(self) -> list[StreamRequest]:
        """The streams that wait to be opened; each ends by `stream_answered`, `stream_failed` or its deadline."""
        return self.swim.streams_to_open()

    def next_event(self) -> SerfEvent | None:
        """The next thing that happened; None if all has been told."""
        return self._events.popleft() if self._events else None

    # What is known

    def members(self) -> Sequence[SerfMember]:
        """All members that are remembered, this node among them; see `Roster.members`."""
        return self._roster.members()

    @property
    def remembered(self) -> int:
        """How many members there are in `members`."""
        return len(self._roster)

    def lost(self) -> list[SerfMember]:
        """Who failed and is no longer remembered as a member, but still looked for."""
        return self._roster.lost()

    @property
    def clocks(self) -> Clocks:
        """Where the three Lamport clocks stand; to be journalled."""
        return self._intake.clocks

    @property
    def counters(self) -> Mapping[str, int]:
        """What was counted since the start, SWIM's and Serf's; the names are fixed."""
        return {**self.swim.counters, **self._intake.counters, **self._healing.counters}

    @property
    def queue_lengths(self) -> dict[str, int]:
        """How many messages wait to be gossiped, by queue."""
        return {**self._broadcasts.lengths(), "memberlist": self.swim.queue_length}

    def rtt_s(self, one: str, other: str) -> float | None:
        """The estimated round trip between two members, seconds; None while too little is known."""
        if one == other and self._roster.get(one) is not None:
            return 0.0
        return self.places.rtt_s(one, other)

    def member(self, name: str) -> SerfMember | None:
        """The member of a name, if one is remembered."""
        return self._roster.get(name)

    def versions(self, name: str) -> bytes:
        """Six bytes, the protocols of a member, as `VSN` has them; zeros where it has not told them."""
        record = self.swim.member(name)
        return record.vsn if record is not None and len(record.vsn) == len(VSN) else bytes(len(VSN))

    @property
    def dispute(self) -> Dispute | None:
        """About the name of this node, if another node has it too."""
        return self._names.dispute

    def status(self) -> dict[str, object]:
        """What people may want to see of the engine."""
        numbers = {
            status.name.lower(): self._roster.count(status)
            for status in MemberStatus
            if status is not MemberStatus.NONE
        }
        return {
            "members": {**numbers, "lost": len(self._roster.lost())},
            "clocks": asdict(self.clocks),
            "queues": dict(self._broadcasts.lengths()),
            "unmerged": len(self._backlog),
            "leave": self._leaving.stage.name.lower(),
            "counters": {**self._intake.counters, **self._healing.counters},
            "swim": self.swim.status(),
        }

    # What the owner wants

    def join(self, address: Address, now: float, name: str = "") -> int:
        """A push/pull with this address has begun; a JoinDone event with the returned id tells how it ended.

        With a name the node there is first asked whether it is its own; if it is not, that is an error.
        """
        now = self._clamp(now)
        join_id = self._joins.begin(address, name, now)
        self._settle(now)
        return join_id

    def user_event(
        self,
        name: str,
        payload: bytes,
        *,
        coalesce: bool,
        slot: str | None = None,
        direct: Sequence[Address] = (),
        now: float,
    ) -> bytes:
        """A user event of this node travels; it is not told to this node itself again. Returns its message.

        Args:
            name: of the event.
            payload: any bytes.
            coalesce: receivers may deliver only the newest of this name.
            slot: the event replaces the one of this urgent slot and goes before all other gossip, of which a round is
                made at once: where all straight copies are lost, nobody else would gossip it.
            direct: it is sent straight to these too, at once.
            now: seconds.

        Raises:
            LocalProtocolError: longer than user_event_size_max; nothing changed.
        """
        now = self._clamp(now)
        raw = self._intake.event_log.stamp(name, payload, coalesce=coalesce)
        self._send_direct(raw, direct, now)
        if slot is None:
            self._broadcasts.add_event(raw)
        else:
            self._broadcasts.put_urgent(slot, raw)
            self.swim.gossip_once(now)
        self._settle(now)
        return raw

    def relay_event(self, raw: bytes, *, slot: str, direct: Sequence[Address] = (), now: float) -> None:
        """The user event of another, as the same bytes, is in the urgent slot and sent at once, by gossip and straight.

        Args:
            raw: its message.
            slot: of the event.
            direct: to whom it goes straight.
            now: seconds.
        """
        now = self._clamp(now)
        self._send_direct(raw, direct, now)
        self._broadcasts.put_urgent(slot, raw)
        self.swim.gossip_now(now)
        self._settle(now)

    def update_tags(self, tags: Mapping[str, str], now: float) -> None:
        """This node has these tags and gossips them. Raises what `encode_tags` raises if they are too long."""
        meta = encode_tags(tags)
        now = self._clamp(now)
        self.swim.update_meta(meta, now)
        self._settle(now)

    def ask(self, question: Question, now: float) -> int:
        """A query is under way; returns its id. See `Queries.ask`."""
        now = self._clamp(now)
        request_id = self._queries.ask(question, now)
        self._settle(now)
        return request_id

    def ask_about_keys(self, action: KeyAction, key: bytes, relay_factor: int, now: float) -> int:
        """A request about the keys of all members is under way; returns its id. See `Queries.ask_about_keys`."""
        now = self._clamp(now)
        request_id = self._queries.ask_about_keys(action, key, relay_factor, now)
        self._settle(now)
        return request_id

    def end_query(self, request_id: int, now: float) -> None:
        """Nothing more is awaited of an own query; QueryDone is told, unless it was."""
        self._queries.end(request_id, self._clamp(now))

    def respond(self, received: ReceivedQuery, payload: bytes, now: float) -> None:
        """The answer to a query is on its way. Raises LocalProtocolError if it is too long."""
        self._queries.respond(received, payload, self._clamp(now))

    def keyring_kept(self, change_id: int, error: str | None, now: float) -> None:
        """The owner has kept the keys of a KeyringChange, which count from now on; or could not, and says why."""
        self._queries.keys.kept(change_id, error, self._clamp(now))

    def leave(self, now: float) -> None:
        """The graceful leave has begun (wire README 5.6), which a LeaveDone event ends; a second call does nothing."""
        now = self._clamp(now)
        is_over = self._leaving.begin(now)
        self._settle(now)
        if is_over:
            self._events.append(LeaveDone())

    def force_leave(self, name: str, *, prune: bool, now: float) -> None:
        """Another member counts as left, here and, by gossip, elsewhere; with `prune` it is forgotten too.

        One that is alive contradicts. One that is not known here may be known elsewhere.

        Raises:
            LocalProtocolError: it is this node, for which there is `leave`; nothing changed.
        """
        if name == self.name:
            raise LocalProtocolError(f"{name!r} is this node; it leaves by itself: use leave")
        now = self._clamp(now)
        self._intake.announce_leave(name, now, prune=prune)
        self._settle(now)

    # SWIM's delegate

    def broadcasts(self, overhead: int, space: int) -> list[bytes]:
        """Intents, queries and user events that fill the space."""
        return self._broadcasts.take(overhead, space, len(self._roster))

    def urgent_broadcasts(self, overhead: int, space: int) -> list[bytes]:
        """At most one message, of an urgent slot."""
        return self._broadcasts.take_urgent(overhead, space, len(self._roster))

    def ack_payload(self) -> bytes:
        """Where this node stands (wire README 5.11)."""
        return self.places.payload()

    def user_state(self, join: bool) -> SerfState:  # noqa: ARG002 (SWIM tells it; Serf's state is the same for both)
        """What this node knows beyond memberlist's part of a push/pull."""
        return self._intake.own_state()

    # Inside

    def _clamp(self, now: float) -> float:
        self._now = max(self._now, now)
        return self._now

    def _settle(self, now: float) -> None:
        """All that SWIM has told is dealt with, and the leave goes on if its intent was sent."""
        if INTENT_SENT in self._broadcasts.take_finished():
            self._leaving.intent_sent(now)
        while (event := self.swim.next_event()) is not None:
            self._on_swim_event(event, now)

    def _on_swim_event(self, event: SwimEvent, now: float) -> None:
        match event:
            case UserMessage(body):
                if (relay := self._intake.message(body, now)) is not None:
                    self.swim.send_user(to_address(relay.dest_addr, relay.dest_port), relay.inner, now)
            case UserStateReceived(state):
                self._merge_state(state, now)
            case PushPullDone():
                self._backlog.then(lambda late: self._joins.ended(event, late), now)
            case AckReceived():
                self.swim.counters["malformed"] += not self.places.acked(event)
            case MemberForgotten():
                self.places.forget(event.name)
            case NameConflict():
                self._names.conflict(event, now)
            case LeaveSent():
                self._leaving.departure_sent(now)
            case _:
                for told in take_in(event, self._roster, now):
                    self._healing.notice(told)
                    self._intake.notice(told)
                    self._events.append(told)

    def _merge_state(self, state: UserState, now: float) -> None:
        entries = 1 if isinstance(state, bytes) else state.size
        if not self._backlog.add(entries, lambda begun: self._intake.merge(state, begun), now):
            self._intake.counters["serf_states_refused"] += 1

    def _joined(self, now: float) -> None:
        """A join has brought an answer: the others hear that this node is a member, unless it leaves."""
        if self._leaving.stage is LeaveStage.STAYING:
            self._intake.announce_join(now)

    def _send_direct(self, raw: bytes, direct: Sequence[Address], now: float) -> None:
        for address in direct:
            self.swim.send_user(address, raw, now)
