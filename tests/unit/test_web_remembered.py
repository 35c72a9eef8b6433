"""Remembered answers: the table, what gets into it, how long it holds, and that nobody can tell that it is there."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.interfaces import ISSLTransport
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import directlyProvides

from onevalue.store import Source, State
from onevalue.types import Generation
from onevalue.web.channel import IDLE_TIME_MAX_S, REQUEST_TIME_MAX_S
from onevalue.web.freshness import ShownContact
from onevalue.web.remembered import ENTRIES_MAX, ENTRY_SIZE_MAX, RememberedAnswers, may_be_remembered
from tests.fakes import FakeMembership, make_member
from tests.fuzz import fuzz_reads
from tests.fuzz.fuzz_reads import GET, OTHERS, PUT, SET, VALUE
from tests.web_support import PausingWire, SlowJournal, WebNode, Wire, logged_errors
from tests.web_twins import Twins

HOST = "192.168.1.1"
"""The address of ours to which clients of `StringTransport` have connected."""


class TableTests(SynchronousTestCase):
    """RememberedAnswers."""

    def setUp(self) -> None:
        """A table, and its wall clock."""
        self.clock = Clock()
        self.clock.advance(1_700_000_000.25)
        self.table = RememberedAnswers(self.clock.seconds)
        assert self.table.lookup(HOST, b"") is None, "it knows in which second it is"

    def test_an_answer_is_given_for_its_bytes_at_its_address_alone(self) -> None:
        """Not for more, fewer or other bytes, and not at another address of the node."""
        self.table.remember(HOST, GET, b"42")
        assert self.table.lookup(HOST, GET) == b"42"
        for host, request in [(HOST, GET[:-1]), (HOST, GET + b"G"), (HOST, GET.lower()), ("127.0.0.1", GET)]:
            assert self.table.lookup(host, request) is None

    def test_each_second_of_the_wall_clock_begins_with_an_empty_table(self) -> None:
        """At its beginning, not a second after the answer; also when the clock is set back."""
        for step_s in (0.75, 1.0, -5.0):
            self.table.remember(HOST, GET, b"42")
            self.clock.rightNow += step_s  # advance() goes only forward
            assert self.table.lookup(HOST, GET) is None
        self.table.remember(HOST, GET, b"42")
        self.clock.advance(0.9)
        assert self.table.lookup(HOST, GET) == b"42"

    def test_clear_forgets_all(self) -> None:
        """At once."""
        self.table.remember(HOST, GET, b"42")
        self.table.clear()
        assert (self.table.lookup(HOST, GET), len(self.table)) == (None, 0)

    def test_it_holds_so_many_answers_and_forgets_the_oldest(self) -> None:
        """A flood of requests of one kind does not keep the others out."""
        for number in range(ENTRIES_MAX + 3):
            self.table.remember(HOST, b"%d" % number, b"")
        assert len(self.table) == ENTRIES_MAX
        assert [self.table.lookup(HOST, b"%d" % number) for number in (2, 3, ENTRIES_MAX + 2)] == [None, b"", b""]

    def test_large_ones_are_not_held(self) -> None:
        """Request and answer together."""
        self.table.remember(HOST, GET, b"." * (ENTRY_SIZE_MAX - len(GET)))
        self.table.remember(HOST, VALUE, b"." * (ENTRY_SIZE_MAX - len(VALUE) + 1))
        assert (len(self.table), self.table.lookup(HOST, VALUE)) == (1, None)


class ShownContactTests(SynchronousTestCase):
    """ShownContact."""

    def setUp(self) -> None:
        """One that has been shown."""
        self.clock = Clock()
        self.clock.advance(1000.25)
        self.membership = FakeMembership()
        self.renewals: list[float] = []
        renewed = lambda: self.renewals.append(self.clock.seconds())  # noqa: E731  # said in one line
        self.contact = ShownContact(self.membership, self.clock.seconds, renewed)
        assert self.contact.last_contact_s() is None

    def test_a_sample_is_shown_until_the_second_ends(self) -> None:
        """Whatever the truth is meanwhile; each sample is told."""
        self.membership.contact_s = 0.5
        self.clock.advance(0.5)
        assert self.contact.last_contact_s() is None
        self.clock.advance(0.25)
        assert self.contact.last_contact_s() == 0.5
        self.membership.contact_s = 0.625
        assert self.contact.last_contact_s() == 0.5
        assert self.renewals == [1000.25, 1001.0]

    def test_a_change_of_the_members_ends_it_sooner(self) -> None:
        """A node that is alone no more does not say so for another second."""
        self.membership.contact_s = 0.0
        self.membership.set_members(make_member("n1"), make_member("n2"))
        assert self.renewals == [1000.25, 1000.25]
        assert self.contact.last_contact_s() == 0.0


class LateResource(Resource):
    """Says that its answers may be remembered, and gives them when it is told to."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Twisted has no types here
        self.waiting: list[Request] = []

    def render(self, request: Request) -> int:
        """Not yet."""
        may_be_remembered(request)
        self.waiting.append(request)
        return NOT_DONE_YET


