"""Order of the tests: the unit tests first, whatever was asked for."""

import pytest


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Trial spins the reactor for each unit test that needs it; pytest-twisted starts it once and lets it run.

    It does so for the first test that is a function, whatever that needs. So trial cannot come second.
    """
    items.sort(key=lambda item: "unit" not in item.path.parts)
