"""What both engines promise to the rest of a node (onevalue/membership.py).

Each engine is in a cluster with a real Serf agent.
"""

import base64
import json
from collections.abc import Awaitable, Callable, Generator

import pytest
import pytest_twisted
from zope.interface.verify import verifyObject

from onevalue.errors import LocalProtocolError
from onevalue.member import QueryRequest, Status
from onevalue.membership import IMembership
from onevalue.wire.key_text import fingerprint
from tests.e2e.engines import ENGINES, Watched
from tests.e2e.harness import RPC_PORT, SERF, House, Process, SerfAgent, ensure_deferred, eventually

pytestmark = pytest.mark.interop

KEY = bytes(range(32))
Make = Callable[..., Awaitable[tuple[Watched, SerfAgent]]]


@pytest.fixture(params=list(ENGINES))
def make(request: pytest.FixtureRequest, house: House) -> Generator[Make, None, None]:
    """Makes an engine named `mine` that has found an agent named `partner`."""
    running: list[Watched] = []

    async def make_one(key: bytes | None = None) -> tuple[Watched, SerfAgent]:
        encrypt = [] if key is None else [f"-encrypt={base64.b64encode(key).decode()}"]
        partner = await house.agent("partner", "-tag", "role=db", *encrypt).start()
        watched = await ENGINES[request.param](house, "mine", partner, key)
        running.append(watched)
        await sees(watched, mine="alive", partner="alive")
        await until(lambda: watched.engine.trouble() is None, "the engine can do its work")
        await partner.sees({"mine": "alive", "partner": "alive"})
        return watched, partner

    yield make_one
    for watched in running:
        pytest_twisted.blockon(watched.stop())


async def sees(watched: Watched, within_s: float = 20.0, **wanted: str) -> None:
    """It shows these members with these statuses, in time."""

    async def check() -> bool:
        assert watched.statuses() == wanted, watched.statuses()
        return True

    await eventually(check, within_s, f"the engine sees {wanted}")


async def until(check: Callable[[], object], what: str, within_s: float = 15.0) -> None:
    """The check becomes true, in time."""

    async def ask() -> bool:
        return bool(check())

    await eventually(ask, within_s, what)


@ensure_deferred
async def test_members_are_listed_by_name_with_where_they_are_and_their_tags(make: Make) -> None:
    """This one among them, with its tag for HTTP, also as others see it; it is an IMembership."""
    mine, partner = await make()
    verifyObject(IMembership, mine.engine)
    assert mine.engine.local_name == "mine"
    await until(lambda: "http" in mine.engine.members()[0].tags, "the tag is known here")
    first, second = mine.engine.members()
    assert (first.name, first.address, first.port, first.status) == ("mine", mine.host, 7946, Status.ALIVE)
    assert (second.name, second.address, second.tags) == ("partner", partner.host, {"role": "db"})
    assert first.tags == {"http": "http:8080", "role": "web"}
    assert not first.suspect
    await eventually(lambda: _has_tag(partner), 10, "the partner sees the tag")
    assert list(mine.engine.lost()) == []
    assert mine.engine.trouble() is None
    assert mine.changes > 0


async def _has_tag(partner: SerfAgent) -> bool:
    return bool((await partner.members())["mine"]["tags"] == {"http": "http:8080", "role": "web"})


@ensure_deferred
async def test_members_come_fail_are_forced_out_and_leave(make: Make, house: House) -> None:
    """Each is seen, and told in words; a failed one that is forced out has left, and can be forgotten."""
    mine, partner = await make()
    guest = await house.agent("guest", f"-join={partner.host}").start()
    await sees(mine, mine="alive", partner="alive", guest="alive")
    leaver = await house.agent("leaver", f"-join={partner.host}").start()
    await sees(mine, mine="alive", partner="alive", guest="alive", leaver="alive")
    assert (await leaver.run("leave"))[1] == 0
    await sees(mine, mine="alive", partner="alive", guest="alive", leaver="left")
    await guest.kill()
    await sees(mine, 30, mine="alive", partner="alive", guest="failed", leaver="left")
    await until(lambda: ("failed", "guest") in _told(mine), "it is told that guest has failed")
    await mine.engine.force_leave("guest", prune=False)
    await sees(mine, mine="alive", partner="alive", guest="left", leaver="left")
    assert {("joined", "guest"), ("left", "leaver")} <= _told(mine)
    await mine.engine.force_leave("guest", prune=True)
    await sees(mine, mine="alive", partner="alive", leaver="left")
    with pytest.raises(LocalProtocolError):
        await mine.engine.force_leave("mine", prune=False)


def _told(mine: Watched) -> set[tuple[str, str]]:
    return {(each.kind, each.name) for each in mine.happened}


