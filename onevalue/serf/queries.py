"""Queries, tied together: own ones, those of others, and Serf's internal ones (wire README 5.9 and 5.10).

`asking`, `answering` and `keys` each know their part; this file decides which of them a query or an answer is
for. It must not know how messages travel.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from onevalue.config import SerfSettings
from onevalue.errors import LocalProtocolError
from onevalue.serf import events
from onevalue.serf.answering import Answering, ReceivedQuery
from onevalue.serf.asking import (
    ANSWERS_MAX,
    INTERNAL_PREFIX,
    NO_REBROADCAST,
    PING,
    Asking,
    Collector,
    Question,
    is_internal,
)
from onevalue.serf.broadcasts import Broadcasts
from onevalue.serf.dispute import CONFLICT
from onevalue.serf.event_ring import LamportRing, Verdict
from onevalue.serf.events import SerfEvent
from onevalue.serf.filters import matches
from onevalue.serf.keys import KeyAction, KeyPoll, KeyRequests, encode_request
from onevalue.serf.lamport import LamportClock
from onevalue.serf.members import MemberStatus, SerfMember
from onevalue.serf.roster import Roster
from onevalue.swim.backlog import Backlog, Work
from onevalue.swim.core import Swim
from onevalue.swim.members import MemberRecord
from onevalue.swim.timers import Timers
from onevalue.types import LamportTime, Rng
from onevalue.wire.envelope import Envelope
from onevalue.wire.internal_queries import ConflictMember, TagFilter, encode_conflict_answer, encode_filter
from onevalue.wire.serf_messages import Query, QueryResponse

_QUERY_SIZE: Final = 16  # bytes that a query's id counts against the bound of the ring
_KEY_ACTIONS: Final = {action.value: action for action in KeyAction}
_PRESENT: Final = (MemberStatus.ALIVE, MemberStatus.LEAVING)
_NO_VERSIONS: Final = bytes(6)

FILTER_COST: Final = 25.0
"""What it costs to look at a filter, in entries of a `swim.backlog`: a hostile one may take 11 ms (`filters`)."""

CONCERNED_MAX: Final = 1000
"""Up to this many members are looked at to tell whom an own query concerns; above, it lasts its whole time."""

MATCHES_MAX: Final = 8
"""And up to this many tags are matched with expressions for that: a hostile one may take 11 ms (`filters`)."""


@dataclass(slots=True)
class _Told:
    """A collector that passes all on to the owner.

    Attributes:
        request_id: under which the owner knows the query.
        expected: how many members it concerns, as far as is known; with so many answers nothing more is awaited.
        only_acks: nobody will answer with more than an ack.
        tell: the owner.
        over: called when the query has ended.
    """

    request_id: int
    expected: int
    only_acks: bool
    tell: Callable[[SerfEvent], object]
    over: Callable[[int], object]
    acks: int = 0
    answers: int = 0

    def acked(self, sender: str) -> bool:
        """See Collector."""
        self.acks += 1
        self.tell(events.QueryAcked(self.request_id, sender))
        return self.only_acks and self.acks >= self.expected

    def answered(self, sender: str, payload: bytes) -> bool:
        """See Collector."""
        self.answers += 1
        self.tell(events.QueryAnswered(self.request_id, sender, payload))
        return self.answers >= self.expected

    def ended(self, now: float) -> None:  # noqa: ARG002  # as Collector has it
        """See Collector."""
        self.over(self.request_id)
        self.tell(events.QueryDone(self.request_id))


class Queries:
    """All that a node has to do with queries.

    Args:
        swim: for sending, and for what memberlist knows of members.
        settings: of Serf.
        gossip_interval_s: by which the time of a query is measured.
        roster: the members.
        broadcasts: where queries wait to be sent on.
        envelope: holds the keyring.
        stood: the time of queries before a restart; those below it are not new again.
        timers: for the ends of own queries.
        rng: chance.
        tell: the owner.

    Attributes:
        clock: of queries.
        unread: how many queries with filters came while too many waited; they went on, but were not dealt with here.
        keys: the changes of the keyring under way.
    """

    def __init__(  # noqa: PLR0913  # what its parts have in common
        self,
        *,
        swim: Swim,
        settings: SerfSettings,
        gossip_interval_s: float,
        roster: Roster,
        broadcasts: Broadcasts,
        envelope: Envelope,
        stood: LamportTime,
        timers: Timers,
        rng: Rng,
        tell: Callable[[SerfEvent], object],
    ) -> None:
        local = swim.local
        self.clock = LamportClock.resumed(stood)
        self._ring: LamportRing[int] = LamportRing(self.clock, stood)
        self._asking = Asking(local.name, local.addr, local.port, settings, self.clock, timers, rng)
        self._answering = Answering(local.name, settings, roster, swim)
        self.keys = KeyRequests(envelope, self._answering, tell)
        self._swim = swim
        self._name = local.name
        self._time_unit_s = gossip_interval_s * settings.query_timeout_mult
        self._roster = roster
        self._broadcasts = broadcasts
        self._tell = tell
        self._backlog = Backlog(timers, "query backlog")
        self.unread = 0
        self._requests = 0
        self._own: dict[int, Query] = {}

    def __len__(self) -> int:
        return len(self._asking)

    @property
    def present(self) -> int:
        """How many members are alive or about to leave, this node among them."""
        return sum(self._roster.count(status) for status in _PRESENT)

    # Own queries

    def ask(self, question: Question, now: float) -> int:
        """The query is under way; QueryAcked, QueryAnswered and at last QueryDone tell of it, with the returned id.

        Raises:
            LocalProtocolError: its name is Serf's own, or as `Asking.ask`; nothing changed.
        """
        if is_internal(question.name) or (question.name == PING and question.payload):
            raise LocalProtocolError(
                f"names that begin with {INTERNAL_PREFIX} are Serf's own; only {PING} may be asked"
            )
        self._requests += 1
        told = _Told(self._requests, self._concerned(question), question.name == PING, self._tell, self._own.pop)
        self._own[told.request_id] = self.ask_for(told, question, now)
        return told.request_id

    def ask_about_keys(self, action: KeyAction, key: bytes, relay_factor: int, now: float) -> int:
        """All members are asked to change, or list, their keys; KeyRequestDone tells the outcome, with the returned id.

        Raises:
            LocalProtocolError: as `Asking.ask`.
        """
        self._requests += 1
        poll = KeyPoll(self._requests, action, self.present, self._tell)
        self.ask_for(poll, Question(action.value, encode_request(key), relay_factor=relay_factor), now)
        return self._requests

    def end(self, request_id: int, now: float) -> None:
        """Nothing more is awaited of an own query; QueryDone is told, unless it was."""
        if request_id in self._own:
            self._asking.end(self._own[request_id], now)

    def ask_for(self, collector: Collector, question: Question, now: float) -> Query:
        """The query, which may be one of Serf's own, is under way; the collector hears what comes. Raises as `ask`."""
        query, raw = self._asking.ask(question, collector, self.timeout_s(), now)
        self.receive(query, raw, now)
        return query

    def timeout_s(self) -> float:
        """How long a query lasts in a cluster of this size (wire README 5.9)."""
        return self._time_unit_s * math.ceil(math.log10(self.present + 1))

    # What comes

    def receive(self, query: Query, raw: bytes, now: float) -> bool:
        """A query that is new goes on, whoever it is for (pitfall 23), and is dealt with if it concerns this node.

        That is found out at once, or soon if many with filters come together.
        """
        if self._ring.offer(query.ltime, query.query_id, _QUERY_SIZE) is not Verdict.NEW:
            return False
        if not query.flags & NO_REBROADCAST:
            self._broadcasts.add_query(raw)
        if not query.filters:
            self._take_in(query, now)
        elif not self._backlog.add(1, lambda begun: self._taking_in(query, begun), now):
            self.unread += 1
        return True

    def receive_response(self, response: QueryResponse, now: float) -> bool:
        """An ack or answer to an own query is told to whoever collects them; False if nobody does."""
        return self._asking.receive(response, now)

    def respond(self, received: ReceivedQuery, payload: bytes, now: float) -> None:
        """The answer is on its way. Raises LocalProtocolError if it is too long."""
        self._answering.respond(received, payload, now)

    # Inside

    def _present(self) -> list[SerfMember]:
        return [member for status in _PRESENT for member in self._roster.with_status(status)]

    def _concerned(self, question: Question) -> int:
        """How many members a query concerns; more than there can be if that takes too long to tell."""
        by_tag = sum(isinstance(each, TagFilter) for each in question.filters)
        if self.present > CONCERNED_MAX or self.present * by_tag > MATCHES_MAX:
            return ANSWERS_MAX + 1
        filters = tuple(map(encode_filter, question.filters))
        return sum(matches(filters, member.name, member.tags) for member in self._present())

    def _taking_in(self, query: Query, now: float) -> Work:
        self._take_in(query, now)
        yield FILTER_COST * len(query.filters)

    def _take_in(self, query: Query, now: float) -> None:
        received = self._answering.take_in(query, now)
        if received is not None:
            self._deal_with(received, now)

    def _deal_with(self, received: ReceivedQuery, now: float) -> None:
        if received.name in _KEY_ACTIONS:
            self.keys.receive(received, _KEY_ACTIONS[received.name], now)
        elif received.name == CONFLICT:
            self._vote(received, now)
        elif not received.name.startswith(INTERNAL_PREFIX):  # of _serf_ping only the ack counts (pitfall 26)
            self._tell(events.QueryReceived(received))

    def _vote(self, received: ReceivedQuery, now: float) -> None:
        """Says whom this node knows by the disputed name; those who bear it are silent."""
        name = received.payload.decode("utf-8", "surrogateescape")
        if name == self._name:
            return
        member, record = self._roster.get(name), self._swim.member(name)
        known = None if member is None else _described(member, record)
        self._answering.respond(received, encode_conflict_answer(known), now)


def _described(member: SerfMember, record: MemberRecord | None) -> ConflictMember:
    vsn = record.vsn if record is not None and len(record.vsn) == len(_NO_VERSIONS) else _NO_VERSIONS
    return ConflictMember(
        name=member.name,
        addr=member.addr,
        port=member.port,
        tags=member.tags,
        status=int(member.status),
        protocol_min=vsn[0],
        protocol_max=vsn[1],
        protocol_cur=vsn[2],
        delegate_min=vsn[3],
        delegate_max=vsn[4],
        delegate_cur=vsn[5],
    )
