"""What a node sets for its whole process, so that threads and the garbage collector hold up the reactor for less long,
its clock neither stands still nor leaps, and it may have many connections.

It must not know what the node does.
"""

import gc
import resource
import sys
import time
from contextlib import suppress
from typing import Any

SWITCH_INTERVAL_S = 0.0005
"""How long a thread that computes may keep the reactor from running; Python's own is ten times as long.

The reactor has to wait so long after each call of the system, a few times for every packet.
"""

GC_THRESHOLDS = (5_000, 5, 2**31 - 1)
"""Young objects are looked at for garbage every few milliseconds' work; all of them never, but by `collector`."""


def keep_time(reactor: Any) -> None:
    """The reactor's time only moves forward, at the pace of a second a second; nothing if calls wait for it already.

    Twisted's own is the wall clock: set back by an hour, no timer would fire for an hour, and the node would neither
    probe nor answer in time.
    """
    if not reactor.getDelayedCalls():
        reactor.seconds = time.monotonic


def open_files_max() -> int:
    """How many files and sockets this process may have open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


def allow_open_files(wanted: int) -> None:
    """So many files and sockets may be open, or as many as the system's hard limit lets a process allow itself.

    The usual soft limit of 1024 is there for programs that call select().
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        with suppress(OSError, ValueError):  # a system with a lower bound of its own; then the soft limit stays
            resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


def prepare() -> None:
    """The reactor waits less for threads and for the collector, which never looks at what exists by now and stays."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.set_threshold(*GC_THRESHOLDS)
    gc.collect()
    gc.freeze()
