"""GET /v1/live: what a page hears, when, what a slow one gets; and that nothing is done while nobody looks."""

import json
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from onevalue.errors import BusyError
from onevalue.member import Happening, QueryRequest, QueryResult, Status
from onevalue.store import Source, State
from onevalue.types import Generation
from onevalue.web.eventstream import UNSENT_SIZE_MAX
from onevalue.web.livekinds import MEMBERS_PER_TURN, MEMBERS_TOLD_MAX, VALUE_TOLD_SIZE_MAX
from onevalue.web.lookout import BEAT_INTERVAL_S, LONG_PAUSE_S, PREAMBLE, answer_told
from onevalue.web.survey import ASK_PAUSE_S, ASK_SOON_S
from tests.fakes import TurnClock, make_member
from tests.watch_support import LAST_CHUNK, StalledWire, unchunked
from tests.web_support import FailingJournal, WebNode, Wire, logged_errors

LIVE = b"GET /v1/live HTTP/1.1\r\nHost: n1\r\n\r\n"
KINDS = ["node", "state", "members", "changes", "events"]


def events(content: bytes) -> list[tuple[str, Any]]:
    """Kind and object of each event in the content of a stream."""
    found = []
    for block in content.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line and not line.startswith(":"))
        if "data" in fields:
            found.append((fields["event"], json.loads(fields["data"])))
    return found


class LiveTestCase(SynchronousTestCase):
    """Knows how to look at a node of three members."""

    def setUp(self) -> None:
        self.clock = TurnClock()
        self.node = WebNode(clock=self.clock)
        self.node.membership.set_members(*(make_member(name, http="http:8080") for name in ("n1", "n2", "n3")))

    def change(self, value: object = 43, origin: str = "n2") -> State:
        """The node learns of a value that is new."""
        generation = Generation(self.node.store.current.generation + 1)
        state = State(generation, value, origin, 12.5)  # type: ignore[arg-type]  # any JSON
        assert self.node.store.merge(state, Source.EVENT)
        return state

    def settle(self, seconds: float = 0.0) -> None:
        """So much time has passed, and what was to be done in some turns is done."""
        self.clock.advance(seconds)
        self.clock.turn(60)  # a pause between two rounds is some twenty

    def look(self) -> Wire:
        """A page that has got the first of each kind."""
        wire = self.node.dial(LIVE)
        self.settle()
        head, _, body = wire.take_bytes().partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK")
        assert sorted(dict(events(unchunked(body)))) == sorted(KINDS)
        return wire

    def heard(self, wire: Wire) -> list[tuple[str, Any]]:
        """The events since the last call."""
        return events(unchunked(wire.take_bytes()))

    def of_kind(self, wire: Wire, kind: str) -> list[Any]:
        """Likewise, of one kind."""
        return [found for name, found in self.heard(wire) if name == kind]

    def of_kind_after_head(self, wire: Wire, kind: str) -> list[Any]:
        """The events of a kind, of a stream from its head on."""
        return [found for name, found in events(unchunked(wire.take_bytes().partition(b"\r\n\r\n")[2])) if name == kind]


