"""The fields of memberlist's messages (wire README 2.6 and 3.2), for the packets of `codec` and streams of `stream`.

Fields stand in the order in which memberlist declares them.
"""

from dataclasses import dataclass
from typing import Any

from onevalue.errors import RemoteProtocolError
from onevalue.wire import schema
from onevalue.wire.message_ids import MessageId
from onevalue.wire.messages import (
    Ack,
    Alive,
    Dead,
    Err,
    IndirectPing,
    Nack,
    NodeState,
    NodeStatus,
    Ping,
    Suspect,
)
from onevalue.wire.schema import Field, Struct

ERROR_SIZE_MAX = 4096
"""Bytes of the text of an err message."""

PAYLOAD_SIZE_MAX = 1 << 16
"""Bytes of the payload of an ack."""

COMPRESSED_SIZE_MAX = 8 * 1024 * 1024
"""Bytes of what is in a compress message, as it comes."""


@dataclass(frozen=True, slots=True)
class Compressed:
    """The map of a compress message: `algorithm` 0 is LZW, and there is no other."""

    algorithm: int
    buffer: bytes


@dataclass(frozen=True, slots=True)
class PushPullHeader:
    """What comes first in a push/pull: how many node states, and how many bytes of user state, follow."""

    nodes: int
    user_state_size: int
    join: bool


@dataclass(frozen=True, slots=True)
class UserHeader:
    """What comes first in a user message on a stream: how many bytes follow."""

    size: int


def _status(value: int) -> NodeStatus:
    """The state of a node. DEPARTURE (odd-entries): memberlist leaves out an entry with another state, and goes on."""
    try:
        return NodeStatus(value)
    except ValueError:
        raise RemoteProtocolError(f"must be a state from 0 to 3, not {value}") from None


_STATUS = schema.converted(schema.I64, _status, int)
_SEQ_NO = Field("SeqNo", "seq_no", schema.U32)
_INCARNATION = Field("Incarnation", "incarnation", schema.U32)
_NODE = Field("Node", "node", schema.NAME)
_SOURCE = (
    Field("SourceAddr", "source_addr", schema.ADDRESS, omit=True),
    Field("SourcePort", "source_port", schema.U16, omit=True),
    Field("SourceNode", "source_node", schema.NAME, omit=True),
)
_ACK_PAYLOAD = schema.optional(schema.octets(PAYLOAD_SIZE_MAX, empty=b""))

STRUCTS: dict[MessageId, Struct[Any]] = {
    MessageId.PING: Struct(Ping, _SEQ_NO, _NODE, *_SOURCE),
    MessageId.INDIRECT_PING: Struct(
        IndirectPing,
        _SEQ_NO,
        Field("Target", "target", schema.ADDRESS, required=True),
        Field("Port", "port", schema.U16),
        _NODE,
        Field("Nack", "nack", schema.BOOLEAN),
        *_SOURCE,
    ),
    MessageId.ACK: Struct(Ack, _SEQ_NO, Field("Payload", "payload", _ACK_PAYLOAD)),
    MessageId.NACK: Struct(Nack, _SEQ_NO),
    MessageId.SUSPECT: Struct(Suspect, _INCARNATION, _NODE, Field("From", "accuser", schema.NAME)),
    MessageId.ALIVE: Struct(
        Alive,
        _INCARNATION,
        _NODE,
        Field("Addr", "addr", schema.ADDRESS, required=True),
        Field("Port", "port", schema.U16),
        Field("Meta", "meta", schema.META),
        Field("Vsn", "vsn", schema.VSN),
    ),
    MessageId.DEAD: Struct(Dead, _INCARNATION, _NODE, Field("From", "accuser", schema.NAME)),
    MessageId.ERR: Struct(Err, Field("Error", "error", schema.text(ERROR_SIZE_MAX))),
}
"""The messages that are one map, by their id."""

MESSAGE_IDS = {
    Ping: MessageId.PING,
    IndirectPing: MessageId.INDIRECT_PING,
    Ack: MessageId.ACK,
    Nack: MessageId.NACK,
    Suspect: MessageId.SUSPECT,
    Alive: MessageId.ALIVE,
    Dead: MessageId.DEAD,
    Err: MessageId.ERR,
}

COMPRESSED = Struct(
    Compressed,
    Field("Algo", "algorithm", schema.U8),
    Field("Buf", "buffer", schema.octets(COMPRESSED_SIZE_MAX)),
)
PUSH_PULL_HEADER = Struct(
    PushPullHeader,
    Field("Nodes", "nodes", schema.I64),
    Field("UserStateLen", "user_state_size", schema.I64),
    Field("Join", "join", schema.BOOLEAN),
)
USER_HEADER = Struct(UserHeader, Field("UserMsgLen", "size", schema.I64))
NODE_STATE = Struct(
    NodeState,
    Field("Name", "name", schema.NAME),
    Field("Addr", "addr", schema.ADDRESS, required=True),
    Field("Port", "port", schema.U16),
    Field("Meta", "meta", schema.META),
    _INCARNATION,
    Field("State", "status", _STATUS),
    Field("Vsn", "vsn", schema.VSN),
)
