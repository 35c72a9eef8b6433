"""Tests of hours of virtual time, or of thousands of inputs, which take four times as long with coverage.

Where ONEVALUE_BRIEF is set, as in CI, trial skips them; pytest runs them, without coverage.
"""

import os
from collections.abc import Callable
from typing import Any, TypeVar

_Test = TypeVar("_Test", bound=Callable[..., Any])


def takes_long(test: _Test) -> _Test:
    """The test is one of these."""
    if os.environ.get("ONEVALUE_BRIEF"):
        test.skip = "it takes long, and pytest runs it"  # type: ignore[attr-defined]  # how trial is told
    return test
