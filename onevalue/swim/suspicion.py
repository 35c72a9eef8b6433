"""How long a suspicion lasts: until it is refuted, or until enough others agreed (wire README 4.4; suspicion.go).

With no confirmation it lasts `max`; each member that independently says the same shortens it, down to `min` after k of
them (Lifeguard's "Local Health Aware Suspicion"). It owns no timer: `deadline` says when the suspect is to be dead.

DEPARTURE (refused): memberlist does not look at why a stream ping failed. Where the suspect's own host has refused it,
nobody listens there any more: no slow member looks like that, and no others need to agree. The suspicion lasts half of
`min` then, long enough for a process that was restarted, or is reached by others, to refute.
"""

import math
from typing import Final

REFUSED_SHARE: Final = 0.5
"""How much of the shortest time a suspicion lasts whose suspect is not slow but gone, by its own host's word."""

PUT_OFFS_MAX: Final = 3
"""How often a suspicion is put off because its holder stood still: one that always does must accuse in the end, too."""


def confirmations_wanted(suspicion_mult: int, nodes: int) -> int:
    """K: how many confirmations bring a suspicion to its shortest; 0 where there are too few members to confirm."""
    wanted = suspicion_mult - 2
    return wanted if wanted >= 1 and nodes - 2 >= wanted else 0


def timeout_min_s(suspicion_mult: int, nodes: int, probe_interval_s: float) -> float:
    """The shortest time of a suspicion, seconds, in a list of `nodes` members of any state."""
    scale_ms = math.trunc(1000 * max(1.0, math.log10(max(1, nodes))))
    return suspicion_mult * scale_ms * probe_interval_s / 1000


def timeout_s(confirmations: int, wanted: int, min_s: float, max_s: float) -> float:
    """How long a suspicion lasts in all after so many confirmations, seconds, in whole milliseconds."""
    if wanted < 1:
        return min_s
    share = math.log(confirmations + 1) / math.log(wanted + 1)
    return max(min_s, math.floor(1000 * (max_s - (max_s - min_s) * share)) / 1000)


class Suspicion:
    """One running suspicion about one member; at most `wanted` confirmations are remembered."""

    __slots__ = ("_accusers", "_max_s", "_min_s", "_not_before", "_put_offs", "_refused", "_started", "_wanted")

    def __init__(self, accuser: str, *, wanted: int, min_s: float, max_s: float, now: float) -> None:
        self._accusers: tuple[str, ...] = (accuser,)
        self._wanted = wanted
        self._min_s = min_s
        self._max_s = max_s
        self._started = now
        self._refused = False
        self._not_before = now
        self._put_offs = 0

    @property
    def confirmations(self) -> int:
        """How many others agreed with the first accuser."""
        return len(self._accusers) - 1

    @property
    def deadline(self) -> float:
        """When the suspect is to be declared dead."""
        if self._refused:
            lasts_s = REFUSED_SHARE * self._min_s
        else:
            lasts_s = timeout_s(self.confirmations, self._wanted, self._min_s, self._max_s)
        return max(self._started + lasts_s, self._not_before)

    def put_off(self, until: float) -> bool:
        """True if it was to end before `until`, and now ends then; at most PUT_OFFS_MAX times."""
        if self.deadline >= until or self._put_offs >= PUT_OFFS_MAX:
            return False
        self._not_before = until
        self._put_offs += 1
        return True

    def refused(self) -> None:
        """The suspect's host has said that nobody listens at its port."""
        self._refused = True

    def confirm(self, accuser: str) -> bool:
        """One more member agrees; True if that is new and counts, and so is worth passing on."""
        if self.confirmations >= self._wanted or accuser in self._accusers:
            return False
        self._accusers += (accuser,)
        return True
