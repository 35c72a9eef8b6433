"""Nodes beside real Serf agents, whose members they are, and nodes that are members themselves among them."""

import json
from collections.abc import Sequence

import pytest

from tests.e2e.harness import (
    HTTP_PORT,
    House,
    Node,
    SerfAgent,
    at_once,
    ensure_deferred,
    eventually,
    pause,
)

pytestmark = pytest.mark.interop


NO_ANTI_ENTROPY = ("--broadcast-interval", "3600")
"""What spreads within a test has spread by events."""


class Beside(Node):
    """A node beside an agent of its name and address."""

    agent: SerfAgent

    def command(self) -> list[str]:
        """As a user types it."""
        words = super().command()
        at = words.index("--advertise")
        there = ["--engine", "agent", "--agent", self.host, "--http", f"tcp:{HTTP_PORT}:interface={self.host}"]
        return [*words[:at], *there, *words[at + 2 :]]

    async def engine(self) -> dict[str, object]:
        """What its status tells of the engine."""
        found: dict[str, object] = (await self.call("GET", "/v1/status")).json()["engine"]
        return found


async def beside(house: House, name: str, *join: str, options: Sequence[str] = ()) -> Beside:
    """A ready node with these options beside a new agent, which joins these hosts."""
    agent = await house.agent(name, *(f"-join={host}" for host in join), "-tag", "kind=agent").start()
    node = Beside(name, agent.host, house.folder, options=["--debug-interval", "0", *options])
    node.agent = agent
    house.nodes.append(node)
    await node.start()
    return node


async def three(house: House, *options: str) -> list[Beside]:
    """Three nodes with these options on three agents, which see each other with the tag for HTTP."""
    first = await beside(house, "a1", options=options)
    nodes = [first, *[await beside(house, name, first.host, options=options) for name in ("a2", "a3")]]
    await at_once(*(all_tagged(node, ["a1", "a2", "a3"]) for node in nodes))
    return nodes


async def all_tagged(node: Node, names: Sequence[str]) -> None:
    """The node sees these alive, each with where it serves HTTP."""

    async def check() -> bool:
        seen = {name: (m["status"], m["http"] is not None) for name, m in (await node.members()).items()}
        assert seen == dict.fromkeys(names, ("alive", True)), seen
        return True

    await eventually(check, 20, f"{node.name} sees {names}")


@ensure_deferred
async def test_a_write_spreads_among_nodes_beside_agents(house: House) -> None:
    """To all, without anti-entropy; agents keep their own tags, and tell of the node."""
    nodes = await three(house, *NO_ANTI_ENTROPY)
    for value, writer in enumerate(nodes, 100):
        await writer.set(value)
        await at_once(*(node.holds(value) for node in nodes))
    seen = await nodes[0].agent.members()
    assert all(member["tags"] == {"kind": "agent", "http": f"http:{HTTP_PORT}"} for member in seen.values())
    text, code = await nodes[0].agent.run("query", "-format=json", "onevalue")
    assert code == 0
    assert [json.loads(each)["value"] for each in json.loads(text)["Responses"].values()] == [102] * 3


@ensure_deferred
async def test_an_agent_that_dies_and_comes_back_is_lived_with(house: House) -> None:
    """Meanwhile the node serves, takes writes and exchanges states; then it recovers by itself, though nobody has the
    agent join again.
    """
    nodes = await three(house)
    lonely, other = nodes[1], nodes[2]
    await lonely.agent.kill()

    async def is_away() -> bool:
        status = await lonely.engine()
        return status["connected"] is False and "is away" in str(status["trouble"])

    await eventually(is_away, 5, "the node says that its agent is away")
    await other.set(200)
    await lonely.holds(200, within_s=10)
    assert (await lonely.set(201)).status == 200
    await at_once(*(node.holds(201, within_s=10) for node in nodes))
    assert (await lonely.call("GET", "/readyz")).status == 200

    lonely.agent.options = ["-tag", "kind=agent"]
    await lonely.agent.start()

    async def is_back() -> bool:
        return (await lonely.engine())["connected"] is True

    await eventually(is_back, 10, "the node has found its agent again")
    await at_once(*(all_tagged(node, ["a1", "a2", "a3"]) for node in nodes))
    await other.set(202)
    await lonely.holds(202)
    metrics = (await lonely.call("GET", "/metrics")).text
    assert "\nonevalue_agent_connected 1.0\n" in metrics


@ensure_deferred
async def test_a_node_that_starts_while_its_agent_is_away_asks_the_members_of_its_last_run(house: House) -> None:
    """So it learns before it writes, and has an agent that comes up alone join them."""
    nodes = await three(house)
    lonely, other = nodes[1], nodes[2]
    await lonely.stop()
    await lonely.agent.kill()
    await other.set(300)
    await lonely.start()
    assert (await lonely.engine())["connected"] is False
    assert await lonely.get() == "300"
    assert (await lonely.set(301)).status == 200
    await at_once(*(node.holds(301, within_s=10) for node in nodes))
    lonely.agent.options = ["-tag", "kind=agent"]
    await lonely.agent.start()
    await at_once(*(all_tagged(node, ["a1", "a2", "a3"]) for node in nodes))


