"""What a node sets for its whole process, so that threads and the garbage collector hold up the reactor for less long,
and its clock neither stands still nor leaps.

It must not know what the node does.
"""

import gc
import sys
import time
from typing import Any

SWITCH_INTERVAL_S = 0.0005
"""How long a thread that computes may keep the reactor from running; Python's own is ten times as long.

The reactor has to wait so long after each call of the system, a few times for every packet.
"""

GC_THRESHOLDS = (5_000, 5, 20)
"""Half a million new objects, not 70,000, before all are looked at for garbage: with thousands of members that takes
some 50 ms, in which nothing else runs.
"""


def keep_time(reactor: Any) -> None:
    """The reactor's time only moves forward, at the pace of a second a second; nothing if calls wait for it already.

    Twisted's own is the wall clock: set back by an hour, no timer would fire for an hour, and the node would neither
    probe nor answer in time.
    """
    if not reactor.getDelayedCalls():
        reactor.seconds = time.monotonic


def prepare() -> None:
    """The reactor waits less for threads and for the collector, which never looks at what exists by now and stays."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.set_threshold(*GC_THRESHOLDS)
    gc.collect()
    gc.freeze()
