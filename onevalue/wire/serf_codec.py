"""Serf's messages to bytes and back: the bodies of user messages and the user state of a push/pull (wire README 5).

Also tags, which are a member's meta. Fields stand in the order in which Serf declares them. It must not know what a
message means.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from onevalue.errors import ConfigError, RemoteProtocolError
from onevalue.wire import schema
from onevalue.wire.dialect import Reader, pack
from onevalue.wire.message_ids import SerfMessageId, serf_message_name
from onevalue.wire.schema import META_SIZE_MAX, Field, Struct
from onevalue.wire.serf_messages import (
    EventSlot,
    JoinIntent,
    LeaveIntent,
    Query,
    QueryResponse,
    Relay,
    SerfMessage,
    SerfState,
    UserEventMessage,
)

BODY_SIZE_MAX = 1 << 16
"""Bytes of a name or payload in a message that comes in a packet."""

STATE_ENTRIES_MAX = 1 << 17
"""Entries of all maps and arrays in one user state: names, times, slots, events.

DEPARTURE (state-entries): Serf has no bound but that of the stream.
"""

KNOWN_MAX = 128
KNOWN_SIZE_MAX = 1400
"""So many messages of packets are remembered with what they mean: gossip brings each of them many times."""

TAGS_BYTE = 0xFF
"""First byte of a meta that holds tags."""

KEY_QUERIES = ("_serf_install-key", "_serf_use-key", "_serf_remove-key", "_serf_list-keys")
"""Serf's own queries that carry a key request (wire README 5.10)."""

_ROLE = "role"  # the one tag of protocol 2, whose meta is the bare value


@dataclass(frozen=True, slots=True)
class _Event:
    name: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class _UdpAddress:
    addr: bytes
    port: int
    zone: str


@dataclass(frozen=True, slots=True)
class _RelayHeader:
    dest: _UdpAddress
    dest_name: str


def _slot_events(events: tuple[_Event, ...]) -> tuple[tuple[str, bytes], ...]:
    return tuple((event.name, event.payload) for event in events)


def _wire_events(events: tuple[tuple[str, bytes], ...]) -> tuple[_Event, ...]:
    return tuple(_Event(name, payload) for name, payload in events)


def _filters(filters: tuple[bytes, ...]) -> tuple[bytes, ...]:
    if not all(filters):
        raise RemoteProtocolError("must not have an empty entry")
    return filters


_LTIME = Field("LTime", "ltime", schema.U64)
_NODE = Field("Node", "node", schema.NAME)
_TEXT = schema.text(BODY_SIZE_MAX)
_PAYLOAD = Field("Payload", "payload", schema.octets(BODY_SIZE_MAX))
_FLAGS = Field("Flags", "flags", schema.U32)
_ID = Field("ID", "query_id", schema.U32)
_EVENT = Struct(_Event, Field("Name", "name", _TEXT), _PAYLOAD)
_EVENTS = schema.array(schema.nested(_EVENT, _Event("", b"")))
_SLOT = Struct(EventSlot, _LTIME, Field("Events", "events", schema.converted(_EVENTS, _slot_events, _wire_events)))
_SLOTS = schema.array(schema.optional(schema.nested(_SLOT, EventSlot(_LTIME.kind.zero, ()))))

_STRUCTS: dict[int, Struct[Any]] = {
    SerfMessageId.LEAVE: Struct(LeaveIntent, _LTIME, _NODE, Field("Prune", "prune", schema.BOOLEAN)),
    SerfMessageId.JOIN: Struct(JoinIntent, _LTIME, _NODE),
    SerfMessageId.PUSH_PULL: Struct(
        SerfState,
        _LTIME,
        Field("StatusLTimes", "status_ltimes", schema.mapping(schema.NAME, schema.U64)),
        Field("LeftMembers", "left_members", schema.array(schema.NAME, empty=())),
        Field("EventLTime", "event_ltime", schema.U64),
        Field("Events", "events", _SLOTS),
        Field("QueryLTime", "query_ltime", schema.U64),
    ),
    SerfMessageId.USER_EVENT: Struct(
        UserEventMessage, _LTIME, Field("Name", "name", _TEXT), _PAYLOAD, Field("CC", "coalesce", schema.BOOLEAN)
    ),
    SerfMessageId.QUERY: Struct(
        Query,
        _LTIME,
        _ID,
        Field("Addr", "addr", schema.ADDRESS, required=True),
        Field("Port", "port", schema.U16),
        Field("SourceNode", "source_node", schema.NAME),
        Field("Filters", "filters", schema.converted(schema.array(schema.octets(BODY_SIZE_MAX)), _filters, tuple)),
        _FLAGS,
        Field("RelayFactor", "relay_factor", schema.U8),
        Field("Timeout", "timeout_ns", schema.I64),
        Field("Name", "name", _TEXT),
        _PAYLOAD,
    ),
    SerfMessageId.QUERY_RESPONSE: Struct(
        QueryResponse, _LTIME, _ID, Field("From", "sender", schema.NAME), _FLAGS, _PAYLOAD
    ),
}
_IDS = {
    LeaveIntent: SerfMessageId.LEAVE,
    JoinIntent: SerfMessageId.JOIN,
    SerfState: SerfMessageId.PUSH_PULL,
    UserEventMessage: SerfMessageId.USER_EVENT,
    Query: SerfMessageId.QUERY,
    QueryResponse: SerfMessageId.QUERY_RESPONSE,
}
_UDP_ADDRESS = Struct(
    _UdpAddress,
    Field("IP", "addr", schema.ADDRESS, required=True),
    Field("Port", "port", schema.U16),
    Field("Zone", "zone", schema.NAME),
)
_RELAY_HEADER = Struct(
    _RelayHeader,
    Field("DestAddr", "dest", schema.nested(_UDP_ADDRESS, _UdpAddress(b"", 0, ""))),
    Field("DestName", "dest_name", schema.NAME),
)


