"""Members as the RPC has them, and which of them a client asks for. Pure.

It must not know where members come from.
"""

from collections.abc import Mapping

from onevalue.serf.filters import FILTERS_MAX, Expression
from onevalue.serf.members import MemberStatus, SerfMember
from onevalue.wire.rpc_messages import MembersFiltered, RpcMember

STATUS_TEXT: Mapping[MemberStatus, str] = {status: status.name.lower() for status in MemberStatus}


def rpc_member(member: SerfMember, versions: bytes) -> RpcMember:
    """A member with its protocols: six bytes, least, greatest and spoken of memberlist's, and the same of Serf's."""
    return RpcMember(member.name, member.addr, member.port, member.tags, STATUS_TEXT[member.status], *versions)


class MemberFilter:
    """Expressions that a member must match as a whole; a tag that it lacks counts as empty.

    Raises:
        ValueError: one is no expression of RE2, or there are too many.
    """

    def __init__(self, wanted: MembersFiltered) -> None:
        if len(wanted.tags) > FILTERS_MAX:
            raise ValueError(f"at most {FILTERS_MAX} tags are matched, not {len(wanted.tags)}")
        self._tags = {tag: Expression(text, whole=True) for tag, text in wanted.tags.items()}
        self._status = Expression(wanted.status, whole=True) if wanted.status else None
        self._name = Expression(wanted.name, whole=True) if wanted.name else None

    def wants(self, member: SerfMember) -> bool:
        """Whether it lets the member through."""
        return (
            (self._status is None or self._status.found_in(STATUS_TEXT[member.status]))
            and (self._name is None or self._name.found_in(member.name))
            and all(each.found_in(member.tags.get(tag, "")) for tag, each in self._tags.items())
        )
