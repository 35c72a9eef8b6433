"""Fixtures of the end-to-end tests."""

import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted

from tests.e2e.harness import SERF, House, started
from tests.e2e.needs import demand
from tests.e2e.network import Network, why_not


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, None]:
    """When a test has failed, what its processes printed stands in the report."""
    outcome = yield
    report = outcome.get_result()
    house = getattr(item, "house", None)
    if report.when == "call" and report.failed and house is not None:
        report.sections.append(("processes", house.report()))


@pytest.fixture
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[House, None, None]:
    """A place for real processes; all are ended with the test."""
    place = House(tmp_path)
    request.node.house = place
    yield place
    pytest_twisted.blockon(started(place.close()))


@pytest.fixture
def network(house: House) -> Generator[Network, None, None]:
    """Hosts of their own, or a skip with the reason; where CI runs as root they must be there."""
    place, reason = Network(house.folder), why_not()
    try:
        if reason is None:
            pytest_twisted.blockon(started(place.open()))
    except AssertionError as error:
        reason = f"root can make no network namespaces here: {error}"
    if reason is not None:
        pytest_twisted.blockon(started(place.close()))
        demand(reason)
    yield place
    pytest_twisted.blockon(started(house.close()))
    pytest_twisted.blockon(started(place.close()))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests with real Serf agents skip, with the reason, where there is none; in CI they fail."""
    if SERF is not None or os.environ.get("CI"):
        return
    for item in items:
        if item.get_closest_marker("interop"):
            item.add_marker(pytest.mark.skip(reason="no `serf` on this machine: install Debian's package serf"))
