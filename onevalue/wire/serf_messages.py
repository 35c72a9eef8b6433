"""The messages of Serf: one frozen dataclass each (docs/protocol.md; wire README 5.4 to 5.11)."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from onevalue.types import LamportTime


@dataclass(frozen=True, slots=True)
class LeaveIntent:
    """`node` is about to leave (or is made to); `prune`: forget it at once."""

    ltime: LamportTime
    node: str
    prune: bool = False


@dataclass(frozen=True, slots=True)
class JoinIntent:
    """`node` has joined."""

    ltime: LamportTime
    node: str


@dataclass(frozen=True, slots=True)
class UserEventMessage:
    """A user event. `coalesce` is CC on the wire; an empty payload travels as nil."""

    ltime: LamportTime
    name: str
    payload: bytes
    coalesce: bool = False


@dataclass(frozen=True, slots=True)
class EventSlot:
    """The events that share one Lamport time in the event buffer: (name, payload) each."""

    ltime: LamportTime
    events: tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class SerfState:
    """The user state of a push/pull (`messagePushPullType`). `events` keeps the holes of the sender's ring as None."""

    ltime: LamportTime
    status_ltimes: Mapping[str, LamportTime]
    left_members: tuple[str, ...]
    event_ltime: LamportTime
    events: tuple[EventSlot | None, ...]
    query_ltime: LamportTime

    @property
    def size(self) -> int:
        """How many entries its maps and arrays have."""
        events = sum(len(slot.events) for slot in self.events if slot is not None)
        return len(self.status_ltimes) + len(self.left_members) + len(self.events) + events


@dataclass(frozen=True, slots=True)
class Query:
    """A question to the cluster. `flags`: 1 ack wanted, 2 do not rebroadcast; `timeout_ns` in nanoseconds."""

    ltime: LamportTime
    query_id: int
    addr: bytes
    port: int
    source_node: str
    filters: tuple[bytes, ...]
    flags: int
    relay_factor: int
    timeout_ns: int
    name: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class QueryResponse:
    """An answer, or with `flags` 1 the bare ack, to a query."""

    ltime: LamportTime
    query_id: int
    sender: str
    flags: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Relay:
    """Pass `inner` (a Serf message from its id byte on) to dest_addr:dest_port."""

    dest_addr: bytes
    dest_port: int
    dest_name: str
    inner: bytes
    zone: str = field(default="")


SerfMessage = LeaveIntent | JoinIntent | UserEventMessage | SerfState | Query | QueryResponse | Relay
