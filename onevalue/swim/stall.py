"""What a member does that has stood still: it doubts itself before it accuses others.

A process that was stopped, swapped out or busy wakes with deadlines that passed meanwhile, and with all unread that
others have sent: acks, refutations. It owns what is done then, before any of these deadlines is acted upon. It must not
know why the member stood still.

DEPARTURE (self-doubt): memberlist acts on its timers as they come. A node that wakes there calls members dead who have
long refuted, and suspects whom it was just asking. Here no suspicion ends before what has come meanwhile could be read,
the probe under way is no evidence, and the health score (Lifeguard) is worse by the probes that were missed, so that
members get more time from this node until it has proved itself.
"""

import math
from typing import Final

from onevalue.swim.common import Common
from onevalue.swim.probe import Prober
from onevalue.swim.states import MemberStates

STALL_SHARE: Final = 0.5
"""A timer that comes late by this share of `probe_timeout_s` was held up by a stall: acks are as late, then."""


class SelfDoubt:
    """Knows by one timer, that of gossip, whether this member has stood still: it is always set, and never long."""

    def __init__(self, states: MemberStates, prober: Prober, common: Common) -> None:
        self._states = states
        self._prober = prober
        self._common = common
        self._due: float | None = None

    def expect(self, due: float) -> None:
        """That timer is to come at `due`, which has not passed."""
        self._due = due

    def look(self, now: float) -> None:
        """If this member has stood still, nobody is accused for what passed meanwhile; to be called before timers run.

        A stall counts once, as it ends; the beginning of it, up to a gossip interval, is not seen.
        """
        settings = self._common.settings
        if self._due is None or now - self._due < STALL_SHARE * settings.probe_timeout_s:
            return
        late_s, self._due = now - self._due, now
        self._common.counters["stalls"] += 1
        self._states.awareness.adjust(math.ceil(late_s / settings.probe_interval_s))
        self._states.put_off_suspicions(now + settings.probe_timeout_s)
        self._prober.doubt()
