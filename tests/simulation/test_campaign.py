"""A short campaign with fixed seeds, and that one seed gives one run; a long one with fresh seeds: `make simulate`."""

import io
import os
import re
import subprocess
import sys

import pytest

from onevalue.simulation.__main__ import main
from onevalue.simulation.runner import campaign, play
from onevalue.simulation.scenario import FAULTS, draw

SEEDS = range(20)


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_complained_about(seed: int) -> None:
    """Safety at every step, and agreement in time."""
    verdict = play(seed)
    assert verdict.complaint is None, f"python -m onevalue.simulation --seed {seed}"
    assert verdict.settled_s is not None


def test_the_seeds_have_all_kinds_of_faults_and_none() -> None:
    """Together with plain and encrypted clusters, small and large, near and far."""
    scenarios = [draw(seed) for seed in range(200)]
    assert sorted({kind for each in scenarios for kind in each.faults}) == sorted(FAULTS)
    assert any(each.fault_free for each in scenarios)
    assert {each.profile for each in scenarios} == {"lan", "local", "wan"}
    assert {each.encrypted for each in scenarios} == {each.heads for each in scenarios} == {True, False}
    assert (min(each.nodes for each in scenarios), max(each.nodes for each in scenarios)) == (5, 30)


def test_one_seed_gives_one_run_in_every_process() -> None:
    """Also where texts have other hashes; the log, with virtual times, is the same to the letter."""
    seen = []
    for hash_seed in ("1", "2"):
        command = [sys.executable, "-m", "onevalue.simulation", "--seed", "3"]
        done = subprocess.run(
            command, env={**os.environ, "PYTHONHASHSEED": hash_seed}, capture_output=True, text=True, check=True
        )
        seen.append(done.stdout)
    assert seen[0] == seen[1]
    assert re.search(r"^digest [0-9a-f]{8}, \d+ steps, \d+ writes$", seen[0], re.MULTILINE)
    assert "fault: " in seen[0]
    assert " n00000 " in seen[0]


def test_a_campaign_tells_what_failed_and_how_to_see_it_again(capsys: pytest.CaptureFixture[str]) -> None:
    """Its figures go to standard output, its progress to standard error."""
    out = io.StringIO()
    assert campaign(range(2, 4), 2, out) == []
    assert out.getvalue().startswith("2 seeds from 2: 0 failed; ")
    assert "2 of 2 seeds, 0 failed, " in capsys.readouterr().err
    assert main(["--seeds", "1", "--first", "2", "--jobs", "1"]) == 0
