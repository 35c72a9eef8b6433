"""The command `onevalue` and the client for Twisted programs, as people use them: real processes, nodes and sockets.

What a node does rarely, or must never do, a small scripted server does.
"""

import json
import os
import random
import socket
import sys
import threading
from typing import Any

import pytest
from twisted.internet.ssl import Certificate
from twisted.web.client import BrowserLikePolicyForHTTPS

from onevalue.client import Client, Reading, UnreachableError
from onevalue.commands import wire
from onevalue.commands.wire import Request
from onevalue.failover import Lost, NotSent
from onevalue.replies import Answer
from tests.e2e.command import COMMAND_TIME_MAX_S, NOBODY, ROOT, run
from tests.e2e.harness import House, Process, ensure_deferred, eventually, reactor
from tests.e2e.scripted import STREAM_HEAD, Script, answer, certified, event, scripted_node, state_json


@ensure_deferred
async def test_get_and_set_at_a_node(house: House) -> None:
    """As the README shows it: value, tag, condition, failed condition."""
    node = await house.node("n").start()
    assert await run(node, house, "get") == (0, "42\n", "")
    status, tag, err = await run(node, house, "set", "43")
    assert (status, err) == (0, "")
    told = json.loads((await run(node, house, "get", "--json"))[1])
    assert (told["value"], told["tag"], told["origin"]) == (43, tag.strip(), "n")
    assert (await run(node, house, "set", "44", "--if-match", tag.strip()))[0] == 0
    status, out, err = await run(node, house, "set", "45", "--if-match", tag.strip())
    assert (status, out) == (3, "")
    assert "412" in err
    assert (await run(node, house, "set", "-", stdin=b"46\n"))[0] == 0
    assert await node.get() == "46"


@ensure_deferred
async def test_output_that_cannot_be_written_is_told(house: House) -> None:
    """On one line, by a process that ends with 1, and not with what Python says at its end."""
    node = await house.node("n").start()
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "ONEVALUE_URL": node.url}
    line = f"{sys.executable} -m onevalue.cli get > /dev/full"
    process = Process("onevalue", ["/bin/sh", "-c", line], environ, house.folder)
    assert await process.ended(COMMAND_TIME_MAX_S) == 1
    assert process.output == "onevalue: standard output: No space left on device\n"


@ensure_deferred
async def test_the_cluster_is_shown_and_asked(house: House) -> None:
    """Members, status, query, event, force-leave."""
    one, other = await house.cluster(2)
    text = (await run(one, house, "members"))[1]
    assert [line.split()[::2][:2] for line in text.splitlines()[1:]] == [["n1", "alive"], ["n2", "alive"]]
    members = json.loads((await run(one, house, "members", "--json"))[1])["members"]
    assert {member["address"] for member in members} == {one.host, other.host}
    assert "alive 2" in (await run(one, house, "status"))[1]
    status, text, _ = await run(one, house, "query", "onevalue", "--ack")
    assert (status, sorted(line.split()[0] for line in text.splitlines()[1:])) == (0, ["heard", "n1", "n2"])
    assert (await run(one, house, "event", "deploy", "7"))[:2] == (0, "sent deploy\n")

    async def heard() -> bool:
        return "user event deploy" in other.output

    await eventually(heard, 5, "the other node has the event")
    await other.kill()
    await one.sees({"n2": "failed"}, 20)
    assert (await run(one, house, "force-leave", "n2"))[:2] == (0, "n2 counts as left\n")
    await one.sees({"n2": "left"})
    assert (await run(one, house, "force-leave", "nobody"))[0] == 1


@ensure_deferred
async def test_keys_rotate_by_the_command(house: House) -> None:
    """Install, use, remove; from a file and from standard input, and no process shows a key to `ps`."""
    old, new = house.folder / "old.key", house.folder / "new.key"
    for path, byte in [(old, "A"), (new, "B")]:
        path.write_text(byte * 43 + "=\n")
        path.chmod(0o600)
    node = await house.node("n", options=["--key-file", str(old)]).start()
    assert (await run(node, house, "keys", "install", "--key-file", str(new)))[:2] == (0, "done by all 1 members\n")
    assert (await run(node, house, "keys", "use", stdin=new.read_bytes()))[0] == 0
    assert len((await run(node, house, "keys", "list"))[1].splitlines()) == 3
    assert (await run(node, house, "keys", "remove", "--key-file", str(old)))[0] == 0
    keys = json.loads((await run(node, house, "keys", "list", "--json"))[1])
    assert list(keys["keys"].values()) == list(keys["primary_keys"].values()) == [1]
    status, _, err = await run(node, house, "keys", "remove", "--key-file", str(new))
    assert (status, "409" in err) == (1, True)


