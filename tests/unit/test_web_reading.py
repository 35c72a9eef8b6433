"""GET /v1/value with wishes: to wait for a change or for a generation, and a node that is in touch."""

from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from onevalue.bounds import WAIT_MAX_S
from onevalue.membership import Status
from onevalue.store import Source, State
from onevalue.types import Generation
from onevalue.web.channel import RESPONSE_TIME_MAX_S
from onevalue.web.server import SWEEP_INTERVAL_S, LimitedSite
from onevalue.web.service import WebService
from onevalue.web.turns import DONE_PER_TURN
from onevalue.web.watching import WATCHERS_PERCENT_MAX
from tests.fakes import TurnClock, make_member
from tests.web_support import Response, WebNode, Wire, logged_errors


class ReadTestCase(SynchronousTestCase):
    """Knows how to wait."""

    def setUp(self) -> None:
        self.node = WebNode()

    @property
    def tag(self) -> str:
        """The present ETag."""
        return f'"{self.node.store.current.tag}"'

    def ask(self, query: str, *, known: str | None = None) -> Wire:
        """A read, sent; with `known` in If-None-Match."""
        headers = {} if known is None else {"If-None-Match": known}
        return self.node.start_request("GET", f"/v1/value?{query}", headers=headers, peer="127.0.0.1")

    def read(self, query: str, *, known: str | None = None) -> Response:
        """A read that is answered at once."""
        [response] = self.ask(query, known=known).take_responses()
        return response

    def change(self, value: int) -> None:
        """The node learns of a value that is new, and all who wait look again."""
        state = State(Generation(self.node.store.current.generation + 1), value, "n2", 12.5)
        assert self.node.store.merge(state, Source.EVENT)
        self.node.clock.pump([0.0] * 3)

    def wait(self, seconds: float) -> None:
        """Time passes, in steps of the sweep."""
        self.node.clock.pump([SWEEP_INTERVAL_S] * int(seconds / SWEEP_INTERVAL_S))