class StreamTests(LiveTestCase):
    """What is heard."""

    def test_the_newest_of_each_kind_comes_first(self) -> None:
        """As named events, after a comment."""
        wire = self.node.dial(LIVE)
        self.settle()
        head, _, body = wire.take_bytes().partition(b"\r\n\r\n")
        assert b"Content-Type: text/event-stream" in head
        content = unchunked(body)
        assert content.startswith(PREAMBLE + b"retry: 2000\n\n")
        found = dict(events(content))
        assert found["node"]["name"] == "n1"
        assert found["state"] == {
            "generation": 0,
            "tag": self.node.store.current.tag,
            "origin": "",
            "time": 0.0,
            "size": 2,
            "text": "42",
        }
        assert [member["name"] for member in found["members"]["members"]] == ["n1", "n2", "n3"]
        assert found["changes"]["changes"] == []
        assert found["events"]["events"][0]["kind"] == "started"

    def test_a_second_page_gets_all_at_once(self) -> None:
        """What was made for the first."""
        self.look()
        wire = self.node.dial(LIVE)
        assert sorted(dict(events(unchunked(wire.take_bytes().partition(b"\r\n\r\n")[2])))) == sorted(KINDS)

    def test_a_change_is_told(self) -> None:
        """As state, in the next turns; of the change, what people read."""
        wire = self.look()
        self.settle(LONG_PAUSE_S)
        wire.take_bytes()
        state = self.change({"a": 2**60}, "n2")
        self.settle()
        found = dict(self.heard(wire))
        assert (found["state"]["text"], found["state"]["tag"]) == ('{"a":1152921504606846976}', state.tag)
        assert found["changes"]["changes"][-1]["source"] == "event"

    def test_changes_that_follow_each_other_are_told_seldom(self) -> None:
        """Some five times a second, and the last is among them."""
        wire = self.look()
        for value in range(100):
            self.change(value)
            self.settle(0.01)
        self.settle(LONG_PAUSE_S)
        states = self.of_kind(wire, "state")
        assert 4 <= len(states) <= 8
        assert states[-1]["text"] == "99"

    def test_what_has_not_changed_is_not_told(self) -> None:
        """But the node, which tells the time, and so shows that it is there."""
        self.node.membership.query_result = Deferred()
        wire = self.look()
        self.settle(LONG_PAUSE_S)
        wire.take_bytes()
        for _ in range(3):
            self.settle(BEAT_INTERVAL_S)
        assert [kind for kind, _ in self.heard(wire)] == ["node"] * 3

    def test_members_and_happenings_are_told(self) -> None:
        """Whatever the engine tells."""
        wire = self.look()
        self.settle(LONG_PAUSE_S)
        wire.take_bytes()
        self.node.membership.set_members(make_member("n1"), make_member("n2", status=Status.FAILED))
        self.node.membership.happen(Happening("failed", "member failed: n2", "n2"))
        self.settle()
        found = dict(self.heard(wire))
        assert found["members"]["totals"]["failed"] == 1
        assert found["events"]["events"][-1]["text"] == "member failed: n2"
        assert "No other member answers" in found["node"]["isolated"]

    def test_an_agent_that_is_away_is_told(self) -> None:
        """Null while nothing is amiss."""
        wire = self.look()
        self.settle(BEAT_INTERVAL_S)
        assert dict(self.heard(wire))["node"]["engine_trouble"] is None
        self.node.membership.engine_trouble = "The Serf agent is away."
        self.settle(BEAT_INTERVAL_S)
        assert dict(self.heard(wire))["node"]["engine_trouble"] == "The Serf agent is away."

    def test_the_end_of_learning_and_trouble_of_the_disk_are_events(self) -> None:
        """With the time when they happened, whether somebody looked or not."""
        journal = FailingJournal()
        self.node = WebNode(journal, clock=self.clock)
        self.node.spread.start(self.clock.seconds(), somebody_to_ask=True)
        self.settle(1.0)
        self.node.spread.addresses_tried(self.clock.seconds(), nobody_else=True)
        journal.fail("the disk is full")
        happened = self.node.context.wall_clock()
        self.settle(60.0)
        wire = self.node.dial(LIVE)
        self.settle()
        [told] = self.of_kind_after_head(wire, "events")
        assert [event["kind"] for event in told["events"]] == ["started", "ready", "disk"]
        assert all(abs(event["time"] - happened) < 1.0 for event in told["events"][1:])
        journal.fail(None)
        self.settle(LONG_PAUSE_S)
        found = dict(self.heard(wire))
        assert found["events"]["events"][-1]["kind"] == "recovered"
        assert found["node"]["journal"]["trouble"] is None

    def test_a_head_request_does_not_stream(self) -> None:
        """It takes no place."""
        [response] = self.node.dial(LIVE.replace(b"GET", b"HEAD")).take_responses(head=True)
        assert (response.status, response.headers["content-type"]) == (200, "text/event-stream")
        assert self.node.site.traffic.watchers == 0

    def test_a_fault_in_one_kind_keeps_none_of_the_others(self) -> None:
        """It is logged, and tried again."""
        wire = self.look()
        self.settle(LONG_PAUSE_S)
        wire.take_bytes()
        self.patch(self.node.journal, "status", lambda: 1 / 0)  # type: ignore[no-untyped-call]  # Twisted has no types here
        self.change(7)
        self.settle(BEAT_INTERVAL_S)
        assert len(logged_errors(self, ZeroDivisionError)) >= 1
        assert "state" in dict(self.heard(wire))


