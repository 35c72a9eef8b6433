"""What was, and where else the value is, with real processes: the history, the value file, the reset of a cluster."""

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from onevalue.exchange import Statement, encode_statement
from onevalue.signing import Signer
from onevalue.store import State, state_from_json
from onevalue.wire.envelope import Envelope
from onevalue.wire.key_text import decode_key
from onevalue.wire.keyring import Keyring
from tests.e2e.harness import Answer, House, Node, at_once, ensure_deferred, eventually
from tests.e2e.test_cluster import all_hold_one_state
from tests.e2e.test_encryption import key_file, new_key


async def history(node: Node, query: str = "") -> list[dict[str, Any]]:
    """What the node lists, the newest first."""
    listed: list[dict[str, Any]] = (await node.call("GET", f"/v1/history{query}")).json()["history"]
    return listed


async def values(node: Node, query: str = "") -> list[Any]:
    """The values of it."""
    return [entry["value"] for entry in await history(node, query)]


async def put(node: Node, value: int, upon: str | None = None) -> Answer:
    """A write, upon a state if need be."""
    return await node.call("PUT", "/v1/value", data=b"%d" % value, headers={} if upon is None else {"If-Match": upon})


def content(path: Path) -> str:
    """What any program reads there."""
    return path.read_text(encoding="utf-8")


async def reads(path: Path, text: str, within_s: float = 5.0) -> None:
    """The file has this text, in time."""

    async def check() -> bool:
        found = content(path)
        assert found == text, found
        return True

    await eventually(check, within_s, f"{path} has {text!r}")


# The history ----------------------------------------------------------------------------------------------------------


@ensure_deferred
async def test_each_node_lists_what_it_has_accepted(house: House) -> None:
    """Own writes as set, those of others by the way that they came; the same states, where none was left out."""
    one, two = await house.cluster(2)
    for value in (5, 6):
        await one.set(value)
        await two.holds(value)
    [newest, before] = await history(one)
    assert (newest["value"], newest["generation"], newest["origin"], newest["source"]) == (6, 2, "n1", "set")
    assert before["value"] == 5
    assert f'"{newest["tag"]}"' == (await one.call("GET", "/v1/value")).header("ETag")

    async def learnt() -> bool:
        listed = await history(two, "?limit=1")
        assert [entry["value"] for entry in listed] == [6]
        return listed[0]["source"] in {"event", "anti-entropy", "notify"}

    await eventually(learnt, 5, "the other has journalled what it learnt")


@ensure_deferred
async def test_as_many_are_kept_as_the_node_is_told(house: House) -> None:
    """Over a restart; fewer from the next write on; none with 0, nor without a journal."""
    node = house.node("alone", options=["--history-max", "3"])
    await node.start()
    for value in range(5):
        await node.set(value)
    assert await values(node) == [4, 3, 2]
    await node.kill()
    await node.start()
    assert await values(node, "?limit=2") == [4, 3]
    for kept, expected in [("2", [5, 4]), ("0", [])]:
        await node.stop()
        node.options = ["--history-max", kept]
        await node.start()
        await node.set(5 if kept == "2" else 6)
        assert await values(node) == expected
    assert (await node.call("GET", "/v1/history")).json()["history_max"] == 0
    bare = await house.node("bare", keep=False).start()
    await bare.set(1)
    assert (await bare.call("GET", "/v1/history")).json() == {"history": [], "history_max": 0}
    assert (await bare.call("GET", "/v1/history?limit=x")).status == 400


@ensure_deferred
async def test_a_write_can_be_undone(house: House) -> None:
    """As the README says: the value before is in the history, and is written upon the state that was wrong."""
    one, two = await house.cluster(2)
    await one.set(41)
    await one.set(666)
    wrong, right = await history(one, "?limit=2")
    undone = await put(one, right["value"], f'"{wrong["tag"]}"')
    assert (undone.status, undone.json()["generation"]) == (200, wrong["generation"] + 1)
    await two.holds(41)
    assert (await put(one, 7, f'"{wrong["tag"]}"')).status == 412


# The value file -------------------------------------------------------------------------------------------------------


@ensure_deferred
async def test_the_value_file_follows_writes_on_another_node(house: House) -> None:
    """It is there from the start, for everybody to read, also after a crash, and has what was held last at a stop."""
    path = house.folder / "run" / "value"
    path.parent.mkdir()
    one, two = await house.cluster(2)
    await two.stop()
    two.options = ["--value-file", str(path)]
    await two.start()
    await reads(path, "42\n")
    assert oct(path.stat().st_mode)[-3:] == "644"
    await one.set(7)
    await reads(path, "7\n")
    status = (await two.call("GET", "/v1/status")).json()
    assert status["value_file"] == {
        "path": str(path),
        "healthy": True,
        "trouble": None,
        "tag": status["state"]["tag"],
    }
    await two.kill()
    assert content(path) == "7\n"
    await one.set(8)
    await two.start()
    await reads(path, "8\n")
    await two.set(9)
    await two.stop()
    assert content(path) == "9\n"
    assert [each.name for each in path.parent.iterdir()] == ["value"]


