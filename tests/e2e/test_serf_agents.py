"""Real Serf agents and our nodes as members of one cluster: each takes the other for one of its own."""

import os
import time
from collections.abc import Awaitable, Callable

import pytest

from tests.e2e.harness import (
    GOSSIP_PORT,
    HTTP_PORT,
    RPC_PORT,
    SERF,
    House,
    Node,
    Process,
    SerfAgent,
    at_once,
    ensure_deferred,
    eventually,
    pause,
)
from tests.e2e.network import HostNode, Network

pytestmark = pytest.mark.interop

QUIET_S = 30.0
"""How long the issue wants members to see each other alive without a suspicion."""
JOIN_TIMEOUT_S = 5.0
Member = Node | SerfAgent


async def all_see(members: list[Member], wanted: dict[str, str], within_s: float = 30.0) -> None:
    """Every one of these members lists these statuses, in time."""
    await at_once(*(each.sees(wanted, within_s) for each in members))


def monitor_of(agent: SerfAgent) -> Process:
    """`serf monitor` runs at this agent, until it is killed."""
    assert SERF is not None
    command = [SERF, "monitor", f"-rpc-addr={agent.host}:{RPC_PORT}", "-log-level=debug"]
    return Process(f"monitor of {agent.name}", command, {"PATH": os.environ["PATH"]}, agent.folder)


