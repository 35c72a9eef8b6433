"""The targets by name, and how one input is run, timed and replayed. It must not know atheris."""

import importlib
import time
from collections.abc import Callable
from dataclasses import dataclass

NAMES = ("packets", "streams", "node", "reads", "rpc")

SLOW_S = 0.05
"""Seconds of processor time above which an input is a finding: the reactor must not be held up."""

_TRIES = 3  # the first may warm caches up or meet the garbage collector


@dataclass(frozen=True)
class Target:
    """What is fuzzed.

    Attributes:
        run: takes any input; raises whatever if something does not hold.
        seeds: inputs to begin with.
        size_max: bytes of an input.
    """

    run: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]
    size_max: int


class SlowError(Exception):
    """An input took too long, each time that it was tried."""


def load(name: str) -> Target:
    """The target of this name; what it tests is imported only now, so that it can be instrumented."""
    target: Target = importlib.import_module(f"tests.fuzz.fuzz_{name}").TARGET
    return target


def run_timed(target: Target, data: bytes, slow_s: float = SLOW_S) -> float:
    """The input was run; returns the seconds of processor time that it took.

    Raises:
        SlowError: more than `slow_s`.
        Exception: anything else that the target raises.
    """
    best = slow_s
    for _ in range(_TRIES):
        begun = time.process_time()
        target.run(data)
        best = time.process_time() - begun
        if best <= slow_s:
            return best
    raise SlowError(f"{best * 1000:.0f} ms, and {slow_s * 1000:.0f} ms is the most")
