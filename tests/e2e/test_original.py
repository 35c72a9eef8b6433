"""Beside the original program, of which a stand-in runs here: one cluster, one value."""

import time
from collections.abc import Callable, Generator

import pytest
import pytest_twisted

from tests.e2e.harness import HTTP_PORT, House, Node, SerfAgent, at_once, ensure_deferred, eventually, request, started
from tests.e2e.original import Original

pytestmark = pytest.mark.interop

SPREAD_S = 30.0
"""Bound on waiting: an original hears of a write by HTTP alone, within some rounds of 2 s."""
TIE_PATIENCE_S = 5.0


@pytest.fixture
def original(house: House) -> Generator[Callable[[str], Original], None, None]:
    """Makes stand-ins, and ends them with the test."""
    made: list[Original] = []

    def make(name: str) -> Original:
        made.append(Original(house.agent(name)))
        return made[-1]

    yield make
    for each in made:
        pytest_twisted.blockon(started(each.close()))


async def mixed(house: House, *originals: Original) -> tuple[Node, Node]:
    """Two ready nodes n1 and n2 of ours in one cluster with these originals; all see each other."""
    await at_once(*(each.start() for each in originals))
    first = originals[0].agent
    for other in originals[1:]:
        await other.agent.join(first.host)
    n1, n2 = house.node("n1", join=[first]), house.node("n2", join=[first])
    await at_once(n1.start(), n2.start())
    everybody = dict.fromkeys(["n1", "n2", *(each.agent.name for each in originals)], "alive")
    members: list[Node | SerfAgent] = [n1, n2, *(each.agent for each in originals)]
    await at_once(*(each.sees(everybody) for each in members))
    return n1, n2


async def all_hold(value: int, generation: int, nodes: tuple[Node, ...], originals: tuple[Original, ...]) -> None:
    """Everybody holds this state, in time."""

    async def check() -> bool:
        held = [(each.value, each.generation) for each in originals]
        states = [await node.value() for node in nodes]
        held += [(state["value"], state["generation"]) for state in states]
        assert held == [(value, generation)] * len(held), held
        return True

    await eventually(check, SPREAD_S, f"all hold {value} at generation {generation}")


async def beside_one(house: House, original: Callable[[str], Original]) -> tuple[Original, tuple[Node, Node]]:
    """An original and two nodes of ours, which all hold 100 at generation 1."""
    only = original("o1")
    nodes = await mixed(house, only)
    await nodes[0].set(100)
    await all_hold(100, 1, nodes, (only,))
    return only, nodes


async def logged(line: str, *nodes: Node) -> None:
    """One of these nodes has written this in its log; what it writes takes a moment to get here."""

    async def check() -> bool:
        return any(line in node.output for node in nodes)

    await eventually(check, 5, f"{line!r} is logged")


@ensure_deferred
async def test_writes_cross_both_ways(house: House, original: Callable[[str], Original]) -> None:
    """What is written on an original is soon held by all, and so is what is written on a node of ours."""
    o1, o2 = original("o1"), original("o2")
    nodes = await mixed(house, o1, o2)
    assert (await request("GET", f"http://{o1.agent.host}:{HTTP_PORT}/set/7")).text == "7"
    await all_hold(7, 1, nodes, (o1, o2))
    await logged("NewVal: 7 Gen: 1 Notifier: o", *nodes)  # the first of ours heard it from an original
    await nodes[0].set(8)
    await all_hold(8, 2, nodes, (o1, o2))
    assert (await nodes[1].call("POST", "/notify/9/3?notifier=o2")).status == 200  # as an original does it
    await logged("NewVal: 9 Gen: 3 Notifier: o2", nodes[1])
    await all_hold(9, 3, nodes, (o1, o2))
    told = [each for each in o1.notified + o2.notified if each[3] in {"n1", "n2"}]
    assert {method for method, *_ in told} == {"POST"}


@ensure_deferred
async def test_an_original_is_told_nothing_while_the_value_is_no_integer(
    house: House, original: Callable[[str], Original]
) -> None:
    """It keeps what it had, and ours count that; with the next integer it is one of the cluster again."""
    only, nodes = await beside_one(house, original)
    assert (await nodes[0].call("PUT", "/v1/value", data=b'"v1"')).status == 200

    async def skipped() -> bool:
        counts = [(await node.call("GET", "/v1/status")).json()["spread"]["originals_skipped"] for node in nodes]
        assert all(counts), counts
        assert (await nodes[1].value())["value"] == "v1"
        return True

    await eventually(skipped, SPREAD_S, "both nodes leave it out")
    assert (only.value, only.generation) == (100, 1)
    await nodes[1].set(101)
    await all_hold(101, 3, nodes, (only,))


@ensure_deferred
async def test_a_tie_that_ours_win_is_healed_by_raising_the_generation(
    house: House, original: Callable[[str], Original]
) -> None:
    """An original with a losing value at our generation never learns ours; after 5 s ours raise the generation."""
    only, nodes = await beside_one(house, original)
    began = time.monotonic()
    await nodes[0].set(900)
    await nodes[1].holds(900)
    only.value, only.generation = 800, 2
    await all_hold(900, 3, nodes, (only,))
    assert time.monotonic() - began > TIE_PATIENCE_S
    state = await nodes[0].value()
    assert state["origin"] in {"n1", "n2"}


@ensure_deferred
async def test_a_tie_that_the_original_wins_is_taken_by_ours(house: House, original: Callable[[str], Original]) -> None:
    """An original with the winning value at our generation is believed at once: no generation is raised."""
    only = original("o1")
    nodes = await mixed(house, only)
    await nodes[0].set(100)
    await nodes[1].holds(100)
    only.value, only.generation = 101, 1
    await all_hold(101, 1, nodes, (only,))
    await logged("NewVal: 101 Gen: 1 Notifier: o1", *nodes)


@ensure_deferred
async def test_nodes_that_join_originals_learn_before_they_write(
    house: House, original: Callable[[str], Original]
) -> None:
    """An original cannot be asked: two new nodes wait until it must have told them, and lose no acknowledged write."""
    only = original("o1")
    only.value, only.generation = 5, 100
    nodes = await mixed(house, only)
    answer = await nodes[0].set(77)  # as soon as it says that it is ready
    assert answer.status == 200
    await all_hold(77, 101, nodes, (only,))
