"""What a running node does at SIGHUP: calls all that asked for it, in their order, each whatever became of the others.

It owns the signal. It must not know what anybody does then.
"""

import signal
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from twisted.application.service import Service
from twisted.logger import Logger
from twisted.python.failure import Failure

from onevalue.errors import ConfigError

Reload = Callable[[], None]
"""Takes up what has changed outside. If it cannot, it raises ConfigError, says why, and goes on with what it had."""


class Reloading(Service):
    """Hears SIGHUP from when the reactor runs until it stops.

    Args:
        reactor: runs what is called, in a turn of its own.
        around: is entered before the first is called, and left after the last.
    """

    name = "reloading"
    log = Logger()

    def __init__(self, reactor: Any, around: Callable[[], AbstractContextManager[None]] = nullcontext) -> None:
        self._reactor = reactor
        self._around = around
        self._observers: list[Reload] = []
        self._former: Any = None
        self._installed: Any = None

    def observe_reload(self, observer: Reload) -> None:
        """It is called at each SIGHUP, after those that came before it, once the node has started."""
        self._observers.append(observer)

    def startService(self) -> None:
        """The signal is heard as soon as the reactor runs, which is when Twisted has set its own handlers."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's has no types
        self._reactor.callWhenRunning(self._install)

    def stopService(self) -> None:
        """The signal does what it did before, unless somebody else has taken it meanwhile."""
        super().stopService()  # type: ignore[no-untyped-call]  # Twisted's has no types
        if self._installed is not None and signal.getsignal(signal.SIGHUP) is self._installed:
            signal.signal(signal.SIGHUP, self._former)
        self._installed = self._former = None

    def reload(self) -> None:
        """All observers have been called; what went wrong is in the log."""
        if not self.running:
            return
        self.log.info("SIGHUP: reading again what can change while the node runs")
        with self._around():
            for observer in self._observers:
                self._call(observer)

    def _call(self, observer: Reload) -> None:
        try:
            observer()
        except ConfigError as error:
            self.log.error("not taken up, and all stays as it was: {why}", why=str(error))  # noqa: TRY400  # the line says all
        except Exception:  # noqa: BLE001  # whatever it is, the others must be called, and the node goes on
            self.log.failure("a part could not reload", Failure())

    def _install(self) -> None:
        if self.running and self._installed is None:
            self._installed = self._heard
            # None: of a handler that was not set from Python, and cannot be set again
            self._former = signal.signal(signal.SIGHUP, self._installed) or signal.SIG_DFL

    def _heard(self, _number: int, _frame: object) -> None:
        self._reactor.callFromThread(self.reload)  # a handler runs between any two steps of anything
