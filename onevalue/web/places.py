"""The places of those who wait: streams of any kind, and reads with `wait`. There are so many, and no more.

It must not know what anybody waits for.
"""

from collections.abc import Callable
from typing import TypeVar

from onevalue.web.channel import LimitedRequest
from onevalue.web.problems import ProblemError
from onevalue.web.traffic import Traffic

T = TypeVar("T")

RETRY_AFTER_S = 5
"""Whoever is refused is told to come back after so long."""


class Places:
    """Counts in `traffic` who waits, and refuses more than its `watchers_max`."""

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic

    def take(self, request: LimitedRequest, make: Callable[[], T]) -> T:
        """One more waits, whom `make` gives, until `free` is called once.

        Raises:
            ProblemError: 503, too many wait, or this node stops. Then nothing is to be freed, nor if `make` raises.
        """
        if request.stopping:
            raise ProblemError(503, "this node is stopping; ask another")
        if self._traffic.watchers >= self._traffic.watchers_max:
            self._traffic.watchers_refused += 1
            detail = f"{self._traffic.watchers_max} watch or wait here already; ask another node, or later"
            raise ProblemError(503, detail, {"Retry-After": str(RETRY_AFTER_S)})
        made = make()
        self._traffic.watchers += 1
        return made

    def free(self) -> None:
        """One fewer waits."""
        self._traffic.watchers -= 1