@ensure_deferred
async def test_another_node_is_asked_when_one_is_down(house: House) -> None:
    """Reads and writes; when all are, the status is 1 and each is named."""
    node = await house.node("n").start()
    urls = f"{NOBODY},{node.url}"
    assert (await run(urls, house, "set", "7"))[0] == 0
    assert await run(urls, house, "get") == (0, "7\n", "")
    status, out, err = await run(f"{NOBODY},http://127.0.0.2:9", house, "set", "8")
    assert (status, out) == (1, "")
    assert NOBODY in err
    assert "http://127.0.0.2:9" in err


@ensure_deferred
async def test_a_write_that_is_cut_off_is_open(house: House) -> None:
    """Status 5, and no other node is asked; upon one state it is, and is done."""
    node = await house.node("n").start()
    with scripted_node(lambda _connection, _request: None) as cutting:
        urls = f"{cutting.url},{node.url}"
        status, out, err = await run(urls, house, "set", "7")
        assert (status, out) == (5, "")
        assert "not known" in err
        assert await node.get() == "42"
        tag = (await node.call("GET", "/v1/value")).header("ETag")
        assert tag is not None
        assert (await run(urls, house, "set", "7", "--if-match", tag))[0] == 0
        assert await node.get() == "7"
        assert len(cutting.requests) == 2


@ensure_deferred
async def test_confirmation_history_and_undo(house: House) -> None:
    """Too few that confirm is 4, another winner 3; an old value is written upon the present state."""

    def script(connection: socket.socket, request: bytes) -> None:
        line = request.partition(b"\r\n")[0].decode()
        written, winner = state_json(6, 7), state_json(6, 8)
        match line.split(" ")[:2]:
            case ["GET", "/v1/value"]:
                connection.sendall(answer(200, state_json(5, 1)))
            case ["GET", path] if path.startswith("/v1/history"):
                entries = [{**state_json(5, 1), "source": "set"}, {**state_json(4, {"a": 1}), "source": "event"}]
                connection.sendall(answer(200, {"history": entries, "history_max": 100}))
            case ["PUT", "/v1/value?ack=all&timeout=1.0"]:
                acks = {"needed": 3, "held": 2}
                connection.sendall(answer(504, {"detail": "too few", "acks": acks, "written": written}))
            case ["PUT", "/v1/value?ack=2&timeout=5.0"]:
                connection.sendall(answer(409, {"detail": "lost", "winner": winner, "written": written}))
            case ["PUT", "/v1/value"]:
                connection.sendall(answer(200, state_json(6, {"a": 1})))

    with scripted_node(script) as node:
        assert (await run(node.url, house, "set", "7", "--ack", "all", "--ack-timeout", "1"))[0] == 4
        status, out, _ = await run(node.url, house, "set", "7", "--ack", "2", "--json")
        assert (status, json.loads(out)["winner"]["value"]) == (3, 8)
        text = (await run(node.url, house, "history"))[1]
        assert [row.split()[-1] for row in text.splitlines()] == ["VALUE", "1", "1}"]
        node.requests.clear()
        tag = state_json(4, {"a": 1})["tag"]
        assert (await run(node.url, house, "set", "--from-history", tag))[0] == 0
        put = next(request for request in node.requests if request.startswith(b"PUT"))
        assert f'if-match: "{state_json(5, 1)["tag"]}"'.encode() in put.lower()
        assert put.endswith(b'\r\n\r\n{"a": 1}')


