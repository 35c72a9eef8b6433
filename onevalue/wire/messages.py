"""The messages of memberlist: one frozen dataclass each (docs/protocol.md; wire README 2.6 and 3.2).

Names of nodes are text; bytes that are not UTF-8 survive as surrogate escapes. Addresses are 4 or 16 raw bytes and are
kept in the form in which they came: nodes compare them byte by byte.
"""

from dataclasses import dataclass
from enum import IntEnum

from onevalue.types import Incarnation, SequenceNumber
from onevalue.wire.serf_messages import SerfState

UserState = SerfState | bytes
"""What a push/pull carries for the layer above: Serf's state, or bytes that are none, as they came; b"" for nothing."""


class NodeStatus(IntEnum):
    """memberlist's states of a node, as push/pull carries them."""

    ALIVE = 0
    SUSPECT = 1
    DEAD = 2
    LEFT = 3


@dataclass(frozen=True, slots=True)
class Ping:
    """Are you there? `node` is who is meant; "" is anyone. The ack goes to the source fields, if given."""

    seq_no: SequenceNumber
    node: str
    source_addr: bytes = b""
    source_port: int = 0
    source_node: str = ""


@dataclass(frozen=True, slots=True)
class IndirectPing:
    """Ping `node` at `target`:`port` for me; `nack`: tell me if no ack comes."""

    seq_no: SequenceNumber
    target: bytes
    port: int
    node: str
    nack: bool
    source_addr: bytes = b""
    source_port: int = 0
    source_node: str = ""


@dataclass(frozen=True, slots=True)
class Ack:
    """I am here; the payload is Serf's coordinate, or None."""

    seq_no: SequenceNumber
    payload: bytes | None = None


@dataclass(frozen=True, slots=True)
class Nack:
    """The member that you asked about did not answer me."""

    seq_no: SequenceNumber


@dataclass(frozen=True, slots=True)
class Suspect:
    """`accuser` heard nothing from `node` at `incarnation`. (`From` on the wire.)"""

    incarnation: Incarnation
    node: str
    accuser: str


@dataclass(frozen=True, slots=True)
class Alive:
    """`node` is alive at this address with this meta; `vsn` is six bytes or empty."""

    incarnation: Incarnation
    node: str
    addr: bytes
    port: int
    meta: bytes
    vsn: bytes


@dataclass(frozen=True, slots=True)
class Dead:
    """`accuser` declares `node` dead; a node says it of itself when it leaves. (`From` on the wire.)"""

    incarnation: Incarnation
    node: str
    accuser: str


@dataclass(frozen=True, slots=True)
class User:
    """Opaque bytes for the layer above: a Serf message."""

    body: bytes


@dataclass(frozen=True, slots=True)
class Err:
    """Why a stream was refused; for people only."""

    error: str


@dataclass(frozen=True, slots=True)
class NodeState:
    """One member in a push/pull."""

    name: str
    addr: bytes
    port: int
    incarnation: Incarnation
    status: NodeStatus
    meta: bytes
    vsn: bytes


@dataclass(frozen=True, slots=True)
class PushPull:
    """All members that the sender remembers, itself among them, and Serf's state."""

    join: bool
    nodes: tuple[NodeState, ...]
    user_state: UserState = b""


PacketMessage = Ping | IndirectPing | Ack | Nack | Suspect | Alive | Dead | User
StreamMessage = PushPull | Ping | Ack | User | Err
