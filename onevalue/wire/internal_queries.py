"""Payloads of Serf's internal queries and their answers, and the filters of any query (wire README 5.9 and 5.10).

Fields stand in the order in which Serf declares them. It must not know keys, members, nor who is asked.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from onevalue.errors import RemoteProtocolError
from onevalue.wire import schema
from onevalue.wire.dialect import Reader, pack
from onevalue.wire.message_ids import SerfMessageId, serf_message_name
from onevalue.wire.schema import Field, Struct

KEY_SIZE_MAX = 32
"""Bytes of a key; real keys have 16, 24 or 32, and a request to list keys carries none."""

TEXT_SIZE_MAX = 1 << 16
"""Bytes of a text in an answer, a key in base64, or a filter's expression."""

_NODE_FILTER = 0
_TAG_FILTER = 1

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class KeyRequest:
    """Payload of a key query: the raw key, or none where keys are listed."""

    key: bytes = b""


@dataclass(frozen=True, slots=True)
class KeyResponse:
    """What a node says to a key query: `keys` and `primary_key` (base64) only where keys are listed."""

    result: bool
    message: str = ""
    keys: tuple[str, ...] = ()
    primary_key: str = ""


@dataclass(frozen=True, slots=True)
class ConflictMember:
    """Whom a node knows by a disputed name; `status` is Serf's number (README 5.5)."""

    name: str
    addr: bytes
    port: int
    tags: Mapping[str, str]
    status: int
    protocol_min: int
    protocol_max: int
    protocol_cur: int
    delegate_min: int
    delegate_max: int
    delegate_cur: int


@dataclass(frozen=True, slots=True)
class NodeFilter:
    """Only the nodes of these names are asked."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TagFilter:
    """Only nodes whose tag matches the expression somewhere are asked; a missing tag counts as empty."""

    tag: str
    expression: str


_TEXT = schema.text(TEXT_SIZE_MAX)
_KEY_REQUEST = Struct(KeyRequest, Field("Key", "key", schema.octets(KEY_SIZE_MAX, empty=b"")))
_KEY_RESPONSE = Struct(
    KeyResponse,
    Field("Result", "result", schema.BOOLEAN),
    Field("Message", "message", _TEXT),
    Field("Keys", "keys", schema.array(_TEXT)),
    Field("PrimaryKey", "primary_key", _TEXT),
)
_CONFLICT_MEMBER = Struct(
    ConflictMember,
    Field("Name", "name", schema.NAME),
    Field("Addr", "addr", schema.ADDRESS),
    Field("Port", "port", schema.U16),
    Field("Tags", "tags", schema.TAGS),
    Field("Status", "status", schema.I64),
    Field("ProtocolMin", "protocol_min", schema.U8),
    Field("ProtocolMax", "protocol_max", schema.U8),
    Field("ProtocolCur", "protocol_cur", schema.U8),
    Field("DelegateMin", "delegate_min", schema.U8),
    Field("DelegateMax", "delegate_max", schema.U8),
    Field("DelegateCur", "delegate_cur", schema.U8),
)
_UNKNOWN = ConflictMember("", b"", 0, {}, 0, 0, 0, 0, 0, 0, 0)
_CONFLICT_ANSWER = schema.optional(schema.nested(_CONFLICT_MEMBER, _UNKNOWN))
_NAMES = schema.array(schema.NAME, empty=())
_TAG = Struct(TagFilter, Field("Tag", "tag", _TEXT), Field("Expr", "expression", _TEXT))


def encode_key_request(request: KeyRequest) -> bytes:
    """The payload of a query that installs, uses, removes or lists keys."""
    return bytes([SerfMessageId.KEY_REQUEST]) + _KEY_REQUEST.pack(request)


def decode_key_request(payload: bytes) -> KeyRequest:
    """What such a payload means.

    Raises:
        RemoteProtocolError: it is empty, of another kind, or no request.
    """
    return _read(payload, SerfMessageId.KEY_REQUEST, schema.nested(_KEY_REQUEST, KeyRequest()))


def encode_key_response(response: KeyResponse) -> bytes:
    """The payload of an answer to a key query."""
    return bytes([SerfMessageId.KEY_RESPONSE]) + _KEY_RESPONSE.pack(response)


def decode_key_response(payload: bytes) -> KeyResponse:
    """What such a payload means.

    Raises:
        RemoteProtocolError: it is empty, of another kind, or no response.
    """
    return _read(payload, SerfMessageId.KEY_RESPONSE, schema.nested(_KEY_RESPONSE, KeyResponse(result=False)))


def encode_conflict_answer(member: ConflictMember | None) -> bytes:
    """The payload of an answer to a conflict query; None: nobody is known by that name."""
    return bytes([SerfMessageId.CONFLICT_RESPONSE]) + pack(_CONFLICT_ANSWER.plain(member))


def decode_conflict_answer(payload: bytes) -> ConflictMember | None:
    """What such a payload means.

    Raises:
        RemoteProtocolError: it is empty, of another kind, or no member.
    """
    return _read(payload, SerfMessageId.CONFLICT_RESPONSE, _CONFLICT_ANSWER)


def encode_filter(wanted: NodeFilter | TagFilter) -> bytes:
    """One entry of a query's filters."""
    if isinstance(wanted, TagFilter):
        return bytes([_TAG_FILTER]) + _TAG.pack(wanted)
    return bytes([_NODE_FILTER]) + pack(_NAMES.plain(wanted.names))


def decode_filter(data: bytes) -> NodeFilter | TagFilter:
    """What one entry of a query's filters means.

    Raises:
        RemoteProtocolError: it is empty, of an unknown type or nonsense; nobody matches such a filter.
    """
    reader = Reader(data, 1)
    if data[:1] == bytes([_NODE_FILTER]):
        return NodeFilter(_NAMES.read(reader))
    if data[:1] == bytes([_TAG_FILTER]):
        return _TAG.read(reader)
    raise RemoteProtocolError(f"a filter must be of type {_NODE_FILTER} or {_TAG_FILTER}")


def _read(payload: bytes, message_id: SerfMessageId, kind: schema.Kind[_T]) -> _T:
    name = serf_message_name(message_id)
    if payload[:1] != bytes([message_id]):
        raise RemoteProtocolError(f"the payload is no {name}")
    try:
        return kind.read(Reader(payload, 1))
    except RemoteProtocolError as error:
        raise RemoteProtocolError(f"{name}: {error}") from None
