"""Tests of hours of virtual time, or of thousands of inputs, which take four times as long with coverage.

They go without it, and run once in CI, by pytest. Trial skips them where ONEVALUE_BRIEF is set.
"""

import os
from collections.abc import Callable
from typing import Any, TypeVar

import pytest

_Test = TypeVar("_Test", bound=Callable[..., Any])


def takes_long(test: _Test) -> _Test:
    """The test is one of these."""
    if os.environ.get("ONEVALUE_BRIEF"):
        test.skip = "it takes long, and pytest runs it"  # type: ignore[attr-defined]  # how trial is told
    marked: _Test = pytest.mark.no_cover(test)
    return marked
