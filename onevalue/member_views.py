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
    """The views of the last look."""

    def __init__(self) -> None:
        self._views: dict[str, tuple[SerfMember, Member]] = {}

    def of(self, members: Sequence[SerfMember]) -> list[Member]:
        """A view of each member that has a status, in their order; the same as before of one that looks as before."""
        known = self._views
        self._views = {
            member.name: _renewed(known.get(member.name), member) for member in members if member.status in _STATUS
        }
        return [view for _, view in self._views.values()]


def _renewed(known: tuple[SerfMember, Member] | None, member: SerfMember) -> tuple[SerfMember, Member]:
    if known is None:
        return member, _view(member)
    before, view = known
    if before is member:
        return known
    renewed = _view(member)
    return member, view if view == renewed else renewed


def _view(member: SerfMember) -> Member:
    host, port = to_address(member.addr, member.port)
    return Member(member.name, host, port, _STATUS[member.status], member.suspect, member.tags)
