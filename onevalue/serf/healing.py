"""Who is gone: forgotten when it is over, and dialled until it is back (wire README 5.12).

It must not know how members become gone, nor what a push/pull brings.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from onevalue.config import SerfSettings
from onevalue.serf.events import MemberJoin, MemberReap, SerfEvent
from onevalue.serf.members import MemberStatus, SerfMember
from onevalue.serf.roster import Roster
from onevalue.swim.core import Swim
from onevalue.swim.timers import Timers
from onevalue.types import Rng

COUNTER_NAMES: Final = (
    "serf_flaps",  # members that were back soon after they had failed
    "serf_reconnects",  # failed or lost members that were dialled
)


@dataclass(slots=True)
class Healing:
    """Reaps and reconnects, each at its interval, until it is stopped.

    Attributes:
        roster: the members.
        swim: by which they are dialled.
        settings: of Serf.
        timers: for the intervals.
        rng: chance.
        tell: the owner.
    """

    roster: Roster
    swim: Swim
    settings: SerfSettings
    timers: Timers
    rng: Rng
    tell: Callable[[SerfEvent], object]
    stopped: bool = False
    counters: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTER_NAMES, 0))

    def start(self, now: float) -> None:
        """Both intervals have begun."""
        self.timers.set("reap", now + self.settings.reap_interval_s, self._reap)
        delay_s = self.rng.uniform(0, self.settings.reconnect_interval_s)  # so that not all dial at the same time
        self.timers.set("reconnect", now + delay_s, self._reconnect)

    def notice(self, event: SerfEvent) -> None:
        """A member that is back soon after it failed is counted."""
        if isinstance(event, MemberJoin) and event.failed_s is not None:
            self.counters["serf_flaps"] += event.failed_s < self.settings.flap_timeout_s

    def tell_reaped(self, reaped: Sequence[SerfMember]) -> None:
        """The owner hears of members that are no longer remembered."""
        for member in reaped:
            self.tell(MemberReap(member))

    def _reap(self, now: float) -> None:
        """Who is gone for long is forgotten.

        DEPARTURE (keep-failed): while this node sees no other alive member it forgets no failed one, to dial it again.
        """
        self.timers.set("reap", now + self.settings.reap_interval_s, self._reap)
        self.tell_reaped(self.roster.reap(now, keep_failed=self._is_alone))

    def _reconnect(self, now: float) -> None:
        """Perhaps a failed or lost member is dialled, so that all nodes together dial about as many as are missing.

        DEPARTURE (reconnect-alone): a node that sees no other alive member always dials one; nobody else would.
        """
        self.timers.set("reconnect", now + self.settings.reconnect_interval_s, self._reconnect)
        own = self.swim.local.address
        failed, lost = self.roster.with_status(MemberStatus.FAILED), self.roster.lost()
        missing = [member for member in failed + lost if member.address != own]
        if not missing or self.stopped:
            return
        present = len(self.roster) - len(failed) - self.roster.count(MemberStatus.LEFT)
        if not self._is_alone and self.rng.random() > len(missing) / max(1, present):
            return
        self.counters["serf_reconnects"] += 1
        member = missing[self.rng.randrange(len(missing))]
        if member.status is MemberStatus.FAILED and self.roster.get(member.name) is not None:
            self.swim.push_pull(member.address, join=True, now=now)
        else:
            self._look_for(member, now)

    def _look_for(self, member: SerfMember, now: float) -> None:
        """A lost member is joined if it answers to its name; its address may have been given to somebody else."""

        def answered(is_there: bool, late: float) -> None:
            if is_there and not self.stopped:
                self.swim.push_pull(member.address, join=True, now=late)

        self.swim.ping_by_stream(member.address, member.name, answered, now)

    @property
    def _is_alone(self) -> bool:
        return not self.swim.alive_others()
