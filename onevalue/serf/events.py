"""What the Serf core tells its owner, in the order in which it happened; pulled with `Serf.next_event()`."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from onevalue.serf.answering import ReceivedQuery
from onevalue.serf.dispute import Verdict
from onevalue.serf.members import SerfMember
from onevalue.types import Address, LamportTime


@dataclass(frozen=True, slots=True)
class MemberJoin:
    """A member is alive that was unknown, failed or gone; `failed_s`: it had failed so many seconds ago."""

    member: SerfMember
    failed_s: float | None = None


@dataclass(frozen=True, slots=True)
class MemberLeave:
    """A member left on purpose, or was made to (force-leave of a failed one)."""

    member: SerfMember


@dataclass(frozen=True, slots=True)
class MemberFailed:
    """A member is gone that had not said that it would leave."""

    member: SerfMember


@dataclass(frozen=True, slots=True)
class MemberUpdate:
    """The tags of a member changed."""

    member: SerfMember


@dataclass(frozen=True, slots=True)
class MemberReap:
    """A member is no longer remembered; `member` is what was known of it."""

    member: SerfMember


@dataclass(frozen=True, slots=True)
class MemberSuspected:
    """Somebody (`by`) heard nothing from a member; for the log and the status only."""

    name: str
    by: str


@dataclass(frozen=True, slots=True)
class SuspicionEnded:
    """A suspect member is alive after all; for the log and the status only."""

    name: str


@dataclass(frozen=True, slots=True)
class NameConflict:
    """Somebody at `addr`:`port` calls itself by the name of a member, perhaps of this node; nothing changed."""

    name: str
    addr: bytes
    port: int


@dataclass(frozen=True, slots=True)
class Refuted:
    """Somebody (`by`) said that this node is other than alive, and it contradicted."""

    by: str


@dataclass(frozen=True, slots=True)
class PacketRefused:
    """A packet was not opened, and why not, as a sentence; for the log only."""

    source: Address
    reason: str


@dataclass(frozen=True, slots=True)
class ReceivedEvent:
    """A user event that is new here.

    Attributes:
        name: of the event.
        payload: as sent.
        ltime: event time of its origin.
        raw: the Serf message from its id byte on: as received, or made anew if it came in a push/pull.
        relay_wanted: nobody has queued it, and whoever owns its name decides whether it goes on.
        by_push_pull: it is from before the push/pull that brought it.
    """

    name: str
    payload: bytes
    ltime: LamportTime
    raw: bytes
    relay_wanted: bool
    by_push_pull: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class UserEvents:
    """New user events: one that came as gossip, or all of one push/pull together, oldest first."""

    events: tuple[ReceivedEvent, ...]


@dataclass(frozen=True, slots=True)
class JoinDone:
    """A join that was asked for has ended: `error` is None after the answer was merged, else why not (a sentence)."""

    request_id: int
    address: Address
    error: str | None


@dataclass(frozen=True, slots=True)
class LeaveDone:
    """The graceful leave is over; the node may stop."""


@dataclass(frozen=True, slots=True)
class NameJudged:
    """The members were asked who bears this node's name: how many answered, how many for it, where the other is."""

    verdict: Verdict
    answers: int
    for_us: int
    other: Address


@dataclass(frozen=True, slots=True)
class QueryReceived:
    """A query of somebody, perhaps of this node, concerns this node and may be answered with `Serf.respond`."""

    received: ReceivedQuery


@dataclass(frozen=True, slots=True)
class QueryAcked:
    """A member has an own query."""

    request_id: int
    sender: str


@dataclass(frozen=True, slots=True)
class QueryAnswered:
    """A member has answered an own query."""

    request_id: int
    sender: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class QueryDone:
    """Nothing more will come of an own query."""

    request_id: int


@dataclass(frozen=True, slots=True)
class KeyringChange:
    """The owner is to keep these keys, the primary first, and to call `Serf.keyring_kept` with this id."""

    change_id: int
    keys: tuple[bytes, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeyOutcome:
    """What the members said to a request about keys.

    Attributes:
        nodes: how many were alive when it began.
        answers: how many answered.
        errors: how many of these refused.
        messages: what some of them had to say, by name.
        keys: how many have each key, in base64; only where keys were listed.
        primary_keys: how many have it as their primary one.
    """

    nodes: int
    answers: int
    errors: int
    messages: Mapping[str, str]
    keys: Mapping[str, int] = field(repr=False)
    primary_keys: Mapping[str, int] = field(repr=False)

    @property
    def complete(self) -> bool:
        """All members that were alive did it."""
        return self.errors == 0 and self.answers >= self.nodes


@dataclass(frozen=True, slots=True)
class KeyRequestDone:
    """A request about keys is over."""

    request_id: int
    outcome: KeyOutcome


SerfEvent = (
    MemberJoin
    | MemberLeave
    | MemberFailed
    | MemberUpdate
    | MemberReap
    | MemberSuspected
    | SuspicionEnded
    | NameConflict
    | Refuted
    | PacketRefused
    | UserEvents
    | JoinDone
    | LeaveDone
    | NameJudged
    | QueryReceived
    | QueryAcked
    | QueryAnswered
    | QueryDone
    | KeyringChange
    | KeyRequestDone
)
