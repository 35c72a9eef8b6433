"""Order of the tests: the unit tests first, whatever was asked for."""

import pytest


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Trial spins the reactor for each unit test that needs it, pytest-twisted starts it once and lets it run.

    So trial cannot come second.
    """
    items.sort(key=lambda item: "e2e" in item.path.parts)
