"""PUT /v1/value with `ack`: who is to hold the write before it is answered."""

from twisted.trial.unittest import SynchronousTestCase

from onevalue.exchange import Statement, decode_statement, encode_statement
from onevalue.journal import NullJournal
from onevalue.spread.confirming import CONFIRMATIONS_MAX
from onevalue.store import Source, State
from onevalue.types import Generation
from tests.spread_rig import member
from tests.web_support import KeepingJournal, Response, SlowJournal, WebNode, Wire


class Cluster:
    """A node with some others, of which the test says what they hold."""

    def __init__(self, *names: str, cluster_size: int | None = None, journal: NullJournal | None = None) -> None:
        self.node = WebNode(journal or KeepingJournal(), cluster_size=cluster_size)
        everybody = sorted(["n1", *names])
        self.node.spread.members_changed([member(name) for name in everybody], self.node.context.now)
        for exchange in self.node.spread.exchanges_to_start():
            self.node.spread.failed(exchange, self.node.context.now)

    def put(self, query: str, body: bytes = b"7") -> Wire:
        """A write that waits for others."""
        return self.node.start_request("PUT", f"/v1/value{query}", body)

    def say(self, held: State | None = None) -> int:
        """All members that are asked hold this, or what they were told; how many were asked."""
        self.node.spread.handle_timer(self.node.context.now)
        exchanges = [each for each in self.node.spread.exchanges_to_start() if each.confirm]
        for exchange in exchanges:
            told = held or self.node.spread.statement_for(exchange).state
            said = Statement(exchange.contact.name, learning=False, state=told, durable=True)
            self.node.spread.answered(exchange, said, self.node.context.now)
        self.node.clock.advance(0)
        return len(exchanges)

    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.node.clock.advance(seconds)
        self.node.spread.handle_timer(self.node.context.now)
        self.node.clock.advance(0)


def only(wire: Wire) -> Response:
    """The one response."""
    [response] = wire.take_responses()
    return response


class AckTests(SynchronousTestCase):
    """What the answers say."""

    def test_one_is_this_node_alone(self) -> None:
        """As without `ack`, and the answer says nothing of others."""
        for query in ("", "?ack=1", "?ack=1&timeout=3"):
            cluster = Cluster("n2")
            response = only(cluster.put(query))
            assert (response.status, "acks" in response.json) == (200, False)
            assert cluster.say() == 0

    def test_a_number_of_nodes(self) -> None:
        """200 when so many hold it."""
        cluster = Cluster("n2", "n3")
        wire = cluster.put("?ack=2")
        assert wire.take_responses() == []
        cluster.say()
        response = only(wire)
        assert response.status == 200
        assert response.json["acks"]["needed"] == 2
        assert response.json["acks"]["held"] >= 2
        assert (response.json["value"], "superseded_by" in response.json) == (7, False)

    def test_all_and_the_majority(self) -> None:
        """Of the members now; of what --cluster-size says, which has to be said."""
        cluster = Cluster("n2", "n3")
        wire = cluster.put("?ack=all")
        cluster.say()
        assert only(wire).json["acks"] == {"needed": 3, "held": 3}
        cluster = Cluster("n2", "n3", cluster_size=4)
        wire = cluster.put("?ack=majority")
        cluster.say()
        assert only(wire).json["acks"]["needed"] == 3
        response = only(Cluster("n2").put("?ack=majority"))
        assert (response.status, "--cluster-size" in response.json["detail"]) == (400, True)

    def test_too_few_in_time_is_504_and_the_write_stands(self) -> None:
        """With how many, and the state that was written."""
        cluster = Cluster("n2")
        wire = cluster.put("?ack=3&timeout=2")
        cluster.say()
        cluster.wait(1.9)
        assert wire.take_responses() == []
        cluster.wait(0.2)
        response = only(wire)
        assert (response.status, response.json["acks"]) == (504, {"needed": 3, "held": 2})
        assert response.json["written"]["tag"] == cluster.node.store.current.tag
        assert cluster.node.store.current.value == 7

    def test_a_higher_generation_is_told(self) -> None:
        """The write was held, and is history already."""
        cluster = Cluster("n2")
        wire = cluster.put("?ack=2")
        cluster.say(State(Generation(9), 90, "n2"))
        response = only(wire)
        assert (response.status, response.json["value"]) == (200, 7)
        assert (response.json["superseded_by"]["generation"], response.json["superseded_by"]["value"]) == (9, 90)

    def test_a_write_that_lost_is_409_with_the_winner(self) -> None:
        """Nobody holds it any more, or soon."""
        cluster = Cluster("n2")
        wire = cluster.put("?ack=2")
        cluster.node.store.merge(State(Generation(1), 8, "n2"), Source.EVENT)
        cluster.node.clock.advance(0)
        response = only(wire)
        assert (response.status, response.json["winner"]["value"], response.json["written"]["value"]) == (409, 8, 7)

    def test_what_is_no_ack_is_400_and_nothing_is_written(self) -> None:
        """Nor a timeout out of range, a parameter twice."""
        cluster = Cluster("n2")
        for query in ("ack=0", "ack=-1", "ack=two", "ack=", "ack=10001", "ack=2&ack=3", "ack=%D9%A2"):
            response = only(cluster.put(f"?{query}"))
            assert (response.status, response.json["detail"].startswith("ack ")) == (400, True), query
        for query in (
            "timeout=0",
            "timeout=-1",
            "timeout=26",
            "timeout=nan",
            "timeout=soon",
            "timeout=1e999",
            "timeout=1_0",
        ):
            response = only(cluster.put(f"?ack=2&{query}"))
            assert (response.status, response.json["detail"].startswith("timeout ")) == (400, True), query
        assert cluster.node.store.current.generation == 0

    def test_a_node_that_keeps_nothing_does_not_count(self) -> None:
        """Neither as the writer, nor as who confirms."""
        cluster = Cluster("n2", "n3", journal=NullJournal())
        wire = cluster.put("?ack=2&timeout=1")
        cluster.say()
        assert only(wire).json["acks"] == {"needed": 2, "held": 2}, "the two others"
        node = WebNode(NullJournal())
        body = encode_statement(Statement("n2", learning=False, state=State(Generation(3), 30), confirm=True))
        assert not decode_statement(node.request("POST", "/notify", body).body).durable

    def test_when_the_node_stops_who_waits_hears_how_far_it_is(self) -> None:
        """The write stands, and the answer says so."""
        cluster = Cluster("n2")
        wire = cluster.put("?ack=2")
        cluster.node.spread.give_up_confirming()
        cluster.node.clock.advance(0)
        response = only(wire)
        assert (response.status, response.json["acks"]["held"], response.json["written"]["value"]) == (504, 1, 7)

    def test_where_too_many_wait_nothing_is_written(self) -> None:
        """503 at once; without `ack` it is."""
        cluster = Cluster("n2")
        for _ in range(CONFIRMATIONS_MAX):
            cluster.node.spread.confirm(cluster.node.store.current, 9, by_all=False, until=2000.0, done=lambda _: None)
        response = only(cluster.put("?ack=2"))
        assert (response.status, response.headers["retry-after"]) == (503, "1")
        assert cluster.node.store.current.generation == 0
        assert only(cluster.put("")).status == 200