@ensure_deferred
async def test_an_exchange_is_bounded(house: House) -> None:  # noqa: ARG001  # its report
    """In time and size, whatever comes; what may have arrived is told from what was surely not sent."""
    stop = threading.Event()

    def drip(connection: socket.socket, _request: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
        while not stop.wait(0.05):
            connection.sendall(b"x")

    def drip_body(connection: socket.socket, _request: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while not stop.wait(0.05):
            connection.sendall(b"x")

    def endless(connection: socket.socket, _request: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while not stop.is_set():
            connection.sendall(b"x" * 1_000_000)

    request = Request("GET", "/v1/value")
    for script, why in [
        (drip, "no answer in time"),
        (drip_body, "no answer in time"),
        (sending(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n123"), wire.CUT_OFF),
        (sending(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n123"), wire.CUT_OFF),
        (sending(b""), "the connection was closed before an answer"),
        (sending(b"SSH-2.0\r\n\r\n"), "what came is no HTTP: SSH-2.0"),
        (endless, "more than"),
    ]:
        with scripted_node(script) as node:
            outcome = await in_thread(node.url, request, 5.0 if script is endless else 0.5)
            assert isinstance(outcome, Lost), (why, outcome)
            assert why in outcome.reason
    stop.set()
    assert await in_thread(NOBODY, request, 5.0) == NotSent("Connection refused")
    assert isinstance(await in_thread("http://no.such.name.invalid", request, 5.0), NotSent)
    with scripted_node(lambda connection, _: connection.sendall(answer(404, {}))) as node:
        assert await in_thread(node.url + "/base/", request, 5.0) == Answer(404, None, b"{}")
        assert node.requests[0].startswith(b"GET /base/v1/value HTTP/1.1\r\n")
        assert isinstance(await in_thread(f"https://127.0.0.1:{node.port}", request, 0.5), NotSent)


def sending(data: bytes) -> Script:
    """Says this, whatever is asked, and closes the connection."""
    return lambda connection, _: connection.sendall(data)


async def in_thread(url: str, request: Request, timeout_s: float) -> Any:
    """`wire.exchange`, while the reactor runs."""
    from twisted.internet.threads import deferToThread  # noqa: PLC0415  # it imports the reactor

    return await deferToThread(wire.exchange, url, request, timeout_s)


@ensure_deferred
async def test_https_is_for_nodes_that_are_trusted(house: House) -> None:
    """Nothing is sent to another; --ca-file names whom to trust, for the client as a policy."""
    tls, ca_file = certified(house.folder)
    told = answer(200, state_json(5, 1))
    with scripted_node(lambda connection, _: connection.sendall(told), tls) as node:
        status, _, err = await run(node.url, house, "set", "7")
        assert (status, node.requests) == (1, [])
        assert "its certificate is not trusted: " in err
        assert "--ca-file" in err
        assert await run(node.url, house, "get", "--ca-file", str(ca_file)) == (0, "1\n", "")
        assert (await run(node.url, house, "get", "--ca-file", "/nonexistent"))[0] == 2
        doubting = Client(reactor, [node.url])
        with pytest.raises(UnreachableError, match="verify failed"):
            await doubting.get()
        await doubting.stop()
        authority = Certificate.loadPEM(ca_file.read_bytes())
        trusting = Client(reactor, [node.url], tls=BrowserLikePolicyForHTTPS(authority))
        assert (await trusting.get()).value == 1
        await trusting.stop()


@ensure_deferred
async def test_a_twisted_program_gets_and_sets(house: House) -> None:
    """Also when the first node is down."""
    node = await house.node("n").start()
    client = Client(reactor, [NOBODY, node.url])
    before: Reading = await client.get()
    assert (before.value, before.generation) == (42, 0)
    after = await client.set(43, if_match=before.tag)
    assert (after.value, after.tag) == (43, (await client.get()).tag)
    await client.stop()
    alone = Client(reactor, [NOBODY])
    with pytest.raises(UnreachableError, match=NOBODY):
        await alone.set(44)
    await alone.stop()


@ensure_deferred
async def test_a_twisted_program_watches(house: House) -> None:  # noqa: ARG001  # its report
    """The value is in memory, through a lost connection; after stop no connection is left."""
    gone = threading.Event()

    def script(connection: socket.socket, _request: bytes) -> None:
        connection.sendall(STREAM_HEAD + event(4 + len(node.requests), len(node.requests)))
        if len(node.requests) > 1:
            assert connection.recv(1) == b""
            gone.set()

    with scripted_node(script) as node:
        client = Client(reactor, [node.url], rng=random.Random(1))
        watched = client.watch()
        await watched.ready().addTimeout(10, reactor)
        assert (watched.value, watched.generation) == (1, 5)
        await watched.changed().addTimeout(10, reactor)
        assert (watched.value, watched.generation) == (2, 6)
        assert watched.staleness_s < 5
        await client.stop()
        await eventually(lambda: closed(gone), 5, "the connection is gone")
        assert watched.value == 2


@ensure_deferred
async def test_the_example_of_the_readme_runs(house: House) -> None:
    """As it stands there, at another address."""

    def script(connection: socket.socket, request: bytes) -> None:
        line = request.partition(b"\r\n")[0]
        if line.startswith(b"GET /v1/watch"):
            connection.sendall(STREAM_HEAD + event(6, 43))
            connection.recv(1)
        else:
            connection.sendall(answer(200, state_json(6, 43) if line.startswith(b"PUT") else state_json(5, 42)))

    example = (ROOT / "README.md").read_text().partition("```python\n")[2].partition("```")[0]
    path = house.folder / "example.py"
    with scripted_node(script) as node:
        path.write_text(example.replace("http://127.0.0.1:8080", node.url))
        environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
        process = Process("example", [sys.executable, str(path)], environ, house.folder)
        assert await process.ended(20) == 0, process.output
    tag = state_json(6, 43)["tag"]
    written, changed, kept = process.output.splitlines()
    value, generation, staleness_s = kept.split()
    assert (written, changed, value, generation) == (f"43 {tag}", "changed to 43", "43", "6")
    assert 0 <= float(staleness_s) < 10


async def closed(event_: threading.Event) -> bool:
    """It has been set."""
    return event_.is_set()
