"""What people see of `twistd onevalue`: its help, its errors, its lines in the log."""

import os
from pathlib import Path

import pytest

from tests.e2e.harness import TWISTD, House, Node, Process, ensure_deferred, eventually, free_address


async def run(folder: Path, *arguments: str, environ: dict[str, str] | None = None) -> tuple[int, str]:
    """Exit status and output of `twistd onevalue` with these arguments."""
    command = [TWISTD, "--nodaemon", "--pidfile=", "onevalue", *arguments]
    process = Process("twistd", command, {"PATH": os.environ["PATH"], "HOME": str(folder), **(environ or {})}, folder)
    return await process.ended(20), process.output


@ensure_deferred
async def test_help_explains_each_option(tmp_path: Path) -> None:
    """--help names all options, and what each means."""
    status, output = await run(tmp_path, "--help")
    assert status == 0
    options = "http bind advertise join name tag initial data-dir no-journal members-to-notify broadcast-interval"
    for option in [*options.split(), "debug-interval", "join-timeout", "token-file", "ca-file", "host-names", "rpc"]:
        assert f"--{option}" in output


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--initial", "forty-two"),
        ("--initial", "9223372036854775808"),
        ("--bind", "127.0.0.1:99999"),
        ("--advertise", "not a host"),
        ("--join", "host:port"),
        ("--name", "a/b"),
        ("--tag", "novalue"),
        ("--members-to-notify", "-1"),
        ("--broadcast-interval", "0"),
        ("--debug-interval", "often"),
        ("--join-timeout", "nan"),
        ("--http", "gopher:70"),
    ],
)
@ensure_deferred
async def test_a_wrong_value_is_a_usage_error(tmp_path: Path, option: str, value: str) -> None:
    """The error names the option, there is no traceback, and the status is 1."""
    status, output = await run(tmp_path, f"{option}={value}", "--no-journal")
    assert status == 1, output
    assert option in output.splitlines()[-1], output
    assert "Traceback" not in output


@ensure_deferred
async def test_options_come_from_the_environment(house: House) -> None:
    """ONEVALUE_... stands for an option, and the original's variables are understood."""
    host = free_address()
    environ = {"ADVERTISE_ADDR": host, "ONEVALUE_INITIAL": "77", "ONEVALUE_NO_JOURNAL": "1", "ONEVALUE_NAME": "env"}
    node = house.node("env", host=host)
    node.command = lambda: [TWISTD, "--nodaemon", "--pidfile=", "onevalue"]  # type: ignore[method-assign]  # no options
    node.environ = environ
    await node.start()
    assert await node.get() == "77"
    assert list(await node.members()) == ["env"]


@ensure_deferred
async def test_a_taken_port_is_one_clear_line(house: House, tmp_path: Path) -> None:
    """The second node on the same address says which port is taken, and ends with status 1."""
    node = await house.node("first").start()
    status, output = await run(tmp_path, "--advertise", node.host, "--name", "second", "--no-journal")
    assert status == 1, output
    (line,) = [line for line in output.splitlines() if "cannot listen" in line]
    assert node.host in line
    assert "Traceback" not in output


@ensure_deferred
async def test_a_daemon_with_a_taken_port_ends_too(house: House, tmp_path: Path) -> None:
    """The command does not wait for its child for ever; it says why, and so does the log."""
    node = await house.node("first").start()
    command = [TWISTD, "--pidfile=", "onevalue", "--advertise", node.host, "--name", "second", "--no-journal"]
    process = Process("twistd", command, {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}, tmp_path)
    assert await process.ended(20) == 1
    assert f"cannot listen on {node.host}" in process.output
    log = (tmp_path / "twistd.log").read_text()
    (line,) = [line for line in log.splitlines() if "cannot listen" in line]
    assert node.host in line


@ensure_deferred
async def test_a_second_process_on_one_data_dir_is_refused(house: House) -> None:
    """It says whose folder it is, and ends with status 1; the first goes on."""
    node = await house.node("first").start()
    folder = house.folder / "first"
    status, output = await run(house.folder, "--advertise", free_address(), "--data-dir", str(folder))
    assert status == 1, output
    assert str(folder) in output
    assert "Traceback" not in output
    assert (await node.set(1)).status == 200


@ensure_deferred
async def test_a_damaged_journal_stops_the_start(house: House) -> None:
    """The message names the file, and the file is left as it was."""
    node = await house.node("n").start()
    await node.set(5)
    await node.kill()
    path = house.folder / "n" / "journal.sqlite"
    path.write_bytes(b"garbage" * 1000)
    status, output = await run(
        house.folder, "--advertise", node.host, "--name", "n", "--data-dir", str(house.folder / "n")
    )
    assert status == 1, output
    assert str(path) in output
    assert "Traceback" not in output
    assert path.read_bytes() == b"garbage" * 1000


@ensure_deferred
async def test_the_log_is_for_people(house: House) -> None:
    """From start to stop: who this node is, whom it cannot reach yet, whom it found; no names of Python objects."""
    late = house.node("late")
    node = await house.node("n", options=["--join", late.host, "--initial", "7"]).start()
    await eventually(lambda: seen(node, f"nobody to join at {late.host} yet"), 5, "silence is told")
    await late.start()
    await eventually(lambda: seen(node, f"joined at {late.host}"), 10, "the join is told")
    await node.stop()
    first = f"n, reached at {node.host}:7946, holds 7 at generation 0, keeps it in {house.folder / 'n'}"
    for words in [first, "takes no writes yet", f"HTTP at {node.host}:8080", f"member joined: late at {late.host}"]:
        assert words in node.output
    for words in ["object at 0x", "Address(", "b'", "Traceback"]:
        assert words not in node.output


async def seen(node: Node, words: str) -> bool:
    """Whether the log of the node has these words."""
    return words in node.output


@ensure_deferred
async def test_the_debug_line_shows_members_and_state(house: House) -> None:
    """Every --debug-interval seconds the members and the state are printed, as the original does."""
    node = await house.node("n", options=["--debug-interval", "0.2"]).start()
    await node.set(44)

    async def printed() -> bool:
        return "Members: n@" in node.output and "State: Val: 44 Gen: 1" in node.output

    await eventually(printed, 5, "the lines are printed")