def encode_serf(message: SerfMessage) -> bytes:
    """The message from its id byte on, as real nodes write it.

    Raises:
        LocalProtocolError: a field is out of the range that the wire can carry.
    """
    if isinstance(message, Relay):
        dest = _UdpAddress(message.dest_addr, message.dest_port, message.zone)
        header = _RELAY_HEADER.pack(_RelayHeader(dest, message.dest_name))
        return bytes([SerfMessageId.RELAY]) + header + message.inner
    message_id = _IDS[type(message)]
    return bytes([message_id]) + _STRUCTS[message_id].pack(message)


def decode_serf(body: bytes) -> SerfMessage:
    """What the body of a user message, or the user state of a push/pull, means; bytes after it are ignored.

    Raises:
        RemoteProtocolError: no message, an unknown one, a wrong field (named), or a query that would crash an old agent
            if it were sent on: with an empty filter, or about keys without a payload (pitfall 36).
    """
    return _decode_known(body) if len(body) <= KNOWN_SIZE_MAX else _decode(body)


@lru_cache(maxsize=KNOWN_MAX)
def _decode_known(body: bytes) -> SerfMessage:
    """As `decode_serf`."""
    return _decode(body)


def _decode(body: bytes) -> SerfMessage:
    if not body:
        raise RemoteProtocolError("a Serf message of no bytes")
    name = serf_message_name(body[0])
    read = _READERS.get(body[0])
    if read is None:
        raise RemoteProtocolError(f"{name} does not travel by itself")
    try:
        return read(Reader(body, 1, STATE_ENTRIES_MAX))
    except RemoteProtocolError as error:
        raise RemoteProtocolError(f"{name}: {error}") from None


def encode_tags(tags: Mapping[str, str]) -> bytes:
    """The meta that carries these tags, in the order given.

    Raises:
        ConfigError: tags come from the user; these need more than META_SIZE_MAX bytes.
    """
    meta = bytes([TAGS_BYTE]) + pack(schema.TAGS.plain(dict(tags)))
    if len(meta) > META_SIZE_MAX:
        raise ConfigError(f"tags need {len(meta)} bytes, and {META_SIZE_MAX} is the most that travels: shorten them")
    return meta


def decode_tags(meta: bytes) -> dict[str, str]:
    """The tags of a member; never raises. Meta of protocol 2 is the value of `role`, nonsense after 255 is no tags."""
    if not meta or meta[0] != TAGS_BYTE:
        return {_ROLE: meta.decode("utf-8", "surrogateescape")}
    try:
        return schema.TAGS.read(Reader(meta, 1))
    except RemoteProtocolError:
        return {}


def _read_query(reader: Reader) -> Query:
    query: Query = _STRUCTS[SerfMessageId.QUERY].read(reader)
    if query.name in KEY_QUERIES and not query.payload:
        raise RemoteProtocolError(f"Payload of {query.name} must not be empty")
    return query


def _read_relay(reader: Reader) -> Relay:
    header = _RELAY_HEADER.read(reader)
    inner = reader.rest()
    if not header.dest.addr or not inner:
        raise RemoteProtocolError("has no destination or no message")
    return Relay(header.dest.addr, header.dest.port, header.dest_name, inner, header.dest.zone)


_READERS: dict[int, Callable[[Reader], SerfMessage]] = {
    **{message_id: struct.read for message_id, struct in _STRUCTS.items()},
    SerfMessageId.QUERY: _read_query,
    SerfMessageId.RELAY: _read_relay,
}
