"""The broadcaster: exchanges with a deadline, one at a time with each member, and a loop that nothing ends."""

import json
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import CancelledError, Deferred, TimeoutError, fail, inlineCallbacks, succeed  # noqa: A004  # Twisted has its own
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.client import RequestTransmissionFailed

from onevalue.broadcaster import EXCHANGE_TIME_MAX_S, FAULT_PAUSE_S, Broadcaster
from onevalue.config import SpreadSettings
from onevalue.errors import RemoteProtocolError
from onevalue.exchange import STATEMENT_SIZE_MAX, Statement, encode_statement
from onevalue.exchanging import exchange_states, quiet_client
from onevalue.journal import NullJournal
from onevalue.member import UserEvent
from onevalue.signing import Signer
from onevalue.spread import Spread
from onevalue.spread.contacts import Contact
from onevalue.spread.exchanges import Exchange
from onevalue.spread.rumour import EVENT_NAME, encode_event
from onevalue.store import Source, State, Store
from onevalue.types import Generation
from onevalue.wire.envelope import Envelope
from onevalue.writer import Writer
from tests.fakes import FakeMembership, at_once, make_member
from tests.unit.test_journal import Steps

reactor: Any = _reactor
INTERVAL_S = 2.0


class FaultySpread(Spread):
    """`faults` many of its next turns raise; `always_due` is a deadline that never passes."""

    faults = 0
    always_due = False
    turns = 0

    def handle_timer(self, now: float) -> None:
        """See Spread."""
        self.turns += 1
        if self.faults:
            self.faults -= 1
            raise ZeroDivisionError
        super().handle_timer(now)

    def next_deadline(self) -> float | None:
        """See Spread."""
        return 0.0 if self.always_due else super().next_deadline()


