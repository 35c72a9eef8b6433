"""`onevalue simulate`: what it prints is what happened, and one seed gives one answer."""

import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import pytest
from twisted.trial.unittest import SynchronousTestCase

from onevalue import cli
from onevalue.simulation import command
from onevalue.simulation.command import NODES_MAX
from onevalue.simulation.network import LATENCIES
from onevalue.simulation.planning import Outcome, Plan, reached, simulate

KEYS = [
    *("nodes", "loss", "seed", "virtual_s", "wall_s", "spread_s", "detect_s", "false_failures"),
    *("bytes_per_node_s", "packets_per_node_s"),
]


def run(*arguments: str) -> tuple[int, str, str]:
    """Status, standard output and standard error of the command."""
    out, err = io.StringIO(), io.StringIO()
    with patch.object(sys, "stdout", out), patch.object(sys, "stderr", err), patch.object(command, "quiet"):
        try:
            status = cli.main(["simulate", *arguments])
        except SystemExit as usage:
            status = int(usage.code or 0)
    return status, out.getvalue(), err.getvalue()


def figures(*arguments: str) -> dict[str, object]:
    """What it prints with --json, one object on one line; without the time that it took."""
    status, out, _ = run("--json", *arguments)
    assert (status, out.count("\n"), out[-1]) == (0, 1, "\n")
    found: dict[str, object] = json.loads(out)
    assert list(found) == KEYS
    wall_s = found.pop("wall_s")
    assert isinstance(wall_s, float)
    assert wall_s > 0
    return found


class JsonTests(SynchronousTestCase):
    """For programs."""

    def test_it_measures_a_write_and_a_crash(self) -> None:
        """A small cluster without loss: all have the write in a trip, and know of the crash in some seconds."""
        found = figures("--nodes", "8", "--duration", "40")
        spread, detect = found["spread_s"], found["detect_s"]
        assert isinstance(spread, dict)
        assert isinstance(detect, dict)
        assert 0 < spread["p50"] <= spread["p99"] == spread["last"] < 5 * LATENCIES["lan"].slow_s
        assert 3 < detect["first"] <= detect["last"] < 15
        assert (found["nodes"], found["loss"], found["seed"], found["virtual_s"]) == (8, 0.0, 1, 40.0)
        assert found["false_failures"] == 0
        packets, size = found["packets_per_node_s"], found["bytes_per_node_s"]
        assert isinstance(packets, float)
        assert isinstance(size, float)
        assert 1 < packets < 5
        assert 100 < size < 1500

    def test_one_seed_gives_one_answer(self) -> None:
        """And another seed another."""
        first = figures("--nodes", "5", "--loss", "0.2", "--seed", "7", "--duration", "20")
        assert figures("--nodes", "5", "--loss", "0.2", "--seed", "7", "--duration", "20") == first
        assert figures("--nodes", "5", "--loss", "0.2", "--seed", "8", "--duration", "20") != first

    def test_what_was_not_observed_is_null(self) -> None:
        """Of one node alone nobody hears; a crash just before the end is not found in time."""
        alone = figures("--nodes", "1", "--duration", "5")
        nothing = {"p50": None, "p99": None, "last": None}
        assert (alone["spread_s"], alone["detect_s"]) == (nothing, {"first": None, "last": None})
        assert figures("--nodes", "3", "--duration", "4")["detect_s"] == {"first": None, "last": None}

    def test_a_cold_cluster_finds_itself(self) -> None:
        """All join the first three, over either network."""
        for latency in ("lan", "wan"):
            spread = figures("--nodes", "6", "--cold", "--latency", latency, "--duration", "60")["spread_s"]
            assert isinstance(spread, dict)
            assert spread["last"] is not None


