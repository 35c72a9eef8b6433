"""What SWIM's news about members means to Serf: the roster changes, and the owner is told (wire README 5.5).

It must not know intents, joins or user events.
"""

from onevalue.serf import events
from onevalue.serf.events import SerfEvent
from onevalue.serf.members import MemberStatus, SerfMember
from onevalue.serf.roster import Roster
from onevalue.swim import events as swim_events
from onevalue.swim.events import SwimEvent


def take_in(news: SwimEvent, roster: Roster, now: float) -> SerfEvent | None:
    """The roster knows the news; returns what the owner is told, None for nothing or if the news is not of a member."""
    told: SerfEvent | None = None
    match news:
        case swim_events.MemberJoined(member):
            old = roster.get(member.name)
            failed_s = now - old.changed if old is not None and old.status is MemberStatus.FAILED else None
            told = events.MemberJoin(roster.joined(member, now), failed_s)
        case swim_events.MemberUpdated(member):
            updated = roster.updated(member)
            told = None if updated is None else events.MemberUpdate(updated)
        case swim_events.MemberGone(member):
            told = _departure(roster.departed(member.name, now))
        case swim_events.MemberSuspected(member, by):
            roster.set_suspect(member.name, suspect=True)
            told = events.MemberSuspected(member.name, by)
        case swim_events.SuspicionEnded(member):
            roster.set_suspect(member.name, suspect=False)
            told = events.SuspicionEnded(member.name)
        case swim_events.Refuted(by):
            told = events.Refuted(by)
        case swim_events.PacketRefused(source, reason):
            told = events.PacketRefused(source, reason)
        case _:
            pass
    return told


def _departure(departed: SerfMember | None) -> SerfEvent | None:
    if departed is None:
        return None
    return events.MemberLeave(departed) if departed.status is MemberStatus.LEFT else events.MemberFailed(departed)
