"""Own queries: how one is made, and what comes back until its time is up (wire README 5.9; Serf's query.go).

Who collects what comes back is handed in with each. It must not know what a query asks, nor how messages travel.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from onevalue.config import SerfSettings
from onevalue.errors import BusyError, LocalProtocolError
from onevalue.serf.filters import FILTERS_MAX, check_expression
from onevalue.serf.lamport import LamportClock
from onevalue.swim.members import MEMBERS_MAX
from onevalue.swim.timers import Timers
from onevalue.types import LamportTime, Rng
from onevalue.wire.internal_queries import NodeFilter, TagFilter, encode_filter
from onevalue.wire.serf_codec import encode_serf
from onevalue.wire.serf_messages import Query, QueryResponse

QUERIES_MAX: Final = 64
"""Own queries under way at once that somebody asked for."""

INTERNAL_QUERIES_MAX: Final = 16
"""And of Serf's own, about keys and names, for which there is always room beside the others."""

INTERNAL_PREFIX: Final = "_serf_"
PING: Final = "_serf_ping"
"""The one of Serf's own queries that anybody may ask."""

QUERY_TIME_MAX_S: Final = 600.0
"""The longest time of a query, own or of others."""

ANSWERS_MAX: Final = MEMBERS_MAX
"""Different senders of whom acks, and of whom answers, to one query are taken; names can be forged."""

RELAY_FACTOR_MAX: Final = 255

ACK_WANTED: Final = 1
"""A flag of queries."""

NO_REBROADCAST: Final = 2
"""A flag of queries."""

IS_ACK: Final = 1
"""A flag of answers."""

_IDS: Final = 2**31
_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of whom.

    Attributes:
        name: of the query.
        payload: any bytes.
        filters: all must fit a member for it to answer.
        ack: members whom it concerns say that they have it.
        relay_factor: by how many other members each answer comes too.
        timeout_s: how long answers are awaited; None: as long as suits the cluster.
    """

    name: str
    payload: bytes = b""
    filters: Sequence[NodeFilter | TagFilter] = ()
    ack: bool = False
    relay_factor: int = 0
    timeout_s: float | None = None


def is_internal(name: str) -> bool:
    """It is one of Serf's own queries, which only the core asks."""
    return name.startswith(INTERNAL_PREFIX) and name != PING


class Collector(Protocol):
    """Hears of one query, each member once for its ack and once for its answer; `ended` comes last, and once."""

    def acked(self, sender: str) -> bool:
        """A member has the query; True if nothing more is wanted."""
        ...

    def answered(self, sender: str, payload: bytes) -> bool:
        """A member has answered it; True if nothing more is wanted."""
        ...

    def ended(self, now: float) -> None:
        """Nothing will come any more."""
        ...


@dataclass(slots=True)
class _OwnQuery:
    query: Query
    collector: Collector
    acked: dict[str, None] = field(default_factory=dict)
    answered: dict[str, None] = field(default_factory=dict)


class Asking:
    """The own queries under way.

    Args:
        name, addr, port: of this node, to which answers are sent.
        settings: of Serf.
        clock: of queries.
        timers: for their ends.
        rng: chance.
    """

    def __init__(
        self,
        name: str,
        addr: bytes,
        port: int,
        settings: SerfSettings,
        clock: LamportClock,
        timers: Timers,
        rng: Rng,
    ) -> None:
        self._source = (addr, port, name)
        self._settings = settings
        self._clock = clock
        self._timers = timers
        self._rng = rng
        self._queries: dict[tuple[LamportTime, int], _OwnQuery] = {}

    def __len__(self) -> int:
        return len(self._queries)

    def ask(self, question: Question, collector: Collector, timeout_s: float, now: float) -> tuple[Query, bytes]:
        """The query is under way, and its message is to be handled like one that came; returns both.

        Args:
            question: what is asked of whom.
            collector: hears what comes back.
            timeout_s: where the question does not say.
            now: seconds.

        Raises:
            LocalProtocolError: too long, a number out of range, a wrong expression; nothing changed.
            BusyError: one of these: there are too many at once.
        """
        query = self._query(question, timeout_s if question.timeout_s is None else question.timeout_s)
        raw = encode_serf(query)
        if len(raw) > self._settings.query_size_max:
            raise LocalProtocolError(
                f"query {question.name!r} has {len(raw)} bytes with its payload and filters; "
                f"at most {self._settings.query_size_max} fit"
            )
        limit = INTERNAL_QUERIES_MAX if is_internal(question.name) else QUERIES_MAX
        alike = [own for own in self._queries.values() if is_internal(own.query.name) == is_internal(question.name)]
        if len(alike) >= limit:
            raise BusyError(f"{limit} queries are under way already: wait for their end")
        self._queries[_key(query)] = _OwnQuery(query, collector)
        self._timers.set(_timer(query), now + query.timeout_ns / _NS, lambda late: self.end(query, late))
        return query, raw

    def receive(self, response: QueryResponse, now: float) -> bool:
        """An ack or answer was told to its collector; False if it is for no query under way, or came before."""
        own = self._queries.get((response.ltime, response.query_id))
        if own is None:
            return False
        heard = own.acked if response.flags & IS_ACK else own.answered
        if response.sender in heard or len(heard) >= ANSWERS_MAX:
            return False
        heard[response.sender] = None
        if response.flags & IS_ACK:
            enough = own.collector.acked(response.sender)
        else:
            enough = own.collector.answered(response.sender, response.payload)
        if enough:
            self.end(own.query, now)
        return True

    def end(self, query: Query, now: float) -> None:
        """The query is over; nothing happens if it was."""
        own = self._queries.pop(_key(query), None)
        if own is not None:
            self._timers.cancel(_timer(query))
            own.collector.ended(now)

    def _query(self, question: Question, timeout_s: float) -> Query:
        if not 0 < timeout_s <= QUERY_TIME_MAX_S:
            raise LocalProtocolError(f"a query lasts more than 0 and at most {QUERY_TIME_MAX_S:g} s, not {timeout_s:g}")
        if not 0 <= question.relay_factor <= RELAY_FACTOR_MAX:
            raise LocalProtocolError(f"a relay factor is 0 to {RELAY_FACTOR_MAX}, not {question.relay_factor}")
        if len(question.filters) > FILTERS_MAX:
            raise LocalProtocolError(f"a query has at most {FILTERS_MAX} filters, not {len(question.filters)}")
        for each in question.filters:
            if isinstance(each, TagFilter):
                check_expression(each.expression)
        addr, port, name = self._source
        return Query(
            ltime=self._clock.time,
            query_id=self._rng.randrange(_IDS),
            addr=addr,
            port=port,
            source_node=name,
            filters=tuple(map(encode_filter, question.filters)),
            flags=ACK_WANTED if question.ack else 0,
            relay_factor=question.relay_factor,
            timeout_ns=int(timeout_s * _NS),
            name=question.name,
            payload=question.payload,
        )


def _key(query: Query) -> tuple[LamportTime, int]:
    return (query.ltime, query.query_id)


def _timer(query: Query) -> str:
    return f"query {query.ltime} {query.query_id}"