class LongPollTests(ReadTestCase):
    """If-None-Match and wait."""

    def test_it_is_answered_when_the_state_differs(self) -> None:
        """With the new state and its tag, in the next turn."""
        wire = self.ask("wait=30", known=self.tag)
        self.wait(10)
        assert wire.take_bytes() == b""
        self.change(43)
        [response] = wire.take_responses()
        assert (response.status, response.json["value"], response.headers["etag"]) == (200, 43, self.tag)
        assert self.node.site.traffic.watchers == 0

    def test_it_is_304_when_the_time_is_up(self) -> None:
        """Not before, and with the tag; the connection goes on."""
        wire = self.ask("wait=2.5", known=self.tag)
        self.node.clock.advance(2.4)
        assert wire.take_bytes() == b""
        self.node.clock.advance(0.2)
        [response] = wire.take_responses()
        assert (response.status, response.headers["etag"]) == (304, self.tag)
        self.node.send(wire, b"GET /get HTTP/1.1\r\nHost: n1\r\n\r\n")
        assert [r.body for r in wire.take_responses()] == [b"42"]

    def test_it_may_last_longer_than_other_requests(self) -> None:
        """The longest wait ends with its answer, not with the deadline of answers."""
        assert WAIT_MAX_S > RESPONSE_TIME_MAX_S
        wire = self.ask(f"wait={WAIT_MAX_S:.0f}", known=self.tag)
        self.wait(WAIT_MAX_S + 1)
        assert [r.status for r in wire.take_responses()] == [304]
        assert not wire.lost

    def test_another_state_is_answered_at_once(self) -> None:
        """It differs already."""
        assert self.read("wait=30", known='"0-0000000000000000"').json["value"] == 42

    def test_without_a_condition_nothing_is_waited_for(self) -> None:
        """Nor with one that every state meets, nor with a wait of nothing."""
        assert self.read("wait=30").status == 200
        assert self.read("wait=30", known="*").status == 304
        assert self.read("wait=0", known=self.tag).status == 304
        assert self.node.site.traffic.watchers == 0

    def test_what_changes_nothing_does_not_end_it(self) -> None:
        """An older state, or the same, is not what it waits for."""
        wire = self.ask("wait=30", known=self.tag)
        for state in (self.node.store.current, State(Generation(0), 41)):
            self.node.store.merge(state, Source.NOTIFY)
        self.node.clock.pump([0.0] * 3)
        assert wire.take_bytes() == b""

    def test_a_client_that_goes_leaves_nothing_behind(self) -> None:
        """Its place is free at once, and no timer remains."""
        wire = self.ask("wait=30", known=self.tag)
        assert self.node.site.traffic.watchers == 1
        wire.lose()
        assert self.node.site.traffic.watchers == 0
        assert not self.node.clock.getDelayedCalls()
        assert logged_errors(self) == []

    def test_many_are_answered_in_several_turns(self) -> None:
        """With the state that is current at their turn."""
        clock = TurnClock()
        self.node = WebNode(clock=clock)
        wires = [self.ask("wait=30", known=self.tag) for _ in range(DONE_PER_TURN + 10)]
        for value in (1, 2):
            self.node.store.merge(State(Generation(value), value), Source.EVENT)
            clock.turn()
        clock.turn()
        values = [response.json["value"] for wire in wires for response in wire.take_responses()]
        assert (values.count(1), values.count(2)) == (DONE_PER_TURN, 10)

    def test_more_than_the_bound_are_refused(self) -> None:
        """503, while reads that do not wait are answered."""
        self.node = WebNode(connections_max=10)
        for _ in range(10 * WATCHERS_PERCENT_MAX // 100):
            self.ask("wait=30", known=self.tag)
        response = self.read("wait=30", known=self.tag)
        assert (response.status, response.json["status"]) == (503, 503)
        assert self.read("wait=30").status == 200


class GenerationTests(ReadTestCase):
    """min_generation: to read one's own write on another node."""

    def test_a_generation_that_is_there_is_answered_at_once(self) -> None:
        """Also a higher one."""
        self.change(43)
        assert [self.read(f"min_generation={n}&wait=5").json["generation"] for n in (0, 1)] == [1, 1]

    def test_it_is_answered_when_the_generation_has_come(self) -> None:
        """Not when a lower one has."""
        wire = self.ask("min_generation=2&wait=5")
        self.change(1)
        self.node.clock.advance(1.0)
        assert wire.take_bytes() == b""
        self.change(2)
        assert [r.json["value"] for r in wire.take_responses()] == [2]

    def test_one_that_does_not_come_is_504(self) -> None:
        """When the time is up, or at once without wait; with the state that is there."""
        wire = self.ask("min_generation=2&wait=5")
        self.change(1)
        self.node.clock.advance(5)
        for response in [*wire.take_responses(), self.read("min_generation=2")]:
            assert (response.status, response.json["status"]) == (504, 504)
            assert (response.json["current"]["generation"], response.json["current"]["value"]) == (1, 1)

    def test_both_conditions_are_waited_for(self) -> None:
        """A generation that is there, but of the state that the client has."""
        wire = self.ask("min_generation=0&wait=5", known=self.tag)
        assert wire.take_bytes() == b""
        self.change(7)
        assert [r.json["value"] for r in wire.take_responses()] == [7]


class StaleTests(ReadTestCase):
    """max_stale: only from a node that is in touch."""

    def test_a_node_that_heard_another_lately_answers(self) -> None:
        """Up to the bound, inclusive."""
        self.node.membership.contact_s = 2.0
        self.node.membership.set_members(make_member("n1"), make_member("n2"))
        assert [self.read(f"max_stale={s}").status for s in ("2", "2.5", "1.9", "0")] == [200, 200, 503, 503]
        assert self.read("max_stale=1").json["last_contact_s"] == 2.0

    def test_a_node_that_heard_nobody_is_stale(self) -> None:
        """If it was told of others."""
        self.node = WebNode(expects_others=True)
        response = self.read("max_stale=1000")
        assert (response.status, response.json["last_contact_s"]) == (503, None)

    def test_a_node_that_is_alone_is_never_stale(self) -> None:
        """It was told of nobody, and nobody is there, or they have left for good."""
        assert self.read("max_stale=0").status == 200
        self.node.membership.contact_s = 100.0
        for status, expected in [(Status.LEFT, 200), (Status.FAILED, 503), (Status.ALIVE, 503)]:
            self.node.membership.set_members(make_member("n1"), make_member("n2", status=status))
            assert self.read("max_stale=10").status == expected, status

    def test_a_node_that_cannot_know_whether_it_is_alone_is_stale(self) -> None:
        """Its Serf agent is away, and may know others."""
        self.node.membership.engine_trouble = "The Serf agent is away."
        assert self.read("max_stale=10").status == 503

    def test_it_holds_when_the_answer_is_given(self) -> None:
        """A node that has lost touch while a read waited does not answer it."""
        self.node = WebNode(expects_others=True)
        self.node.membership.contact_s = 1.0
        wire = self.ask("max_stale=5&wait=10", known=self.tag)
        self.node.membership.contact_s = 11.0
        self.node.clock.advance(10)
        assert [r.status for r in wire.take_responses()] == [503]


class FormTests(ReadTestCase):
    """What is malformed changes nothing, and is named."""

    def test_a_parameter_that_is_no_number_in_range_is_400(self) -> None:
        """The detail names it."""
        bad = {
            "wait": [
                "",
                "abc",
                "-1",
                "+1",
                "60.1",
                "61",
                "1e2",
                "nan",
                "inf",
                "1_0",
                ".5",
                "5.",
                "0x1",
                "٣",
                "9" * 400,
            ],
            "min_generation": ["", "abc", "-1", "1.0", "9223372036854775808", "9" * 400, "1_0"],
            "max_stale": ["", "abc", "-1", "nan", "inf", "9" * 400, "1e10"],
        }
        for name, texts in bad.items():
            for text in texts:
                response = self.read(f"{name}={_escaped(text)}", known=self.tag)
                assert (response.status, name in response.json["detail"]) == (400, True), (name, text)

    def test_a_parameter_stands_once(self) -> None:
        """Which of two holds is not guessed."""
        assert "wait" in self.read("wait=1&wait=2", known=self.tag).json["detail"]

    def test_others_are_not_looked_at(self) -> None:
        """As before."""
        assert self.read("pretty&x=1&x=2").json["value"] == 42


class StopTests(ReadTestCase):
    """The service stops."""

    def test_reads_that_wait_are_answered_at_once(self) -> None:
        """With 304, or 503 if the generation has not come, as the last of their connections."""
        reactor = MemoryReactorClock()
        self.node.clock = reactor
        service = WebService(reactor, TCP4ServerEndpoint(reactor, 8080, interface="127.0.0.1"), self.node.context)
        service.startService()
        [(_, site, *_)] = reactor.tcpServers
        assert isinstance(site, LimitedSite)
        self.node.site = site
        wires = [self.ask("wait=30", known=self.tag), self.ask("wait=30&min_generation=5")]
        stopped = service.stopService()
        reactor.advance(0)
        self.successResultOf(stopped)
        responses = [response for wire in wires for response in wire.take_responses()]
        assert [(r.status, r.headers["connection"]) for r in responses] == [(304, "close"), (503, "close")]
        assert all(wire.lost for wire in wires)
        assert not reactor.getDelayedCalls()


def _escaped(text: str) -> str:
    """The text as a URL has it."""
    return "".join(f"%{byte:02x}" for byte in text.encode())