class BoundTests(LiveTestCase):
    """What a page may cost."""

    def test_a_slow_page_gets_the_latest_of_each_kind(self) -> None:
        """And about one event waits for it, however much happens."""
        wire = self.node.connect(kind=StalledWire)
        assert isinstance(wire, StalledWire)
        self.node.send(wire, LIVE)
        self.settle()
        for value in range(200):
            self.change(value)
            self.settle(0.1)
        most = len(json.dumps(dict(events(unchunked(self.rest(wire)))).get("changes", {})))
        assert wire.unsent() <= UNSENT_SIZE_MAX + 2 * most
        self.change(1000)
        self.settle(LONG_PAUSE_S)
        found = events(unchunked(self.rest(wire)))
        assert dict(found)["state"]["text"] == "1000"
        assert len([kind for kind, _ in found if kind == "state"]) == 1

    @staticmethod
    def rest(wire: StalledWire) -> bytes:
        """All that the page gets when it reads again, without the head."""
        data = b""
        while more := wire.drain():
            data += more
        return data.partition(b"\r\n\r\n")[2] if data.startswith(b"HTTP/") else data

    def test_pages_and_watchers_share_their_places(self) -> None:
        """More are refused, and those that go make room."""
        node = WebNode(connections_max=5, clock=TurnClock())
        wires = [node.dial(LIVE.replace(b"live", kind), "127.0.0.1") for kind in (b"live", b"live", b"watch", b"live")]
        refused = node.get("/v1/live")
        assert (refused.status, refused.headers["retry-after"]) == (503, "5")
        for wire in wires:
            wire.lose()
        assert node.site.traffic.watchers == 0
        assert logged_errors(self) == []

    def test_nothing_is_done_while_nobody_looks(self) -> None:
        """No question, no delayed call, nothing kept but the rings; also after the last page has gone."""
        calls = len(self.clock.getDelayedCalls())
        self.change()
        self.node.membership.happen(Happening("failed", "member failed: n2", "n2"))
        self.settle(60.0)
        assert (len(self.clock.getDelayedCalls()), self.node.membership.queries) == (calls, [])
        wires = [self.look(), self.node.dial(LIVE)]
        self.settle(ASK_SOON_S)
        asked = len(self.node.membership.queries)
        for wire in wires:
            wire.lose()
        assert self.node.site.traffic.watchers == 0
        assert len(self.clock.getDelayedCalls()) == calls
        self.change()
        self.settle(60.0)
        assert len(self.node.membership.queries) == asked == 1
        assert len(self.clock.getDelayedCalls()) == calls

    def test_streams_end_when_tokens_change_or_the_node_stops(self) -> None:
        """They are complete."""
        wire = self.look()
        wire.take_bytes()
        self.node.site.end_waiting()
        assert wire.take_bytes().endswith(LAST_CHUNK)

    def test_a_large_value_is_left_out(self) -> None:
        """Its size is told."""
        wire = self.look()
        self.settle(1.0)
        wire.take_bytes()
        self.change("x" * VALUE_TOLD_SIZE_MAX)
        self.settle()
        [state] = self.of_kind(wire, "state")
        assert state["size"] == VALUE_TOLD_SIZE_MAX + 2
        assert "text" not in state

    def test_of_many_members_those_in_trouble_are_listed_first(self) -> None:
        """All are counted, and they are looked at in slices: no turn has more than its share."""
        members = [make_member(f"m{number:04}") for number in range(1000)]
        members[700] = make_member("m0700", status=Status.FAILED)
        members[900] = make_member("m0900", suspect=True)
        self.node.membership.set_members(make_member("n1"), *members)
        looked_at: list[int] = []
        rtt_s = self.node.membership.rtt_s

        def counted(one: str, other: str) -> float | None:
            looked_at[-1] += 1
            return rtt_s(one, other)

        self.patch(self.node.membership, "rtt_s", counted)  # type: ignore[no-untyped-call]  # likewise
        wire = self.node.dial(LIVE)
        for _ in range(60):
            looked_at.append(0)
            self.clock.turn()
        [told] = self.of_kind_after_head(wire, "members")
        assert [member["name"] for member in told["members"][:3]] == ["m0700", "m0900", "n1"]
        assert (len(told["members"]), told["count"], told["totals"]["alive"]) == (MEMBERS_TOLD_MAX, 1001, 1000)
        assert 0 < max(looked_at) <= MEMBERS_PER_TURN
        assert told["asked"] is False
        self.settle(60.0)
        assert self.node.membership.queries == []