class TeapotResource(Resource):
    """Says that its answers may be remembered, and makes them errors."""

    isLeaf = True

    def render(self, request: Request) -> bytes:
        """418."""
        may_be_remembered(request)
        request.setResponseCode(418)
        return b"short and stout"


class SecureWire(Wire):
    """A client that speaks TLS."""

    def setTcpNoDelay(self, enabled: bool) -> None:
        """See ITCPTransport."""


class RememberingTests(SynchronousTestCase):
    """What is remembered, and what is answered so."""

    def setUp(self) -> None:
        """A node, and a connection."""
        self.node = WebNode()
        self.table = self.node.site.remembered
        self.wire = self.node.dial()

    def ask(self, *reads: bytes) -> bytes:
        """What the one connection gets for some reads."""
        for data in reads:
            self.node.send(self.wire, data)
        return self.wire.take_bytes()

    @property
    def count(self) -> int:
        """Remembered answers given since the start."""
        return self.node.site.traffic.requests_remembered

    def test_a_request_that_comes_again_gets_the_same_bytes(self) -> None:
        """On this connection and on others; it is counted, and the status shows it."""
        for request in (VALUE, GET):
            first = self.ask(request)
            assert first.startswith(b"HTTP/1.1 200 OK\r\n")
            assert self.ask(request) == first
            assert self.node.dial(request).take_bytes() == first
        assert (self.count, len(self.table)) == (4, 2)
        assert self.node.get("/v1/status").json["http"]["requests_remembered"] == 4

    def test_only_what_a_handler_vouches_for_is_remembered(self) -> None:
        """No writes, no parameters, no conditions that hold, no errors, nothing that ends the connection."""
        remembered = [
            b"HEAD /get HTTP/1.1\r\nHost: n1\r\n\r\n",
            b"GET /get HTTP/1.1\r\nHost: n1\r\nAccept: a,\r\n b\r\n\r\n",
        ]
        remembered.append(b'GET /v1/value HTTP/1.1\r\nHost: n1\r\nIf-None-Match: "x"\r\n\r\n')
        for request in OTHERS:
            self.node.dial(request)
            assert len(self.table) == (request in remembered), request
            self.table.clear()

    def test_large_requests_are_not_remembered(self) -> None:
        """They are answered all the same."""
        request = GET[:-2] + b"Cookie: " + b"c" * ENTRY_SIZE_MAX + b"\r\n\r\n"
        assert self.ask(request, request).count(b"200 OK") == 2
        assert (self.count, len(self.table)) == (0, 0)

    def test_a_late_answer_is_not_remembered(self) -> None:
        """What it depends on may have changed since; so an answer that waits can do no harm."""
        late = LateResource()
        self.node.site.resource = late
        self.ask(GET)
        late.waiting[0].write(b"late")
        late.waiting[0].finish()
        assert b"late" in self.wire.take_bytes()
        assert len(self.table) == 0

    def test_an_error_is_not_remembered(self) -> None:
        """Whatever its handler said before."""
        self.node.site.resource = TeapotResource()  # type: ignore[no-untyped-call]  # likewise
        assert self.ask(GET).endswith(b"stout")
        assert len(self.table) == 0

    def test_a_change_of_the_state_is_seen_at_once(self) -> None:
        """By an own write, on the same connection or in the same read, and by what a peer tells."""
        assert self.ask(GET, GET, SET, GET, PUT, GET).count(b"\r\n\r\n42") == 2
        assert self.ask(GET + SET + GET).endswith(b"\r\n\r\n7")
        self.node.store.merge(State(Generation(99), 5), Source.EVENT)
        assert self.ask(GET).endswith(b"\r\n\r\n5")

    def test_date_and_last_contact_are_right_in_each_second(self) -> None:
        """As the ordinary way shows them."""
        dates = []
        for _ in range(3):
            self.node.membership.contact_s = self.node.clock.seconds()
            self.ask(VALUE)
            [response] = (self.node.dial(VALUE)).take_responses()
            assert response.json["last_contact_s"] == self.node.clock.seconds()
            dates.append(response.headers["date"][-6:])
            self.node.clock.advance(1.0)
        assert self.count == 3
        assert dates == ["20 GMT", "21 GMT", "22 GMT"]

    def test_split_reads_go_the_ordinary_way(self) -> None:
        """Cut anywhere, the answer is the same and the table is not asked."""
        whole = self.ask(GET)
        for cut in range(1, len(GET)):
            assert self.ask(GET[:cut], GET[cut:]) == whole
        assert self.count == 0
        assert self.ask(GET) == whole
        assert self.count == 1

    def test_pipelined_requests_are_remembered_too(self) -> None:
        """Also among others, and before half of one."""
        none = b"GET /none HTTP/1.1\r\nHost: n1\r\n\r\n"
        for data, statuses in [
            (VALUE + GET + none + VALUE + GET + GET[:7], [200, 200, 404, 200, 200]),
            (GET[7:], [200]),
        ]:
            self.node.send(self.wire, data)
            assert [response.status for response in self.wire.take_responses()] == statuses
        assert self.count == 2
        assert self.ask(GET * 10).count(b"200 OK") == 10
        assert self.count == 12
        assert self.ask(GET * 10 + GET[:9], GET[9:] + GET * 10).count(b"200 OK") == 21
        assert self.count == 32, "all but the one that was cut"

    def test_what_belongs_to_the_last_request_is_not_taken_for_the_next(self) -> None:
        """A blank line after it, or a body that looks like a request."""
        body = b"POST /get HTTP/1.1\r\nHost: n1\r\nContent-Length: %d\r\n\r\n" % len(GET)
        assert self.ask(GET, b"\r\n", GET).count(b"200 OK") == 2
        assert self.ask(body, GET).count(b"200 OK") == 1
        assert self.ask(body + GET + GET).count(b"200 OK") == 2
        head = b"POST /get HTTP/1.1\r\nHost: n1\r\nContent-Length: 65536\r\n\r\n"
        assert self.ask(head[:9], head[9:] + b"\r\n\r\n" * 8192, b"\r\n\r\n" * 8192, GET).count(b"200 OK") == 2

    def test_what_came_while_a_request_waited_is_its_own_matter(self) -> None:
        """A blank line behind it may come once, and was not the beginning of another request."""
        journal = SlowJournal()
        self.node = WebNode(journal)
        self.wire = self.node.dial()
        assert self.ask(GET, SET, GET + b"\r\n").count(b"200 OK") == 1
        journal.commits[0].callback(None)
        assert self.wire.take_bytes().endswith(b"\r\n\r\n7")
        self.node.dial(GET)  # so that it is remembered
        assert self.ask(GET, b"\r\n", GET).count(b"200 OK") == 2

    def test_a_client_that_does_not_read_gets_no_more_answers(self) -> None:
        """Not from the table either, in one read or in several; nor is more read from it."""
        self.ask(GET)
        wire = self.node.connect(kind=PausingWire)
        assert wire is not None
        assert wire.channel is not None
        for data in (GET * 3, GET):
            self.node.send(wire, data)
        assert (len(wire.take_responses()), wire.producerState) == (1, "paused")
        for _ in range(3):
            wire.channel.resumeProducing()
            assert len(wire.take_responses()) == 1
        wire.channel.resumeProducing()
        assert (wire.take_bytes(), wire.producerState) == (b"", "producing")

    def test_a_remembered_answer_begins_the_idle_time_anew(self) -> None:
        """And half of a request after it has its own deadline."""
        other = self.node.dial()
        for _ in range(3):
            self.node.clock.pump([1.0] * int(IDLE_TIME_MAX_S - 2))
            self.node.send(other, GET)
            assert self.ask(GET).endswith(b"42")
        assert self.count == 3
        self.ask(GET, GET[:5])
        self.node.clock.pump([1.0] * int(REQUEST_TIME_MAX_S + 1))
        assert b"408" in self.wire.take_bytes()

    def test_a_connection_that_closes_answers_nothing_more(self) -> None:
        """After a refusal, whose sending side is closed, and after Connection: close; others go on."""
        for last in (b"nonsense\r\n\r\n", b"GET /get HTTP/1.1\r\nHost: n1\r\nConnection: close\r\n\r\n"):
            self.ask(GET)
            wire = self.node.dial(GET)
            wire.reads = False  # the close waits
            wire.take_bytes()
            self.node.send(wire, last)
            wire.take_bytes()
            self.node.send(wire, GET)
            assert wire.take_bytes() == b""
        assert self.ask(GET).endswith(b"42")

    def test_a_server_that_stops_answers_nothing_from_the_table(self) -> None:
        """The last request of each connection is told to be it."""
        self.ask(GET)
        self.node.send(self.wire, GET[:-2])
        idle = self.node.dial()
        self.node.site.stop(1.0)
        assert len(self.table) == 0
        self.node.send(self.wire, GET[-2:])
        assert b"Connection: close" in self.wire.take_bytes()
        self.node.send(idle, GET)
        assert (idle.take_bytes(), len(self.table)) == (b"", 0)

    def test_each_address_of_the_node_has_its_own(self) -> None:
        """Whether a request is taken may depend on the address that it came to."""
        self.ask(GET)
        wire = Wire(self.node.clock, "10.0.0.9")
        wire.hostAddr = IPv4Address("TCP", "127.0.0.1", 8080)
        self.open(wire)
        assert (self.count, len(self.table)) == (0, 2)

    def test_only_plain_tcp_is_answered_so(self) -> None:
        """TLS and local sockets go the ordinary way."""
        secure, local = SecureWire(self.node.clock, "10.0.0.9"), Wire(self.node.clock, "10.0.0.9")
        directlyProvides(secure, ISSLTransport)
        local.hostAddr = UNIXAddress(b"/run/x")
        for wire in (secure, local):
            self.open(wire)
            assert (self.count, len(self.table)) == (0, 0)

    def open(self, wire: Wire) -> None:
        """The client of this wire has asked for the value, twice the first time, and was answered."""
        wire.channel = self.node.site.buildProtocol(wire.peer)
        assert wire.channel is not None
        wire.channel.makeConnection(wire)  # type: ignore[no-untyped-call]  # likewise
        self.node.send(wire, GET)
        assert wire.take_bytes().endswith(b"42")


