"""Work that is too long for one turn: it is done in slices, in order, and other work comes between them.

It owns what waits, the bound on it, and how much is done in one turn. It must not know what the work is.
"""

from collections import deque
from collections.abc import Callable, Generator
from typing import Final, TypeAlias

from onevalue.swim.timers import Timers

SLICE_COST: Final = 100
"""What is done in one turn: about so many entries of a push/pull, each of which takes some 50 microseconds."""

SLICE_PAUSE_S: Final = 0.001
"""From one slice to the next, so that whatever else is due has its turn."""

BACKLOG_ENTRIES_MAX: Final = 1 << 16
"""Entries of all work that waits; more is refused, except that one work, however large, finds room when nothing waits.

DEPARTURE (backlog): memberlist merges each push/pull at once, and holds up all else meanwhile.
"""

BACKLOG_WORKS_MAX: Final = 8
"""How many works wait at most: an entry may be large, but a work is no larger than a stream."""

Work: TypeAlias = Generator[float, float, None]
"""Does a little, and yields what that has cost; is sent the time at which it goes on."""


class Backlog:
    """The work that is not done yet; the first of it is under way.

    Args:
        timers: where the next slice waits.
        key: of its timer.
    """

    def __init__(self, timers: Timers, key: str) -> None:
        self._timers = timers
        self._key = key
        self._waiting: deque[tuple[int, Callable[[float], Work]]] = deque()
        self._work: Work | None = None
        self._entries = 0
        self._turn_end = float("-inf")
        self._cost = 0.0

    def __len__(self) -> int:
        """How many entries all that is not done had at first."""
        return self._entries

    def has_room(self, entries: int) -> bool:
        """Work of so many entries would not be refused now."""
        if not self._waiting:
            return True
        return len(self._waiting) < BACKLOG_WORKS_MAX and self._entries + entries <= BACKLOG_ENTRIES_MAX

    def add(self, entries: int, begin: Callable[[float], Work], now: float) -> bool:
        """The work comes after all that waits; False if there is no room, and it is dropped.

        If nothing waits, as much of it is done now as this turn may still take, and so all of it if it is short.

        Args:
            entries: how long the work is.
            begin: gives the work, at the time when its turn has come.
            now: seconds.
        """
        if not self.has_room(entries):
            return False
        self._waiting.append((entries, begin))
        self._entries += entries
        if len(self._waiting) == 1:
            self._slice(now)
        return True

    def then(self, action: Callable[[float], None], now: float) -> None:
        """`action(now)` is called when all that waits now is done, at once if nothing does; it is never refused."""
        if not self._waiting:
            action(now)
        else:
            self._waiting.append((0, lambda begun: _once(action, begun)))

    def _slice(self, now: float) -> None:
        """So much is done as one turn may take; what is left has its next one soon."""
        if now >= self._turn_end:
            self._turn_end = now + SLICE_PAUSE_S
            self._cost = 0.0
        try:
            while self._waiting and self._cost < SLICE_COST:
                self._cost += self._step(now)
        finally:  # a fault of ours in one work must not hold up the others
            if self._waiting:
                self._timers.set(self._key, self._turn_end, self._slice)

    def _step(self, now: float) -> float:
        """What the next step of the first work has cost; 0 when that is done and gone."""
        entries, begin = self._waiting[0]
        try:
            if self._work is None:
                self._work = begin(now)
                return next(self._work)
            return self._work.send(now)
        except StopIteration:
            self._drop_first(entries)
            return 0.0
        except BaseException:
            self._drop_first(entries)
            raise

    def _drop_first(self, entries: int) -> None:
        self._waiting.popleft()
        self._work = None
        self._entries -= entries


def _once(action: Callable[[float], None], now: float) -> Work:
    action(now)
    yield 0.0
