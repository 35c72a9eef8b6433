"""What a node sets for its process."""

import gc
import resource
import sys
import time

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from onevalue import process


class ProcessTests(SynchronousTestCase):
    """The clock, threads and the garbage collector."""

    def test_the_wall_clock_does_not_move_the_reactors(self) -> None:
        """Its time is monotonic from the start; calls that wait already keep the one that they were made with."""
        reactor, begun = MemoryReactorClock(), MemoryReactorClock()
        begun.callLater(1.0, int)
        for each in (reactor, begun):
            process.keep_time(each)
        assert reactor.seconds is time.monotonic
        assert begun.seconds() == 0.0

    def test_more_files_may_be_open_up_to_the_hard_limit(self) -> None:
        """The soft limit rises to what is wanted, or to the hard one, and is never lowered."""
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, before)
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
        for wanted in (300, 200):
            process.allow_open_files(wanted)
            assert process.open_files_max() == 300
        if before[1] != resource.RLIM_INFINITY:
            process.allow_open_files(before[1] + 1)
            assert process.open_files_max() == before[1]

    def test_threads_yield_soon_and_what_stays_is_not_looked_at(self) -> None:
        """The settings are those that are named."""
        self.addCleanup(sys.setswitchinterval, sys.getswitchinterval())
        self.addCleanup(gc.set_threshold, *gc.get_threshold())
        self.addCleanup(gc.unfreeze)
        process.prepare()
        assert abs(sys.getswitchinterval() - process.SWITCH_INTERVAL_S) < 1e-6
        assert gc.get_threshold() == process.GC_THRESHOLDS
        assert gc.get_freeze_count() > 0
