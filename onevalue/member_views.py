"""What the services see of the members that the Serf core knows: one Member for each, kept for as long as it holds.

Whoever looks at thousands of members again and again can tell by identity which of them have changed. It must not know
when members change nor who looks.
"""

from collections.abc import Mapping, Sequence

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
        self._members: Sequence[SerfMember] = ()
        self._list: Sequence[Member] = ()

    def renew(self, members: Sequence[SerfMember]) -> None:
        """The views of these are as `of` will give them; of many that have changed it will take less long then."""
        self._views |= self._views_of(members)
        self._seen |= {member.name: member for member in members}

    def of(self, members: Sequence[SerfMember]) -> Sequence[Member]:
        """A view of each member that has a status, in their order; the same as before of one that looks as before.

        For the very object that was asked for last it takes no time: nothing has changed.
        """
        if members is not self._members:
            self._views = self._views_of(members)
            self._seen = {member.name: member for member in members}
            self._members, self._list = members, list(self._views.values())
        return self._list

    def _views_of(self, members: Sequence[SerfMember]) -> dict[str, Member]:
        """By name. No call for a member that is known: there may be thousands."""
        seen, views = self._seen, self._views
        return {
            member.name: views[member.name] if (old := seen.get(member.name)) is member else _view(member, old, views)
            for member in members
            if member.status is not MemberStatus.NONE
        }


def _view(member: SerfMember, old: SerfMember | None, views: Mapping[str, Member]) -> Member:
    if old is not None and _shows(old) == _shows(member):
        return views[member.name]
    host, port = to_address(member.addr, member.port)
    return Member(member.name, host, port, _STATUS[member.status], member.suspect, member.tags)


def _shows(member: SerfMember) -> tuple[object, ...]:
    """All of it that its view depends on, but for the name."""
    return member.addr, member.port, member.status, member.suspect, member.tags
