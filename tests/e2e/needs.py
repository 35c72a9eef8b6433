"""What a test needs of the machine: it is skipped with the reason where that is missing, and in CI it fails.

It must not know any need.
"""

import os

import pytest


def demand(missing: str | None) -> None:
    """Nothing, if nothing is missing. In CI only the lack of root is a reason to skip."""
    if missing is not None:
        expected = os.environ.get("CI") and (os.geteuid() == 0 or "root" not in missing)
        (pytest.fail if expected else pytest.skip)(missing)
