"""What travels between a Serf agent and its clients, each body as a dataclass (wire README 6).

The command of a request tells which body follows, so no class bears one. It must not know bytes, nor what a command
does.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

VERSION: Final = 1
"""Of the agent RPC; there is no other."""

MEMBER_EVENTS: Final = ("member-join", "member-leave", "member-failed", "member-update", "member-reap")
USER: Final = "user"
QUERY: Final = "query"


class ErrorText:
    """What clients of an agent may look for, letter by letter."""

    UNSUPPORTED_COMMAND: Final = "Unsupported command"
    UNSUPPORTED_VERSION: Final = "Unsupported IPC version"
    DUPLICATE_HANDSHAKE: Final = "Handshake already performed"
    HANDSHAKE_REQUIRED: Final = "Handshake required"
    MONITOR_EXISTS: Final = "Monitor already exists"
    INVALID_FILTER: Final = "Invalid event filter"
    STREAM_EXISTS: Final = "Stream with given sequence exists"
    NO_SUCH_QUERY: Final = "No pending queries matching ID"
    AUTHENTICATION_REQUIRED: Final = "Authentication required"
    INVALID_TOKEN: Final = "Invalid authentication token"  # noqa: S105  # a sentence, no secret


@dataclass(frozen=True, slots=True)
class RequestHeader:
    """In front of each request; the client has never used this `seq` before."""

    command: str
    seq: int


@dataclass(frozen=True, slots=True)
class ResponseHeader:
    """In front of each response and record; `error` is "" for success."""

    error: str
    seq: int


# Requests -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Handshake:
    """The first request of a connection."""

    version: int = VERSION


@dataclass(frozen=True, slots=True)
class Auth:
    """The second, where the agent has a key."""

    key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Event:
    """Send a user event."""

    name: str
    payload: bytes
    coalesce: bool


@dataclass(frozen=True, slots=True)
class ForceLeave:
    """Have a failed member count as left; with `prune`, forget it."""

    node: str
    prune: bool


@dataclass(frozen=True, slots=True)
class Join:
    """Join these addresses; without `replay`, user events from before it are not delivered."""

    existing: tuple[str, ...]
    replay: bool


@dataclass(frozen=True, slots=True)
class MembersFiltered:
    """Members whose tags, status and name match these expressions as a whole; an empty one matches any."""

    tags: Mapping[str, str]
    status: str
    name: str


@dataclass(frozen=True, slots=True)
class Tags:
    """Delete tags of the agent, then set some."""

    tags: Mapping[str, str]
    delete_tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stream:
    """Tell of events: a comma separated list of kinds, `user:NAME`, `query:NAME`, `*`."""

    kinds: str


@dataclass(frozen=True, slots=True)
class Monitor:
    """Tell the lines of the log from this level on."""

    log_level: str


@dataclass(frozen=True, slots=True)
class Stop:
    """End the stream or monitor that began with this seq."""

    seq: int


@dataclass(frozen=True, slots=True)
class Query:
    """Ask the members; `timeout_ns` 0: as long as suits the cluster."""

    name: str
    payload: bytes = b""
    filter_nodes: tuple[str, ...] = ()
    filter_tags: Mapping[str, str] = field(default_factory=dict)
    request_ack: bool = False
    relay_factor: int = 0
    timeout_ns: int = 0


@dataclass(frozen=True, slots=True)
class Respond:
    """Answer a query of which a stream of this connection has told."""

    query_id: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Key:
    """Install, use or remove a key, in base64."""

    key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class GetCoordinate:
    """Where is this member?"""

    node: str


# Responses ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RpcMember:
    """A member as an agent tells of it; the versions are those of its meta."""

    name: str
    addr: bytes
    port: int
    tags: Mapping[str, str]
    status: str
    protocol_min: int
    protocol_max: int
    protocol_cur: int
    delegate_min: int
    delegate_max: int
    delegate_cur: int


@dataclass(frozen=True, slots=True)
class Joined:
    """How many addresses answered."""

    num: int = 0


@dataclass(frozen=True, slots=True)
class Members:
    """The members asked for."""

    members: tuple[RpcMember, ...] = ()


@dataclass(frozen=True, slots=True)
class KeyReply:
    """What the members said about a key; `keys`: how many have each, in base64, None unless keys were listed."""

    messages: Mapping[str, str] = field(default_factory=dict)
    num_nodes: int = 0
    num_resp: int = 0
    num_err: int = 0
    keys: Mapping[str, int] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class RpcCoordinate:
    """A place in Vivaldi's space, seconds."""

    adjustment: float
    error: float
    height: float
    vec: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class CoordinateReply:
    """Where a member is; `ok`: that is known."""

    coord: RpcCoordinate | None = None
    ok: bool = False


@dataclass(frozen=True, slots=True)
class Stats:
    """Sections of named texts."""

    sections: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


# Records ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LogRecord:
    """A line of the agent's log."""

    log: str


@dataclass(frozen=True, slots=True)
class StreamRecord:
    """Something that happened; which fields mean something depends on `event`: a member's, USER or QUERY."""

    event: str
    members: tuple[RpcMember, ...] = ()
    query_id: int = 0
    ltime: int = 0
    name: str = ""
    payload: bytes = b""
    coalesce: bool = False


@dataclass(frozen=True, slots=True)
class QueryRecord:
    """What a member said to a query: `kind` is ACK, RESPONSE or DONE."""

    sender: str
    payload: bytes
    kind: str


ACK: Final = "ack"
RESPONSE: Final = "response"
DONE: Final = "done"