class ConfirmingTests(SynchronousTestCase):
    """POST /notify of who wants to know when it is durable."""

    def test_it_is_answered_when_what_is_held_is_durable(self) -> None:
        """And says so; with the state that is, whatever came meanwhile."""
        journal = SlowJournal()
        node = WebNode(journal)
        pushed = State(Generation(3), 30, "n2")
        body = encode_statement(Statement("n2", learning=False, state=pushed, confirm=True))
        wire = node.start_request("POST", "/notify", body)
        assert wire.take_responses() == []
        assert node.store.current == pushed
        node.store.merge(State(Generation(4), 40), Source.EVENT)
        journal.end_waits()
        heard = decode_statement(only(wire).body)
        assert (heard.durable, heard.state) == (True, pushed)

    def test_where_the_disk_does_not_take_it_the_answer_does_not_say_so(self) -> None:
        """It comes all the same: the state is held."""
        journal = SlowJournal()
        node = WebNode(journal)
        body = encode_statement(Statement("n2", learning=False, state=State(Generation(3), 30), confirm=True))
        wire = node.start_request("POST", "/notify", body)
        journal.end_waits("disk full")
        heard = decode_statement(only(wire).body)
        assert (heard.durable, heard.generation) == (False, 3)

    def test_where_the_disk_is_in_trouble_nobody_waits_for_it(self) -> None:
        """Nor for a state that was refused."""
        journal = SlowJournal()
        node = WebNode(journal)
        far = Statement("n2", learning=False, state=State(Generation(2**40), 30), confirm=True)
        assert not decode_statement(node.request("POST", "/notify", encode_statement(far)).body).durable
        journal.trouble = "disk full"
        near = Statement("n2", learning=False, state=State(Generation(3), 30), confirm=True)
        assert not decode_statement(node.request("POST", "/notify", encode_statement(near)).body).durable

    def test_who_does_not_want_to_know_is_answered_at_once(self) -> None:
        """As ever."""
        node = WebNode(SlowJournal())
        response = node.request("POST", "/notify", encode_statement(Statement("n2", False, State(Generation(3), 30))))
        assert not decode_statement(response.body).durable
