"""Runs of a campaign, one after the other in one process."""

import gc

from twisted.trial.unittest import SynchronousTestCase

from onevalue.simulation.cluster import Cluster
from onevalue.simulation.runner import play

SEED = 1002
"""Of a short run."""


def clusters() -> list[Cluster]:
    """All that are in memory, in use or not."""
    return [each for each in gc.get_objects() if type(each) is Cluster]


class PlayTests(SynchronousTestCase):
    """A process of a campaign plays thousands."""

    def test_nothing_of_a_run_is_left(self) -> None:
        """Though Python itself does not look for garbage, as it hardly does in a campaign."""
        of_other_tests = clusters()  # and they stay while this list does
        gc.disable()
        self.addCleanup(gc.enable)
        assert play(SEED).complaint is None
        assert [each for each in clusters() if not any(each is other for other in of_other_tests)] == []
