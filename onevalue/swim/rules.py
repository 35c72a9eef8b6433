"""Which news about a member counts: the state rules of wire README 4.5 as pure functions (memberlist's state.go).

A verdict says what to do; `states` does it. Larger incarnations win; of equal ones suspect and dead beat alive, so
that only the member itself can come back, by a larger incarnation. Row numbers are those of the table in 4.5.
"""

from enum import Enum
from typing import Final

from onevalue.swim.members import MemberRecord
from onevalue.types import Incarnation
from onevalue.wire.messages import Alive, Dead, NodeStatus, Suspect

INCARNATION_MAX: Final = Incarnation(2**32 - 1)


class Verdict(Enum):
    """What news about a member is worth."""

    IGNORE = "old, impossible, or nothing new"
    CONFLICT = "somebody else uses the name of a member"
    CONFIRM = "one more accuser of a suspect"
    REFUTE = "wrong, and about this node"
    ACCEPT = "new: apply it, and gossip it on"


def may_reclaim(known: MemberRecord, reclaim_s: float, now: float) -> bool:
    """Whether the name may come back from another address (row 5): it left, or has been dead for long enough."""
    if known.status is NodeStatus.LEFT:
        return True
    return known.status is NodeStatus.DEAD and 0 < reclaim_s < now - known.changed


def judge_alive(
    known: MemberRecord | None, news: Alive, *, local: bool, own: bool, leaving: bool, reclaim: bool
) -> Verdict:
    """What an alive message is worth.

    Args:
        known: the present record of the name.
        news: with the port filled in, should it have come as 0.
        local: it is about this node.
        own: this node says it itself, at its start or with new meta.
        leaving: this node is about to leave, or has left.
        reclaim: the name may come back from another address (`may_reclaim`).
    """
    if (local and leaving) or not _versions_make_sense(known, news.vsn):  # rows 1 and 2
        return Verdict.IGNORE
    if known is None:  # row 4: as if known as dead with incarnation 0, which row 7 compares
        # DEPARTURE (incarnation-0): memberlist remembers such a node even when row 7 then drops the message.
        return Verdict.ACCEPT if news.incarnation > 0 else Verdict.IGNORE
    moved = (news.addr, news.port) != (known.addr, known.port)
    if moved and not reclaim:  # rows 5 and 6
        return Verdict.CONFLICT
    if local:
        return _judge_alive_local(known, news, own=own)
    if not moved and news.incarnation <= known.incarnation:  # row 7
        return Verdict.IGNORE
    return Verdict.ACCEPT  # row 9c


def _judge_alive_local(known: MemberRecord, news: Alive, *, own: bool) -> Verdict:
    if news.incarnation < known.incarnation:  # row 8
        return Verdict.IGNORE
    if own:
        return Verdict.ACCEPT
    same = (news.incarnation, news.meta, news.vsn) == (known.incarnation, known.meta, known.vsn)
    return Verdict.IGNORE if same else Verdict.REFUTE  # rows 9a and 9b


def _versions_make_sense(known: MemberRecord | None, vsn: bytes) -> bool:
    if len(vsn) < 3:
        # DEPARTURE (no-versions): memberlist takes up a node without versions, and then every push/pull fails that
        # contains it (pitfall 4). A known node keeps the versions that it had.
        return known is not None
    return 0 < vsn[0] <= vsn[1]


def judge_suspect(known: MemberRecord | None, news: Suspect, *, local: bool, suspected: bool) -> Verdict:
    """What a suspect message is worth; `local`: it is about this node; `suspected`: its suspicion timer runs."""
    if known is None or news.incarnation < known.incarnation:
        return Verdict.IGNORE
    if suspected:
        return Verdict.CONFIRM
    if known.status is not NodeStatus.ALIVE:
        return Verdict.IGNORE
    return Verdict.REFUTE if local else Verdict.ACCEPT


def judge_dead(known: MemberRecord | None, news: Dead, *, local: bool, leaving: bool) -> Verdict:
    """What a dead message is worth; `local`: it is about this node, which may be `leaving`."""
    if known is None or news.incarnation < known.incarnation or known.is_gone:
        return Verdict.IGNORE
    return Verdict.REFUTE if local and not leaving else Verdict.ACCEPT


def next_incarnation(own: Incarnation, accused: Incarnation) -> Incarnation:
    """The incarnation with which to refute: above both, but never above the largest that the wire can carry."""
    # DEPARTURE (incarnation-max): memberlist's counter wraps around to 0, which everybody ignores.
    return Incarnation(min(max(own, accused) + 1, INCARNATION_MAX))