@ensure_deferred
async def test_events_travel_in_both_directions(make: Make, house: House) -> None:
    """Value events too; one that is too large is refused, and nothing is sent."""
    mine, partner = await make()
    assert SERF is not None
    command = [SERF, "monitor", f"-rpc-addr={partner.host}:{RPC_PORT}", "-log-level=debug"]
    monitor = Process("monitor", command, {}, house.folder)
    await until(lambda: monitor.output, "the monitor shows the log")
    await mine.engine.send_event("deploy", b"v1", coalesce=False)
    mine.engine.send_value_event(b'{"value": 1}', mine.engine.members()[1:])
    await until(lambda: "user-event: deploy" in monitor.output, "deploy arrives")
    await until(lambda: "onevalue" in monitor.output, "the value event arrives")
    await monitor.kill()
    assert (await partner.run("event", "-coalesce=false", "restart", "now"))[1] == 0
    await until(lambda: any(each.name == "restart" for each in mine.events), "restart arrives")
    [told] = [each for each in mine.events if each.name == "restart"]
    assert (told.payload, told.relay_wanted) == (b"now", False)
    with pytest.raises(LocalProtocolError):
        await mine.engine.send_event("large", b"x" * 20_000, coalesce=False)


@ensure_deferred
async def test_value_events_of_others_are_told(make: Make) -> None:
    """With their payload, once."""
    mine, partner = await make()
    assert (await partner.run("event", "-coalesce=false", "onevalue", '{"generation": 5}'))[1] == 0
    await until(lambda: mine.events, "the event arrives")
    assert [(each.name, each.payload) for each in mine.events] == [("onevalue", b'{"generation": 5}')]


@ensure_deferred
async def test_queries_are_asked_and_answered(make: Make) -> None:
    """By name and tag; of others, those that somebody here answers; one that cannot be asked is refused."""
    mine, partner = await make()
    mine.engine.answer_query("onevalue", lambda payload: b"mine says " + payload)
    text, code = await partner.run("query", "-format=json", "-timeout=2s", "onevalue", "what")
    assert code == 0, text
    assert "mine says what" in json.dumps(json.loads(text)["Responses"])
    result = await mine.engine.query(QueryRequest("onevalue", b"it", ack=True, timeout_s=2.0))
    assert sorted(result.acks) == ["mine", "partner"]
    assert result.answers == (("mine", b"mine says it"),)
    for narrowed in (QueryRequest("x", nodes=["partner"], ack=True, timeout_s=1.0), _tagged("db")):
        assert (await mine.engine.query(narrowed)).acks == ("partner",)
    assert (await mine.engine.query(_tagged("nobody"))).acks == ()
    with pytest.raises(LocalProtocolError):
        await mine.engine.query(QueryRequest("large", b"x" * 20_000))


def _tagged(role: str) -> QueryRequest:
    return QueryRequest("x", tags={"role": f"^{role}$"}, ack=True, timeout_s=1.0)


@ensure_deferred
async def test_keys_of_all_members_are_listed_and_changed(make: Make) -> None:
    """By fingerprint; the primary key is not removed, and messages say why."""
    mine, _ = await make(KEY)
    new = bytes(range(100, 132))
    listed = await mine.engine.change_keys("list", b"", 0)
    assert (listed.nodes, listed.complete, listed.keys) == (2, True, {fingerprint(KEY): 2})
    assert (await mine.engine.change_keys("install", new, 0)).complete
    assert (await mine.engine.change_keys("use", new, 0)).complete
    refused = await mine.engine.change_keys("remove", new, 0)
    assert (refused.errors, sorted(refused.messages)) == (2, ["mine", "partner"])
    assert (await mine.engine.change_keys("remove", KEY, 0)).complete
    assert (await mine.engine.change_keys("list", b"", 0)).keys == {fingerprint(new): 2}


@ensure_deferred
async def test_without_keys_there_is_nothing_to_list(make: Make) -> None:
    """It is refused, or all members say so."""
    mine, _ = await make()
    try:
        result = await mine.engine.change_keys("list", b"", 0)
    except LocalProtocolError:
        return
    assert not result.complete


@ensure_deferred
async def test_others_are_joined_on_demand(make: Make, house: House) -> None:
    """And it is told how many answered."""
    mine, _ = await make()
    stranger = await house.agent("stranger").start()
    assert await mine.engine.join([stranger.host]) == 1
    await sees(mine, mine="alive", partner="alive", stranger="alive")
    assert await mine.engine.join([f"{stranger.host}:1"]) == 0


@ensure_deferred
async def test_times_and_figures_are_those_of_the_cluster(make: Make) -> None:
    """Another was heard just now; Lamport times grow; whoever waits for the first others is told of them."""
    mine, partner = await make()
    told: list[bool] = []
    mine.engine.observe_addresses_tried(told.append)
    await until(lambda: told, "others were found")
    assert told == [False]
    before = mine.engine.clocks()
    assert (await partner.run("event", "tick"))[1] == 0
    await until(lambda: mine.engine.clocks()[1] > before[1], "the time of events grows")
    contact_s = mine.engine.last_contact_s()
    assert contact_s is not None
    assert contact_s < 5
    assert mine.engine.figures().health_score == 0
    assert mine.engine.figures().queues
    assert mine.engine.status()["engine"] in ENGINES


@ensure_deferred
async def test_it_stops_and_others_see_no_http_any_more(make: Make) -> None:
    """Either it has left, or its agent is there without the tag; what is asked after that fails; twice does no harm."""
    mine, partner = await make()
    await mine.stop()

    async def gone() -> bool:
        member = (await partner.members())["mine"]
        return member["status"] == "left" or "http" not in member["tags"]

    await eventually(gone, 10, "others see it gone")
    await mine.stop()
    with pytest.raises(LocalProtocolError):
        await mine.engine.query(QueryRequest("uptime", timeout_s=0.2))
