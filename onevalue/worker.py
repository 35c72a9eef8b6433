"""Long computations in a thread, one after the other, so that the reactor goes on meanwhile.

One at a time: threads that compute take Python's one lock from the reactor by turns, and each more of them makes it
wait longer. It must not know what is computed.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.threads import deferToThreadPool

_T = TypeVar("_T")


class Worker:
    """Has the threads of `reactor` compute."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._turn = DeferredSemaphore(1)

    def run(self, compute: Callable[..., _T], *arguments: object) -> "Deferred[_T]":
        """Fires with what it returns, or raises; it must touch nothing that changes."""
        pool = self._reactor.getThreadPool()
        return self._turn.run(deferToThreadPool, self._reactor, pool, compute, *arguments)
