"""What is to be done when: the one place where deadlines wait.

Each key has at most one deadline. The owner asks `next_deadline` and calls `run` when it has come; no clock is known.
"""

import heapq
from collections.abc import Callable
from typing import Final

ACTIONS_PER_RUN_MAX: Final = 200
"""Actions of one run; thousands of suspicions may be due at one moment, and the rest of them has the next run."""

_STALE_MAX = 64  # replaced or cancelled deadlines that may lie in the heap beside as many live ones

Action = Callable[[float], None]


class Timers:
    """Deadlines by key; equal deadlines are kept in the order in which they were set."""

    def __init__(self) -> None:
        self._live: dict[str, tuple[int, Action]] = {}
        self._heap: list[tuple[float, int, str]] = []
        self._count = 0

    def __len__(self) -> int:
        return len(self._live)

    def set(self, key: str, at: float, action: Action) -> None:
        """`action(now)` will be run once at `at` or soon after; what was set for this key before is forgotten."""
        self._count += 1
        self._live[key] = (self._count, action)
        heapq.heappush(self._heap, (at, self._count, key))
        if len(self._heap) > 2 * len(self._live) + _STALE_MAX:
            self._heap = [entry for entry in self._heap if self._is_live(entry)]
            heapq.heapify(self._heap)

    def cancel(self, key: str) -> None:
        """Nothing is to be done for this key any more."""
        self._live.pop(key, None)

    def next_deadline(self) -> float | None:
        """When the next action is due, in the seconds of `now`; None when nothing waits."""
        while self._heap and not self._is_live(self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def run(self, now: float) -> None:
        """Every action due at `now` has been run, or the first ACTIONS_PER_RUN_MAX of them.

        No more of them than waited at the start, so that actions that set themselves anew cannot hold up the owner.
        """
        for _ in range(min(len(self._live), ACTIONS_PER_RUN_MAX)):
            at = self.next_deadline()
            if at is None or at > now:
                return
            _, _, key = heapq.heappop(self._heap)
            _, action = self._live.pop(key)
            action(now)

    def _is_live(self, entry: tuple[float, int, str]) -> bool:
        _, count, key = entry
        return key in self._live and self._live[key][0] == count
