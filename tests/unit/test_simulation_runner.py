"""Runs of a campaign, one after the other in one process."""

import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

SEED = 1002
"""Of a short run."""

PROGRAM = f"""
import gc
from onevalue.simulation.cluster import Cluster
from onevalue.simulation.runner import play, prepare

prepare()
gc.disable()
assert play({SEED}).complaint is None
print(sum(type(each) is Cluster for each in gc.get_objects()))
"""


class PlayTests(SynchronousTestCase):
    """A process of a campaign plays thousands."""

    def test_nothing_of_a_run_is_left(self) -> None:
        """Though Python itself does not look for garbage, as it hardly does in a campaign."""
        played = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True)
        assert played.stdout == "0\n"
