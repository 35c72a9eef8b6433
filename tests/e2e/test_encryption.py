"""Keys, labels and queries among real processes, our nodes and real Serf agents beside each other."""

import base64
import json
import os
import stat
from collections.abc import Sequence
from typing import Any

import pytest

from onevalue.wire.key_text import fingerprint
from tests.e2e.harness import (
    House,
    Node,
    SerfAgent,
    at_once,
    ensure_deferred,
    eventually,
    free_address,
    request,
)

KEEP_NO_KEYRING = "-keyring-file="
Member = Node | SerfAgent


def new_key() -> str:
    """As `serf keygen` prints it."""
    return base64.b64encode(os.urandom(32)).decode()


def key_file(house: House, *keys: str, mode: int = 0o600) -> str:
    """A file for `--key-file`."""
    path = house.folder / "keys"
    path.write_text("".join(f"{key}\n" for key in keys))
    path.chmod(mode)
    return str(path)


def kept_keyring(house: House, name: str) -> tuple[list[str], int]:
    """The keys that a node keeps, and the permissions of their file."""
    path = house.folder / name / "keyring.json"
    return json.loads(path.read_text()), stat.S_IMODE(path.stat().st_mode)


def print_of(key: str) -> str:
    """The fingerprint of a key."""
    return fingerprint(base64.b64decode(key))


async def all_see(watchers: Sequence[Member], wanted: dict[str, str], within_s: float = 25.0) -> None:
    """Each of them sees these statuses."""
    await at_once(*(each.sees(wanted, within_s) for each in watchers))


async def mixed(house: House, key: str) -> tuple[list[Node], list[SerfAgent]]:
    """Two nodes and two agents of one key, which know each other."""
    agents = [house.agent(f"a{i}", f"-encrypt={key}", f"-tag=role=agent{i}") for i in (1, 2)]
    await at_once(*(agent.start() for agent in agents))
    await agents[1].join(agents[0].host)
    options = ["--key-file", key_file(house, key), "--tag", "role=node"]
    nodes = [house.node(f"n{i}", join=agents, options=options) for i in (1, 2)]
    await at_once(*(node.start() for node in nodes))
    everybody: list[Member] = [*nodes, *agents]
    await all_see(everybody, {each.name: "alive" for each in everybody})
    return nodes, agents


async def keys_of(node: Node) -> dict[str, Any]:
    """What GET /v1/keys says."""
    answer = await node.call("GET", "/v1/keys")
    assert answer.status == 200, answer.text
    return dict(answer.json())


async def change(node: Node, action: str, key: str) -> None:
    """All members do it."""
    answer = await node.call("POST", f"/v1/keys/{action}", json={"key": key})
    assert answer.status == 200, answer.text


@pytest.mark.interop
@ensure_deferred
async def test_keys_rotate_from_either_side_with_nothing_lost(house: House) -> None:
    """Install, use and remove, begun at nodes and agents by turns; values pass all the time; the ring is kept."""
    first, second, third = new_key(), new_key(), new_key()
    nodes, agents = await mixed(house, first)
    n1, n2 = nodes
    value = 100

    async def a_value_passes() -> None:
        nonlocal value
        value += 1
        assert (await n1.set(value)).status == 200
        await n2.holds(value, within_s=5)

    async def agent_does(agent: SerfAgent, option: str, key: str) -> None:
        text, code = await agent.run("keys", f"-{option}={key}")
        assert code == 0, text

    await a_value_passes()
    for old, new, from_node_first in ((first, second, True), (second, third, False)):
        if from_node_first:
            await change(n1, "install", new)
            await a_value_passes()
            await agent_does(agents[0], "use", new)
            await a_value_passes()
            await change(n2, "remove", old)
        else:
            await agent_does(agents[1], "install", new)
            await a_value_passes()
            await change(n2, "use", new)
            await a_value_passes()
            await agent_does(agents[0], "remove", old)
        await a_value_passes()
        told = await keys_of(n1)
        assert (told["keys"], told["primary_keys"]) == ({print_of(new): 4}, {print_of(new): 4})
        text, code = await agents[0].run("keys", "-list")
        assert code == 0
        assert new in text
        assert "[4/4]" in text
    everybody: list[Member] = [*nodes, *agents]
    await all_see(everybody, {each.name: "alive" for each in everybody})

    assert kept_keyring(house, "n1") == ([third], 0o600)
    await n1.stop()
    await n1.start()  # with the same, now outdated, --key-file
    await all_see(everybody, {each.name: "alive" for each in everybody})
    await a_value_passes()
    assert "is not in the kept keyring" in n1.output
    for each in nodes:
        log = each.output + (await each.call("GET", "/v1/status")).text + (await each.call("GET", "/v1/keys")).text
        assert not any(key in log for key in (first, second, third)), "a key is shown"
        assert "member failed" not in each.output
    assert (await n1.call("GET", "/v1/status")).json()["engine"]["encryption"]["keys"] == [print_of(third)]


