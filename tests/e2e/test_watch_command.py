"""`onevalue watch` with real processes and sockets, at servers that answer as a test says."""

import json
import os
import signal
import socket
import threading
from functools import partial

from tests.e2e.command import COMMAND_TIME_MAX_S, NOBODY, Command, run
from tests.e2e.harness import House, ensure_deferred, eventually, pause
from tests.e2e.scripted import STREAM_HEAD, answer, event, scripted_node, state_json


@ensure_deferred
async def test_watch_prints_changes_and_never_goes_back(house: House) -> None:
    """Over two nodes of which one is behind, by whatever ends a stream; SIGTERM ends it with 0."""
    streams = [event(4, 1) + event(5, 2), b"data: nonsense\n\n", event(3, 9) + b": beat\n\n" + event(6, 3)]
    over = threading.Event()

    def script(connection: socket.socket, _request: bytes) -> None:
        connection.sendall(STREAM_HEAD + streams.pop(0))
        if not streams:
            over.wait(COMMAND_TIME_MAX_S)

    with scripted_node(script) as one, scripted_node(script) as other:
        for number, arguments in [(signal.SIGTERM, []), (signal.SIGINT, ["--json"])]:
            streams[:] = [event(4, 1) + event(5, 2), b"data: nonsense\n\n", event(3, 9) + b": beat\n\n" + event(6, 3)]
            watching = Command(f"{one.url},{other.url}", house.folder, "watch", *arguments)
            await eventually(partial(has_lines, watching, 3), 15, "three changes are printed")
            watching.signal(number.name.removeprefix("SIG"))
            assert await watching.ended() == 0
            if arguments:
                assert [json.loads(line)["generation"] for line in watching.lines] == [4, 5, 6]
            else:
                assert watching.lines[-1] == "6  1970-01-01T00:00:12Z  n1  3"
                assert [line.split()[0] for line in watching.lines] == ["4", "5", "6"]
            assert "trying again and again" in watching.errors
            assert "Traceback" not in watching.errors
        assert f"last-event-id: {state_json(5, 2)['tag']}".encode() in one.requests[-1].lower()
        over.set()


async def has_lines(command: Command, count: int) -> bool:
    """It has printed so many."""
    assert command.running, command.errors
    return len(command.lines) >= count


@ensure_deferred
async def test_watch_runs_a_command_and_the_latest_state_wins(house: House) -> None:
    """One run at a time; what comes during a run is skipped but for the last; SIGTERM ends the run, too."""
    seen, go = house.folder / "seen", house.folder / "go"
    os.mkfifo(go)
    program = f"echo begin $ONEVALUE_GENERATION $(cat) >> {seen}; read a < {go}; echo end >> {seen}; [ $a = good ]"
    more, over = threading.Event(), threading.Event()

    def script(connection: socket.socket, _request: bytes) -> None:
        connection.sendall(STREAM_HEAD + event(1, 10))
        more.wait(COMMAND_TIME_MAX_S)
        connection.sendall(event(2, 20) + event(3, 30) + event(4, {"a": 40}))
        over.wait(COMMAND_TIME_MAX_S)

    async def saw(text: str) -> bool:
        return seen.exists() and seen.read_text() == text

    with scripted_node(script) as node:
        watching = Command(node.url, house.folder, "watch", "--exec", "sh", "-c", program)
        await eventually(lambda: saw("begin 1 10\n"), 10, "the first run has begun")
        more.set()
        await pause(0.3)  # others would begin now, if they did not wait
        assert await saw("begin 1 10\n")
        go.write_text("bad\n")
        last = 'begin 1 10\nend\nbegin 4 {"a": 40}\n'
        await eventually(lambda: saw(last), 10, "the run of the latest state has begun")
        assert "failed with status 1" in watching.errors
        watching.signal("TERM")
        assert await watching.ended() == 0
        assert await saw(last)
        assert "Traceback" not in watching.errors
        over.set()


@ensure_deferred
async def test_watch_ends_when_it_cannot_be(house: House) -> None:
    """All nodes refuse: status 1. There is no such command: status 2."""
    with scripted_node(lambda connection, _: connection.sendall(answer(401, {"detail": "a token is wanted"}))) as node:
        for arguments in [[], ["--exec", "cat"]]:
            status, _, err = await run(node.url, house, "watch", *arguments)
            assert (status, "a token is wanted" in err, "Traceback" in err) == (1, True, False)
    assert (await run(NOBODY, house, "watch", "--exec", "/nonexistent"))[0] == 2


@ensure_deferred
async def test_watch_ends_a_run_with_all_that_it_has_started(house: House) -> None:
    """Also what its program does not wait for: nobody writes on when the command is gone."""
    seen = house.folder / "seen"
    child = f"trap 'echo told >> {seen}; exit' TERM; echo begin >> {seen}; while :; do sleep 0.1; done"
    over = threading.Event()

    def script(connection: socket.socket, _request: bytes) -> None:
        connection.sendall(STREAM_HEAD + event(1, 10))
        over.wait(COMMAND_TIME_MAX_S)

    async def begun() -> bool:
        return seen.exists()

    with scripted_node(script) as node:
        parent = 'sh -c "$0" & wait'
        watching = Command(node.url, house.folder, "watch", "--exec", "sh", "-c", parent, child)
        await eventually(begun, 10, "the run has begun")
        watching.signal("TERM")
        assert await watching.ended() == 0
        assert seen.read_text() == "begin\ntold\n"
        over.set()
