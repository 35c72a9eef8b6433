"""Who is gone: forgotten when it is over, and dialled until it is back (wire README 5.12); who seems to be leaving.

It must not know how members become gone, nor what a push/pull brings.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from onevalue.config import SerfSettings
from onevalue.serf.events import MemberJoin, MemberReap, SerfEvent
from onevalue.serf.members import MemberStatus, SerfMember
from onevalue.serf.roster import Roster
from onevalue.swim.address import forms_of
from onevalue.swim.core import Swim
from onevalue.swim.timers import Timers
from onevalue.types import Address, LamportTime, Rng
from onevalue.wire.serf_codec import encode_serf
from onevalue.wire.serf_messages import LeaveIntent

REMINDERS_MAX: Final = 8
"""Members that are reminded at one reaping that they are taken for leaving."""

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
        stopped: nobody is dialled any more.
        lost_turn: the next to be dialled is a lost one, if there are failed ones too.
        leaving: members that were leaving at the last reaping, since when.
    """

    roster: Roster
    swim: Swim
    settings: SerfSettings
    timers: Timers
    rng: Rng
    tell: Callable[[SerfEvent], object]
    stopped: bool = False
    lost_turn: bool = False
    leaving: dict[str, LamportTime] = field(default_factory=dict)
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
        self._remind(now)

    def _remind(self, now: float) -> None:
        """Members that are leaving for long are told so, straight: whoever does not leave contradicts.

        DEPARTURE (leave-told): in Serf they stay leaving until they fail, if they never heard of it.
        """
        before = self.leaving
        members = self._others(self.roster.with_status(MemberStatus.LEAVING))[:REMINDERS_MAX]
        self.leaving = {member.name: member.status_ltime for member in members}
        for member in members:
            if before.get(member.name) == member.status_ltime:
                intent = encode_serf(LeaveIntent(member.status_ltime, member.name))
                self.swim.send_user(member.address, intent, now)

    def _reconnect(self, now: float) -> None:
        """Perhaps a failed or a lost member is dialled, so that all nodes together dial about as many as there are.

        Where there are both, they take turns, with twice the chance: who failed just now does not wait for hundreds
        who may be gone for good.

        DEPARTURE (reconnect-alone): a node that sees no other alive member always dials one; nobody else would.
        """
        self.timers.set("reconnect", now + self.settings.reconnect_interval_s, self._reconnect)
        failed, lost = self._others(self.roster.with_status(MemberStatus.FAILED)), self._others(self.roster.lost())
        if self.stopped or not (failed or lost):
            return
        self.lost_turn = bool(lost) and (self.lost_turn or not failed)
        missing, share = (lost if self.lost_turn else failed), 2 if lost and failed else 1
        is_lost, self.lost_turn = self.lost_turn, not self.lost_turn
        present = self.roster.count(MemberStatus.ALIVE) + self.roster.count(MemberStatus.LEAVING)
        if not self._is_alone and self.rng.random() > share * len(missing) / max(1, present):
            return
        self.counters["serf_reconnects"] += 1
        member = missing[self.rng.randrange(len(missing))]
        self.dial(member.address, member.name if is_lost else "", _ignore, now)

    def _others(self, members: list[SerfMember]) -> list[SerfMember]:
        """Without any at the address of this node, which may have had another name."""
        own = self.swim.local
        forms = forms_of(own.addr)  # to make the text of each would take long: there may be thousands
        return [member for member in members if member.port != own.port or member.addr not in forms]

    def dial(self, address: Address, name: str, begun: Callable[[int | None], object], now: float) -> None:
        """A push/pull with this address begins, and `begun` gets its id.

        With a name the node there is asked before whether it is its own: the address of somebody who is away for long
        may have been given to a stranger. If it is not, nothing begins, and `begun` gets None.
        """

        def answered(is_there: bool, late: float) -> None:
            begun(self.swim.push_pull(address, join=True, now=late) if is_there and not self.stopped else None)

        if name:
            self.swim.ping_by_stream(address, name, answered, now)
        else:
            begun(self.swim.push_pull(address, join=True, now=now))

    @property
    def _is_alone(self) -> bool:
        return not self.swim.alive_others()


def _ignore(_request_id: int | None) -> None:
    """What comes of a dialled member is seen by its joining."""