@pytest.mark.interop
@ensure_deferred
async def test_queries_acks_and_relays_cross_an_encrypted_mix(house: House) -> None:
    """`serf query`, `reachability` and `rtt` at agents know our nodes; our queries are acked by agents."""
    nodes, agents = await mixed(house, new_key())
    assert (await nodes[0].set(4711)).status == 200
    await nodes[1].holds(4711)
    for options in ([], ["-relay-factor=2"]):
        text, code = await agents[0].run("query", *options, "onevalue")
        assert code == 0, text
        assert "Total Acks: 4" in text
        assert "Total Responses: 2" in text
        lines = [line.partition(": ")[2] for line in text.splitlines() if line.startswith("Response from 'n")]
        assert [json.loads(line)["value"] for line in lines] == [4711, 4711]
        assert len({json.loads(line)["tag"] for line in lines}) == 1
    for option, acks in (("-tag=role=node", 2), ("-tag=role=^agent[12]$", 2), ("-node=n2", 1), ("-tag=role=nobody", 0)):
        text, code = await agents[1].run("query", option, "anything")
        assert code == 0, text
        assert f"Total Acks: {acks}" in text
    text, code = await agents[0].run("reachability")
    assert code == 0, text
    assert "Successfully contacted all live nodes" in text

    asked = {"name": "_serf_ping", "ack": True, "relay_factor": 1}
    answer = (await nodes[0].call("POST", "/v1/query", json=asked, timeout_s=10)).json()
    assert sorted(answer["acks"]) == ["a1", "a2", "n1", "n2"]
    asked = {"name": "onevalue", "ack": True, "tags": {"role": "^node$"}}
    answer = (await nodes[1].call("POST", "/v1/query", json=asked, timeout_s=10)).json()
    assert sorted(each["from"] for each in answer["answers"]) == ["n1", "n2"]
    assert {json.loads(each["payload"])["value"] for each in answer["answers"]} == {4711}

    async def rtt_is_known() -> bool:
        text, code = await agents[0].run("rtt", "n1", "n2")
        return code == 0 and "Estimated n1 <-> n2 rtt:" in text

    await eventually(rtt_is_known, 30, "an agent estimates the round trip between our nodes")

    async def ours_know_too() -> bool:
        listed = (await nodes[0].call("GET", "/v1/members?rtt_from=a1")).json()["members"]
        return all(each["rtt_s"] is not None and 0 <= each["rtt_s"] < 1 for each in listed)

    await eventually(ours_know_too, 30, "our node estimates the round trip from an agent to each member")


@ensure_deferred
async def test_a_cluster_moves_from_plain_to_encrypted_without_a_failed_member(house: House) -> None:
    """The three steps of the README, one node after the other; values pass all the time, also across restarts."""
    nodes = await house.cluster(3)
    keys = ["--key-file", key_file(house, new_key())]
    value = 0

    async def a_value_passes() -> None:
        nonlocal value
        value += 1
        assert (await nodes[value % 3].set(value)).status == 200
        await at_once(*(node.holds(value, within_s=5) for node in nodes))

    await a_value_passes()
    for options in (
        [*keys, "--verify-incoming", "no", "--verify-outgoing", "no"],
        [*keys, "--verify-incoming", "no"],
        keys,
    ):
        for node in nodes:
            await node.stop()
            node.options = options
            await node.start()
            await all_see(nodes, {each.name: "alive" for each in nodes})
            await a_value_passes()
    for node in nodes:
        assert "member failed" not in node.output
        status = (await node.call("GET", "/v1/status")).json()
        assert status["engine"]["encryption"]["verify_incoming"] is True
        assert status["spread"]["answers_unauthenticated"] == 0
    stranger = await house.node("stranger", join=[nodes[0]]).start()
    assert len(await stranger.members()) == 1
    pushed = await nodes[0].call("GET", "/notify/666/99?notifier=stranger")
    assert pushed.status == 403
    assert await nodes[0].get() == str(value)


