"""The last changes that this node saw, who is known to hold what, and how long each change took to be everywhere.

A member holds a change when it is known to hold that state, or one of a higher generation, which stands upon it or has
overtaken it. It knows only what it is told, with the time: it must not know who asks the members, nor how.
"""

from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from onevalue.errors import RemoteProtocolError
from onevalue.store import Change, State, generation_of

CHANGES_MAX = 120
"""Changes that are kept."""

VALUE_SHOWN_MAX = 96
"""Bytes of a value's JSON that are kept of each."""

HEARD_MAX = 1000
"""Members of whom it is kept what they said last."""


@dataclass(slots=True)
class SeenChange:
    """A change of the value as this node saw it.

    Attributes:
        tag: of the state that came.
        told: what people read of it: generation, origin, time, source, arrival by the wall clock, start of the value.
        arrived_s: seconds of the reactor.
        measured: somebody looks, so that it will be noticed when all have it.
        spread_s: how long it took until all members were known to hold it; None: that is not known, or not yet.
    """

    tag: str
    told: Mapping[str, object]
    arrived_s: float
    measured: bool
    spread_s: float | None = None


class RecentChanges:
    """A ring of changes, and what others said that they hold.

    Args:
        name: of this node, which holds what it has seen.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._ring: deque[SeenChange] = deque(maxlen=CHANGES_MAX)
        self._heard: dict[str, tuple[str, float]] = {}
        self._since_s = float("-inf")

    def add(self, change: Change, now: float, wall_time: float, *, measured: bool) -> None:
        """A change has come; `measured`: somebody looks."""
        state = change.new
        told = {
            "generation": state.generation,
            "tag": state.tag,
            "origin": state.origin,
            "time": state.time,
            "source": change.source.value,
            "arrived": round(wall_time, 3),
            "size": len(state.text),
            "start": state.text[:VALUE_SHOWN_MAX].decode(errors="ignore"),
        }
        self._ring.append(SeenChange(state.tag, told, now, measured))
        self._since_s = now
        if measured and state.origin != self._name:
            self.heard(state.origin, state.tag, now)

    def heard(self, name: str, tag: str, now: float) -> None:
        """A member said that it holds the state with this tag. What is no tag is not heard."""
        try:
            generation_of(tag)
        except RemoteProtocolError:
            return
        if name in self._heard or len(self._heard) < HEARD_MAX:
            self._heard[name] = (tag, now)

    def holds(self, name: str, current: State) -> bool | None:
        """The member holds `current`, or more; False: since that came it said that it does not; None: not known."""
        if name == self._name:
            return True
        if name not in self._heard:
            return None
        tag, at = self._heard[name]
        if tag == current.tag or generation_of(tag) > current.generation:
            return True
        return False if at >= self._since_s else None

    def settle(self, present: Collection[str], now: float) -> bool:
        """Changes that all members in `present` are known to hold have their time; True if one has got it now.

        A node that is alone has nobody to spread to: it measures nothing.
        """
        others = [name for name in present if name != self._name]
        pending = [seen for seen in self._ring if seen.measured and seen.spread_s is None]
        if not others or not pending or any(name not in self._heard for name in others):
            return False
        tags = [self._heard[name][0] for name in others]
        least = min(map(generation_of, tags))
        settled = False
        for seen in pending:
            generation = generation_of(seen.tag)
            if generation < least or all(tag == seen.tag or generation_of(tag) > generation for tag in tags):
                seen.spread_s = max(0.0, now - seen.arrived_s)
                settled = True
        return settled

    @property
    def pending(self) -> bool:
        """The newest change is measured, and not known to be everywhere."""
        return bool(self._ring) and self._ring[-1].measured and self._ring[-1].spread_s is None

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
