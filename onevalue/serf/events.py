"""What the Serf core tells its owner, in the order in which it happened; pulled with `Serf.next_event()`."""

from dataclasses import dataclass

from onevalue.serf.members import SerfMember
from onevalue.types import Address, LamportTime


@dataclass(frozen=True, slots=True)
class MemberJoin:
    """A member is alive that was unknown, failed or gone."""

    member: SerfMember


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
    """Somebody at `addr`:`port` calls itself by the name of a member; nothing changed.

    DEPARTURE (name-conflict): Serf has the cluster vote when the name is its own, and the loser, or both, shut down.
    """

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
    """

    name: str
    payload: bytes
    ltime: LamportTime
    raw: bytes
    relay_wanted: bool


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
)
