"""The last changes that this node saw, who is known to hold what, and how long each change took to be everywhere.

A member holds a change when it is known to hold that state, or one of a higher generation, which stands upon it or has
overtaken it. It knows only what it is told, with the time: it must not know who asks the members, nor how.
"""

from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import islice

from onevalue.errors import RemoteProtocolError
from onevalue.store import Change, State, generation_of
from onevalue.types import Generation
from onevalue.web.states import facts_of

CHANGES_MAX = 120
"""Changes that are kept."""

VALUE_SHOWN_MAX = 96
"""Bytes of a value's JSON that are kept of each."""

HEARD_MAX = 1000
"""Members of whom it is kept what they said last."""

ORIGIN_TIME_MAX_S = 10.0
"""So long is awaited since when the origin has had a change: it is asked some five times."""


@dataclass(slots=True)
class SeenChange:
    """A change of the value as this node saw it.

    Attributes:
        tag, generation, origin: of the state that came.
        told: what people read of it: generation, origin, time, source, arrival by the wall clock, start of the value.
        arrived_s: seconds of the reactor.
        measured: somebody looks, so that it will be noticed when all have it.
        spread_s: how long it took from the first member to the last; None: that is not known, or not yet.
    """

    tag: str
    generation: Generation
    origin: str
    told: Mapping[str, object]
    arrived_s: float
    measured: bool
    spread_s: float | None = None


@dataclass(frozen=True, slots=True)
class Heard:
    """What a member said last.

    Attributes:
        tag, generation: of the state that it held.
        at: when it said so, seconds of the reactor.
        since: when it got that state, as far as it told; too late if it did not say how long.
    """

    tag: str
    generation: Generation
    at: float
    since: float

    def holds(self, tag: str, generation: Generation) -> bool:
        """It held this state, or one of a higher generation."""
        return self.tag == tag or self.generation > generation


class RecentChanges:
    """A ring of changes, and what others said that they hold.

    Args:
        name: of this node, which holds what it has seen.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._ring: deque[SeenChange] = deque(maxlen=CHANGES_MAX)
        self._heard: dict[str, Heard] = {}
        self._since_s = float("-inf")

    def add(self, change: Change, now: float, wall_time: float, *, measured: bool) -> None:
        """A change has come; `measured`: somebody looks."""
        state = change.new
        told = {
            **facts_of(state),
            "source": change.source.value,
            "arrived": round(wall_time, 3),
            "start": state.text[:VALUE_SHOWN_MAX].decode(errors="ignore"),
        }
        self._ring.append(SeenChange(state.tag, state.generation, state.origin, told, now, measured))
        self._since_s = now

    def heard(self, name: str, tag: str, at: float, held_s: float = 0.0) -> None:
        """A member said at this time that it has held the state with this tag for so long. No tag, no news."""
        try:
            generation = generation_of(tag)
        except RemoteProtocolError:
            return
        before = self._heard.get(name)
        if before is not None and before.tag != tag and before.at > at:
            return  # answers are told when all of them are there, and it may have written meanwhile
        since = at - held_s
        if before is not None and before.tag == tag:
            since = min(since, before.since)
        if before is not None or len(self._heard) < HEARD_MAX:
            self._heard[name] = Heard(tag, generation, at, since)

    def holds(self, name: str, current: State) -> bool | None:
        """The member holds `current`, or more; False: since that came it said that it does not; None: not known."""
        if name == self._name:
            return True
        heard = self._heard.get(name)
        if heard is not None and heard.holds(current.tag, current.generation):
            return True
        if heard is not None and heard.at >= self._since_s:
            return False
        return True if name == current.origin else None

    def settle(self, present: Collection[str], now: float) -> bool:
        """Changes that all members in `present` said that they hold have their time; True if one is pending no more.

        It is from when the first of them had it, by what they say, until the last had it, or the state that it holds
        now. If only its origin has not said so, and is not awaited any more, when it began is not known: then it has
        not been measured. A node that is alone has nobody to spread to: it measures nothing.
        """
        others = [name for name in present if name != self._name]
        pending = self._pending() if others else []
        settled = False
        for seen in pending:
            silent = list(islice((name for name in others if not self._said(name, seen)), 2))  # one alone matters
            if not silent:
                heard = [self._heard[name] for name in others]
                first = min([seen.arrived_s, *(each.since for each in heard if each.tag == seen.tag)])
                seen.spread_s = max(0.0, seen.arrived_s - first, *(each.since - first for each in heard))
                settled = True
            elif silent == [seen.origin] and now >= seen.arrived_s + ORIGIN_TIME_MAX_S:
                seen.measured = False
                settled = True
        return settled

    def _said(self, name: str, seen: SeenChange) -> bool:
        """The member said that it holds this, or the newest change: it may have won over another of its generation."""
        heard = self._heard.get(name)
        return heard is not None and (heard.holds(seen.tag, seen.generation) or heard.tag == self._ring[-1].tag)

    @property
    def pending(self) -> bool:
        """Some change is measured, and it is not known how long it took."""
        return bool(self._pending())

    def _pending(self) -> list[SeenChange]:
        return [seen for seen in self._ring if seen.measured and seen.spread_s is None]

    def keep(self, names: Collection[str]) -> None:
        """What was heard of others is forgotten."""
        self._heard = {name: self._heard[name] for name in names if name in self._heard}

    def stop_measuring(self) -> None:
        """Nobody looks any more: what is pending will never be known, and what was heard grows old."""
        for seen in self._ring:
            seen.measured = seen.measured and seen.spread_s is not None
        self._heard = {}

    def told(self) -> list[dict[str, object]]:
        """All that are kept, the oldest first."""
        return [{**seen.told, "spread_s": _rounded(seen.spread_s), "measured": seen.measured} for seen in self._ring]


def _rounded(spread_s: float | None) -> float | None:
    return None if spread_s is None else round(spread_s, 4)
