"""A cluster of real nodes: writes reach all, whatever comes, goes, crashes and returns."""

import signal
from typing import Any

from twisted.internet.defer import gatherResults

from tests.e2e.harness import House, Node, at_once, ensure_deferred, eventually, free_address, started

CONCURRENT_ROUNDS = 50


async def all_hold_one_state(nodes: list[Node], within_s: float) -> Any:
    """The one state tag that all nodes show, in time."""

    async def check() -> Any:
        tags = {(await node.call("GET", "/v1/value")).header("ETag") for node in nodes}
        assert len(tags) == 1, tags
        return tags.pop()

    return await eventually(check, within_s, "all nodes hold one state")


@ensure_deferred
async def test_a_write_on_one_is_read_on_all(house: House) -> None:
    """A write on any of three nodes is soon read on all of them."""
    nodes = await house.cluster(3)
    for value, writer in enumerate(nodes, start=100):
        assert (await writer.set(value)).text == str(value)
        for node in nodes:
            await node.holds(value, within_s=5)


@ensure_deferred
async def test_a_killed_node_returns_with_what_was_written_meanwhile(house: House) -> None:
    """After `kill -9` the others list it as failed; it restarts and holds what was written while it was down."""
    one, two, three = await house.cluster(3)
    await three.kill()
    await one.sees({"n3": "failed"}, within_s=30)
    await two.sees({"n3": "failed"}, within_s=30)
    await one.set(7)
    await three.start()
    await three.holds(7, within_s=1)
    await one.sees({"n3": "alive"})
    await three.set(8)
    await one.holds(8, within_s=5)


@ensure_deferred
async def test_the_value_survives_the_death_of_all(house: House) -> None:
    """All three are killed and restarted: the value is still there, with its generation."""
    nodes = await house.cluster(3)
    await nodes[0].set(5)
    await nodes[1].holds(5)
    await nodes[1].set(6)
    for node in nodes:
        await node.holds(6)
    before = await nodes[0].value()
    for node in nodes:
        await node.kill()
    for node in nodes:
        node.spawn()
    for node in nodes:
        await node.holds(6, within_s=20)
    after = await nodes[2].value()
    assert (after["generation"], after["origin"]) == (before["generation"], before["origin"])


@ensure_deferred
async def test_a_node_joins_one_that_starts_later(house: House) -> None:
    """A node started with the address of one that starts 5 s later joins it. (The original never does.)"""
    late = free_address()
    early = await house.node("early", join=[late]).start()  # ready: its join timeout of 5 s has passed
    await early.set(9)
    node = await house.node("late", host=late).start()
    await early.sees({"late": "alive"}, within_s=40)
    await node.sees({"early": "alive"}, within_s=5)
    await node.holds(9, within_s=10)


@ensure_deferred
async def test_concurrent_writes_leave_one_value(house: House) -> None:
    """Two nodes written to at the same moment, 50 times: always one value on all within 5 s."""
    nodes = await house.cluster(3, options=["--debug-interval", "0"])
    for i in range(CONCURRENT_ROUNDS):
        both = [started(nodes[0].set(1000 + i)), started(nodes[1].set(2000 + i))]
        answers: list[Any] = await gatherResults(both)
        assert [answer.status for answer in answers] == [200, 200]
        await all_hold_one_state(nodes, within_s=5)
        assert (await nodes[2].get()) in {str(1000 + i), str(2000 + i)}


@ensure_deferred
async def test_two_writes_during_one_commit_get_two_generations(house: House) -> None:
    """Writes that are sent together to one node are all acknowledged, each with a generation of its own."""
    node = await house.node("alone").start()
    puts = [started(node.call("PUT", "/v1/value", data=str(i).encode())) for i in range(20)]
    answers: list[Any] = await gatherResults(puts)
    assert sorted(answer.json()["generation"] for answer in answers) == list(range(1, 21))
    assert (await node.value())["generation"] == 20


@ensure_deferred
async def test_a_node_without_its_disk_loses_no_acknowledged_write(house: House) -> None:
    """Restarted without its disk and written to at once, it refuses the write, or all keep it."""
    one, two, three = await house.cluster(3)
    for value in range(10, 20):
        await one.set(value)
    for node in (one, two, three):
        await node.holds(19)
    for attempt in range(8):
        await three.kill()
        three.name = f"n3-{attempt}"  # a new data folder, as after the loss of a disk
        three.spawn()
        await eventually(three.is_up, 15, "n3 answers")
        answer = await three.set(600 + attempt)
        if answer.status == 200:
            await all_hold_one_state([one, two, three], within_s=10)
            assert await one.get() == str(600 + attempt)
        else:
            assert answer.status == 503
            assert answer.header("Retry-After")
        await eventually(three.is_ready, 10, "n3 is ready")


@ensure_deferred
async def test_a_node_that_can_only_ask_itself_is_ready_at_once(house: House) -> None:
    """A join list that names only the node itself does not keep it from writing."""
    host = free_address()
    node = await house.node("self", host=host, join=[host]).start(ready=False)
    await eventually(node.is_ready, 2, "it is ready")


@ensure_deferred
async def test_a_stopped_node_leaves(house: House) -> None:
    """SIGTERM: the others list it as left, within its budget, and it ends cleanly."""
    one, two, three = await house.cluster(3)
    # Twisted ends a program that a signal stopped by that same signal, after all has been shut down.
    assert await three.stop(within_s=10) == -signal.SIGTERM
    assert "Server Shut Down" in three.output
    await one.sees({"n3": "left"}, within_s=5)
    await two.sees({"n3": "left"}, within_s=5)
    await three.start()
    await one.sees({"n3": "alive"}, within_s=10)
    assert "Traceback" not in three.output


@ensure_deferred
async def test_a_cluster_that_was_stopped_at_once_finds_itself_again(house: House) -> None:
    """Two nodes stopped at the same moment and started without --join are one cluster: the journal knows the peers."""
    nodes = await house.cluster(2)
    await nodes[0].set(5)
    await nodes[1].holds(5)
    await at_once(*(node.stop() for node in nodes))
    for node in nodes:
        node.join = ()
        node.spawn()
    for node in nodes:
        await node.sees({each.name: "alive" for each in nodes})
        await node.holds(5)


@ensure_deferred
async def test_an_isolated_node_does_not_look_fresh(house: House) -> None:
    """last_contact_s is null when alone, small in a cluster, and grows when nobody is heard."""
    one, two = await house.cluster(2)
    assert (await one.value())["last_contact_s"] < 3
    await two.kill()

    async def stale() -> bool:
        return bool((await one.value())["last_contact_s"] > 4)

    await eventually(stale, 10, "its last contact is long ago")
    alone = await house.node("alone").start()
    assert (await alone.value())["last_contact_s"] is None
