"""The work of all clients of the RPC, step by step, so that none of them holds up the node.

However much they ask for, half of all time is for everything else. It must not know what the work is.
"""

from collections import deque
from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

TURN_TIME_S = 0.005
"""So long steps are done in one turn of the reactor; then it rests for as long as they took."""

Step = Callable[[], bool]
"""Does a little, at most some milliseconds, and returns whether more is to be done."""


class Turns:
    """Works that wait for their next step, the longest waiting first; whoever adds some sees to a bound.

    Args:
        reactor: time, and delayed calls.
    """

    _log = Logger()

    def __init__(self, reactor: IReactorTime) -> None:
        self._reactor = reactor
        self._waiting: deque[Step] = deque()
        self._call: IDelayedCall | None = None

    def begin(self, step: Step) -> None:
        """The step is called in a later turn, and again until it returns False, or raises, which is logged."""
        self._waiting.append(step)
        if self._call is None:
            self._call = self._reactor.callLater(0, self._turn)

    def stop(self) -> None:
        """No more is done."""
        self._waiting.clear()
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _turn(self) -> None:
        self._call, begun_s = None, self._reactor.seconds()
        taken_s = 0.0
        while self._waiting and taken_s < TURN_TIME_S:
            self._do(self._waiting.popleft())
            taken_s = self._reactor.seconds() - begun_s
        if self._call is not None:  # a step has begun another work
            self._call.cancel()
            self._call = None
        if self._waiting:
            self._call = self._reactor.callLater(max(0.0, taken_s), self._turn)

    def _do(self, step: Step) -> None:
        try:
            if step():
                self._waiting.append(step)
        except Exception:  # noqa: BLE001  # whatever it is, the others have their turn
            self._log.failure("a step of the RPC failed", Failure())
