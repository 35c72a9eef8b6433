"""News for many: each is told in a turn of the reactor, and between two rounds there is a pause.

What one is told is what is current at its turn, so news that come during a round, or the pause, make one more round and
not one each. It must not know what the news are.
"""

from collections.abc import Callable, Collection
from typing import Generic, TypeVar

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from onevalue.web.turns import Turns

T = TypeVar("T")

TELL_PAUSE_PER_WATCHER_S = 0.00002
"""From one round to the next, for each who is told: about as long as it takes, so half of the time is for all else."""


class Rounds(Generic[T]):
    """At most one round is under way.

    Args:
        reactor: delayed calls.
        audience: all who are to be told now.
        tell: tells one; it may be gone by then.
    """

    def __init__(self, reactor: IReactorTime, audience: Callable[[], Collection[T]], tell: Callable[[T], None]) -> None:
        self._reactor = reactor
        self._audience = audience
        self._turns = Turns(reactor, tell, self._told_all)
        self._news = False  # since the round under way began, or the pause
        self._pause: IDelayedCall | None = None

    def news(self) -> None:
        """All will be told."""
        self._news = True
        if not self._turns.running and self._pause is None:
            self._begin()

    def stop(self) -> None:
        """Nobody is told any more, until there are news."""
        self._turns.stop()
        cancel(self._pause)
        self._pause, self._news = None, False

    def _begin(self) -> None:
        self._pause = None
        if self._news:
            self._news = False
            self._turns.begin(self._audience())

    def _told_all(self) -> None:
        self._pause = self._reactor.callLater(TELL_PAUSE_PER_WATCHER_S * len(self._audience()), self._begin)


def cancel(call: IDelayedCall | None) -> None:
    """The call will not be made; no effect if there is none, or it has been."""
    if call is not None and call.active():
        call.cancel()
