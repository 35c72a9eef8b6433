"""What SWIM's news about members means to Serf: the roster changes, and the owner is told (wire README 5.5).

It must not know intents, joins or user events.
"""

from collections.abc import Iterator

from onevalue.serf import events
from onevalue.serf.events import SerfEvent
from onevalue.serf.members import MemberStatus, SerfMember
from onevalue.serf.roster import Roster
from onevalue.swim import events as swim_events
from onevalue.swim.events import SwimEvent


def take_in(news: SwimEvent, roster: Roster, now: float) -> list[SerfEvent]:
    """The roster knows the news; returns what the owner is told, nothing if the news is not of a member."""
    told: list[SerfEvent] = []
    match news:
        case swim_events.MemberJoined(member):
            old = roster.get(member.name)
            failed_s = now - old.changed if old is not None and old.status is MemberStatus.FAILED else None
            told.append(events.MemberJoin(roster.joined(member, now), failed_s))
        case swim_events.MemberUpdated(member):
            if (updated := roster.updated(member)) is not None:
                told.append(events.MemberUpdate(updated))
        case swim_events.MemberGone(member):
            told += _departure(roster.departed(member.name, now), roster.prune(member.name))
        case swim_events.MemberSuspected(member, by):
            roster.set_suspect(member.name, suspect=True)
            told.append(events.MemberSuspected(member.name, by))
        case swim_events.SuspicionEnded(member):
            roster.set_suspect(member.name, suspect=False)
            told.append(events.SuspicionEnded(member.name))
        case swim_events.Refuted(by):
            told.append(events.Refuted(by))
        case swim_events.PacketRefused(source, reason):
            told.append(events.PacketRefused(source, reason))
        case _:
            pass
    return told


def _departure(departed: SerfMember | None, pruned: SerfMember | None) -> Iterator[SerfEvent]:
    if departed is not None:
        has_left = departed.status is MemberStatus.LEFT
        yield events.MemberLeave(departed) if has_left else events.MemberFailed(departed)
    if pruned is not None:
        yield events.MemberReap(pruned)
