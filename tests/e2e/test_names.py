"""Two of one name, and one that comes back elsewhere, among real agents and our nodes."""

import time
from collections.abc import Sequence
from typing import Any

import pytest

from tests.e2e.harness import GOSSIP_PORT, House, Node, SerfAgent, at_once, ensure_deferred, eventually

PROMPTLY_S = 20.0
"""A failure is detected within six seconds or so among so few; then a second, and the node insists every two."""


async def dispute(node: Node) -> Any:
    """What /v1/status says of the node's name."""
    return (await node.call("GET", "/v1/status")).json()["engine"]["name_dispute"]


async def verdict_is(node: Node, verdict: str, within_s: float = 20.0) -> None:
    """The last vote said so, in time."""

    async def check() -> bool:
        return bool((await dispute(node))["verdict"] == verdict)

    await eventually(check, within_s, f"{node.name} at {node.host}: {verdict}")


async def known_at(watchers: Sequence[Node], name: str, host: str, within_s: float) -> None:
    """All know the member alive at this address, in time."""

    async def check() -> bool:
        for watcher in watchers:
            member = (await watcher.members())[name]
            assert (member["address"], member["status"]) == (host, "alive"), member
        return True

    await eventually(check, within_s, f"{name} is known at {host}")


@pytest.mark.interop
@ensure_deferred
async def test_of_two_nodes_of_one_name_the_later_loses_says_so_and_goes_on(house: House) -> None:
    """Agents and nodes vote; the loser holds the value all the same, and is a member once the other is gone."""
    agent = await house.agent("a1").start()
    n2 = await house.node("n2", join=[agent]).start()
    n3 = await house.node("n3", join=[agent]).start()
    first = await house.node("n1", join=[agent, n2]).start()
    await at_once(*(each.sees(dict.fromkeys(("n1", "n2", "n3", "a1"), "alive")) for each in (agent, n2, n3, first)))
    twin = house.node("n1", join=[agent, n2], keep=False)
    await twin.start()

    await verdict_is(twin, "lost")
    assert "LOST its name n1" in twin.output
    assert (await dispute(twin))["other"] == f"{first.host}:{GOSSIP_PORT}"
    assert (await dispute(first) or {"verdict": "won"})["verdict"] == "won"
    assert (await agent.members())["n1"]["addr"] == f"{first.host}:{GOSSIP_PORT}"
    assert (await n2.set(5)).status == 200
    await at_once(first.holds(5), twin.holds(5))

    killed = time.monotonic()
    await first.kill()
    await known_at([n2, n3], "n1", twin.host, PROMPTLY_S)
    assert time.monotonic() - killed > 1.0
    assert twin.process is not None
    assert twin.process.running


@pytest.mark.interop
@ensure_deferred
async def test_an_agent_that_takes_the_name_of_a_node_is_voted_out(house: House) -> None:
    """Our votes count for it: it ends itself, as Serf has it, and the node is alive for everybody."""
    agent = await house.agent("a1").start()
    n2 = await house.node("n2", join=[agent]).start()
    n1 = await house.node("n1", join=[agent, n2]).start()
    watchers: list[Node | SerfAgent] = [agent, n1, n2]
    await at_once(*(each.sees(dict.fromkeys(("n1", "n2", "a1"), "alive")) for each in watchers))
    twin = await house.agent("n1").start()
    await twin.run("join", f"{n2.host}:{GOSSIP_PORT}")
    assert twin.process is not None
    await twin.process.ended(30)
    assert "minority in name conflict" in twin.output
    await at_once(*(each.sees({"n1": "alive"}) for each in watchers))
    assert (await agent.members())["n1"]["addr"] == f"{n1.host}:{GOSSIP_PORT}"
    assert "LOST" not in n1.output


@ensure_deferred
async def test_a_node_that_was_killed_is_soon_known_at_its_new_address(house: House) -> None:
    """The same name and data folder, another host, started at once after the crash; its value is there."""
    nodes = await house.cluster(3)
    assert (await nodes[0].set(9)).status == 200
    await nodes[0].kill()
    moved = house.node("n1", join=[nodes[1]])
    begun = time.monotonic()
    await moved.start()
    await known_at([*nodes[1:], moved], "n1", moved.host, PROMPTLY_S)
    assert time.monotonic() - begun < PROMPTLY_S
    assert await moved.get() == "9"

    await moved.stop()
    again = house.node("n1", join=[nodes[1]])
    await again.start()
    await known_at([*nodes[1:], again], "n1", again.host, 5.0)  # one that has left may come back anywhere
