"""A histogram: how often something that is measured fell below each of some bounds, as metrics want it.

It must not know what is measured, nor who shows it.
"""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate

LATENCIES_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Bounds for what takes half a millisecond or ten seconds."""


class Histogram:
    """Counts of what was observed, by upper bounds.

    Args:
        bounds: in ascending order; what is above the last counts, too.

    Attributes:
        sum: of all that was observed.
    """

    __slots__ = ("_counts", "bounds", "sum")

    def __init__(self, bounds: Sequence[float] = LATENCIES_S) -> None:
        self.bounds = tuple(bounds)
        self.sum = 0.0
        self._counts = [0] * (len(self.bounds) + 1)

    def observe(self, value: float) -> None:
        """One more was measured; a value that is equal to a bound counts as below it."""
        self._counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    @property
    def count(self) -> int:
        """How many were observed."""
        return sum(self._counts)

    @property
    def cumulative(self) -> list[int]:
        """How many were at most each bound, in the order of `bounds`, and last, how many there were."""
        return list(accumulate(self._counts))
