"""Exchanges of states in a cluster with a key: no answer counts but the one that the member asked gave to this request.

The member is a whole HTTP service in memory; the wire between it and the broadcaster is the test's, and may do anything
to what passes that somebody without the key could do.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred, succeed
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.client import ResponseDone
from twisted.web.http_headers import Headers
from zope.interface import provider

from onevalue.broadcaster import Broadcaster
from onevalue.config import SpreadSettings
from onevalue.errors import UndecipherableError
from onevalue.exchange import Statement, decode_statement, encode_statement
from onevalue.exchanging import exchange_states, quiet_client
from onevalue.journal import NullJournal
from onevalue.signing import NONCE_HEADER, SIGNATURE_HEADER, Signer
from onevalue.spread import Spread
from onevalue.spread.contacts import Contact
from onevalue.spread.exchanges import Exchange
from onevalue.store import Source, State, Store
from onevalue.types import Generation
from onevalue.wire.envelope import Envelope
from onevalue.writer import Writer
from tests.fakes import FakeMembership, at_once, make_member
from tests.unit.test_wire_envelope import NEW, OLD, envelope
from tests.web_support import Response, WebNode

reactor: Any = _reactor
INTERVAL_S = 2.0
OURS = State(Generation(3), 30, "me", 1.0)
THEIRS = State(Generation(7), 70, "n1", 2.0)

Request = tuple[str, bytes, dict[str, str]]
"""Path, body and headers of a POST."""


class Answer:
    """A response as treq hands it over."""

    def __init__(self, response: Response) -> None:
        self.code = response.status
        self.headers = Headers({name: [value] for name, value in response.headers.items()})
        self._body = response.body

    def deliverBody(self, protocol: Protocol) -> None:
        """See IResponse."""
        protocol.dataReceived(self._body)
        protocol.connectionLost(Failure(ResponseDone()))


class Between:
    """The wire: `on_request` and `on_answer` are what happens to what passes; all of it is kept."""

    def __init__(self, node: WebNode) -> None:
        self.node = node
        self.on_request: Callable[[Request], Request] = lambda request: request
        self.on_answer: Callable[[Response], Response] = lambda response: response
        self.requests: list[Request] = []
        self.answers: list[Response] = []

    def post(self, url: Any, *, data: bytes = b"", headers: Headers | None = None, **_: Any) -> "Deferred[Any]":
        """See treq."""
        lines = {name.decode(): values[0].decode() for name, values in (headers or Headers()).getAllRawHeaders()}
        self.requests.append(("/" + "/".join(url.path), data, lines))
        path, body, lines = self.on_request(self.requests[-1])
        self.answers.append(self.node.request("POST", path, body, lines))
        return succeed(Answer(self.on_answer(self.answers[-1])))


def without_signature(headers: Mapping[str, str]) -> dict[str, str]:
    """These headers, unsigned."""
    return {name: value for name, value in headers.items() if name.lower() != SIGNATURE_HEADER.lower()}


class SignedTests(SynchronousTestCase):
    """Node `me` asks the member n1."""

    def build(self, ours: Envelope, theirs: Envelope, *, learning: bool = False) -> None:
        """The two nodes have these keys, and `me` sees n1 from now on."""
        self.clock = Clock()
        self.node = WebNode(state=THEIRS, envelope=theirs)
        self.between = Between(self.node)
        self.store = Store(OURS)
        self.spread = Spread(name="me", store=self.store, settings=SpreadSettings(), rng=Random(1))
        self.membership = FakeMembership("me")
        self.broadcaster = Broadcaster(
            reactor=self.clock,
            exchange_states=partial(exchange_states, self.between, Signer(ours, Random(3).randbytes)),  # type: ignore[arg-type]  # as much of it as is used
            store=self.store,
            spread=self.spread,
            membership=self.membership,
            writer=Writer(
                store=self.store,
                journal=NullJournal(),
                spread=self.spread,
                clock=self.clock.seconds,
                wall_clock=lambda: 0,
                soon=at_once,
            ),
            interval_s=INTERVAL_S,
            somebody_to_ask=learning,
        )
        self.broadcaster.startService()
        self.addCleanup(self.broadcaster.stopService)

    def meet(self) -> None:
        """`me` sees n1, and asks it at once."""
        self.membership.set_members(make_member("me"), make_member("n1", http="http:8080"))
        self.clock.advance(0)
        assert len(self.between.requests) == 1

    def ask_again(self) -> None:
        """The next round comes."""
        asked = len(self.between.requests)
        self.clock.advance(INTERVAL_S)
        self.clock.advance(0)
        assert len(self.between.requests) == asked + 1

    def counted(self) -> tuple[int, int]:
        """Exchanges that failed, and those of them whose answer was not authentic."""
        return self.spread.counters["failures"], self.spread.counters["answers_unauthenticated"]

    def assert_refused(self, on_answer: Callable[[Response], Response]) -> None:
        """What this makes of the answer fails the exchange and changes nothing; the untouched one does not fail."""
        self.build(envelope(OLD, label=b"blue"), envelope(OLD, label=b"blue"), learning=True)
        self.between.on_answer = on_answer
        self.meet()
        assert self.counted() == (1, 1)
        assert self.store.current == OURS
        assert self.spread.learning
        assert self.membership.exchanged_with == []
        self.between.on_answer = lambda response: response
        self.clock.advance(1.0)  # learning asks again after a pause
        assert self.counted() == (1, 1)
        assert self.store.current == THEIRS
        assert not self.spread.learning
        assert self.membership.exchanged_with == ["n1"]

    def test_members_with_a_key_exchange_states(self) -> None:
        """With any keys in common, and the same label."""
        for ours, theirs in [
            (envelope(OLD), envelope(OLD)),
            (envelope(OLD, NEW), envelope(NEW, OLD)),
            (envelope(OLD, label=b"blue"), envelope(OLD, label=b"blue")),
        ]:
            self.build(ours, theirs)
            self.meet()
            assert self.store.current == THEIRS
            assert self.counted() == (0, 0)
            self.successResultOf(self.broadcaster._writer.write(5))
            self.ask_again()
            assert self.node.store.current.value == 5

    def test_a_forged_answer_fails_the_exchange(self) -> None:
        """Another value, another state of learning, the same in other bytes, nothing at all."""
        for old, new in ((b'"value":70', b'"value":71'), (b'"learning":false', b'"learning":true'), (b",", b", ")):
            self.assert_refused(lambda response, o=old, n=new: replace(response, body=response.body.replace(o, n)))  # type: ignore[misc]  # mypy reads no defaults of lambdas
        self.assert_refused(lambda response: replace(response, body=b""))

    def test_an_unsigned_answer_fails_the_exchange(self) -> None:
        """Missing, cut, or nonsense."""
        self.assert_refused(lambda response: replace(response, headers=without_signature(response.headers)))
        for odd in ("", "00", "0" * 64, "x" * 64, "0" * 5000):
            headers = {SIGNATURE_HEADER.lower(): odd}
            self.assert_refused(lambda response, h=headers: replace(response, headers={**response.headers, **h}))  # type: ignore[misc]  # as above

    def test_the_answer_to_an_earlier_request_fails_the_exchange(self) -> None:
        """Although it is a true one, of this very member, with the same body."""
        self.build(envelope(OLD), envelope(OLD))
        self.meet()
        earlier = self.between.answers[0]
        self.node.store.merge(State(Generation(9), 90), Source.SET)
        self.between.on_answer = lambda _: earlier
        self.ask_again()
        assert self.counted() == (1, 1)
        assert self.store.current == THEIRS
        self.between.on_answer = lambda response: response
        self.ask_again()
        assert self.store.current.value == 90

    def test_a_request_that_is_sent_back_is_no_answer(self) -> None:
        """Its direction is signed."""

        def reflect(response: Response) -> Response:
            _, body, headers = self.between.requests[-1]
            return replace(response, body=body, headers={**response.headers, **headers})

        self.assert_refused(reflect)

    def test_the_answer_of_another_member_fails_the_exchange(self) -> None:
        """Of another, and of this node itself: whoever stands between may have passed the request on to it."""
        for name in ("n2", "me"):

            def pass_on(_: Response, name: str = name) -> Response:
                other = WebNode(state=State(Generation(5), 50), envelope=envelope(OLD, label=b"blue"))
                other.spread.name = name
                path, body, headers = self.between.requests[-1]
                answer = other.request("POST", path, body, headers)
                assert decode_statement(answer.body).name == name
                return answer

            self.assert_refused(pass_on)

    def test_a_member_without_our_key_fails_the_exchange(self) -> None:
        """It refuses what we say, or answers with what we do not take; nothing changes on either side."""
        for theirs, failed in [
            (envelope(NEW), (1, 0)),
            (envelope(OLD, label=b"red"), (1, 0)),
            (envelope(), (1, 1)),
            (envelope(NEW, incoming=False), (1, 1)),
            (envelope(OLD, outgoing=False), (1, 1)),
        ]:
            self.build(envelope(OLD), theirs)
            self.meet()
            assert self.counted() == failed
            assert self.store.current == OURS
            assert self.node.store.current == THEIRS

    def test_while_incoming_is_not_verified_any_answer_counts(self) -> None:
        """That is how a cluster moves to a key; what means nothing fails all the same."""
        for theirs in (envelope(), envelope(NEW, incoming=False), envelope(OLD), envelope(OLD, label=b"red")):
            self.build(envelope(OLD, incoming=False, label=theirs.label), theirs)
            self.between.on_answer = lambda response: replace(response, headers=without_signature(response.headers))
            self.meet()
            assert self.store.current == THEIRS
            assert self.counted() == (0, 0)
        self.between.on_answer = lambda response: replace(response, body=b"{}")
        self.ask_again()
        assert self.counted() == (1, 0)

    def test_an_answer_in_the_original_s_way_does_not_count_where_signatures_are_demanded(self) -> None:
        """Neither an empty one nor a statement: an original is asked without a nonce, so nobody could sign."""
        contact = Contact("old", "10.0.0.1", 8080, "http", original=True)
        exchange, said = Exchange(contact, Source.ANTI_ENTROPY), Statement("me", learning=False, state=OURS)
        for body in (b"", encode_statement(Statement("old", learning=False, state=THEIRS))):
            self.build(envelope(OLD), envelope(OLD))
            self.between.on_answer = lambda response, body=body: replace(response, status=200, body=body)  # type: ignore[misc]  # as above
            for ours, taken in ((envelope(OLD), False), (envelope(OLD, incoming=False), True)):
                client: Any = self.between
                done = exchange_states(client, Signer(ours, Random(3).randbytes), exchange, said)
                if taken:
                    assert self.successResultOf(done) == (decode_statement(body) if body else None)
                else:
                    self.failureResultOf(done, UndecipherableError)  # type: ignore[no-untyped-call]  # Twisted's has no types
            assert [headers for _, _, headers in self.between.requests] == [{}, {}]

    def test_keys_change_while_an_exchange_is_under_way(self) -> None:
        """Asked under the old primary, answered under the new one."""
        ours, theirs = envelope(OLD, NEW), envelope(OLD, NEW)
        self.build(ours, theirs)

        def rotate(request: Request) -> Request:
            assert theirs.keyring is not None
            theirs.keyring = theirs.keyring.used(NEW)
            return request

        self.between.on_request = rotate
        self.meet()
        assert self.store.current == THEIRS
        assert ours.keyring is not None
        ours.keyring = ours.keyring.used(NEW).removed(OLD)
        self.ask_again()
        assert self.counted() == (0, 0)

    def test_no_two_requests_have_one_nonce(self) -> None:
        """Also when they say the same."""
        self.build(envelope(OLD), envelope(OLD))
        self.meet()
        for _ in range(20):
            self.ask_again()
        nonces = [headers[NONCE_HEADER] for _, _, headers in map(self._with_our_names, self.between.requests)]
        assert len(dict.fromkeys(nonces)) == len(nonces) == 21

    def test_the_log_tells_once_why_a_member_does_not_count(self) -> None:
        """With the reason that it gave, or that its answer gave."""
        lines: list[str] = []

        @provider(ILogObserver)
        def observer(event: LogEvent) -> None:
            lines.append(formatEvent(event))

        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        for theirs, why in [
            (envelope(NEW), "the answer has status 403: no key of this node made the signature of the statement"),
            (envelope(), "the answer has no signature: does its sender have the cluster's key, and sign?"),
        ]:
            self.build(envelope(OLD), theirs)
            self.meet()
            for _ in range(3):
                self.ask_again()
            [line] = [line for line in lines if line.startswith("no exchange with n1: ")]
            assert why in line
            lines.clear()

    @staticmethod
    def _with_our_names(request: Request) -> Request:
        """The headers under the names that we give them, not in the case that Twisted does."""
        path, body, headers = request
        ours = {name.lower(): name for name in (NONCE_HEADER, SIGNATURE_HEADER)}
        return path, body, {ours.get(name.lower(), name): value for name, value in headers.items()}


class WireTests(TestCase):
    """Over a real connection, with the real client and server."""

    async def test_signatures_cross_the_wire(self) -> None:
        """Both ways, with names that are not ASCII too."""
        node = WebNode(state=THEIRS, envelope=envelope(OLD, label=b"blue"))
        port = reactor.listenTCP(0, node.site, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        contact = Contact("n1", "127.0.0.1", port.getHost().port, "http", original=False)
        signer = Signer(envelope(OLD, label=b"blue"), Random(4).randbytes)
        said = Statement("é", learning=False, state=OURS)
        exchange = Exchange(contact, Source.ANTI_ENTROPY)
        answer = exchange_states(quiet_client(reactor, 2.0), signer, exchange, said)
        heard = await answer.addTimeout(5, reactor)
        assert heard == Statement("n1", learning=False, state=THEIRS)
        assert node.spread.counters["statements_unauthenticated"] == 0
