"""Values of any kind, conditions, and writes that wait for other nodes, with real processes."""

import json
import time
from collections.abc import Sequence
from typing import Any

import pytest

from tests.e2e.harness import Answer, House, Node, at_once, ensure_deferred, eventually

LARGE = {"release": "v1.2", "notes": "ü" * 30_000}
"""60 KB of JSON: too large for an event, so it is announced and fetched."""


async def write(node: Node, value: object, query: str = "", **headers: str) -> Answer:
    """PUT /v1/value; underscores in header names mean dashes."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    body = json.dumps(value, ensure_ascii=False).encode()
    return await node.call("PUT", f"/v1/value{query}", data=body, headers=named, timeout_s=30.0)


async def all_show(nodes: Sequence[Node], value: Any, within_s: float) -> None:
    """All nodes show this value, as JSON and as text, in time."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    async def check() -> bool:
        for node in nodes:
            assert (await node.value())["value"] == value
            assert await node.get() == text
        return True

    await eventually(check, within_s, "all show the value")


@ensure_deferred
async def test_values_of_any_kind_are_read_on_all(house: House) -> None:
    """Small and large ones, one after the other, by events and by fetching; the same bytes everywhere."""
    nodes = await house.cluster(3)
    values: list[Any] = ["v1.2", 4.5, None, [1, {"b": [], "a": True}], LARGE, "x" * 500, {**LARGE, "n": 2}, 43]
    for turn, value in enumerate(values):
        answer = await write(nodes[turn % 3], value)
        assert answer.status == 200, answer.text[:200]
        await all_show(nodes, value, within_s=5)
    tags = [(await node.call("GET", "/v1/value")).header("ETag") for node in nodes]
    assert tags == [tags[0]] * 3
    fetches = [(await node.call("GET", "/v1/status")).json()["spread"]["fetches"] for node in nodes]
    assert sum(fetches) >= 4, "two large values, to two nodes each"


@ensure_deferred
async def test_a_large_value_is_soon_everywhere_and_survives_restarts(house: House) -> None:
    """Within half a second after the answer, long before the next round of anti-entropy could bring it to all."""
    nodes = await house.cluster(3)
    took_s = []
    for count in range(5):
        await write(nodes[0], {**LARGE, "n": count})
        begun = time.monotonic()
        await all_show(nodes, {**LARGE, "n": count}, within_s=5)
        took_s.append(time.monotonic() - begun)
    assert sorted(took_s)[2] < 0.5, took_s
    await nodes[2].kill()
    await write(nodes[1], {**LARGE, "n": 99})
    await nodes[2].start()
    await all_show(nodes, {**LARGE, "n": 99}, within_s=10)


@ensure_deferred
async def test_what_is_too_large_is_413_and_nothing_changes(house: House) -> None:
    """The limit is in the answer and in the status; a node takes more from others than from clients."""
    small = house.node("n1", options=["--value-size-max", "100"])
    await small.start()
    answer = await write(small, "x" * 99)
    assert (answer.status, "at most 100 bytes" in answer.json()["detail"]) == (413, True)
    assert (await small.value())["generation"] == 0
    assert (await small.call("GET", "/v1/status")).json()["value_size_max"] == 100
    other = await house.node("n2", join=[small]).start()
    assert (await write(other, LARGE)).status == 200
    await all_show([small, other], LARGE, within_s=10)


@ensure_deferred
async def test_writes_wait_for_as_many_nodes_as_they_want(house: House) -> None:
    """Small and large values; all, a number, the majority of a size that is known; each then holds it on its disk."""
    nodes = await house.cluster(3, options=["--cluster-size", "3"])
    for ack, needed in (("all", 3), ("3", 3), ("majority", 2), ("2", 2)):
        for value in (ack, {**LARGE, "ack": ack}):
            answer = await write(nodes[0], value, f"?ack={ack}")
            assert answer.status == 200, answer.text[:300]
            assert answer.json()["acks"]["needed"] == needed
            tag = answer.json()["tag"]
            statuses = [(await node.call("GET", "/v1/status")).json() for node in nodes]
            assert sum(status["journal"]["durable"] == tag for status in statuses) >= needed


@ensure_deferred
async def test_too_few_in_time_is_504_and_the_write_stands(house: House) -> None:
    """A member that stands still does not confirm; when it goes on, it gets the write all the same."""
    one, two, three = await house.cluster(3)
    for node in (two, three):
        node.process.signal("STOP")  # type: ignore[union-attr]  # it runs
    begun = time.monotonic()
    answer = await write(one, 7, "?ack=2&timeout=1.5")
    assert answer.status == 504, answer.text
    assert 1.0 < time.monotonic() - begun < 5.0
    assert answer.json()["acks"] == {"needed": 2, "held": 1}
    for node in (two, three):
        node.process.signal("CONT")  # type: ignore[union-attr]  # as above
    await all_show([one, two, three], 7, within_s=20)
    assert (await write(one, 8, "?ack=all")).status == 200


@ensure_deferred
async def test_a_confirmed_write_survives_the_loss_of_its_node(house: House) -> None:
    """The node is killed in the moment of its answer: of the others, who did not all hear of it, one has the write."""
    one, two, three = await house.cluster(3)
    two.process.signal("STOP")  # type: ignore[union-attr]  # it runs
    answer = await write(one, [1, 2], "?ack=2&timeout=5")
    assert answer.status == 200, answer.text
    await one.kill()
    two.process.signal("CONT")  # type: ignore[union-attr]  # as above
    await all_show([two, three], [1, 2], within_s=20)


@ensure_deferred
async def test_of_many_conditional_writers_at_one_node_one_wins(house: House) -> None:
    """All name the same tag at the same time; the others get 412 and the state that stands."""
    one, two = await house.cluster(2)
    for round_ in range(10):
        tag = (await one.call("GET", "/v1/value")).header("ETag") or ""
        answers = await at_once(*(write(one, [round_, writer], If_Match=tag) for writer in range(8)))
        assert sorted(answer.status for answer in answers) == [200] + [412] * 7
        [winner] = [answer.json() for answer in answers if answer.status == 200]
        currents = [answer.json()["current"]["generation"] for answer in answers if answer.status == 412]
        assert all(generation <= winner["generation"] for generation in currents)
        await all_show([one, two], winner["value"], within_s=5)
        assert (await write(one, 0, If_None_Match=f'"{winner["tag"]}"')).status == 412


@pytest.mark.interop
@ensure_deferred
async def test_a_large_value_is_announced_through_agents_too(house: House) -> None:
    """A real agent carries the announcement as it carries any event."""
    heard = house.folder / "heard"
    agent = await house.agent("agent", f"-event-handler=user:onevalue=cat >> {heard}; echo >> {heard}").start()
    one, two = house.node("n1", join=[agent]), house.node("n2", join=[agent])
    await at_once(one.start(), two.start())
    everybody = dict.fromkeys(["n1", "n2", "agent"], "alive")
    await at_once(one.sees(everybody), two.sees(everybody), agent.sees(everybody))
    await write(one, LARGE)
    await all_show([one, two], LARGE, within_s=5)
    tag = (await one.value())["tag"]

    async def announced() -> bool:
        assert f'"tag":"{tag}"' in heard.read_text()
        return True

    await eventually(announced, 5, "the agent has the announcement")