class PeopleTests(SynchronousTestCase):
    """For people."""

    def test_the_table_has_the_same_figures(self) -> None:
        """With units, and what the cluster was."""
        status, out, _ = run("--nodes", "8", "--duration", "40")
        assert status == 0
        assert out.startswith("cluster ")
        assert "8 nodes, lan, 0% loss, all known at the start, seed 1" in out
        for word in ("99% of them", "the last", "running nodes called failed", "packets and", "bytes a second"):
            assert word in out
        assert "not observed" not in out
        assert "not observed" in run("--nodes", "1", "--duration", "1")[1]

    def test_progress_goes_to_standard_error(self) -> None:
        """While it runs; and the line is gone at the end."""
        with patch.object(command, "PROGRESS_S", 0.0):
            _, out, err = run("--nodes", "4", "--duration", "6", "--json")
        assert "simulated 3 of 6 s" in err
        assert "simulated" not in out

    def test_what_makes_no_sense_is_a_usage_error(self) -> None:
        """Status 2, and the option is named."""
        wrong: Sequence[tuple[str, str]] = [
            ("--nodes", "0"),
            ("--nodes", str(NODES_MAX + 1)),
            ("--nodes", "x"),
            ("--loss", "1"),
            ("--loss", "-0.1"),
            ("--loss", "nan"),
            ("--duration", "0"),
            ("--duration", "inf"),
            ("--latency", "moon"),
        ]
        for option, value in wrong:
            status, out, err = run(option, value)
            assert (status, out) == (2, ""), (option, value)
            assert option in err

    def test_what_does_not_fit_into_memory_is_not_begun(self) -> None:
        """It would bring the machine down; what is needed is told."""
        with patch.object(command, "memory_bytes", lambda: 16_000_000_000):
            status, out, err = run("--nodes", "10000")
        assert (status, out) == (2, "")
        assert err == "onevalue: 10000 nodes need 75 GB of memory, this machine has 16: fewer --nodes\n"
        assert command.memory_bytes() > 100_000_000

    def test_the_picture_is_written(self) -> None:
        """A PNG; one that cannot be written ends with status 1 and the reason, without matplotlib with 2."""
        with TemporaryDirectory() as folder:
            path = Path(folder) / "picture.png"
            assert run("--nodes", "4", "--duration", "12", "--plot", str(path))[0] == 0
            assert path.read_bytes().startswith(b"\x89PNG")
            status, _, err = run("--nodes", "2", "--duration", "1", "--plot", str(Path(folder) / "none" / "p.png"))
            assert status == 1
            assert "the picture cannot be written" in err
        with patch.dict(sys.modules, {"onevalue.simulation.plots": None}):
            status, out, err = run("--nodes", "2", "--plot", "p.png")
        assert (status, out) == (2, "")
        assert "onevalue[plot]" in err

    def test_help_and_version(self) -> None:
        """Each option is explained."""
        assert "--loss" in run("--help")[1]
        with pytest.raises(SystemExit), patch.object(sys, "stdout", io.StringIO()) as out:
            cli.main(["--version"])
        assert out.getvalue().startswith("onevalue ")


class PlanTests(SynchronousTestCase):
    """What the figures in docs/simulation.md are made of."""

    def test_when_a_share_was_reached(self) -> None:
        """By the order of times; not at all if too few have it, and not of nobody."""
        times = [0.3, 0.1, 0.2, 0.4]
        assert [reached(times, 4, share) for share in (0.5, 0.75, 0.99, 1.0)] == [0.2, 0.3, 0.4, 0.4]
        assert reached(times, 5, 1.0) is None
        assert reached([], 0, 1.0) is None

    def test_plain_gossip_takes_some_intervals(self) -> None:
        """As Serf spreads user events; everybody has it in the end."""
        outcome = simulate(Plan(nodes=20, duration_s=18, plain=True, crash=False))
        last = reached(outcome.got_at, 19, 1.0)
        assert last is not None
        assert 0.2 < last < 3.0

    def test_a_process_that_is_killed_is_missed_sooner_than_a_host(self) -> None:
        """Its host says that nobody listens there."""

        def median(*, power: bool) -> float:
            runs = [simulate(Plan(nodes=8, duration_s=30, seed=seed, power=power)) for seed in range(1, 4)]
            return sorted(min(each.detected) for each in runs)[1]

        assert median(power=False) + 1 < median(power=True)

    def test_nodes_that_stand_still_are_called_failed(self) -> None:
        """Incidents are counted, each once."""
        outcome = simulate(Plan(nodes=10, duration_s=120, crash=False, stalling=0.2, stall_s=40))
        assert 0 < outcome.false_failures < 10

    def test_the_traffic_of_each_second_is_that_of_those_who_run(self) -> None:
        """A node that dies takes nothing of the others' with it."""
        outcome = simulate(Plan(nodes=5, duration_s=40))
        assert len(outcome.traffic) == 40
        assert min(outcome.traffic[10:]) > 50
        assert outcome.traffic_s == 19 * 5 + 21 * 4  # it dies at the end of the 20th

    def test_writes_all_the_time_are_made(self) -> None:
        """They cost packets."""
        idle = Outcome.to_json(simulate(Plan(nodes=5, duration_s=20, crash=False)))
        busy = Outcome.to_json(simulate(Plan(nodes=5, duration_s=20, crash=False, writes_per_s=2.0)))
        assert isinstance(idle["packets_per_node_s"], float)
        assert isinstance(busy["packets_per_node_s"], float)
        assert busy["packets_per_node_s"] > idle["packets_per_node_s"] + 1
