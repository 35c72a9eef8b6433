"""Virtual time: a heap of what happens when, and for each node a clock as Twisted's services want one.

It must not know what happens.
"""

import heapq
from collections.abc import Callable
from typing import Any

WALL_CLOCK_START_S = 1.7e9
"""Where the wall clocks stand at the beginning, seconds since 1970."""

_TIMERS_FIRST, _IN_TURN = 0, 1


class Call:
    """Something that is to be done once; an IDelayedCall as far as it is used.

    `is_timer`: the owner itself asked for it; else it comes from outside, as a packet.
    """

    __slots__ = ("args", "at", "func", "is_over", "is_timer", "kwargs", "owner")

    def __init__(self, at: float, owner: "NodeClock | None", func: Callable[..., Any], args: Any, kwargs: Any) -> None:
        self.at = at
        self.owner = owner
        self.func = func
        self.args = args
        self.kwargs = kwargs
        self.is_over = False
        self.is_timer = False

    def active(self) -> bool:
        """See IDelayedCall."""
        return not self.is_over

    def getTime(self) -> float:
        """See IDelayedCall."""
        return self.at

    def cancel(self) -> None:
        """See IDelayedCall."""
        assert not self.is_over, "a call that is over cannot be cancelled"
        self.is_over = True


class Clock:
    """The one time line; `now` in seconds from 0."""

    def __init__(self) -> None:
        self.now = 0.0
        self.steps = 0
        self._heap: list[tuple[float, int, int, Call]] = []
        self._count = 0

    def call(self, delay_s: float, owner: "NodeClock | None", func: Callable[..., Any], *args: Any, **kw: Any) -> Call:
        """`func` is called in `delay_s` seconds; later while its owner is stalled, and never once that is dead."""
        call = Call(self.now + delay_s, owner, func, args, kw)
        self._push(call.at, call)
        return call

    def run_until(self, end: float, after: Callable[["NodeClock"], None] | None = None) -> None:
        """All that happens until `end` has happened, and it is `end`.

        Args:
            end: virtual seconds.
            after: called with the owner after each thing that was done on a node.
        """
        heap = self._heap
        while heap and heap[0][0] <= end:
            at, _, _, call = heapq.heappop(heap)
            if call.is_over:
                continue
            self.now = at
            owner = call.owner
            if owner is not None and owner.stalled_until > at and not owner.is_dead:
                # As a reactor does: first all timers that are due, then what has come meanwhile.
                self._push(owner.stalled_until, call, rank=_TIMERS_FIRST if call.is_timer else _IN_TURN)
                continue
            call.is_over = True
            if owner is not None and owner.is_dead:
                continue
            self.steps += 1
            call.func(*call.args, **call.kwargs)
            if owner is not None:
                if owner.step_s:
                    owner.stalled_until = at + owner.step_s
                if after is not None:
                    after(owner)
        self.now = max(self.now, end)

    def _push(self, at: float, call: Call, rank: int = _IN_TURN) -> None:
        self._count += 1
        heapq.heappush(self._heap, (at, rank, self._count, call))


class NodeClock:
    """The clock of one run of one node: IReactorTime as far as its services use it.

    Attributes:
        is_dead: the process has ended; nothing that it waited for happens.
        stalled_until: the process does nothing before that; what comes waits.
        step_s: how long each thing takes that it does; 0 for no time at all.
        wall_offset_s: by how much its wall clock is wrong.
    """

    def __init__(self, clock: Clock) -> None:
        self.is_dead = False
        self.stalled_until = 0.0
        self.step_s = 0.0
        self.wall_offset_s = 0.0
        self._clock = clock

    def seconds(self) -> float:
        """See IReactorTime; it never steps back, as the reactor's of a node does not."""
        return self._clock.now

    def callLater(self, delay: float, callable: Callable[..., Any], *args: Any, **kw: Any) -> Call:  # noqa: A002  # IReactorTime's name
        """See IReactorTime."""
        call = self._clock.call(delay, self, callable, *args, **kw)
        call.is_timer = True
        return call

    def wall_clock(self) -> float:
        """Seconds since 1970, as this host believes."""
        return WALL_CLOCK_START_S + self._clock.now + self.wall_offset_s
