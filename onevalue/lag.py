"""The lag probe: how late the reactor does what it was asked to do at a time, for people and metrics.

Whatever holds up the reactor, be it a stopped process, a busy processor or a long computation, makes all that the node
does as late as this. The gossip core looks for itself (`swim.stall`): it must know before its own timer acts, and that
may come before this one. It must not know what held up the reactor, nor who looks at the figures.
"""

from collections import deque

from twisted.application.service import Service
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from onevalue.histogram import Histogram
from onevalue.measured import LagFigures

LOOK_INTERVAL_S = 0.5
"""From one look to the next: a stall of this length is always seen, a shorter one with as good a chance as it is long.
Two calls a second cost some 0.01% of a processor.
"""

STALL_MIN_S = 0.25
"""A lag from which on it counts as a stall and is logged: half of what a probe on a LAN waits for its ack."""

PEAK_AGE_MAX_S = 60.0
"""How long the largest lag is remembered."""

LINE_PAUSE_S = 10.0
"""From one line of the log about stalls to the next."""

BUCKETS_S = (0.001, 0.005, 0.02, 0.1, 0.25, 1.0, 5.0)
"""Upper bounds of the histogram."""


class LagProbe(Service):
    """Looks how late it is, every LOOK_INTERVAL_S.

    Args:
        reactor: which is measured.
    """

    name = "lag probe"
    _log = Logger()

    def __init__(self, reactor: IReactorTime) -> None:
        self._reactor = reactor
        self._call: IDelayedCall | None = None
        self._due = 0.0
        self._lag_s = 0.0
        self._stalls = 0
        self._lags = Histogram(BUCKETS_S)
        self._peaks: deque[tuple[float, float]] = deque()  # when, and how late: each larger than all behind it
        self._line_at = float("-inf")
        self._untold = 0

    def startService(self) -> None:
        """The first look comes after one interval."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's has no types
        self._wait()

    def stopService(self) -> None:
        """No more looks; the figures stay."""
        super().stopService()  # type: ignore[no-untyped-call]  # Twisted's has no types
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def figures(self) -> LagFigures:
        """What was measured until the last look."""
        return LagFigures(self._lag_s, self._peaks[0][1] if self._peaks else 0.0, self._stalls, self._lags)

    def _wait(self) -> None:
        self._due = self._reactor.seconds() + LOOK_INTERVAL_S
        self._call = self._reactor.callLater(LOOK_INTERVAL_S, self._look)

    def _look(self) -> None:
        self._call = None
        try:
            now = self._reactor.seconds()
            self._measured(max(0.0, now - self._due), now)
        except Exception:  # noqa: BLE001  # whatever it is, the next look comes
            self._log.failure("a look at the reactor's lag failed", Failure())
        self._wait()

    def _measured(self, lag_s: float, now: float) -> None:
        self._lag_s = lag_s
        self._lags.observe(lag_s)
        while self._peaks and self._peaks[-1][1] <= lag_s:
            self._peaks.pop()
        self._peaks.append((now, lag_s))
        while now - self._peaks[0][0] > PEAK_AGE_MAX_S:
            self._peaks.popleft()
        if lag_s >= STALL_MIN_S:
            self._stalls += 1
            self._tell(lag_s, now)

    def _tell(self, lag_s: float, now: float) -> None:
        if now - self._line_at < LINE_PAUSE_S:
            self._untold += 1
            return
        more = f"; {self._untold} times since the last such line" if self._untold else ""
        self._log.warn("this node stood still for {lag_s:.2f} s{more}", lag_s=lag_s, more=more)
        self._line_at, self._untold = now, 0
