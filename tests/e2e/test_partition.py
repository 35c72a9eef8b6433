"""A network that is cut for longer than every timeout of the protocol: it heals by itself, members and value.

The timeouts are shortened by --setting. The only join address is of a node that is gone by then, so that no node is
found by dialling what it was told to join.
"""

from collections.abc import Sequence

from tests.e2e.harness import House, at_once, ensure_deferred, eventually
from tests.e2e.network import Host, HostNode, Network

SHORT = {
    "probe_interval_s": 0.2,
    "probe_timeout_s": 0.1,
    "suspicion_mult": 2,
    "gossip_interval_s": 0.05,
    "gossip_to_the_dead_s": 1,
    "push_pull_interval_s": 1,
    "stream_timeout_s": 1,
    "reap_interval_s": 0.5,
    "reconnect_interval_s": 0.5,
    "reconnect_timeout_s": 3,
    "tombstone_timeout_s": 3,
    "recent_intent_timeout_s": 3,
    "join_retry_max_s": 2,
}
OPTIONS = [word for name, value in SHORT.items() for word in ("--setting", f"{name}={value}")]
FORGOTTEN_WITHIN_S = 20.0
HEALED_WITHIN_S = 20.0


async def forgets(node: HostNode, names: Sequence[str]) -> None:
    """The node lists none of these any more, in time."""

    async def check() -> bool:
        members = await node.members()
        assert not any(name in members for name in names), sorted(members)
        return True

    await eventually(check, FORGOTTEN_WITHIN_S, f"{node.name} has forgotten {names}")


async def cut(network: Network, left: Sequence[Host], right: Sequence[Host]) -> None:
    """Nothing passes between the two sides."""
    for one in left:
        for other in right:
            await network.drop(one, other)


async def mend(network: Network, left: Sequence[Host], right: Sequence[Host]) -> None:
    """All passes again."""
    for one in left:
        for other in right:
            await network.heal(one, other)


@ensure_deferred
async def test_a_cluster_cut_in_two_for_longer_than_every_timeout_heals_by_itself(
    house: House, network: Network
) -> None:
    """Each side forgets the other and goes on; one node of a side even restarts; then all are one, with one value."""
    hosts = [await network.host() for _ in range(5)]
    seed, *rest = hosts
    nodes = [
        HostNode(f"n{i}", host.address, house.folder, join=[seed.address], options=OPTIONS, prefix=host.enter)
        for i, host in enumerate(hosts)
    ]
    house.nodes += nodes
    await at_once(*(node.start() for node in nodes))
    everybody = [node.name for node in nodes]
    await at_once(*(node.sees(dict.fromkeys(everybody, "alive")) for node in nodes))
    first, *others = nodes
    await first.stop()
    names = [node.name for node in others]
    await at_once(*(node.sees(dict.fromkeys(names, "alive")) for node in others))
    await at_once(*(forgets(node, [first.name]) for node in others))

    left, right = others[:2], others[2:]
    await cut(network, rest[:2], rest[2:])
    await at_once(*(forgets(node, [n.name for n in right]) for node in left))
    await at_once(*(forgets(node, [n.name for n in left]) for node in right))
    for value in (11, 12, 13):
        assert (await left[0].set(value)).status == 200
    assert (await right[0].set(21)).status == 200
    await at_once(left[1].holds(13), right[1].holds(21))
    await left[1].kill()
    left[1].join = ()
    await left[1].start()
    await left[1].sees({left[0].name: "alive"})

    await mend(network, rest[:2], rest[2:])
    await at_once(*(node.sees(dict.fromkeys(names, "alive"), HEALED_WITHIN_S) for node in others))
    await at_once(*(node.holds(13) for node in others))
    assert (await right[1].set(99)).status == 200
    await at_once(*(node.holds(99) for node in others))


@ensure_deferred
async def test_a_restarted_node_finds_its_cluster_without_join(house: House) -> None:
    """From its journal: the members that it knew, those too that had failed by then and are back."""
    nodes = await house.cluster(3)
    n1, n2, n3 = nodes
    await n2.kill()
    await n3.sees({"n2": "failed"}, within_s=30)
    await n3.stop()
    await n1.stop()
    for node in nodes:
        node.join = ()
    await n2.start(ready=False)
    await n3.start(ready=False)
    await at_once(*(node.sees({"n2": "alive", "n3": "alive"}) for node in (n2, n3)))