@pytest.mark.interop
@ensure_deferred
async def test_a_mixed_cluster_moves_from_plain_to_encrypted(house: House) -> None:
    """Agents know no step between: they leave before ours encrypt, and come back with the key; nobody fails."""
    agents = [house.agent(f"a{i}", KEEP_NO_KEYRING) for i in (1, 2)]
    await at_once(*(agent.start() for agent in agents))
    await agents[1].join(agents[0].host)
    hosts = [free_address(), free_address()]
    nodes = [house.node(f"n{i + 1}", host=hosts[i], join=[*hosts, agents[0]]) for i in (0, 1)]
    await at_once(*(node.start() for node in nodes))
    everybody: list[Member] = [*nodes, *agents]
    await all_see(everybody, {each.name: "alive" for each in everybody})
    key = new_key()
    keys = ["--key-file", key_file(house, key)]

    async def restart(options: list[str]) -> None:
        for node in nodes:
            await node.stop()
            node.options = options
            await node.start()
            await all_see(nodes, {each.name: "alive" for each in nodes})

    await restart([*keys, "--verify-incoming", "no", "--verify-outgoing", "no"])
    await all_see(everybody, {each.name: "alive" for each in everybody})
    await at_once(*(agent.run("leave") for agent in agents))
    await all_see(nodes, {agent.name: "left" for agent in agents})
    await restart([*keys, "--verify-incoming", "no"])
    for agent in agents:
        agent.options = [KEEP_NO_KEYRING, f"-encrypt={key}"]
    await at_once(*(agent.start() for agent in agents))
    await at_once(*(agent.join(nodes[0].host) for agent in agents))
    await all_see(everybody, {each.name: "alive" for each in everybody})
    await restart(keys)
    await all_see(everybody, {each.name: "alive" for each in everybody})
    assert not any("member failed" in node.output for node in nodes)


@ensure_deferred
async def test_labels_keep_clusters_apart(house: House) -> None:
    """Nodes that dial each other under different labels, with and without keys, stay two clusters."""
    keys = ["--key-file", key_file(house, new_key())]
    for more in ([], keys):
        hosts = [free_address() for _ in range(4)]
        labels = ["blue", "blue", "red", ""]
        nodes = [
            house.node(f"{label or 'none'}{i}", host=host, join=hosts, options=[*more, "--label", label])
            for i, (label, host) in enumerate(zip(labels, hosts, strict=True))
        ]
        await at_once(*(node.start() for node in nodes))
        blue = nodes[:2]
        await all_see(blue, {node.name: "alive" for node in blue})
        assert (await blue[0].set(5)).status == 200
        await blue[1].holds(5)
        for node in nodes[2:]:
            assert list(await node.members()) == [node.name]
            assert await node.get() == "42"
        assert sorted(await blue[0].members()) == sorted(node.name for node in blue)

        async def counted() -> bool:
            status = (await nodes[2].call("GET", "/v1/status")).json()  # noqa: B023  # asked within the turn
            return bool(status["engine"]["swim"]["counters"]["mislabelled"])

        await eventually(counted, 10, "what came with another label is counted")
        for node in nodes:
            assert node.process is not None
            await node.process.kill()


@ensure_deferred
async def test_what_cannot_be_done_with_keys_is_refused(house: House) -> None:
    """Wrong keys, fields, actions and senders are refused by name, and nothing changes."""
    key = new_key()
    node = await house.node("n", options=["--key-file", key_file(house, key)]).start()
    for body, status, words in [
        ({"key": "nonsense"}, 400, "key"),
        ({}, 400, "key is missing"),
        ({"key": key, "more": 1}, 400, "'more'"),
    ]:
        answer = await node.call("POST", "/v1/keys/install", json=body)
        assert (answer.status, words in answer.text) == (status, True), answer.text
    assert (await node.call("POST", "/v1/keys/steal", json={"key": key})).status == 404
    answer = await node.call("POST", "/v1/keys/remove", json={"key": key})
    assert answer.status == 409
    assert "primary" in answer.json()["messages"]["n"]
    assert key not in answer.text
    browser = {"Sec-Fetch-Site": "cross-site"}
    answer = await request("POST", f"{node.url}/v1/keys/install", json={"key": new_key()}, headers=browser)
    assert answer.status == 403
    assert (await keys_of(node))["keys"] == {print_of(key): 1}


@ensure_deferred
async def test_a_file_of_keys_that_others_may_read_ends_the_start(house: House) -> None:
    """One line says what to do; the same for what is no key, and no line shows it."""
    path = key_file(house, key := new_key(), mode=0o644)
    node = house.node("n", options=["--key-file", path])
    process = node.spawn()
    assert await process.ended() != 0
    assert f"chmod 600 {path}" in node.output
    key_file(house, key[:-3])
    process = node.spawn()
    assert await process.ended() != 0
    assert "--key-file" in node.output
    assert key[:-3] not in node.output