@ensure_deferred
async def test_an_agent_that_stands_still_counts_as_away_until_it_goes_on(house: House) -> None:
    """It answers nothing, though its port is open; the node serves meanwhile."""
    node = await beside(house, "a1")
    assert node.agent.process is not None
    node.agent.process.signal("STOP")

    async def is_away() -> bool:
        return "has not answered stats" in str((await node.engine())["trouble"])

    await eventually(is_away, 20, "the node says that its agent does not answer")
    assert (await node.set(500)).status == 200
    node.agent.process.signal("CONT")

    async def is_back() -> bool:
        return (await node.engine())["trouble"] is None

    await eventually(is_back, 20, "the agent answers again")


@ensure_deferred
async def test_a_cluster_of_both_engines_holds_one_value(house: House) -> None:
    """Whoever writes, without anti-entropy; and each sees all others alive."""
    first = await beside(house, "a1", options=NO_ANTI_ENTROPY)
    second = await beside(house, "a2", first.host, options=NO_ANTI_ENTROPY)
    members = [await house.node(name, join=[first.host], options=NO_ANTI_ENTROPY).start() for name in ("m1", "m2")]
    nodes = [first, second, *members]
    await at_once(*(all_tagged(node, ["a1", "a2", "m1", "m2"]) for node in nodes))
    for value, writer in enumerate(nodes, 300):
        await writer.set(value)
        await at_once(*(node.holds(value) for node in nodes))
    large = json.dumps("x" * 20_000).encode()
    assert (await first.call("PUT", "/v1/value", data=large)).status == 200

    async def have_it() -> bool:
        return all([len((await node.value())["value"]) == 20_000 for node in nodes])

    await eventually(have_it, 10, "all hold the large value")
    confirmed = await second.call("PUT", "/v1/value?ack=all", data=b"304")
    assert confirmed.status == 200, confirmed.text


@ensure_deferred
async def test_a_node_goes_over_to_the_embedded_engine_and_back(house: House) -> None:
    """With its name, address and disk; the others take it up each time."""
    nodes = await three(house)
    await nodes[0].set(400)
    await at_once(*(node.holds(400) for node in nodes))
    moved = nodes[2]
    await moved.stop()
    assert (await moved.agent.run("leave"))[1] == 0
    embedded = house.node("a3", host=moved.host, join=[nodes[0].host])
    await embedded.start()
    await at_once(*(all_tagged(node, ["a1", "a2", "a3"]) for node in (*nodes[:2], embedded)))
    assert await embedded.get() == "400"
    await embedded.set(401)
    await at_once(*(node.holds(401) for node in nodes[:2]))
    await embedded.stop()
    moved.agent.options = [f"-join={nodes[0].host}"]
    await moved.agent.start()
    await moved.start()
    await at_once(*(all_tagged(node, ["a1", "a2", "a3"]) for node in nodes))
    assert await moved.get() == "401"


@ensure_deferred
async def test_the_agent_is_told_when_its_node_stops(house: House) -> None:
    """And runs on without our tag."""
    node = await beside(house, "a1")
    await node.stop()
    assert (await node.agent.members())["a1"]["tags"] == {"kind": "agent"}


@ensure_deferred
async def test_an_agent_with_a_key_and_another_name_are_told_in_clear_words(house: House) -> None:
    """In the status and in the log; with the right key and name it works."""
    config = house.folder / "agent.json"
    config.write_text(json.dumps({"rpc_auth": "s3cret"}))
    key = house.folder / "rpc.key"
    key.write_text("s3cret\n")
    key.chmod(0o600)
    agent = house.agent("a1", f"-config-file={config}")
    agent.auth = "s3cret"
    await agent.start()

    def node(name: str, *options: str) -> Beside:
        made = Beside(name, agent.host, house.folder, options=options, keep=False)
        house.nodes.append(made)
        return made

    async def trouble(made: Beside) -> str:
        async def check() -> str:
            return str((await made.engine())["trouble"] or "")

        await made.start(ready=False)
        return await eventually(check, 10, "it says what is wrong")

    without = node("a1")
    assert "Authentication required" in await trouble(without)
    await without.stop()
    other = node("other", "--agent-auth-file", str(key))
    await other.start(ready=False)
    await pause(1.0)
    assert "start this node with --name a1" in str((await other.engine())["trouble"])
    await other.stop()
    right = node("a1", "--agent-auth-file", str(key))
    await right.start()
    assert (await right.engine())["connected"] is True
