"""Answers to the queries of others: whom a query concerns, the ack, the answer, and their copies by relay.

Follows wire README 5.9 and Serf's query.go. It must not know what a query asks.
"""

from dataclasses import dataclass
from typing import Final

from onevalue.config import SerfSettings
from onevalue.errors import LocalProtocolError
from onevalue.serf.asking import ACK_WANTED, IS_ACK, QUERY_TIME_MAX_S
from onevalue.serf.filters import matches
from onevalue.serf.roster import Roster
from onevalue.swim.address import is_addr, to_address
from onevalue.swim.core import Swim
from onevalue.wire.serf_codec import encode_serf
from onevalue.wire.serf_messages import Query, QueryResponse, Relay

RELAYS_PER_ANSWER_MAX: Final = 8
"""Members by whom an answer goes too, whatever relay factor the query has.

DEPARTURE (relay-factor): Serf allows 255, which makes one query a flood.
"""

_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class ReceivedQuery:
    """A query that concerns this node; answers to it count until `deadline`, in the seconds of `now`."""

    query: Query
    deadline: float

    @property
    def name(self) -> str:
        """Of the query."""
        return self.query.name

    @property
    def payload(self) -> bytes:
        """As sent."""
        return self.query.payload


class Answering:
    """What this node sends back.

    Args:
        name: of this node.
        settings: of Serf.
        roster: the members.
        swim: by which answers travel.
    """

    def __init__(self, name: str, settings: SerfSettings, roster: Roster, swim: Swim) -> None:
        self._name = name
        self._settings = settings
        self._roster = roster
        self._swim = swim

    def take_in(self, query: Query, now: float) -> ReceivedQuery | None:
        """The query, acked if it wants that; None if it does not concern this node, or nobody awaits an answer."""
        own = self._roster.get(self._name)
        tags = {} if own is None else own.tags
        if not (is_addr(query.addr) and query.port) or not matches(query.filters, self._name, tags):
            return None
        timeout_s = min(max(0.0, query.timeout_ns / _NS), QUERY_TIME_MAX_S)
        if query.flags & ACK_WANTED:
            self._send_back(query, encode_serf(self._response(query, b"", IS_ACK)), now)
        return ReceivedQuery(query, now + timeout_s)

    def respond(self, received: ReceivedQuery, payload: bytes, now: float) -> None:
        """The answer is on its way, unless it is too late.

        Raises:
            LocalProtocolError: it is too long; nothing is sent.
        """
        if not self.fits(received, payload):
            size_max = self._settings.query_response_size_max
            raise LocalProtocolError(
                f"the answer to {received.name!r} has {len(payload)} bytes of payload; at most {size_max} fit in all"
            )
        if now <= received.deadline:
            self._send_back(received.query, encode_serf(self._response(received.query, payload, 0)), now)

    def fits(self, received: ReceivedQuery, payload: bytes) -> bool:
        """Whether an answer is short enough."""
        raw = encode_serf(self._response(received.query, payload, 0))
        return len(raw) <= self._settings.query_response_size_max

    def _response(self, query: Query, payload: bytes, flags: int) -> QueryResponse:
        return QueryResponse(query.ltime, query.query_id, self._name, flags, payload)

    def _send_back(self, query: Query, raw: bytes, now: float) -> None:
        """Straight, and by as many others as the query wants, unless the cluster is too small for that."""
        self._swim.send_user(to_address(query.addr, query.port), raw, now)
        if not 0 < query.relay_factor < len(self._roster):
            return
        relay = encode_serf(Relay(query.addr, query.port, query.source_node, raw))
        if len(relay) > self._settings.query_response_size_max:
            return
        for record in self._swim.choose_relays(min(query.relay_factor, RELAYS_PER_ANSWER_MAX)):
            self._swim.send_user(record.address, relay, now)
