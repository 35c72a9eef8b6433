"""The members as an agent tells of them: all at once, and each change after that.

It must not know when an agent is asked, nor who looks.
"""

from collections.abc import Iterator, Mapping, Sequence

from onevalue.errors import RemoteProtocolError
from onevalue.loglines import shown
from onevalue.member import Happening, Member, Status
from onevalue.spread.contacts import HTTP_TAG, UNREACHABLE
from onevalue.swim.address import is_addr, to_address
from onevalue.wire.rpc_messages import MEMBER_EVENTS, RpcMember, StreamRecord

JOIN, LEAVE, FAILED, UPDATE, REAP = MEMBER_EVENTS

WORDS: Mapping[str, tuple[str, str]] = {
    JOIN: ("joined", "member joined"),
    LEAVE: ("left", "member left"),
    FAILED: ("failed", "member failed"),
    UPDATE: ("changed", "member changed its tags"),
    REAP: ("forgotten", "member forgotten"),
}
"""The kind of happening that each event is, and how it reads."""

NOWHERE = "0.0.0.0"  # noqa: S104  # shown, never bound
"""In place of the address of this node while it is not known."""

_STATUS = {status.value: status for status in Status}


class AgentMembers:
    """The members last known, by name; always with this node, whose agent may not have told where it is.

    Args:
        local_name: of this node.
        remembered: members of an earlier run, who count until an agent has told.
    """

    def __init__(self, local_name: str, remembered: Sequence[Member] = ()) -> None:
        self._unplaced = Member(local_name, NOWHERE, 0, Status.ALIVE, suspect=False, tags={HTTP_TAG: UNREACHABLE})
        self._members = {**{member.name: member for member in remembered}, local_name: self._unplaced}
        self._list: Sequence[Member] | None = None

    def __len__(self) -> int:
        return len(self._members)

    def told(self, name: str) -> Member | None:
        """The member of this name, if an agent has told of it."""
        member = self._members.get(name)
        return None if member is self._unplaced else member

    def sorted(self) -> Sequence[Member]:
        """All of them, by name; the same object as before while nothing has changed."""
        if self._list is None:
            self._list = tuple(self._members[name] for name in sorted(self._members))
        return self._list

    def replace(self, told: Sequence[RpcMember]) -> bool:
        """The members are these and no others; True if that is a change."""
        members = {each.name: self._viewed(each) for each in told if each.status in _STATUS}
        members.setdefault(self._unplaced.name, self._unplaced)
        if members == self._members:
            return False
        self._members, self._list = members, None
        return True

    def apply(self, record: StreamRecord) -> Iterator[Happening]:
        """What an event tells of members is so, and put into words."""
        for told in record.members:
            kind, words = WORDS[record.event]
            if record.event == REAP and told.name != self._unplaced.name:
                self._members.pop(told.name, None)
            elif told.status in _STATUS:
                self._members[told.name] = self._viewed(told)
            self._list = None
            yield Happening(kind, f"{words}: {shown(told.name)}", told.name)

    def _viewed(self, told: RpcMember) -> Member:
        """The same object as before for a member that looks as before: whoever looks at thousands can tell.

        Raises:
            RemoteProtocolError: it has no address.
        """
        if not is_addr(told.addr):
            raise RemoteProtocolError(f"the agent tells of {told.name!r} without an address")
        host, port = to_address(told.addr, told.port)
        member = Member(told.name, host, port, _STATUS[told.status], suspect=False, tags=told.tags)
        old = self._members.get(told.name)
        return old if old is not None and old == member else member
