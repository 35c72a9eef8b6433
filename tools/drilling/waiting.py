"""Waiting for what is to hold soon: it is asked for again and again, up to a bound."""

import time
from collections.abc import Callable
from http.client import HTTPException

POLL_S = 0.05


class DrillError(Exception):
    """What was to hold in time did not; the drill cannot go on."""


def until(holds: Callable[[], object], within_s: float, what: str) -> float:
    """`holds()` is true; returns how long that took, seconds.

    A node that does not answer, or not with what was expected, does not hold yet.

    Raises:
        DrillError: it did not hold within `within_s`; it names `what`, and what came last.
    """
    begun = time.monotonic()
    while True:
        last: object = None
        try:
            last = holds()
            if last:
                return time.monotonic() - begun
        except (OSError, HTTPException, ValueError, KeyError) as error:
            last = error
        if time.monotonic() - begun > within_s:
            raise DrillError(f"not within {within_s:g} s: {what} (last: {last!r})")
        time.sleep(POLL_S)
