"""The node: one MultiService of all parts, started together and stopped in order.

It must not know what the parts do; `tap` builds them.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.logger import Logger
from twisted.python.failure import Failure


class Node(MultiService):
    """Starts its children in the order given; stops them one after the other, in the order of `stop_order`.

    Args:
        children: services, in the order of their start.
        stop_order: what to stop, one after the other: each fires its Deferred, if any, before the next.
    """

    log = Logger()

    def __init__(self, children: Sequence[Service], stop_order: Sequence[Callable[[], Any]]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Twisted's has no types
        self._stop_order = tuple(stop_order)
        for child in children:
            child.setServiceParent(self)

    def privilegedStartService(self) -> None:
        """Ports that only root may open are open; SystemExit as for startService."""
        with _one_clear_line():
            super().privilegedStartService()  # type: ignore[no-untyped-call]  # Twisted's has no types

    def startService(self) -> None:
        """All parts run.

        Raises:
            SystemExit: a port is taken; one clear line says which, and the process ends with status 1.
        """
        with _one_clear_line():
            super().startService()  # type: ignore[no-untyped-call]  # Twisted's has no types

    def stopService(self) -> Deferred[None]:
        """Fires when all parts have stopped; one that fails does not keep the next from stopping."""
        Service.stopService(self)
        done: Deferred[None] = Deferred()
        self._stop_next(list(self._stop_order), done)
        return done

    def _stop_next(self, left: list[Callable[[], Any]], done: Deferred[None]) -> None:
        if not left:
            done.callback(None)
            return
        stopping: Deferred[Any] = maybeDeferred(left.pop(0))
        stopping.addErrback(self._failed).addCallback(lambda _: self._stop_next(left, done))

    def _failed(self, failure: Failure) -> None:
        self.log.failure("a part did not stop cleanly", failure)


@contextmanager
def _one_clear_line() -> Iterator[None]:
    try:
        yield
    except CannotListenError as error:
        where = f"{error.interface or 'all interfaces'} port {error.port}"
        raise SystemExit(f"onevalue: cannot listen on {where}: {error.socketError}") from None
