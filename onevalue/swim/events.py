"""What the SWIM core tells its owner, in the order in which it happened; pulled with `Swim.next_event()`."""

from dataclasses import dataclass

from onevalue.swim.members import MemberRecord
from onevalue.types import Address
from onevalue.wire.messages import UserState


@dataclass(frozen=True, slots=True)
class MemberJoined:
    """A member that was unknown, dead or left is alive (state rules, row 10)."""

    member: MemberRecord


@dataclass(frozen=True, slots=True)
class MemberUpdated:
    """The meta of an alive member changed."""

    member: MemberRecord


@dataclass(frozen=True, slots=True)
class MemberSuspected:
    """A member became suspect; for the log and the status only."""

    member: MemberRecord
    by: str


@dataclass(frozen=True, slots=True)
class SuspicionEnded:
    """A suspect member is alive again; for the log and the status only."""

    member: MemberRecord


@dataclass(frozen=True, slots=True)
class MemberGone:
    """A member is dead or left, as memberlist sees it."""

    member: MemberRecord


@dataclass(frozen=True, slots=True)
class MemberForgotten:
    """A dead or left member was dropped from the table; Serf may remember it longer."""

    name: str


@dataclass(frozen=True, slots=True)
class NameConflict:
    """Somebody at another address calls itself by the name of a member; nothing changed."""

    existing: MemberRecord
    addr: bytes
    port: int


@dataclass(frozen=True, slots=True)
class Refuted:
    """Somebody said that this node is suspect, dead or other than it is; it raised its incarnation."""

    by: str


@dataclass(frozen=True, slots=True)
class UserMessage:
    """The body of a user message: a Serf message, opaque here. `source` is None for one from a stream."""

    body: bytes
    source: Address | None


@dataclass(frozen=True, slots=True)
class UserStateReceived:
    """The user state of a push/pull whose members were merged just before."""

    state: UserState
    join: bool


@dataclass(frozen=True, slots=True)
class PacketRefused:
    """A packet was not opened, and why not, as a sentence: it is of another cluster, or no key of ours opens it."""

    source: Address
    reason: str


@dataclass(frozen=True, slots=True)
class PushPullDone:
    """An own push/pull ended: `error` is None after the answer was merged, else why not (a sentence)."""

    request_id: int
    address: Address
    join: bool
    error: str | None


@dataclass(frozen=True, slots=True)
class AckReceived:
    """A direct ack of a probe came in time to measure a round trip (README 4.3 step 2)."""

    member: MemberRecord
    rtt_s: float
    payload: bytes | None


@dataclass(frozen=True, slots=True)
class LeaveSent:
    """The own departure was gossiped the full number of times, or nobody is there to hear it."""


SwimEvent = (
    MemberJoined
    | MemberUpdated
    | MemberSuspected
    | SuspicionEnded
    | MemberGone
    | MemberForgotten
    | NameConflict
    | Refuted
    | UserMessage
    | UserStateReceived
    | PacketRefused
    | PushPullDone
    | AckReceived
    | LeaveSent
)