class SilentClient:
    """Requests that are never answered, or fail at once."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.cancelled = 0
        self.fault: Exception | None = None

    def post(self, url: Any, **_: Any) -> "Deferred[Any]":
        """See treq."""
        self.asked.append(url.to_text())
        if self.fault is not None:
            return fail(self.fault)
        return Deferred(self._cancel)

    def _cancel(self, asking: "Deferred[Any]") -> None:
        self.cancelled += 1
        asking.errback(RequestTransmissionFailed([Failure(CancelledError())]))  # as Twisted's, once it is connected


class BroadcasterTests(SynchronousTestCase):
    """Broadcaster in virtual time, with requests that the test keeps."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.client = SilentClient()
        self.membership = FakeMembership("n1")
        self.store = Store(State(Generation(3), 44))
        self.spread = FaultySpread(name="n1", store=self.store, settings=SpreadSettings(), rng=Random(1))
        writer = Writer(
            store=self.store,
            journal=NullJournal(),
            spread=self.spread,
            clock=self.clock.seconds,
            wall_clock=lambda: 1.0,
            soon=at_once,
        )
        self.writer = writer
        self.broadcaster = Broadcaster(
            reactor=self.clock,
            exchange_states=partial(exchange_states, self.client, Signer(Envelope(), bytes)),  # type: ignore[arg-type]  # as much of it as is used
            store=self.store,
            spread=self.spread,
            membership=self.membership,
            writer=writer,
            interval_s=INTERVAL_S,
            somebody_to_ask=False,
        )
        self.broadcaster.startService()

    def meet(self, *names: str) -> None:
        """These are members with an HTTP service, each at an address of its own."""
        others = [make_member(name, f"10.0.0.{index}", http="http:8080") for index, name in enumerate(names, 2)]
        self.membership.set_members(make_member("n1"), *others)
        self.clock.advance(0)

    def faults_logged(self) -> int:
        """Since the last call."""
        return len(self.flushLoggedErrors(ZeroDivisionError))  # type: ignore[no-untyped-call]  # Twisted's has no types

    def test_a_silent_member_is_asked_once_at_a_time(self) -> None:
        """Rounds that find a request to it under way send none; after the deadline it is asked again."""
        self.broadcaster._rounds.interval = EXCHANGE_TIME_MAX_S / 4
        self.meet("n2")
        assert len(self.client.asked) == 1
        for _ in range(3):
            self.clock.advance(EXCHANGE_TIME_MAX_S / 4)
            self.clock.advance(0)
        assert len(self.client.asked) == 1
        for _ in range(8):
            self.clock.advance(INTERVAL_S / 4)
            self.clock.advance(0)
        assert len(self.client.asked) >= 2
        assert self.client.cancelled >= 1

    def test_the_log_says_why_a_member_is_silent(self) -> None:
        """In words: that it did not answer in time, as its process stands still, or what went wrong."""
        self.meet("n2")
        with capturedLogs() as told:
            self.clock.advance(EXCHANGE_TIME_MAX_S)
        assert [formatEvent(event) for event in told] == ["no exchange with n2: it did not answer within 2 s"]

    def test_queries_are_told_for_how_long_the_state_is_held(self) -> None:
        """From the change on, whatever was asked meanwhile."""
        held = []
        for generation, pause_s in ((8, 0.0), (8, 2.5), (9, 0.25)):
            self.store.merge(State(Generation(generation), generation), Source.EVENT)
            self.clock.advance(pause_s)
            held.append(json.loads(self.membership.answers[EVENT_NAME](b""))["held_s"])
        assert held == [0.0, 2.5, 0.25]

    def test_a_failing_member_never_stops_the_rounds(self) -> None:
        """Whatever the error, the next round comes."""
        self.client.fault = ZeroDivisionError("a fault of the client")
        self.meet("n2")
        for _ in range(10):
            self.clock.advance(INTERVAL_S)
            self.clock.advance(0)
        assert len(self.client.asked) >= 10

    def test_a_fault_of_ours_never_stops_the_rounds(self) -> None:
        """It is logged, and what waited is done after a pause."""
        self.spread.faults = 1
        self.meet("n2")
        assert not self.client.asked
        assert self.faults_logged() == 1
        self.clock.advance(FAULT_PAUSE_S)
        assert len(self.client.asked) == 1

    def test_a_fault_that_repeats_does_not_fill_the_log(self) -> None:
        """Although its deadline is always past."""
        self.spread.faults, self.spread.always_due = 1000, True
        for _ in range(20):
            self.clock.advance(FAULT_PAUSE_S / 2)
        assert 5 <= self.faults_logged() <= 25

    def test_a_deadline_that_is_always_past_does_not_spin(self) -> None:
        """One turn of the reactor, one turn of spread."""
        self.clock.advance(0)
        self.spread.always_due = True
        self.meet("n2")
        before = self.spread.turns
        self.clock.advance(1.0)
        assert self.spread.turns <= before + 2

    def test_a_burst_of_writes_is_one_rumour(self) -> None:
        """Many changes in one turn of the reactor are pulled once, and only the newest state leaves."""
        self.meet("n2")
        turns = self.spread.turns
        for value in range(100):
            self.successResultOf(self.writer.write(value))
        assert not self.membership.sent_values
        self.clock.advance(0)
        assert self.spread.turns == turns + 1
        [(payload, direct)] = self.membership.sent_values
        assert b'"value":99' in payload
        assert [member.name for member in direct] == ["n2"]

    def test_an_event_of_another_is_merged_and_goes_on(self) -> None:
        """As the bytes that came; this node makes none of it."""
        self.meet("n2")
        held = State(Generation(7), 70)
        self.membership.receive_events(UserEvent(EVENT_NAME, encode_event(held), b"raw", relay_wanted=True))
        assert self.store.current == held
        self.clock.advance(0)
        assert self.membership.relayed_values == [(b"raw", [])]
        assert self.membership.sent_values == []

    def test_stopping_cancels_what_is_under_way(self) -> None:
        """No exchange and no delayed call is left, and nothing wakes it any more; twice does no harm."""
        self.meet("n2", "n3")
        self.clock.advance(INTERVAL_S)
        self.clock.advance(0)
        asked = len(self.client.asked)
        assert asked
        self.store.merge(State(Generation(9), 9), Source.SET)  # a wake that waits
        stops = [self.broadcaster.stopService(), self.broadcaster.stopService()]
        for stopped in stops:
            self.successResultOf(stopped)
        assert self.client.cancelled == asked
        self.meet("n2", "n3", "n4")
        self.store.merge(State(Generation(10), 10), Source.SET)
        self.clock.advance(60)
        assert len(self.client.asked) == asked
        assert self.membership.sent_values == []
        assert not self.clock.getDelayedCalls()


