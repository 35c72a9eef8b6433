"""Runs of a campaign, one after the other in one process."""

import gc

from twisted.trial.unittest import SynchronousTestCase

from onevalue.simulation.cluster import Cluster
from onevalue.simulation.runner import play

SEED = 1002
"""Of a short run."""


def clusters() -> int:
    """How many are in memory, in use or not."""
    return sum(type(each) is Cluster for each in gc.get_objects())


class PlayTests(SynchronousTestCase):
    """A process of a campaign plays thousands."""

    def test_nothing_of_a_run_is_left(self) -> None:
        """Though Python itself does not look for garbage, as it hardly does in a campaign."""
        gc.collect()
        before = clusters()
        gc.disable()
        self.addCleanup(gc.enable)
        assert play(SEED).complaint is None
        assert clusters() == before
