"""Limits of the HTTP server, on raw bytes: forms, sizes, times, connections; and any bytes at all."""

from typing import cast

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from onevalue.web import channel
from onevalue.web.channel import (
    BODY_SIZE_MAX,
    HEADER_LINE_SIZE_MAX,
    HEADERS_MAX,
    HEADERS_SIZE_MAX,
    IDLE_TIME_MAX_S,
    LINGER_TIME_MAX_S,
    REQUEST_TIME_MAX_S,
    RESPONSE_TIME_MAX_S,
)
from onevalue.web.server import (
    CONNECTIONS_MAX,
    CONNECTIONS_PER_ADDRESS_PERCENT_MAX,
    FILES_RESERVED,
    SWEEP_INTERVAL_S,
    connections_admitted,
)
from tests.fakes import TurnClock
from tests.web_support import PausingWire, SlowJournal, WebNode, logged_errors

GET = b"GET /get HTTP/1.1\r\nHost: n1\r\n\r\n"


class FormTests(SynchronousTestCase):
    """Requests that HTTP/1.1 does not allow, or that no route should see."""

    def refuse(self, data: bytes, status: int) -> bytes:
        """The one answer to `data`, after which the connection closes; returns its body."""
        node = WebNode()
        wire = node.dial(data)
        [response] = wire.take_responses(head=data.startswith(b"HEAD"))
        assert (response.status, response.headers["connection"]) == (status, "close"), data[:60]
        node.send(wire, GET)
        assert wire.take_bytes() == b"", "nothing is answered after a refusal"
        node.clock.pump([LINGER_TIME_MAX_S, SWEEP_INTERVAL_S])
        assert wire.lost
        assert (node.site.traffic.requests_refused, node.site.traffic.connections) == (1, 0)
        assert node.store.current.generation == 0
        assert logged_errors(self) == []
        return response.body

    def test_what_is_malformed_is_400(self) -> None:
        """One clear answer, and the connection closes."""
        for data in [
            b"nonsense\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\r\n",  # the beginning of TLS
            b"GET /get HTTP/2.0\r\nHost: n1\r\n\r\n",
            b"GET /get\r\n\r\n",
            b"GET /a b HTTP/1.1\r\nHost: n1\r\n\r\n",
            b"G\xc3T /get HTTP/1.1\r\nHost: n1\r\n\r\n",
            b"GET xset/1 HTTP/1.1\r\nHost: n1\r\n\r\n",
            b"GET http://n1/set/1 HTTP/1.1\r\nHost: n1\r\n\r\n",
            b"OPTIONS * HTTP/1.1\r\nHost: n1\r\n\r\n",
            b"GET /get HTTP/1.1\r\nHost: n1\r\nno colon\r\n\r\n",
            b"GET /get HTTP/1.1\r\nHost: n1\r\nno colon\r\nAccept: x\r\n\r\n",
            b"GET /get HTTP/1.1\r\nHost: n1\r\nContent-Length: -1\r\n\r\n",
            b"PUT /v1/value HTTP/1.1\r\nHost: n1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n43",
            b"PUT /v1/value HTTP/1.1\r\nHost: n1\r\nTransfer-Encoding: gzip\r\n\r\n43",
            b"PUT /v1/value HTTP/1.1\r\nHost: n1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n43\r\n",
        ]:
            self.refuse(data, 400)

    def test_a_request_has_one_host(self) -> None:
        """HTTP/1.1 without Host, with two, or with nonsense there is 400; HTTP/1.0 needs none."""
        for host in [b"", b"Host: a\r\nHost: a\r\n", b"Host: a b\r\n", b"Host: \xff\r\n", b"Host: a/b\r\n"]:
            assert b"Host" in self.refuse(b"GET /set/1 HTTP/1.1\r\n" + host + b"\r\n", 400)
        [response] = WebNode().dial(b"GET /get HTTP/1.0\r\n\r\n").take_responses()
        assert response.body == b"42"

    def test_strange_hosts_are_no_matter(self) -> None:
        """Names that IDNA refuses, addresses with ports, and none at all."""
        for host in [b"", b"a..b", b"x" * 300, b"[::1]:8080", b"127.0.0.1:8080", b"xn--\x61"]:
            [response] = WebNode().dial(b"GET /get HTTP/1.1\r\nHost: " + host + b"\r\n\r\n").take_responses()
            assert response.body == b"42", host

    def test_a_path_that_is_not_utf8_is_400(self) -> None:
        """Escaped or not, without a traceback; under /v1 a problem document."""
        for path in [b"/get%FF", b"/\xb0", b"/%C3%28", b"/v1/%ff"]:
            assert b"UTF-8" in self.refuse(b"GET " + path + b" HTTP/1.1\r\nHost: n1\r\n\r\n", 400)

    def test_a_path_begins_with_one_slash(self) -> None:
        """Several are not taken for one, nor for none: //set/7 is no way to write."""
        for path in [b"//get", b"///set/7", b"get", b"*"]:
            self.refuse(b"GET " + path + b" HTTP/1.1\r\nHost: n1\r\n\r\n", 400)

    def test_the_answer_to_head_has_no_body(self) -> None:
        """Also when it is refused."""
        assert self.refuse(b"HEAD / HTTP/1.1\r\n\r\n", 400) == b""


