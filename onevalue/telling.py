"""When observers are told that the members have changed: soon, but not so often that looking at many holds up the node.

A telling looks at all members, and changes come by the hundred. It must not know what is told.
"""

from collections.abc import Callable, Sequence

from twisted.internet.interfaces import IDelayedCall

from onevalue.streams import Reactor

TELL_PAUSE_PER_MEMBER_S = 0.0001
"""From one telling to the next, for each member: some ten times as long as it takes."""

TOLD_AT_ONCE_MAX = 100
"""With no more members, all is told at once, in the next turn of the reactor; else each observer has its own turn."""


class Telling:
    """At most one telling waits or is under way.

    Args:
        reactor: delayed calls.
        count: how many members there are.
        observers: whom to tell; each looks at all members. They must not raise.
    """

    def __init__(
        self, reactor: Reactor, count: Callable[[], int], observers: Callable[[], Sequence[Callable[[], object]]]
    ) -> None:
        self._reactor = reactor
        self._count = count
        self._observers = observers
        self._told_at = float("-inf")
        self._waiting: IDelayedCall | None = None
        self._left: list[Callable[[], object]] = []
        self._changed = False

    def changed(self) -> None:
        """It will be told to all observers."""
        self._changed = True
        if self._waiting is None:
            pause_s = TELL_PAUSE_PER_MEMBER_S * self._count() if self._is_long else 0.0
            wait_s = max(0.0, self._told_at + pause_s - self._reactor.seconds())
            self._waiting = self._reactor.callLater(min(wait_s, pause_s), self._begin)

    def tell_now(self) -> None:
        """It is told to all observers, and nothing waits."""
        self.stop()
        for observer in self._observers():
            observer()
        self._told_at = self._reactor.seconds()

    def stop(self) -> None:
        """What waits is not told."""
        self._changed = False
        self._left = []
        if self._waiting is not None and self._waiting.active():
            self._waiting.cancel()
        self._waiting = None

    @property
    def _is_long(self) -> bool:
        return self._count() > TOLD_AT_ONCE_MAX

    def _begin(self) -> None:
        if not self._is_long:
            self.tell_now()
            return
        self._changed = False
        self._left = list(self._observers())
        self._go_on()

    def _go_on(self) -> None:
        """One observer more is told; after the last, what has changed meanwhile is told again."""
        self._waiting = None
        if self._left:
            observer = self._left.pop(0)
            self._waiting = self._reactor.callLater(0, self._go_on)
            observer()
            return
        self._told_at = self._reactor.seconds()
        if self._changed:
            self.changed()
