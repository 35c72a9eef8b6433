"""The table of members as Serf knows them, those that are lost, and the intents about members that are not known yet.

Follows wire README 5.4, 5.5 and 5.12 (reap). It must not know where news comes from nor who is told: each method says
what has changed. It keeps its bounds by forgetting first those who are gone longest.

DEPARTURE (lost): Serf forgets a failed member after a day, on both sides of a partition, and then nothing brings the
two together. Here its name and address stay among the lost, who are no members but are dialled for ever (`healing`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import takewhile
from operator import attrgetter
from typing import Final

from onevalue.config import SerfSettings
from onevalue.serf.members import (
    GONE,
    LeaveRule,
    MemberStatus,
    SerfMember,
    after_join_intent,
    after_leave_intent,
    leave_rule,
    status_after_departure,
)
from onevalue.swim.members import MEMBERS_MAX, MemberRecord
from onevalue.types import LamportTime
from onevalue.wire.serf_codec import decode_tags

REMEMBERED_MAX: Final = 2 * MEMBERS_MAX
"""Members in any state. `swim` bounds those who are alive; Serf remembers those who are gone for a day.

DEPARTURE (roster-max): Serf has no bound, here and below.
"""

LOST_MAX: Final = 256
"""Lost members; for another the one that is lost longest is dropped."""

RECENT_INTENTS_MAX: Final = 4096
"""Names not known yet whose newest intent is kept; the oldest is dropped for another."""


@dataclass(frozen=True, slots=True)
class RecentIntent:
    """The newest intent about a name that is not a member yet."""

    is_leave: bool
    ltime: LamportTime
    received: float


@dataclass(frozen=True, slots=True)
class IntentOutcome:
    """What an intent did.

    Attributes:
        is_news: it was newer than what was known, and travels on.
        must_refute: it says that this node leaves, which it does not.
        left: the member that it turned from failed into left.
        reaped: the member that it has us forget at once.
    """

    is_news: bool = False
    must_refute: bool = False
    left: SerfMember | None = None
    reaped: SerfMember | None = None


_OLD_NEWS: Final = IntentOutcome()


class Roster:
    """All members that are remembered, this node among them, by name."""

    def __init__(
        self, settings: SerfSettings, members_max: int = REMEMBERED_MAX, lost: Sequence[SerfMember] = ()
    ) -> None:
        """Nobody is a member yet; `lost` are lost from the start, the last of them longest."""
        self._settings = settings
        self._members_max = members_max
        self._members: dict[str, SerfMember] = {}
        self._sorted: tuple[SerfMember, ...] | None = ()  # None: made when next asked for
        self._by_status: dict[MemberStatus, dict[str, None]] = {status: {} for status in MemberStatus}  # in order
        self._lost = {member.name: member for member in reversed(lost[:LOST_MAX])}
        self._recent: dict[str, RecentIntent] = {}
        self._to_prune: dict[str, None] = {}  # members that are not gone yet

    def __len__(self) -> int:
        return len(self._members)

    def get(self, name: str) -> SerfMember | None:
        """The member of a name, or None."""
        return self._members.get(name)

    def members(self) -> Sequence[SerfMember]:
        """All members, sorted by name; the same object as before while no member has changed."""
        if self._sorted is None:
            self._sorted = tuple(sorted(self._members.values(), key=attrgetter("name")))
        return self._sorted

    def with_status(self, status: MemberStatus) -> list[SerfMember]:
        """The members of one status, in the order in which they came to it."""
        return [self._members[name] for name in self._by_status[status]]

    def count(self, status: MemberStatus) -> int:
        """How many members have a status."""
        return len(self._by_status[status])

    def lost(self) -> list[SerfMember]:
        """Who failed, was forgotten, and may still come back; the longest lost first."""
        return list(self._lost.values())

    def status_ltimes(self) -> Mapping[str, LamportTime]:
        """The time of the newest intent of every member that is not leaving, as a push/pull carries it.

        DEPARTURE (leaving-times): Serf tells the time of leaving members too. Whoever takes it for that of a join
        intent, which is how it is read, finds the leave intent stale when it comes, and then calls the member failed.
        """
        leaving = MemberStatus.LEAVING  # to look it up for each of thousands would take as long as all the rest
        return {member.name: member.status_ltime for member in self._members.values() if member.status is not leaving}

    def left_names(self) -> tuple[str, ...]:
        """The names of the members that left, as a push/pull carries them."""
        return tuple(self._by_status[MemberStatus.LEFT])

    def meet(self, members: Mapping[str, SerfMember]) -> None:
        """These are alive members, beside those who are known; for a start without joining."""
        self._members, self._sorted = {**members, **self._members}, None
        self._by_status[MemberStatus.ALIVE] = dict.fromkeys(self._members)

    # What memberlist says (5.5)

    def joined(self, record: MemberRecord, now: float) -> SerfMember:
        """The member is alive with the record's address and tags; a new one has its recent intent applied."""
        old = self._members.get(record.name)
        self._lost.pop(record.name, None)
        if old is None:
            self._make_room()
            intent = self._recent.pop(record.name, None)
            member = _new_member(record, intent, now)
        else:
            member = replace(_renewed(old, record), status=MemberStatus.ALIVE, suspect=False, changed=now)
            self._to_prune.pop(record.name, None)
        return self._put(member)

    def updated(self, record: MemberRecord) -> SerfMember | None:
        """The member has the record's address and tags; None if it is not known."""
        old = self._members.get(record.name)
        if old is None:
            return None
        return self._put(_renewed(old, record))

    def departed(self, name: str, now: float) -> SerfMember | None:
        """The member has left if it had said so, else failed; None if that changes nothing."""
        old = self._members.get(name)
        if old is None or (status := status_after_departure(old.status)) is old.status:
            return None
        return self._put(replace(old, status=status, suspect=False, changed=now))

    def set_suspect(self, name: str, suspect: bool) -> None:
        """The member is under suspicion, or no longer; nothing if it is not known."""
        if name in self._members:
            self._put(replace(self._members[name], suspect=suspect))

    # What intents say (5.4)

    def join_intent(self, name: str, ltime: LamportTime, now: float) -> IntentOutcome:
        """The member is not leaving, if the intent is news; kept for later if the member is not known."""
        old = self._members.get(name)
        if old is None:
            return self._remember(name, RecentIntent(is_leave=False, ltime=ltime, received=now))
        member = self._put(after_join_intent(old, ltime))
        if member.status is MemberStatus.ALIVE:
            self._to_prune.pop(name, None)
        return IntentOutcome(is_news=member is not old)

    def leave_intent(
        self, name: str, ltime: LamportTime, now: float, *, disputed: bool = False, prune: bool = False
    ) -> IntentOutcome:
        """The member is leaving or left, if the intent is news; kept for later if the member is not known.

        Args:
            name: who leaves.
            ltime: of the intent.
            now: seconds.
            disputed: it is about this node, which does not leave; nothing changes.
            prune: forget the member, at once if it is gone, else when it will be.
        """
        old = self._members.get(name)
        if old is None:
            lost = self._lost.get(name)
            if lost is not None and ltime > lost.status_ltime:
                del self._lost[name]
            return self._remember(name, RecentIntent(is_leave=True, ltime=ltime, received=now))
        rule = leave_rule(old, ltime, disputed=disputed)
        if rule is LeaveRule.STALE:
            return _OLD_NEWS
        if rule is LeaveRule.REFUTE:
            return IntentOutcome(must_refute=True)
        member = after_leave_intent(old, ltime, rule)
        if rule is LeaveRule.LEFT:
            member = replace(member, changed=now)
        self._put(member)
        left = member if rule is LeaveRule.LEFT else None
        if prune:
            self._to_prune[name] = None
        return IntentOutcome(is_news=True, left=left, reaped=self.prune(name))

    # Time

    def reap(self, now: float, *, keep_failed: bool) -> list[SerfMember]:
        """The members that are forgotten now, because they are gone for long; recent intents that are old are dropped.

        Args:
            now: seconds.
            keep_failed: whom this node may still have to dial is kept, however long ago it failed.
        """
        cutoff = now - self._settings.recent_intent_timeout_s
        old = list(takewhile(lambda name: self._recent[name].received <= cutoff, self._recent))
        for name in old:
            del self._recent[name]
        # Whoever is gone longest stands first.
        over = [
            name
            for status in GONE
            for name in takewhile(partial(self._is_over, now=now, keep_failed=keep_failed), self._by_status[status])
        ]
        return [self._lose(name) for name in over]

    def prune(self, name: str) -> SerfMember | None:
        """The member is forgotten if it is gone and a leave intent asked for that; None: nothing changed.

        DEPARTURE (prune): Serf forgets an alive one too, a few seconds later, whether it contradicts or not. But while
        memberlist finds it alive nobody would tell again that it is there.
        """
        member = self._members.get(name)
        if member is None or not member.is_gone or name not in self._to_prune:
            return None
        return self.forget(name)

    def forget(self, name: str) -> SerfMember:
        """The member is not known any more; returns what was known of it. Raises KeyError for an unknown name."""
        self._to_prune.pop(name, None)
        member, self._sorted = self._members.pop(name), None
        del self._by_status[member.status][name]
        return member

    def _put(self, member: SerfMember) -> SerfMember:
        old = self._members.get(member.name)
        if old is None or old.status is not member.status:
            if old is not None:
                del self._by_status[old.status][member.name]
            self._by_status[member.status][member.name] = None
        if old is not member:
            self._members[member.name], self._sorted = member, None
        return member

    def _lose(self, name: str) -> SerfMember:
        """The member is forgotten, but lost if it failed."""
        member = self.forget(name)
        if member.status is MemberStatus.FAILED:
            self._lost.pop(name, None)
            self._lost[name] = member
            if len(self._lost) > LOST_MAX:
                del self._lost[next(iter(self._lost))]
        return member

    def _is_over(self, name: str, *, now: float, keep_failed: bool) -> bool:
        member = self._members[name]
        age_s = now - member.changed
        if member.status is MemberStatus.LEFT:
            return age_s > self._settings.tombstone_timeout_s
        return member.status is MemberStatus.FAILED and not keep_failed and age_s > self._settings.reconnect_timeout_s

    def _remember(self, name: str, intent: RecentIntent) -> IntentOutcome:
        known = self._recent.get(name)
        if known is not None and intent.ltime <= known.ltime:
            return _OLD_NEWS
        self._recent.pop(name, None)
        self._recent[name] = intent  # at the end: the dict is in order of arrival
        if len(self._recent) > RECENT_INTENTS_MAX:
            del self._recent[next(iter(self._recent))]
        return IntentOutcome(is_news=True)

    def _make_room(self) -> None:
        if len(self._members) >= self._members_max:
            longest = [next(iter(self._by_status[status])) for status in GONE if self._by_status[status]]
            if longest:
                self._lose(min(longest, key=lambda name: self._members[name].changed))


def _new_member(record: MemberRecord, intent: RecentIntent | None, now: float) -> SerfMember:
    leaves = intent is not None and intent.is_leave
    return SerfMember(
        name=record.name,
        addr=record.addr,
        port=record.port,
        tags=decode_tags(record.meta),
        status=MemberStatus.LEAVING if leaves else MemberStatus.ALIVE,
        suspect=False,
        status_ltime=LamportTime(0) if intent is None else intent.ltime,
        changed=now,
    )


def _renewed(member: SerfMember, record: MemberRecord) -> SerfMember:
    return replace(member, addr=record.addr, port=record.port, tags=decode_tags(record.meta))
