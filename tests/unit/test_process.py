"""What a node sets for its process."""

import gc
import sys

from twisted.trial.unittest import SynchronousTestCase

from onevalue import process


class ProcessTests(SynchronousTestCase):
    """Threads and the garbage collector."""

    def test_threads_yield_soon_and_what_stays_is_not_looked_at(self) -> None:
        """The settings are those that are named."""
        self.addCleanup(sys.setswitchinterval, sys.getswitchinterval())
        self.addCleanup(gc.set_threshold, *gc.get_threshold())
        self.addCleanup(gc.unfreeze)
        process.prepare()
        assert abs(sys.getswitchinterval() - process.SWITCH_INTERVAL_S) < 1e-6
        assert gc.get_threshold() == process.GC_THRESHOLDS
        assert gc.get_freeze_count() > 0