class SizeTests(FormTests):
    """Requests that are too large."""

    def test_a_body_over_the_limit_is_413_at_its_length(self) -> None:
        """Before it comes, and before a client that asks is told to go on; also a length that no integer holds."""
        head = b"PUT /v1/value HTTP/1.1\r\nHost: n1\r\nExpect: 100-continue\r\nContent-Length: "
        for length in [b"%d" % (BODY_SIZE_MAX + 1), b"9" * 18, b"9" * 5000]:
            self.refuse(head + length + b"\r\n\r\n", 413)

    def test_a_chunked_body_over_the_limit_is_413_while_it_comes(self) -> None:
        """In one chunk or in many, whatever follows in the same packet."""
        head = b"POST /notify HTTP/1.1\r\nHost: n1\r\nTransfer-Encoding: chunked\r\n\r\n"
        self.refuse(head + b"%x\r\n" % 10**9 + b"1" * (BODY_SIZE_MAX + 1), 413)
        self.refuse(head + b"a\r\n1234567890\r\n" * (BODY_SIZE_MAX // 10 + 9) + b"0\r\n\r\n" + GET, 413)

    def test_a_body_at_the_limit_is_read(self) -> None:
        """With its length, and in chunks."""
        body = b" " * (BODY_SIZE_MAX - 2) + b"43"
        assert WebNode(value_size_max=BODY_SIZE_MAX).put(body).json["value"] == 43
        node = WebNode(value_size_max=BODY_SIZE_MAX)
        head = b"PUT /v1/value HTTP/1.1\r\nHost: n1\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % len(body)
        [response] = node.dial(head + body + b"\r\n0\r\n\r\n").take_responses()
        assert response.json["value"] == 43

    def test_all_bodies_together_have_a_bound(self) -> None:
        """503 beyond it; what is answered, refused or lost does not count any more."""
        self.patch(channel, "BODIES_SIZE_MAX", 100_000)  # type: ignore[no-untyped-call]  # trial has no types here
        node = WebNode(SlowJournal())
        head = b"PUT /v1/value HTTP/1.1\r\nHost: n1\r\nContent-Length: 60000\r\n\r\n"
        first = node.dial(head + b" " * 59_990)
        second = node.dial(head + b" " * 59_990)
        [response] = second.take_responses()
        assert (response.status, b"too many large requests" in response.body) == (503, True)
        first.lose()
        assert node.site.bodies_size == 0
        third = node.dial(head + b" " * 59_999 + b"7")
        assert node.site.bodies_size == 60_000
        journal = cast("SlowJournal", node.journal)
        journal.commits[0].callback(None)
        assert [each.status for each in third.take_responses()] == [200]
        assert node.site.bodies_size == 0

    def test_large_requests_are_handled_one_a_turn(self) -> None:
        """In the order in which they came; one whose client is gone is left out."""
        clock = TurnClock()
        node = WebNode(clock=clock)
        head = b"PUT /v1/value HTTP/1.1\r\nHost: n1\r\nContent-Length: 20000\r\n\r\n"
        wires = [node.dial(head + b"%d" % value + b" " * 19_999) for value in range(4)]
        wires[1].lose()
        answered = []
        for _ in range(4):
            answered.append([bool(wire.value()) for wire in wires])  # type: ignore[no-untyped-call]  # Twisted has no types here
            clock.turn()
        assert [sum(each) for each in answered] == [0, 1, 1, 2]
        assert [len(wire.take_responses()) for wire in wires] == [1, 0, 1, 1]
        assert (node.store.current.value, node.site.bodies_size) == (3, 0)

    def test_after_a_large_request_others_have_as_much_time_as_it_took(self) -> None:
        """Then comes the next large one, also if it was sent only now."""
        clock = TurnClock()
        node = WebNode(clock=clock)
        node.store.observe(lambda _: setattr(clock, "rightNow", clock.rightNow + 0.03))
        request = b"PUT /v1/value HTTP/1.1\r\nHost: n1\r\nContent-Length: 20000\r\n\r\n"
        for value in (1, 2):
            wire = node.dial(request + b"%d" % value + b" " * 19_999)
            clock.turn()
            if value == 2:
                assert wire.take_responses() == []
                clock.advance(0.031)
            assert [each.status for each in wire.take_responses()] == [200]

    def test_a_client_that_asks_may_send_its_body(self) -> None:
        """100 comes before the answer."""
        node = WebNode()
        wire = node.dial(b"PUT /v1/value HTTP/1.1\r\nHost: n1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert wire.take_bytes() == b"HTTP/1.1 100 Continue\r\n\r\n"
        node.send(wire, b"43")
        assert [r.status for r in wire.take_responses()] == [200]

    def test_headers_over_the_limit_are_431_and_a_path_414(self) -> None:
        """Too many, too long in all, or one too long, ended or not."""
        first = b"GET /get HTTP/1.1\r\nHost: n1\r\n"
        self.refuse(first + b"A: b\r\n" * HEADERS_MAX + b"\r\n", 431)
        self.refuse(first + (b"A: " + b"b" * 1000 + b"\r\n") * (HEADERS_SIZE_MAX // 1000 + 1) + b"\r\n", 431)
        for end in [b"", b"\r\n\r\n"]:
            self.refuse(first + b"A: " + b"b" * HEADER_LINE_SIZE_MAX + end, 431)
            self.refuse(b"GET /" + b"b" * HEADER_LINE_SIZE_MAX + end, 414)

    def test_under_v1_a_refusal_is_a_problem_document(self) -> None:
        """As every error there."""
        length = b"Content-Length: %d\r\n\r\n" % (BODY_SIZE_MAX + 1)
        [response] = WebNode().dial(b"PUT /v1/value HTTP/1.1\r\nHost: n1\r\n" + length).take_responses()
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json["status"] == 413


class TimeTests(SynchronousTestCase):
    """Deadlines that no byte puts off."""

    def wait(self, node: WebNode, seconds: float) -> None:
        """Time passes, in steps of the sweep."""
        node.clock.pump([SWEEP_INTERVAL_S] * int(seconds / SWEEP_INTERVAL_S))

    def test_half_sent_requests_are_closed_while_others_are_answered(self) -> None:
        """200 of all kinds get 408 at the deadline, and are gone soon after."""
        node = WebNode()
        halves = [b"G", b"GET /get HTTP/1.1\r\n", b"GET /get HTTP/1.1\r\nHost: n1\r\n", GET[:-2]]
        halves.append(b"PUT /v1/value HTTP/1.1\r\nHost: n1\r\nContent-Length: 2\r\n\r\n4")
        wires = [node.dial(half) for half in halves * 40]
        self.wait(node, REQUEST_TIME_MAX_S - 1)
        assert node.get("/get").body == b"42"
        assert not any(wire.take_bytes() for wire in wires)
        self.wait(node, 2)
        assert [r.status for wire in wires for r in wire.take_responses()] == [408] * 200
        self.wait(node, LINGER_TIME_MAX_S + 1)
        assert all(wire.lost for wire in wires)
        assert node.site.traffic.requests_expired == 200

    def test_a_slow_drip_does_not_put_the_deadline_off(self) -> None:
        """A byte a second is half-sent all the same; also after a request that was complete."""
        for before in [b"", GET]:
            node = WebNode()
            wire = node.dial(before)
            wire.take_bytes()
            for byte in GET[: int(REQUEST_TIME_MAX_S) + 1]:
                node.send(wire, bytes([byte]))
                self.wait(node, 1)
            assert [r.status for r in wire.take_responses()] == [408]

    def test_half_of_a_pipelined_request_has_the_same_deadline(self) -> None:
        """Its first byte came with the request before."""
        node = WebNode()
        wire = node.dial(GET + GET[:9])
        assert [r.status for r in wire.take_responses()] == [200]
        self.wait(node, REQUEST_TIME_MAX_S + 1)
        assert [r.status for r in wire.take_responses()] == [408]

    def test_an_idle_connection_is_closed_in_time(self) -> None:
        """Before its first request and after one; each request begins the time anew; no answer is sent."""
        node = WebNode()
        silent, used = node.dial(), node.dial(GET)
        used.take_bytes()
        self.wait(node, IDLE_TIME_MAX_S - 2)
        node.send(used, GET)
        used.take_bytes()
        self.wait(node, 3)
        assert (silent.lost, used.lost) == (True, False)
        self.wait(node, IDLE_TIME_MAX_S)
        assert (silent.take_bytes(), used.take_bytes(), used.lost) == (b"", b"", True)

    def test_a_request_that_is_never_answered_is_closed(self) -> None:
        """A journal that hangs holds no connection for ever."""
        node = WebNode(SlowJournal())
        wire = node.start_request("GET", "/set/7")
        self.wait(node, RESPONSE_TIME_MAX_S - 1)
        assert not wire.lost
        self.wait(node, 2)
        assert (wire.lost, logged_errors(self)) == (True, [])

    def test_a_client_that_never_reads_the_last_answer_is_closed(self) -> None:
        """The close that waits for it has a deadline too."""
        node = WebNode()
        wire = node.dial()
        wire.reads = False
        node.send(wire, b"GET /get HTTP/1.1\r\nHost: n1\r\nConnection: close\r\n\r\n")
        self.wait(node, RESPONSE_TIME_MAX_S - 1)
        assert not wire.lost
        self.wait(node, 2)
        assert wire.lost

    def test_no_timer_remains_without_connections(self) -> None:
        """The sweep ends with the last connection, and begins with the next."""
        node = WebNode()
        assert not node.clock.getDelayedCalls()
        for _ in range(2):
            wire = node.dial(GET)
            assert len(node.clock.getDelayedCalls()) == 1
            wire.lose()
            assert not node.clock.getDelayedCalls()


class PipelineTests(SynchronousTestCase):
    """Requests that come before the answer to the one before."""

    def test_pipelined_requests_are_answered_in_order(self) -> None:
        """In one packet or byte by byte, a body or not."""
        put = b"PUT /v1/value HTTP/1.1\r\nHost: n1\r\nContent-Length: 2\r\n\r\n43"
        data = GET + put + GET + b"GET /none HTTP/1.1\r\nHost: n1\r\n\r\n" + GET
        for step in [1, 7, len(data)]:
            node = WebNode()
            wire = node.dial()
            for start in range(0, len(data), step):
                node.send(wire, data[start : start + step])
            responses = wire.take_responses()
            assert [r.status for r in responses] == [200, 200, 200, 404, 200]
            assert [responses[i].body for i in (0, 2, 4)] == [b"42", b"43", b"43"]

    def test_a_request_waits_for_the_write_before_it(self) -> None:
        """The second is answered when the first is durable."""
        journal = SlowJournal()
        node = WebNode(journal)
        wire = node.dial(b"GET /set/7 HTTP/1.1\r\nHost: n1\r\n\r\n" + GET)
        assert wire.take_bytes() == b""
        journal.commits[0].callback(None)
        assert [r.body for r in wire.take_responses()] == [b"7", b"7"]

    def test_a_client_that_does_not_read_gets_no_more_answers(self) -> None:
        """Of many pipelined requests in one packet only the first is answered until the client reads again."""
        node = WebNode()
        wire = node.connect(kind=PausingWire)
        assert wire is not None
        assert wire.channel is not None
        node.send(wire, GET * 3)
        assert (len(wire.take_responses()), wire.producerState) == (1, "paused"), "nor is more read from it"
        wire.channel.resumeProducing()
        assert (len(wire.take_responses()), wire.producerState) == (1, "paused")
        node.clock.pump([1.0] * int(REQUEST_TIME_MAX_S + 1))
        assert wire.take_bytes() == b"", "its third request has come in time"
        node.clock.pump([1.0] * int(IDLE_TIME_MAX_S - REQUEST_TIME_MAX_S))
        assert wire.lost


class ConnectionTests(SynchronousTestCase):
    """How many there may be."""

    def test_more_connections_than_the_limit_are_closed_at_once(self) -> None:
        """They are counted, and one that goes makes room."""
        node = WebNode(connections_max=300)
        wires = [node.dial(peer=f"10.0.{n // 250}.{n % 250}") for n in range(300)]
        assert node.connect("10.9.9.9") is None
        assert node.connect("127.0.0.1") is None
        assert node.site.traffic.connections_refused == 2
        wires[0].lose()
        assert node.connect("10.9.9.9") is not None
        assert node.site.traffic.connections == 300

    def test_one_address_cannot_hold_all(self) -> None:
        """Others still get in, and a connection that goes makes room for the next; loopback is not counted."""
        share = 100 * CONNECTIONS_PER_ADDRESS_PERCENT_MAX // 100
        node = WebNode(connections_max=100)
        wires = [node.dial(peer="10.0.0.1") for _ in range(share)]
        assert node.connect("10.0.0.1") is None
        assert node.connect("10.0.0.2") is not None
        wires[0].lose()
        assert node.connect("10.0.0.1") is not None
        assert node.connect("10.0.0.1") is None
        local = WebNode(connections_max=100)
        for n in range(share + 1):
            assert local.connect(f"127.0.0.{n % 2 + 1}") is not None

    def test_the_limit_follows_from_the_files_that_may_be_open(self) -> None:
        """As many as are left beside those for all else, up to the bound; never none."""
        assert [connections_admitted(files) for files in (1024, CONNECTIONS_MAX + FILES_RESERVED, 10**9, 64)] == [
            800,
            CONNECTIONS_MAX,
            CONNECTIONS_MAX,
            1,
        ]

    def test_the_limits_are_shown(self) -> None:
        """In /v1/status, under http."""
        shown = WebNode(connections_max=200).get("/v1/status").json["http"]
        assert (shown["connections_max"], shown["watchers_max"]) == (200, 160)


class AnyBytesTests(SynchronousTestCase):
    """Whatever comes."""

    pieces = st.sampled_from(
        b"GET |PUT |POST |/get|/v1/value|/v1/status|/notify| HTTP/1.1\r\n| HTTP/1.0\r\n|\r\n|\r|\n|:|%|?|#|{".split(
            b"|"
        )
        + b"Host: n1\r\n|Content-Length: 5\r\n|Transfer-Encoding: chunked\r\n|0\r\n|Expect: 100-continue\r\n".split(
            b"|"
        )
        + b" folded\r\n|Content-Type: multipart/form-data; boundary=x\r\n|Connection: close\r\n|\x00".split(b"|")
    )

    @settings(max_examples=200, deadline=None)
    @given(st.lists(st.lists(st.one_of(pieces, st.binary(max_size=20)), max_size=12).map(b"".join), max_size=5))
    def test_any_bytes_leave_the_node_running_and_its_state_unchanged(self, packets: list[bytes]) -> None:
        """Nothing raises, nothing is logged as an error, others are answered, and in the end all is closed."""
        node = WebNode()
        before = node.store.current
        wire = node.dial()
        for packet in packets:
            if not wire.lost:
                node.send(wire, packet)
        assert node.get("/get").body == b"42"
        assert node.store.current is before
        node.clock.pump([1.0] * int(IDLE_TIME_MAX_S + 5))
        assert wire.lost
        assert logged_errors(self) == []
