"""The lag probe: how late the reactor is."""

import pytest
from twisted.internet.task import Clock
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from onevalue.lag import BUCKETS_S, LINE_PAUSE_S, LOOK_INTERVAL_S, PEAK_AGE_MAX_S, STALL_MIN_S, LagProbe


class LateClock(Clock):
    """A reactor that does what is due as late as the test says."""

    def late(self, lag_s: float) -> None:
        """The next look comes so late."""
        self.rightNow += LOOK_INTERVAL_S + lag_s
        self.advance(0)


class LagTests(SynchronousTestCase):
    """LagProbe, on a clock that stands still at times."""

    def setUp(self) -> None:
        self.clock = LateClock()
        self.lines: list[str] = []
        globalLogPublisher.addObserver(self.observe)  # type: ignore[arg-type]  # its kind of event is an Any
        self.addCleanup(globalLogPublisher.removeObserver, self.observe)  # type: ignore[arg-type]  # as above
        self.probe = LagProbe(self.clock)
        self.probe.startService()

    def observe(self, event: LogEvent) -> None:
        """Keep the lines of this module."""
        if event.get("log_namespace") == "onevalue.lag.LagProbe":
            self.lines.append(formatEvent(event))

    def test_a_reactor_in_time_has_no_lag(self) -> None:
        """Two looks a second, and nothing in the log."""
        for _ in range(20):
            self.clock.advance(LOOK_INTERVAL_S)
        figures = self.probe.figures()
        assert (figures.lags.cumulative[0], figures.lag_s, figures.lag_max_s, figures.stalls) == (20, 0.0, 0.0, 0)
        assert self.lines == []

    def test_the_last_lag_and_the_largest_are_shown(self) -> None:
        """The largest for a minute, then the next largest since."""
        for lag_s in (0.1, 3.0, 0.2, 0.05):
            self.clock.late(lag_s)
        figures = self.probe.figures()
        assert figures.lag_s == pytest.approx(0.05)
        assert figures.lag_max_s == pytest.approx(3.0)
        self.clock.late(PEAK_AGE_MAX_S - 2.0)  # larger still
        assert self.probe.figures().lag_max_s == pytest.approx(PEAK_AGE_MAX_S - 2.0)
        for _ in range(int(PEAK_AGE_MAX_S / LOOK_INTERVAL_S)):
            self.clock.late(0.001)
        self.clock.late(0.0)
        assert self.probe.figures().lag_max_s == pytest.approx(0.001)

    def test_every_look_is_in_the_histogram(self) -> None:
        """At most so late, or later than all bounds; with the sum."""
        lags = [bound * 0.99 for bound in BUCKETS_S] + [BUCKETS_S[-1] + 1]
        for lag_s in lags:
            self.clock.late(lag_s)
        figures = self.probe.figures()
        assert figures.lags.cumulative == list(range(1, len(lags) + 1))
        assert figures.lags.sum == pytest.approx(sum(lags))
        assert figures.stalls == sum(lag_s >= STALL_MIN_S for lag_s in lags)

    def test_stalls_are_logged_at_a_limited_rate(self) -> None:
        """One line for the first, and then one that counts those between."""
        self.clock.late(STALL_MIN_S + 0.1)
        assert self.lines == ["this node stood still for 0.35 s"]
        for _ in range(int(LINE_PAUSE_S / (STALL_MIN_S + 0.1 + LOOK_INTERVAL_S))):
            self.clock.late(STALL_MIN_S + 0.1)
        assert len(self.lines) == 1
        self.clock.late(4.0)
        assert self.lines[1:] == ["this node stood still for 4.00 s; 11 times since the last such line"]

    def test_what_it_remembers_is_bounded(self) -> None:
        """Also when each lag is smaller than the one before, for an hour."""
        for look in range(7200):
            self.clock.late(0.2 - look / 1e6)
        assert len(self.probe._peaks) <= PEAK_AGE_MAX_S / LOOK_INTERVAL_S + 1

    def test_after_the_stop_no_call_is_left(self) -> None:
        """And the figures stay; twice does no harm."""
        self.clock.late(1.0)
        self.probe.stopService()
        self.probe.stopService()
        assert not self.clock.getDelayedCalls()
        assert self.probe.figures().stalls == 1

    def test_a_fault_does_not_end_it(self) -> None:
        """It is logged, and the next look comes."""
        self.probe._peaks.append(None)  # type: ignore[arg-type]  # what no look leaves behind
        self.clock.late(0.0)
        assert len(self.flushLoggedErrors(TypeError)) == 1  # type: ignore[no-untyped-call]  # trial's has no types
        self.probe._peaks.clear()
        self.clock.late(0.3)
        assert self.probe.figures().lag_s == pytest.approx(0.3)