async def throughout(seconds: float, check: Callable[[], Awaitable[object]]) -> None:
    """The check passes, asked again each second for so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        await check()
        await pause(1.0)


async def assert_alive(member: Member, tags: dict[str, dict[str, str]]) -> None:
    """This member lists exactly these names, alive and not suspected, with at least these tags."""
    seen = await member.members()
    assert sorted(seen) == sorted(tags), (member.name, seen)
    for name, wanted in tags.items():
        assert seen[name]["status"] == "alive", (member.name, seen[name])
        assert not seen[name].get("suspect"), (member.name, seen[name])
        assert wanted.items() <= seen[name]["tags"].items(), (member.name, seen[name])


@ensure_deferred
async def test_nodes_and_agents_list_each_other_alive_for_30_seconds(house: House) -> None:
    """Whoever joined whom, for 30 s each lists all others alive with their tags, and nobody suspects anybody."""
    # Three clusters side by side: an agent joined a node, a node joined an agent, and three of each in a chain.
    ours = {"http": f"http:{HTTP_PORT}", "kind": "ours"}
    theirs = {"kind": "theirs"}
    settled = ["--debug-interval", "0", "--tag", "kind=ours"]

    def node(name: str, *join: Member) -> Node:
        return house.node(name, join=join, options=settled)

    def agent(name: str, *options: str) -> SerfAgent:
        return house.agent(name, "-tag", "kind=theirs", *options)

    host1, guest1 = node("host1"), agent("guest1")
    host2 = agent("host2")
    guest2 = node("guest2", host2)
    a1, a2, a3 = agent("a1"), agent("a2", "-disable-compression"), agent("a3")
    n1, n2, n3 = node("n1"), node("n2", a1), node("n3", a2)
    await at_once(*(each.start() for each in (host1, guest1, host2, a1, a2, a3, n1)))
    await at_once(guest1.join(host1.host), guest2.start(), a1.join(n1.host), n2.start())
    await a2.join(n2.host)
    await at_once(n3.start(), a3.join(n1.host))

    clusters: list[list[Member]] = [[host1, guest1], [host2, guest2], [a1, n1, a2, n2, a3, n3]]
    for cluster in clusters:
        await all_see(cluster, {each.name: "alive" for each in cluster})

    async def all_alive() -> None:
        for cluster in clusters:
            tags = {each.name: theirs if isinstance(each, SerfAgent) else ours for each in cluster}
            for member in cluster:
                await assert_alive(member, tags)

    await throughout(QUIET_S, all_alive)
    for member in (member for cluster in clusters for member in cluster):
        suspicions = [line for line in member.output.splitlines() if "suspect" in line.lower()]
        assert not suspicions, (member.name, suspicions)
        assert "member failed" not in member.output, member.name
        assert "EventMemberFailed" not in member.output, member.name


@ensure_deferred
async def test_ends_and_returns_are_seen_alike_by_both_kinds(house: House) -> None:
    """Killed members are failed and leavers left, for a node as for an agent; whom an agent forces out may return."""
    watch_agent = await house.agent("watch-agent").start()
    watch_node = await house.node("watch-node", join=[watch_agent]).start()
    killed_node, left_node = house.node("killed-node", join=[watch_agent]), house.node("left-node", join=[watch_agent])
    killed_agent, left_agent = house.agent("killed-agent"), house.agent("left-agent")
    await at_once(*(each.start() for each in (killed_node, left_node, killed_agent, left_agent)))
    await at_once(killed_agent.join(watch_node.host), left_agent.join(watch_node.host))
    watchers: list[Member] = [watch_agent, watch_node]
    names = ["watch-agent", "watch-node", "killed-node", "left-node", "killed-agent", "left-agent"]
    await all_see([*watchers, killed_node, left_node, killed_agent, left_agent], dict.fromkeys(names, "alive"))

    await at_once(left_node.stop(), left_agent.run("leave"))
    await all_see(watchers, {"left-node": "left", "left-agent": "left"})
    await at_once(killed_node.kill(), killed_agent.kill())
    await all_see(watchers, {"killed-node": "failed", "killed-agent": "failed"}, within_s=60)
    await all_see(watchers, {"left-node": "left", "left-agent": "left"})

    text, code = await watch_agent.run("force-leave", "killed-node")
    assert code == 0, text
    await all_see(watchers, {"killed-node": "left"})

    await at_once(*(each.start() for each in (killed_node, left_node, killed_agent, left_agent)))
    await at_once(killed_agent.join(watch_node.host), left_agent.join(watch_node.host))
    await all_see([*watchers, killed_node, left_node, killed_agent, left_agent], dict.fromkeys(names, "alive"), 60)


@ensure_deferred
async def test_events_pass_between_a_node_and_an_agent(house: House) -> None:
    """`serf event` reaches our node; our value event shows in `serf monitor`, and in the hands of an event handler."""
    heard = house.folder / "heard"
    agent = await house.agent("agent", f"-event-handler=user:onevalue=cat >> {heard}; echo >> {heard}").start()
    node = await house.node("node", join=[agent]).start()
    await all_see([agent, node], {"agent": "alive", "node": "alive"})
    monitor = monitor_of(agent)
    try:
        text, code = await agent.run("event", "-coalesce=false", "deploy", "release 7")
        assert code == 0, text

        async def reached_us() -> bool:
            return any("user event deploy" in line and "release 7" in line for line in node.output.splitlines())

        await eventually(reached_us, 10, "the agent's event is in our log")
        assert (await node.set(4711)).status == 200

        async def reached_the_agent() -> bool:
            return "user-event: onevalue" in monitor.output and '"value":4711' in heard.read_text()

        await eventually(reached_the_agent, 10, "our event is at the agent")
    finally:
        await monitor.kill()


@ensure_deferred
async def test_a_node_that_knows_only_an_agent_is_ready_in_bounded_time(house: House) -> None:
    """A plain agent cannot say what the cluster holds: the node waits for its join timeout, and then takes writes."""
    agent = await house.agent("agent").start()
    node = await house.node("node", join=[agent]).start(ready=False)
    up = time.monotonic()
    refused = await node.set(1)
    await eventually(node.is_ready, JOIN_TIMEOUT_S + 5, "it is ready")
    waited_s = time.monotonic() - up
    assert refused.status == 503
    assert waited_s > JOIN_TIMEOUT_S / 2  # it did wait for somebody who knows
    assert (await node.set(2)).status == 200
    assert f"joined at {agent.host}" in node.output


@pytest.mark.parametrize("family", ["IPv4", "IPv6"])
@ensure_deferred
async def test_a_value_crosses_through_agents_alone(house: House, network: Network, family: str) -> None:
    """Two nodes between which the network drops everything hold one value and stay alive, because agents pass on."""
    hosts = [await network.host() for _ in range(4)]
    addresses = [host.address if family == "IPv4" else f"[{host.address6}]" for host in hosts]
    await network.drop(hosts[0], hosts[1])
    a1, a2 = (SerfAgent(f"a{i - 1}", addresses[i], house.folder, prefix=hosts[i].enter) for i in (2, 3))
    house.agents += [a1, a2]
    await at_once(a1.start(), a2.start())
    await a2.join(a1.host)
    often = ["--broadcast-interval", "0.5"]
    n1, n2 = (
        HostNode(f"n{i + 1}", addresses[i], house.folder, join=[agent.host], options=often, prefix=hosts[i].enter)
        for i, agent in enumerate((a1, a2))
    )
    house.nodes += [n1, n2]
    await at_once(n1.start(), n2.start())
    everybody: list[Member] = [n1, n2, a1, a2]
    await all_see(everybody, {each.name: "alive" for each in everybody})
    plain = [address.strip("[]") for address in addresses]
    for port in (HTTP_PORT, GOSSIP_PORT):
        assert await at_once(hosts[0].reaches(plain[1], port), hosts[1].reaches(plain[0], port)) == [False, False]
    assert await hosts[0].reaches(plain[3], GOSSIP_PORT)

    for value, writer, reader in ((101, n1, n2), (102, n2, n1), (103, n1, n2), (104, n2, n1)):
        assert (await writer.set(value)).status == 200
        await reader.holds(value, within_s=40)  # gossip takes a fraction of a second; a push/pull brings the rest
    held = [{**state, "last_contact_s": None} for state in await at_once(n1.value(), n2.value())]
    assert held[0] == held[1]
    assert (held[0]["generation"], held[0]["origin"]) == (4, "n2")
    # They go on taking each other for alive: agents ping for them.
    await all_see(everybody, {each.name: "alive" for each in everybody})

    async def exchanged() -> bool:
        spread = (await n1.call("GET", "/v1/status")).json()["spread"]
        return bool(spread["exchanges"] - spread["failures"] > len(everybody) - 1)  # more than can be under way

    assert not await exchanged()
    await network.heal(hosts[0], hosts[1])
    await eventually(exchanged, 20, "once nothing is dropped any more, the two exchange states")
