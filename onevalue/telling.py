"""When observers are told that the members have changed: soon, but not so often that looking at many holds up the node.

A telling looks at all members, and changes come by the hundred. It must not know what is told.
"""

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall

from onevalue.streams import Reactor

TELL_PAUSE_PER_MEMBER_S = 0.0001
"""From one telling to the next, for each member: some ten times as long as it takes."""

TOLD_AT_ONCE_MAX = 100
"""With no more members, changes are told in the next turn of the reactor."""


class Telling:
    """At most one telling waits.

    Args:
        reactor: delayed calls.
        count: how many members there are.
        tell: looks at them all; it must not raise.
    """

    def __init__(self, reactor: Reactor, count: Callable[[], int], tell: Callable[[], None]) -> None:
        self._reactor = reactor
        self._count = count
        self._tell = tell
        self._told_at = float("-inf")
        self._waiting: IDelayedCall | None = None

    def changed(self) -> None:
        """It will be told."""
        if self._waiting is None:
            count = self._count()
            pause_s = TELL_PAUSE_PER_MEMBER_S * count if count > TOLD_AT_ONCE_MAX else 0.0
            wait_s = max(0.0, self._told_at + pause_s - self._reactor.seconds())
            self._waiting = self._reactor.callLater(min(wait_s, pause_s), self.tell_now)

    def tell_now(self) -> None:
        """It is told, and nothing waits."""
        self.stop()
        self._tell()
        self._told_at = self._reactor.seconds()

    def stop(self) -> None:
        """What waits is not told."""
        if self._waiting is not None and self._waiting.active():
            self._waiting.cancel()
        self._waiting = None
