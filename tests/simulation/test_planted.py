"""Bugs that are planted into the node are found, each by a seed that is known to find it."""

import pytest

from onevalue.simulation.run import Run
from onevalue.simulation.scenario import Scenario
from tests import planted

KNOWN = {
    "compares only generations": 13,
    "a relative bound inside merge": 9004,
    "does not refute": 13,
    "refutes with the same incarnation": 20,
    "acknowledges before the commit": 2,
    "confirms before it is on the disk": 7002,
    "writes without learning": 9127,
    "does not journal what it learns": 8,
    "suspicions never end": 8,
    "joins once, and never reconnects": 8,
    "no anti-entropy": 9021,
    "forgets that packets are sealed": 10,
    "a leave and a join intent of one time": 15,
    "lives by the wall clock": 9004,
}
SCENARIOS = list(dict.fromkeys(planted.scenario_of(bug, seed) for bug, seed in KNOWN.items()))


@pytest.mark.parametrize(("bug", "seed"), KNOWN.items())
def test_a_planted_bug_is_complained_about(bug: str, seed: int) -> None:
    """Within one run."""
    assert planted.play(bug, seed).complaint is not None


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: str(scenario.seed))
def test_without_the_bug_there_is_no_complaint(scenario: Scenario) -> None:
    """It is the bug that is found."""
    assert Run(scenario).play().complaint is None


def test_each_bug_has_its_seed() -> None:
    """None is forgotten, and the node is itself again."""
    assert sorted(KNOWN) == sorted(planted.BUGS)
