"""Work for many, done for some of them in each turn of the reactor, so that thousands do not hold up all else.

It must not know what the work is.
"""

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from twisted.internet.interfaces import IDelayedCall, IReactorTime

T = TypeVar("T")

DONE_PER_TURN = 100
"""For so many the work is done in one turn: some 3 ms for streams, 15 ms for answers to long polls."""


class Turns(Generic[T]):
    """At most one round is under way.

    Args:
        reactor: delayed calls.
        work: is done for each. What it raises is the reactor's to log, and does not keep the others from their turn.
        done: is called when it has been done for all.
    """

    def __init__(self, reactor: IReactorTime, work: Callable[[T], None], done: Callable[[], None]) -> None:
        self._reactor = reactor
        self._work = work
        self._done = done
        self._left: list[T] = []
        self._call: IDelayedCall | None = None

    @property
    def running(self) -> bool:
        """True from `begin` until just before `done`."""
        return self._call is not None

    def begin(self, all_of_them: Iterable[T]) -> None:
        """The work will be done for each, beginning in the next turn; no round may be under way."""
        self._left = list(all_of_them)
        self._left.reverse()
        self._call = self._reactor.callLater(0, self._go_on)

    def stop(self) -> None:
        """No more is done."""
        self._left = []
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _go_on(self) -> None:
        if not self._left:
            self._call = None
            self._done()
            return
        self._call = self._reactor.callLater(0, self._go_on)  # first: it must come, whatever the work raises
        for _ in range(min(DONE_PER_TURN, len(self._left))):
            if not self._left:
                return  # the work itself has stopped this
            self._work(self._left.pop())
