"""The failure drills that operators rehearse (docs/drills.md): what a cluster promises holds while one does this to it.

Each starts three nodes of its own that are written to and read all the time, and is judged as tools/drilling/judging.py
says: all come to one state, no acknowledged write is lost on a disk that survives, no node goes back while it runs, and
all answer reads throughout but the one that is down. What a test names comes on top of that.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.e2e.needs import demand
from tools.drilling.catalogue import DRILLS, run
from tools.drilling.exercise import QUICK

PROGRAM = Path(__file__).parents[2] / "tools" / "drills.py"
ENDS_WITHIN_S = 30.0


def broken_by(name: str) -> list[str]:
    """What does not hold in the drill; skips with the reason where it cannot be done, which in CI is a failure."""
    [drill] = [each for each in DRILLS if each.name == name]
    demand(drill.why_not())
    return run(drill, QUICK, print)


def test_a_node_that_is_killed_comes_back_with_all_that_it_acknowledged() -> None:
    """From its own disk, before it hears anybody, though it was written to when kill -9 came."""
    assert broken_by("kill") == []


def test_a_node_that_stood_still_catches_up_and_accuses_nobody() -> None:
    """SIGSTOP and SIGCONT: it alone is called failed, and holds within seconds what was written meanwhile."""
    assert broken_by("stop") == []


def test_a_node_whose_disk_is_full_mends_itself_when_there_is_room() -> None:
    """It refuses own writes with 503 and the reason, hears of those of others, and takes writes again untouched."""
    assert broken_by("full") == []


def test_a_node_whose_disk_turned_readonly_keeps_what_it_had_acknowledged() -> None:
    """It goes on as with a full disk, does not start on it, and has it all when the disk is repaired."""
    assert broken_by("readonly") == []


def test_a_jump_of_the_wall_clock_changes_only_the_time_of_writes() -> None:
    """Hours forth and back: nobody is called failed, and writes keep their order."""
    assert broken_by("clock") == []


def test_a_cluster_never_hears_of_a_node_whose_port_was_taken() -> None:
    """Whichever port it is: one line of its log, exit status 1, and no trace in the list of members."""
    assert broken_by("port") == []


def test_after_a_partition_the_side_with_more_writes_wins() -> None:
    """A single node against two: both sides read and write on, and its value is everywhere when the network heals."""
    assert broken_by("partition") == []


def test_a_node_whose_data_folder_was_removed_acknowledges_nothing() -> None:
    """Before it is started again, and then not until it has learnt what its cluster holds."""
    assert broken_by("folder") == []


def test_an_interrupted_drill_leaves_nothing_behind(tmp_path: Path) -> None:
    """Ctrl-C while a node stands still: its processes and files are gone."""
    environ = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-u", str(PROGRAM), "--quick", "stop"]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        for line in program.stdout:
            if "SIGSTOP)" in line and line.startswith("  do"):
                break
        assert processes_of(tmp_path)
        program.send_signal(signal.SIGINT)
        rest = program.stdout.read()
        assert program.wait(ENDS_WITHIN_S) == 130, rest
    assert "nothing is mounted any more" in rest
    assert list(tmp_path.iterdir()) == []
    assert processes_of(tmp_path) == []


def processes_of(folder: Path) -> list[str]:
    """The command lines of processes that name the folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it has ended
            continue
        if str(folder) in text:
            found.append(text)
    return found