class HoldingTests(LiveTestCase):
    """Who holds what, by asking."""

    def setUp(self) -> None:
        super().setUp()
        self.asked: list[str] = []
        self.answers()

    def answers(self, **tags: tuple[str, float]) -> None:
        """Questions are answered so from now on: by name, tag and for how long it has been held."""
        payloads = [(name, json.dumps({"tag": tag, "held_s": held}).encode()) for name, (tag, held) in tags.items()]

        def query(request: QueryRequest) -> Deferred[QueryResult]:
            self.asked.append(request.name)
            return succeed(QueryResult((), payloads, [self.clock.seconds()] * len(payloads)))

        self.patch(self.node.membership, "query", query)  # type: ignore[no-untyped-call]  # likewise

    def told_when_all_have_answered(self) -> dict[str, Any]:
        """What a page has last heard of each kind after a change that n2 and n3 say they hold."""
        wire = self.look()
        self.settle(ASK_PAUSE_S + 1)
        state = self.change(7, "n1")
        self.answers(n2=(state.tag, 0.0), n3=(state.tag, 0.0))
        self.settle(ASK_PAUSE_S)
        self.settle(LONG_PAUSE_S)
        return dict(self.heard(wire))

    def test_all_are_asked_after_a_change(self) -> None:
        """And then it is known who holds it, and how long it took."""
        found = self.told_when_all_have_answered()
        assert found["members"]["holding"] == {"yes": 3, "no": 0, "unknown": 0}
        assert found["changes"]["changes"][-1]["spread_s"] is not None
        assert list(dict.fromkeys(self.asked)) == ["onevalue"]

    def test_between_two_nodes_it_took_from_the_origin_to_here(self) -> None:
        """As the origin says; until it does, it holds what it wrote, and the time is not known."""
        self.node.membership.set_members(*(make_member(name, http="http:8080") for name in ("n1", "n2")))
        wire = self.look()
        self.settle(ASK_PAUSE_S + 1)
        state = self.change(7, "n2")
        self.settle(LONG_PAUSE_S)
        found = dict(self.heard(wire))
        assert found["members"]["holding"] == {"yes": 2, "no": 0, "unknown": 0}
        assert found["changes"]["changes"][-1]["spread_s"] is None
        asked_again_after_s = LONG_PAUSE_S + ASK_PAUSE_S
        self.answers(n2=(state.tag, 0.2 + asked_again_after_s))
        self.node.membership.round_trips["n1", "n2"] = 0.1  # of which the answer takes half
        self.settle(ASK_PAUSE_S)
        self.settle(LONG_PAUSE_S)
        assert self.of_kind(wire, "changes")[-1]["changes"][-1]["spread_s"] == pytest.approx(0.25, abs=0.01)

    def test_who_lacks_it_is_shown_and_asked_again(self) -> None:
        """After the pause; of who does not answer it is not known."""
        wire = self.look()
        self.change(7, "n1")
        self.answers(n2=("0-0000000000000000", 5.0))
        self.settle(ASK_PAUSE_S)
        asked = len(self.asked)
        self.settle(LONG_PAUSE_S)
        assert self.of_kind(wire, "members")[-1]["holding"] == {"yes": 1, "no": 1, "unknown": 1}
        self.settle(ASK_PAUSE_S)
        assert len(self.asked) == asked + 1

    def test_serf_agents_are_not_waited_for(self) -> None:
        """They hold nothing, and answer nothing; nobody is asked again because of them."""
        self.node.membership.set_members(*self.node.membership.members(), make_member("agent"))
        found = self.told_when_all_have_answered()
        assert found["members"]["holding"] == {"yes": 3, "no": 0, "unknown": 0}
        assert [member["ours"] for member in found["members"]["members"]] == [True, False, True, True]
        assert found["changes"]["changes"][-1]["spread_s"] is not None

    def test_a_question_that_cannot_be_asked_does_no_harm(self) -> None:
        """The next comes in its time."""

        def busy(_: object) -> None:
            raise BusyError("64 queries are under way already")

        self.patch(self.node.membership, "query", busy)  # type: ignore[no-untyped-call]  # likewise
        self.look()
        self.settle(30.0)
        assert logged_errors(self) == []

    def test_only_answers_of_our_nodes_count(self) -> None:
        """A payload is anybody's."""
        for payload in (b"", b"\xff", b"[]", b"7", b'{"tag": 7}', b"[" * 5000):
            assert answer_told(payload) is None
        for held in (b"true", b'"x"', b"-1", b"NaN", b"Infinity", b"null"):
            assert answer_told(b'{"tag": "x", "held_s": %b}' % held) == ("x", 0.0)
        assert answer_told(b'{"tag": "x", "held_s": 1.5}') == ("x", 1.5)