class Scripted(Protocol):
    """A member that answers the first bytes of a request with bytes of the test, and then hangs."""

    def __init__(self, answer: bytes, lost: "Deferred[None]", *, close: bool) -> None:
        self._answer = answer
        self._lost = lost
        self._close = close

    def dataReceived(self, data: bytes) -> None:  # noqa: ARG002  # Twisted's signature
        """Answer."""
        assert self.transport is not None
        self.transport.write(self._answer)
        self._answer = b""
        if self._close:
            self.transport.loseConnection()

    def connectionLost(self, reason: Any = None) -> None:  # noqa: ARG002  # Twisted's signature
        """The client has gone."""
        self._lost.callback(None)


class ScriptedFactory(Factory):
    """One connection."""

    noisy = False

    def __init__(self, make: Callable[[], Protocol]) -> None:
        self._make = make

    def buildProtocol(self, addr: Any) -> Protocol:  # noqa: ARG002  # Twisted's signature
        """As the test wants."""
        return self._make()


class ExchangeTests(TestCase):
    """One exchange over a real connection; trial sees to it that no connection and no call is left."""

    timeout = 20

    def serve(self, answer: bytes, *, close: bool = False) -> tuple[Contact, "Deferred[None]"]:
        """A member, and when its connection is gone."""
        lost: Deferred[None] = Deferred()
        factory = ScriptedFactory(lambda: Scripted(answer, lost, close=close))
        port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        return Contact("n2", "127.0.0.1", port.getHost().port, "http", original=False), lost

    def exchange(self, contact: Contact) -> "Deferred[Statement | None]":
        """It begins."""
        statement = Statement("n1", learning=False, state=State(Generation(1), 2))
        exchange = Exchange(contact, Source.ANTI_ENTROPY)
        return exchange_states(quiet_client(reactor, 5.0), Signer(Envelope(), bytes), exchange, statement)

    @inlineCallbacks
    def test_an_answer_is_a_statement(self) -> Steps:
        """With or without a length."""
        theirs = Statement("n2", learning=True, state=State(Generation(7), 8, "n2", 1.5))
        body = encode_statement(theirs)
        for length in (b"Content-Length: %d\r\n" % len(body), b""):
            contact, lost = self.serve(b"HTTP/1.1 200 OK\r\n%s\r\n%s" % (length, body), close=True)
            assert (yield self.exchange(contact)) == theirs
            yield lost

    @inlineCallbacks
    def test_nonsense_fails(self) -> Steps:
        """Another status, another body, a redirect, an answer that is none."""
        for answer in [
            b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 302 There\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
            b"\xff\x00 nonsense\r\n\r\n",
        ]:
            contact, lost = self.serve(answer, close=True)
            yield self.assertFailure(self.exchange(contact), Exception)
            yield lost

    @inlineCallbacks
    def test_an_answer_without_end_is_cut(self) -> Steps:
        """At the bound, and the connection is closed."""
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n"
        contact, lost = self.serve(head + b" " * (STATEMENT_SIZE_MAX + 1))
        yield self.assertFailure(self.exchange(contact), RemoteProtocolError)
        yield lost

    @inlineCallbacks
    def test_the_deadline_is_over_the_whole_exchange(self) -> Steps:
        """A member that says nothing, and one that hangs after the headers: the connection closes."""
        for answer in [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"]:
            contact, lost = self.serve(answer)
            exchange = self.exchange(contact).addTimeout(0.2, reactor)
            yield self.assertFailure(exchange, TimeoutError)
            yield lost

    @inlineCallbacks
    def test_nobody_there_fails(self) -> Steps:
        """At once."""
        contact, _ = self.serve(b"")
        yield succeed(None)
        nobody = Contact("n3", "127.0.0.1", 1, "http", original=False)
        assert contact.port != nobody.port
        yield self.assertFailure(self.exchange(nobody), Exception)