class TwinTests(SynchronousTestCase):
    """Nobody can tell the two ways apart."""

    requests = st.sampled_from([GET, GET, GET, VALUE, VALUE, *OTHERS])
    streams = st.lists(requests, max_size=6).map(b"".join)
    numbers = st.integers(0, 1)
    steps = st.lists(
        st.one_of(
            st.tuples(st.just("send"), numbers, st.one_of(requests, streams)),
            st.tuples(st.just("send_cut"), numbers, streams, st.lists(st.integers(0, 400), max_size=4)),
            st.tuples(st.just("learn"), st.integers(0, 9)),
            st.tuples(st.just("pass_time"), st.sampled_from([0.25, 0.5, 1.0, REQUEST_TIME_MAX_S, IDLE_TIME_MAX_S])),
            st.tuples(st.just("read"), numbers),
            st.tuples(st.just("hear"), st.sampled_from([None, 0.5, 2.0])),
        ),
        max_size=12,
    )

    @settings(max_examples=150, deadline=None)
    @given(st.sampled_from([Wire, PausingWire]), steps)
    def test_both_send_the_same_bytes(self, kind: type[Wire], steps: list[tuple[Any, ...]]) -> None:
        """Random requests in random cuts, with writes, news and time between them, and clients that stop reading."""
        twins = Twins(kind)
        for _ in range(2):
            twins.connect()
        for what, *details in steps:
            getattr(twins, what)(*details)
        twins.finish()
        assert logged_errors(self) == []

    def test_the_seeds_of_the_fuzzer_do_use_the_table(self) -> None:
        """A comparison of two ordinary ways would find nothing."""
        made: list[Twins] = []

        def make(kind: type[Wire]) -> Twins:
            made.append(Twins(kind))
            return made[-1]

        self.patch(fuzz_reads, "Twins", make)  # type: ignore[no-untyped-call]  # trial's has no types
        for seed in fuzz_reads.TARGET.seeds():
            fuzz_reads.run(seed)
        counts = [twins.remembering.site.traffic.requests_remembered for twins in made]
        assert sum(count > 0 for count in counts) > len(counts) / 2
