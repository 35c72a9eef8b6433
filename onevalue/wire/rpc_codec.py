"""The agent RPC: its headers and bodies to bytes and back (wire README 6). Modern msgpack, no framing.

It must not know which side of a connection it serves, nor what a command does.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from onevalue.wire import rpc_messages as rpc
from onevalue.wire import schema
from onevalue.wire.dialect import Reader, pack_array, pack_modern
from onevalue.wire.schema import Field, Kind, Struct

REQUEST_SIZE_MAX: Final = 1 << 16
"""Bytes of one object that a client sends. DEPARTURE (rpc-bounds): a Serf agent has no bound."""

RESPONSE_SIZE_MAX: Final = 1 << 25
"""Bytes of one object that an agent sends: the list of some 60,000 members. Likewise."""

REQUEST_ENTRIES_MAX: Final = 1 << 12
RESPONSE_ENTRIES_MAX: Final = 1 << 21
"""Entries of maps and arrays in one object."""

_T = TypeVar("_T")


class _Modern(Struct[_T]):
    """A struct whose keys are text."""

    def plain(self, value: _T) -> dict[Any, Any]:
        """See Struct."""
        return {key.decode(): each for key, each in super().plain(value).items()}


def _text(size_max: int) -> Kind[str]:
    """Text; see schema.text. It stays text when it is packed."""
    return Kind(schema.text(size_max).read, str, "")


_TEXT: Final = _text(RESPONSE_SIZE_MAX)
_OCTETS: Final = schema.octets(RESPONSE_SIZE_MAX)
_TEXTS: Final = schema.array(_TEXT)
_TEXT_MAP: Final = schema.mapping(_TEXT, _TEXT)
_I32: Final = schema.integer(-(1 << 31), (1 << 31) - 1)

_MEMBER: Final = _Modern(
    rpc.RpcMember,
    Field("Name", "name", _TEXT),
    Field("Addr", "addr", schema.octets(1 << 8)),
    Field("Port", "port", schema.U16),
    Field("Tags", "tags", _TEXT_MAP),
    Field("Status", "status", _TEXT),
    *(
        Field(f"{kind}{end}", f"{kind.lower()}_{end.lower()}", schema.U8)
        for kind in ("Protocol", "Delegate")
        for end in ("Min", "Max", "Cur")
    ),
)
_MEMBERS: Final = Field(
    "Members", "members", schema.array(Kind(_MEMBER.read, _MEMBER.plain, rpc.RpcMember("", b"", 0, {}, "", *[0] * 6)))
)
_MEMBERS_HEAD: Final = b"\x81" + pack_modern("Members")  # a map of one
_PAYLOAD: Final = Field("Payload", "payload", _OCTETS)
_NAME: Final = Field("Name", "name", _TEXT)
_COALESCE: Final = Field("Coalesce", "coalesce", schema.BOOLEAN)
_KEY: Final = _Modern(rpc.Key, Field("Key", "key", _TEXT))
_KEY_REPLY: Final = _Modern(
    rpc.KeyReply,
    Field("Messages", "messages", _TEXT_MAP),
    Field("NumNodes", "num_nodes", _I32),
    Field("NumResp", "num_resp", _I32),
    Field("NumErr", "num_err", _I32),
    Field("Keys", "keys", schema.optional(schema.mapping(_TEXT, _I32))),
)
_COORDINATE: Final = _Modern(
    rpc.RpcCoordinate,
    Field("Adjustment", "adjustment", schema.FLOAT64),
    Field("Error", "error", schema.FLOAT64),
    Field("Height", "height", schema.FLOAT64),
    Field("Vec", "vec", schema.array(schema.FLOAT64)),
)
_REQUEST_HEADER: Final = _Modern(
    rpc.RequestHeader, Field("Command", "command", _text(64)), Field("Seq", "seq", schema.U64)
)
_RESPONSE_HEADER: Final = _Modern(rpc.ResponseHeader, Field("Error", "error", _TEXT), Field("Seq", "seq", schema.U64))


class _Stats:
    """Sections by name: a map whose keys are not fixed, so no struct."""

    _kind = schema.mapping(_TEXT, _TEXT_MAP)

    def read(self, reader: Reader) -> rpc.Stats:
        """See Struct."""
        return rpc.Stats(self._kind.read(reader))

    def plain(self, value: rpc.Stats) -> dict[Any, Any]:
        """See Struct."""
        return {name: dict(section) for name, section in value.sections.items()}


Body = Struct[Any] | _Stats

REQUESTS: Final[Mapping[str, Body | None]] = {
    "handshake": _Modern(rpc.Handshake, Field("Version", "version", _I32)),
    "auth": _Modern(rpc.Auth, Field("AuthKey", "key", _TEXT)),
    "event": _Modern(rpc.Event, _NAME, _PAYLOAD, _COALESCE),
    "force-leave": _Modern(rpc.ForceLeave, Field("Node", "node", _TEXT), Field("Prune", "prune", schema.BOOLEAN)),
    "join": _Modern(rpc.Join, Field("Existing", "existing", _TEXTS), Field("Replay", "replay", schema.BOOLEAN)),
    "members": None,
    "members-filtered": _Modern(
        rpc.MembersFiltered, Field("Tags", "tags", _TEXT_MAP), Field("Status", "status", _TEXT), _NAME
    ),
    "tags": _Modern(rpc.Tags, Field("Tags", "tags", _TEXT_MAP), Field("DeleteTags", "delete_tags", _TEXTS)),
    "stream": _Modern(rpc.Stream, Field("Type", "kinds", _TEXT)),
    "monitor": _Modern(rpc.Monitor, Field("LogLevel", "log_level", _TEXT)),
    "stop": _Modern(rpc.Stop, Field("Stop", "seq", schema.U64)),
    "leave": None,
    "query": _Modern(
        rpc.Query,
        _NAME,
        _PAYLOAD,
        Field("FilterNodes", "filter_nodes", _TEXTS),
        Field("FilterTags", "filter_tags", _TEXT_MAP),
        Field("RequestAck", "request_ack", schema.BOOLEAN),
        Field("RelayFactor", "relay_factor", schema.U8),
        Field("Timeout", "timeout_ns", schema.I64),
    ),
    "respond": _Modern(rpc.Respond, Field("ID", "query_id", schema.U64), _PAYLOAD),
    "install-key": _KEY,
    "use-key": _KEY,
    "remove-key": _KEY,
    "list-keys": None,
    "stats": None,
    "get-coordinate": _Modern(rpc.GetCoordinate, Field("Node", "node", _TEXT)),
}
"""The body of each command, None where there is none."""

REPLIES: Final[Mapping[str, Body]] = {
    "join": _Modern(rpc.Joined, Field("Num", "num", _I32)),
    "members": _Modern(rpc.Members, _MEMBERS),
    "members-filtered": _Modern(rpc.Members, _MEMBERS),
    "install-key": _KEY_REPLY,
    "use-key": _KEY_REPLY,
    "remove-key": _KEY_REPLY,
    "list-keys": _KEY_REPLY,
    "stats": _Stats(),
    "get-coordinate": _Modern(
        rpc.CoordinateReply,
        Field("Coord", "coord", schema.optional(Kind(_COORDINATE.read, _COORDINATE.plain, None))),
        Field("Ok", "ok", schema.BOOLEAN),
    ),
}
"""The body of the response to each command that has one; it is sent with an error too."""

_USER_RECORD: Final = _Modern(
    rpc.StreamRecord,
    Field("Event", "event", _TEXT),
    Field("LTime", "ltime", schema.U64),
    _NAME,
    _PAYLOAD,
    _COALESCE,
)
_QUERY_EVENT: Final = _Modern(
    rpc.StreamRecord,
    Field("Event", "event", _TEXT),
    Field("ID", "query_id", schema.U64),
    Field("LTime", "ltime", schema.U64),
    _NAME,
    _PAYLOAD,
)
_MEMBER_RECORD: Final = _Modern(rpc.StreamRecord, Field("Event", "event", _TEXT), _MEMBERS)
_ANY_RECORD: Final = _Modern(
    rpc.StreamRecord,
    Field("Event", "event", _TEXT),
    _MEMBERS,
    Field("ID", "query_id", schema.U64),
    Field("LTime", "ltime", schema.U64),
    _NAME,
    _PAYLOAD,
    _COALESCE,
)
_LOG_RECORD: Final = _Modern(rpc.LogRecord, Field("Log", "log", _TEXT))
_QUERY_RECORD: Final = _Modern(rpc.QueryRecord, Field("From", "sender", _TEXT), _PAYLOAD, Field("Type", "kind", _TEXT))

RECORDS: Final[Mapping[str, Body]] = {"monitor": _LOG_RECORD, "stream": _ANY_RECORD, "query": _QUERY_RECORD}
"""How the records read that follow the response to a command."""


def encode_request(command: str, seq: int, body: object | None = None) -> bytes:
    """A request: its header, and its body if the command has one.

    Raises:
        LocalProtocolError: a field (named) holds what its kind cannot carry.
    """
    data = _pack(_REQUEST_HEADER, rpc.RequestHeader(command, seq))
    struct = REQUESTS[command]
    return data if struct is None else data + _pack(struct, body)


def encode_response(error: str, seq: int, body: bytes = b"") -> bytes:
    """A response or record: its header, and its body, encoded, if there is one."""
    return _pack(_RESPONSE_HEADER, rpc.ResponseHeader(error, seq)) + body


def encode_reply(command: str, body: object) -> bytes:
    """The body of the response to a command that has one; raises as `encode_request`."""
    return _pack(REPLIES[command], body)


def encode_member(member: rpc.RpcMember) -> bytes:
    """One of the members of `encode_members`; raises as `encode_request`."""
    return _pack(_MEMBER, member)


def encode_members(members: Sequence[bytes]) -> bytes:
    """The same as `encode_reply` makes of them all, which takes long when there are thousands."""
    return _MEMBERS_HEAD + pack_array(members)


def encode_record(record: rpc.LogRecord | rpc.QueryRecord | rpc.StreamRecord) -> bytes:
    """The body of a record; raises as `encode_request`."""
    if isinstance(record, rpc.LogRecord):
        return _pack(_LOG_RECORD, record)
    if isinstance(record, rpc.QueryRecord):
        return _pack(_QUERY_RECORD, record)
    struct = {rpc.USER: _USER_RECORD, rpc.QUERY: _QUERY_EVENT}.get(record.event, _MEMBER_RECORD)
    return _pack(struct, record)


def decode_request_header(data: bytes) -> rpc.RequestHeader:
    """The object as the header of a request. Raises RemoteProtocolError."""
    return _REQUEST_HEADER.read(Reader(data, 0, REQUEST_ENTRIES_MAX))


def decode_response_header(data: bytes) -> rpc.ResponseHeader:
    """The object as the header of a response. Raises RemoteProtocolError."""
    return _RESPONSE_HEADER.read(Reader(data))


def decode_body(body: Body, data: bytes, entries_max: int) -> Any:
    """The object as this body. Raises RemoteProtocolError: it is none; a wrong field is named."""
    read: Callable[[Reader], Any] = body.read
    return read(Reader(data, 0, entries_max))


def _pack(body: Body, value: Any) -> bytes:
    return pack_modern(body.plain(value))
