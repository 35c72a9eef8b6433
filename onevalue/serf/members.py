"""The members as Serf knows them, and the rules by which intents and departures change them, as pure functions.

Follows wire README 5.4 and 5.5 and Serf's serf.go. Serf remembers members longer than memberlist does, and it alone
tells "left" from "failed". These functions must not know how news travels; the table of members is `roster`'s.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum, IntEnum
from types import MappingProxyType
from typing import Final

from onevalue.swim.address import to_address, to_bytes
from onevalue.types import Address, LamportTime


class MemberStatus(IntEnum):
    """Serf's states, with the numbers that conflict responses carry."""

    NONE = 0
    ALIVE = 1
    LEAVING = 2
    LEFT = 3
    FAILED = 4


@dataclass(frozen=True, slots=True)
class SerfMember:
    """What is known of one member; replaced, never changed in place.

    Attributes:
        name: unique in the cluster.
        addr: 4 or 16 raw bytes, in the form in which they came.
        port: of gossip.
        tags: as the member's meta says.
        status: Serf's state.
        suspect: alive, but under suspicion by memberlist.
        status_ltime: time of the newest intent that was applied, 0 for none.
        changed: when it left or failed, else when it became known, in the seconds of `now`.
    """

    name: str
    addr: bytes
    port: int
    tags: Mapping[str, str]
    status: MemberStatus
    suspect: bool
    status_ltime: LamportTime
    changed: float

    @property
    def address(self) -> Address:
        """Where to dial the member."""
        return to_address(self.addr, self.port)

    @property
    def is_gone(self) -> bool:
        """Failed or left."""
        return self.status in GONE


GONE: Final = (MemberStatus.FAILED, MemberStatus.LEFT)


def missing_member(name: str, address: Address) -> SerfMember:
    """Somebody of whom no more is known than where it was. Raises ValueError if the host is not numeric."""
    host, port = address
    return SerfMember(
        name, to_bytes(host), port, {}, MemberStatus.FAILED, suspect=False, status_ltime=LamportTime(0), changed=0.0
    )


class LeaveRule(Enum):
    """What a leave intent in time does to a member."""

    REFUTE = "this node is alive and says so"
    LEAVING = "it is about to leave"
    LEFT = "it was thought to have failed"
    STAYS = "only the time changes"
    STALE = "the intent is not newer than what was applied"


_LEAVE_RULES: Final = MappingProxyType(
    {
        MemberStatus.NONE: LeaveRule.STALE,
        MemberStatus.ALIVE: LeaveRule.LEAVING,
        MemberStatus.LEAVING: LeaveRule.STAYS,
        MemberStatus.LEFT: LeaveRule.STAYS,
        MemberStatus.FAILED: LeaveRule.LEFT,
    }
)
_STATUS_AFTER: Final = MappingProxyType({LeaveRule.LEAVING: MemberStatus.LEAVING, LeaveRule.LEFT: MemberStatus.LEFT})


def leave_rule(member: SerfMember, ltime: LamportTime, *, disputed: bool) -> LeaveRule:
    """Which rule of 5.4 a leave intent falls under; `disputed`: it is about this node, which does not leave.

    DEPARTURE (equal-times): Serf takes a leave intent for stale that has the time of the node's own join intent. But
    others who heard it first take the join intent for stale, and the node for leaving, for ever. A node that was killed
    while it left, before its clock was on disk, makes two such intents.
    """
    if ltime < member.status_ltime or (ltime == member.status_ltime and not disputed):
        return LeaveRule.STALE
    if disputed:
        return LeaveRule.REFUTE
    return _LEAVE_RULES[member.status]


def after_leave_intent(member: SerfMember, ltime: LamportTime, rule: LeaveRule) -> SerfMember:
    """The member after a leave intent under `rule`; the same if the rule is STALE or REFUTE."""
    if rule in {LeaveRule.STALE, LeaveRule.REFUTE}:
        return member
    return replace(member, status=_STATUS_AFTER.get(rule, member.status), status_ltime=ltime)


def after_join_intent(member: SerfMember, ltime: LamportTime) -> SerfMember:
    """The member after a join intent (5.4); the same if the intent is not newer than what was applied."""
    if ltime <= member.status_ltime:
        return member
    status = MemberStatus.ALIVE if member.status is MemberStatus.LEAVING else member.status
    return replace(member, status=status, status_ltime=ltime)


def status_after_departure(status: MemberStatus) -> MemberStatus:
    """What memberlist's news that a member is gone means (5.5): only after a leave intent has it left."""
    if status is MemberStatus.LEAVING:
        return MemberStatus.LEFT
    return MemberStatus.FAILED if status is MemberStatus.ALIVE else status
