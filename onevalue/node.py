"""The node: one MultiService of all parts, started together and stopped in order.

It must not know what the parts do; `tap` builds them.
"""

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from twisted.application.service import IService, MultiService, Service
from twisted.internet.defer import Deferred, TimeoutError, maybeDeferred  # noqa: A004  # Twisted has its own
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

REMEDIES = {
    errno.EADDRINUSE: (
        "Another program has it, a node or a Serf agent perhaps (`ss -lntup` tells): end that one, or give this node"
        " another address or port"
    ),
    errno.EADDRNOTAVAIL: "This host does not have this address: correct it, or wait until the network is up",
    errno.EACCES: "A port below 1024 wants root, or a socket of systemd (docs/systemd.md)",
}
"""What to do when the system refuses to listen, by the number of its error."""


@dataclass(frozen=True, slots=True)
class Stop:
    """One step of stopping: what is called, and after how many seconds nobody waits for its Deferred any more."""

    what: Callable[[], Any]
    time_max_s: float


class StartError(SystemExit, Exception):
    """The node cannot start: the process ends with status 1, without a traceback.

    An Exception too, since `twistd` as a daemon waits for ever for a child that ends by another.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.code = 1


class Node(MultiService):
    """Starts its children in the order given; stops them one after the other, in the order of `stops`.

    Args:
        clock: for the deadlines of stopping.
        children: services, in the order of their start.
        stops: each is over, or its time is up, before the next.
    """

    log = Logger()

    def __init__(self, clock: IReactorTime, children: Sequence[IService], stops: Sequence[Stop]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Twisted's has no types
        self._clock = clock
        self._stops = tuple(stops)
        self._waiters: list[Deferred[None]] = []
        for child in children:
            child.setServiceParent(self)

    def privilegedStartService(self) -> None:
        """Ports that only root may open are open; StartError as for startService."""
        with self._one_clear_line():
            super().privilegedStartService()  # type: ignore[no-untyped-call]  # Twisted's has no types

    def startService(self) -> None:
        """All parts run.

        Raises:
            StartError: a port or socket cannot be had; one clear line of the log says which, and the process ends with
                status 1.
        """
        with self._one_clear_line():
            super().startService()  # type: ignore[no-untyped-call]  # Twisted's has no types

    def stopService(self) -> Deferred[None]:
        """Fires when all parts have stopped; one that fails, or hangs, does not keep the next from stopping.

        Twice does no harm: both fire then.
        """
        Service.stopService(self)
        waiter: Deferred[None] = Deferred()
        self._waiters.append(waiter)
        if len(self._waiters) == 1:
            self._stop_next(list(self._stops))
        return waiter

    def _stop_next(self, left: list[Stop]) -> None:
        if not left:
            waiters, self._waiters = self._waiters, []
            for waiter in waiters:
                waiter.callback(None)
            return
        stop = left.pop(0)
        stopping: Deferred[Any] = maybeDeferred(stop.what).addTimeout(stop.time_max_s, self._clock)
        stopping.addErrback(self._failed).addCallback(lambda _: self._stop_next(left))

    def _failed(self, failure: Failure) -> None:
        if failure.check(TimeoutError):
            self.log.error("a part did not stop in time, and is left: {reason}", reason=failure.getErrorMessage())
        else:
            self.log.failure("a part did not stop cleanly", failure)

    @contextmanager
    def _one_clear_line(self) -> Iterator[None]:
        # In the log, not on standard error: a daemon has none.
        try:
            yield
        except (CannotListenError, OSError) as error:
            why = _why_not(error)
            self.log.critical("onevalue: {why}", why=why)
            raise StartError(why) from None


def _why_not(error: CannotListenError | OSError) -> str:
    """Why the node cannot start, in one line, and what to do."""
    if isinstance(error, OSError):  # what an endpoint that is no TCP port stumbles over
        return f"cannot listen: {error.strerror or error}"
    remedy = REMEDIES.get(getattr(error.socketError, "errno", 0))
    why = f"{error.socketError}. {remedy}" if remedy else f"{error.socketError}"
    if isinstance(error.port, int):
        return f"cannot listen on {error.interface or 'all interfaces'} port {error.port}: {why}"
    return f"cannot listen on {os.fsdecode(error.port)}: {why}"
