"""What a node measures of its value: how states came here, and how long they took. For metrics.

It must not know who shows it.
"""

from collections.abc import Callable

from onevalue.histogram import LATENCIES_S, Histogram
from onevalue.store import Change, Source, Store

TRAVELLED = (Source.EVENT, Source.NOTIFY, Source.ANTI_ENTROPY)
"""Sources of states that were written while this node was there to hear; what it learns at a join may be of any age."""

SPREAD_BOUNDS_S = (*LATENCIES_S, 30.0, 60.0, 300.0, 3600.0)


class Measured:
    """Counted since the start.

    Args:
        store: observed from here on.
        wall_clock: seconds since 1970.

    Attributes:
        merges: by source; own writes are those of `Source.SET`.
        spread: seconds from the write, by its origin's wall clock, until this node had it, by its own: as good as the
            clocks of the two hosts are; a state from the future took no time.
    """

    def __init__(self, store: Store, wall_clock: Callable[[], float]) -> None:
        self.merges = dict.fromkeys(Source, 0)
        self.spread = Histogram(SPREAD_BOUNDS_S)
        self._wall_clock = wall_clock
        store.observe(self._changed)

    def _changed(self, change: Change) -> None:
        self.merges[change.source] += 1
        if change.source in TRAVELLED and change.new.time:
            self.spread.observe(max(0.0, self._wall_clock() - change.new.time))