@ensure_deferred
async def test_a_value_file_that_cannot_be_written_stops_nothing(house: House) -> None:
    """The status tells, the log once; when the folder is back, so is the file."""
    path = house.folder / "run" / "value"
    path.parent.mkdir()
    node = await house.node("alone", options=["--value-file", str(path)]).start()
    await reads(path, "42\n")
    shutil.rmtree(path.parent)
    assert (await node.set(5)).status == 200

    async def troubled() -> bool:
        shown = (await node.call("GET", "/v1/status")).json()["value_file"]
        return shown["healthy"] is False and "No such file" in shown["trouble"]

    await eventually(troubled, 5, "it says so")
    assert (await node.set(6)).status == 200
    path.parent.mkdir()
    await reads(path, "6\n", within_s=10)
    assert node.output.count("The value file cannot be written") == 1


@ensure_deferred
async def test_a_value_file_that_cannot_be_is_one_line(house: House) -> None:
    """The process ends, and names the option."""
    node = house.node("alone", options=["--value-file", str(house.folder)])
    process = node.spawn()
    assert await process.ended() == 1
    assert f"--value-file: {str(house.folder)!r} is a folder" in process.output
    assert "Traceback" not in process.output


# The reset ------------------------------------------------------------------------------------------------------------


def recorded(state: State, key: str) -> dict[str, Any]:
    """A call of a node of the cluster with this key, as somebody may have recorded it."""
    body = encode_statement(Statement(name="n1", learning=False, state=state))
    keyring = Keyring([decode_key(key)], os.urandom)
    return {"data": body, "headers": {**Signer(Envelope(b"", keyring), os.urandom).request(body)}}


async def start_all(nodes: Sequence[Node]) -> None:
    """All at once; they take writes and know each other."""
    for node in nodes:
        node.spawn()
    for node in nodes:
        await eventually(node.is_ready, 20, f"{node.name} is ready")
        await node.sees({each.name: "alive" for each in nodes})


@ensure_deferred
async def test_a_cluster_is_reset(house: House) -> None:
    """As the README says: without data folders, with a new key, it begins anew, and recorded calls do nothing."""
    old, new = new_key(), new_key()
    nodes = await house.cluster(3, options=["--key-file", key_file(house, old)])
    for value in (5, 6, 7):
        await nodes[0].set(value)
    for node in nodes:
        await node.holds(7)
    call = recorded(state_from_json(await nodes[0].value()), old)
    await at_once(*(node.stop() for node in nodes))
    for node in nodes:
        shutil.rmtree(house.folder / node.name)
    key_file(house, new)
    await start_all(nodes)
    answer = await nodes[1].call("POST", "/notify", **call)
    assert answer.status == 403
    for node in nodes:
        state = await node.value()
        assert (state["value"], state["generation"]) == (42, 0)
        assert await history(node) == []
    assert (await put(nodes[2], 1)).json()["generation"] == 1
    await all_hold_one_state(nodes, within_s=5)


@ensure_deferred
async def test_without_a_new_key_a_recorded_call_undoes_a_reset(house: House) -> None:
    """Why the README asks for one."""
    key = new_key()
    node = await house.node("n1", options=["--key-file", key_file(house, key)]).start()
    await node.set(5)
    call = recorded(state_from_json(await node.value()), key)
    await node.stop()
    shutil.rmtree(house.folder / node.name)
    await node.start()
    assert await node.get() == "42"
    assert json.loads((await node.call("POST", "/notify", **call)).body)["changed"] is True
    assert await node.get() == "5"


@ensure_deferred
async def test_a_reset_can_keep_the_value_of_one_node(house: House) -> None:
    """Its data folder stays, but for the keyring: the others learn from it, also under a new key."""
    nodes = await house.cluster(3, options=["--key-file", key_file(house, new_key())])
    await nodes[0].set(5)
    await all_hold_one_state(nodes, within_s=5)

    async def journalled() -> bool:
        return await values(nodes[2]) == [5]

    await eventually(journalled, 5, "the third has on its disk what it learnt")
    await nodes[2].kill()
    await nodes[0].set(6)
    await nodes[1].holds(6)
    await at_once(*(node.stop() for node in nodes[:2]))
    for node in nodes[:2]:
        shutil.rmtree(house.folder / node.name)
    (house.folder / nodes[2].name / "keyring.json").unlink(missing_ok=True)
    key_file(house, new_key())
    await start_all(nodes)
    for node in nodes:
        await node.holds(5)
    assert (await nodes[0].value())["generation"] == 1
    assert (await put(nodes[0], 8)).json()["generation"] == 2
    await all_hold_one_state(nodes, within_s=5)
