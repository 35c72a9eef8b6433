"""A node under load and in trouble: many writes, a full disk, kills in the midst of writes, a peer that hangs."""

import random
import resource
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import gatherResults

from onevalue.config import SpreadSettings
from tests.e2e.harness import (
    TWISTD,
    Answer,
    House,
    Node,
    ensure_deferred,
    eventually,
    free_address,
    pause,
    started,
)
from tests.e2e.needs import demand
from tests.e2e.raw import connect
from tools.drilling.disks import fill, small_disk, why_no_small_disk

WRITES = 1000
CONNECTIONS = 20
OTHER_EVENTS = 20
KILLS = 4
STOP_WITHIN_S = 9.0
"""3 s for the intent, 3 s for the leave, 1 s to propagate, and some for the ports and the journal."""


async def write_many(host: str, values: Sequence[int]) -> float:
    """All these values were written, on a few connections at once; how long that took, seconds."""
    begun = time.monotonic()
    raws = []
    for index in range(CONNECTIONS):
        own = values[index::CONNECTIONS]
        raws.append(
            await connect(host, data=b"".join(b"GET /set/%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % v for v in own))
        )
    for raw in raws:
        await raw.until(lambda raw: raw.received.count(b"HTTP/1.1 200 ") == len(values) // CONNECTIONS, 60)
        raw.abort()
    return time.monotonic() - begun


@pytest.mark.interop
@ensure_deferred
async def test_a_thousand_writes_are_few_events(house: House) -> None:
    """1000 writes at once: no more value events than the bound, others' events arrive, the last value is everywhere."""
    one, two, three = await house.cluster(3)
    agents = [await house.agent(name).start() for name in ("a1", "a2")]
    for agent in agents:
        await agent.join(one.host)
    for agent in agents:
        await agent.sees(dict.fromkeys(("n1", "n2", "n3", "a1", "a2"), "alive"))

    async def others_speak() -> None:
        for index in range(OTHER_EVENTS):
            text, code = await agents[0].run("event", f"deploy-{index}", "now")
            assert code == 0, text

    speaking = started(others_speak())
    took_s = await write_many(one.host, range(1, WRITES + 1))
    await speaking
    last = await one.value()
    assert last["generation"] == WRITES
    for node in (two, three):
        await node.holds(last["value"], within_s=5)

    async def others_arrived() -> bool:
        for where in (agents[1], two, three):
            missing = [i for i in range(OTHER_EVENTS) if f"deploy-{i}" not in where.output]
            assert not missing, (where.name, missing)
        return True

    await eventually(others_arrived, 20, "the other events are everywhere")
    settings = SpreadSettings()
    bound = settings.events_burst + settings.events_per_s * took_s + 1  # the last one may wait until after the writes
    sent = (await one.call("GET", "/v1/status")).json()["spread"]["events_sent"]
    heard = [agent.output.count("Received event: user-event: onevalue") for agent in agents]
    assert 1 <= sent <= bound, f"{sent} value events of {WRITES} writes in {took_s:.2f} s"
    assert all(1 <= count <= sent for count in heard), heard


async def refuses_writes(node: Node) -> Answer:
    """A write is answered with 503; earlier ones may have found room in the journal's file."""
    for value in range(500, 2500):
        answer = await node.set(value)
        if answer.status != 200:
            return answer
    raise AssertionError("the disk took everything")


async def is_in_trouble_and_goes_on(node: Node, other: Node) -> Any:
    """Its own writes are 503, it learns and serves, and says what is wrong; returns the state that it has learnt."""
    refusal = await refuses_writes(node)
    assert refusal.status == 503, refusal.text
    held = await node.get()
    assert (await node.set(600)).status == 503
    assert (await node.call("PUT", "/v1/value", data=b"600")).status == 503
    assert await node.get() == held  # what was refused is not shown
    await other.set(7000)
    await node.holds(7000)
    await node.set(601)
    await other.set(7001)
    await node.holds(7001)
    assert await other.get() == "7001"
    journal = (await node.call("GET", "/v1/status")).json()["journal"]
    assert not journal["healthy"]
    assert "journal.sqlite" in journal["trouble"]
    ready = await node.call("GET", "/readyz")
    assert (ready.status, "own writes are refused" in ready.text) == (200, True)
    return await node.value()


async def works_again(node: Node, learnt: Any) -> None:
    """Without a restart it takes writes; what it has learnt and written since is there after one."""

    async def takes_writes() -> bool:
        return (await node.set(8000)).status == 200

    await eventually(takes_writes, 45, "it takes writes again")
    assert (await node.call("GET", "/v1/status")).json()["journal"]["healthy"]
    written = await node.value()
    assert written["generation"] > learnt["generation"]
    await node.kill()
    node.join = ()
    await node.start(ready=False)
    after = await node.value()
    assert (after["value"], after["generation"]) == (8000, written["generation"])
    assert "Traceback" not in node.output


@ensure_deferred
async def test_a_full_disk_stops_own_writes_only(house: House) -> None:
    """Own writes are 503, learning and reading go on, also after a kill; with space again, so do writes."""
    other = await house.node("other").start()
    demand(why_no_small_disk())
    folder = house.folder / "small"
    with small_disk(folder):
        node = house.node("n", join=[other])
        node.folder = folder
        await node.start()
        assert (await node.set(1)).status == 200
        ballast = fill(folder)
        learnt = await is_in_trouble_and_goes_on(node, other)
        await node.kill()
        await node.start(ready=False)
        await node.holds(7001)
        ballast.unlink()
        await works_again(node, learnt)
        await node.kill()


@ensure_deferred
async def test_a_file_that_cannot_grow_stops_own_writes_only(house: House) -> None:
    """The same where nobody may mount a disk: the system lets the node's files grow no more, and then again."""
    other = await house.node("other").start()
    node = await house.node("n", join=[other]).start()
    assert (await node.set(1)).status == 200
    assert node.process is not None
    soft, hard = resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE, (4096, hard))
    learnt = await is_in_trouble_and_goes_on(node, other)
    resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE, (soft, hard))
    await works_again(node, learnt)


class Writers:
    """Writers that write until the node is gone, and what was acknowledged to them."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.acknowledged: dict[int, int] = {}

    async def are_busy(self) -> bool:
        """Some writes have been acknowledged."""
        return len(self.acknowledged) >= 20

    async def write(self, first: int, step: int) -> None:
        """One writer: values of its own, one after the other."""
        value = first
        while True:
            try:
                answer = await self._node.call("PUT", "/v1/value", data=b"%d" % value)
            except Exception:  # noqa: BLE001  # it was killed: no answer, in one of many ways
                return
            if answer.status == 200:
                state = answer.json()
                assert state["value"] == value
                assert state["generation"] not in self.acknowledged
                self.acknowledged[state["generation"]] = value
            value += step


@ensure_deferred
async def test_no_acknowledged_write_is_lost_when_a_node_is_killed(house: House) -> None:
    """After kill -9 in the midst of writes the generation of every acknowledged one is there again."""
    node = await house.node("n").start()
    rng = random.Random(5)
    for _ in range(KILLS):
        writers = Writers(node)
        writing: list[Any] = [started(writers.write(first, 8)) for first in range(8)]
        await eventually(writers.are_busy, 20, "writes are acknowledged")
        await pause(rng.uniform(0, 0.3))
        await node.kill()
        await gatherResults(writing)
        await node.start()
        newest = max(writers.acknowledged)
        state = await node.value()
        assert state["generation"] >= newest
        if state["generation"] == newest:
            assert state["value"] == writers.acknowledged[newest]


@ensure_deferred
async def test_a_node_stops_in_time_while_a_peer_hangs(house: House) -> None:
    """SIGTERM beside a peer that is stopped and answers nothing: it ends within its budget, and others see it leave."""
    one, two, hung = await house.cluster(3)
    assert hung.process is not None
    hung.process.signal("STOP")
    await one.set(5)
    await pause(2.5)  # so that exchanges with the peer that hangs are under way
    begun = time.monotonic()
    await one.stop(within_s=30)
    took_s = time.monotonic() - begun
    assert took_s < STOP_WITHIN_S, took_s
    await two.sees({"n1": "left"})
    assert "Traceback" not in one.output


@ensure_deferred
async def test_twist_runs_a_node_too(house: House) -> None:
    """`twist onevalue` starts one that answers, takes writes, and ends when it is told to."""
    node = house.node("n", host=free_address(), keep=False)
    twist = str(Path(TWISTD).with_name("twist"))
    options = ["--name", "n", "--advertise", node.host, "--no-journal"]
    node.command = lambda: [twist, "onevalue", *options]  # type: ignore[method-assign]  # another program
    await node.start()
    assert (await node.set(9)).status == 200
    assert await node.get() == "9"
    await node.stop()
    assert "Traceback" not in node.output
