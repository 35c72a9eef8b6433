"""Objects that live long are looked at for garbage in a turn of the reactor, not in the midst of other work; the oldest
of them rarely.

With thousands of members it takes 50 to 90 ms to look at all, in which nothing else runs. Python itself would do it
whenever enough objects have been made, and so most likely when a long turn makes them: on top of it. It must not know
what the node does beside.
"""

import gc

from twisted.application.service import Service
from twisted.internet.interfaces import IDelayedCall, IReactorTime

LOOK_INTERVAL_S = 0.5

YOUNGER_MAX = 20
"""So many looks at younger objects make one at older ones due: half a million objects made and not yet gone."""

ALL_EVERY = 10
"""What such a look has found alive is left out of the next ones, and all is looked at by every tenth: what has become
garbage among the oldest waits so long.
"""


class Collector(Service):
    """While it runs, garbage of long-lived objects is collected soon after it is due.

    Args:
        reactor: delayed calls.
    """

    name = "collector"

    def __init__(self, reactor: IReactorTime) -> None:
        self._reactor = reactor
        self._call: IDelayedCall | None = None
        self._looks = 0

    def startService(self) -> None:
        """The first look comes after one interval."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's has no types
        self._call = self._reactor.callLater(LOOK_INTERVAL_S, self._look)

    def stopService(self) -> None:
        """No more looks."""
        super().stopService()  # type: ignore[no-untyped-call]  # Twisted's has no types
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _look(self) -> None:
        self._call = self._reactor.callLater(LOOK_INTERVAL_S, self._look)
        if gc.get_count()[2] >= YOUNGER_MAX:
            self._looks += 1
            if self._looks % ALL_EVERY == 0:
                gc.unfreeze()
            gc.collect()
            gc.freeze()
