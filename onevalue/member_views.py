"""What the services see of the members that the Serf core knows: one Member for each, kept for as long as it holds.

Whoever looks at thousands of members again and again can tell by identity which of them have changed. It must not know
when members change nor who looks.
"""

from collections.abc import Sequence

from onevalue.member import Member, Status
from onevalue.serf.members import MemberStatus, SerfMember
from onevalue.swim.address import to_address

_STATUS = {
    MemberStatus.ALIVE: Status.ALIVE,
    MemberStatus.LEAVING: Status.LEAVING,
    MemberStatus.LEFT: Status.LEFT,
    MemberStatus.FAILED: Status.FAILED,
}


class MemberViews:
    """The views of the last look, and of what they are."""

    def __init__(self) -> None:
        self._seen: dict[str, SerfMember] = {}
        self._views: dict[str, Member] = {}

    def renew(self, members: Sequence[SerfMember]) -> None:
        """The views of these are as `of` will give them; of many that have changed it will take less long then."""
        self._views |= {member.name: self._view(member) for member in members if member.status in _STATUS}
        self._seen |= {member.name: member for member in members}

    def of(self, members: Sequence[SerfMember]) -> list[Member]:
        """A view of each member that has a status, in their order; the same as before of one that looks as before."""
        self._views = {member.name: self._view(member) for member in members if member.status in _STATUS}
        self._seen = {member.name: member for member in members}
        return list(self._views.values())

    def _view(self, member: SerfMember) -> Member:
        before = self._views.get(member.name)
        if before is not None and self._seen.get(member.name) is member:
            return before
        host, port = to_address(member.addr, member.port)
        view = Member(member.name, host, port, _STATUS[member.status], member.suspect, member.tags)
        return before if before == view else view
