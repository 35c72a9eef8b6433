"""To where an exchange of states goes: every kind of address that a member can have."""

import socket
from functools import partial
from random import Random
from typing import Any

from hyperlink import EncodedURL
from twisted.internet import reactor as _reactor
from twisted.internet.task import Clock
from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from onevalue.broadcaster import Broadcaster
from onevalue.config import SpreadSettings
from onevalue.exchange import Statement, encode_statement
from onevalue.exchanging import exchange_states, quiet_client
from onevalue.journal import NullJournal
from onevalue.signing import Signer
from onevalue.spread import Spread
from onevalue.spread.contacts import Contact
from onevalue.spread.exchanges import Exchange
from onevalue.store import Source, State, Store
from onevalue.types import Generation
from onevalue.wire.envelope import Envelope
from onevalue.writer import Writer
from tests.fakes import FakeMembership, at_once, make_member

reactor: Any = _reactor
OURS = Statement("me", learning=False, state=State(Generation(3), 7))
THEIRS = Statement("it", learning=False, state=State(Generation(4), 8))


class _Member(Resource):
    """Answers as a node of ours, or as the original program, and keeps what it was asked."""

    isLeaf = True

    def __init__(self, answer: bytes) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Twisted's has no types
        self.answer = answer
        self.asked: list[tuple[bytes, bytes | None]] = []

    def render(self, request: Request) -> bytes:
        """Any method."""
        self.asked.append((request.uri, request.getHeader(b"host")))
        return self.answer


class AddressTests(TestCase):
    """Members are reached at IPv4 and IPv6 addresses, in our form and in the original's."""

    async def _exchanged(self, host: str, *, original: bool) -> None:
        member = _Member(b"" if original else encode_statement(THEIRS))
        port = reactor.listenTCP(0, Site(member), interface=host)
        self.addCleanup(port.stopListening)
        number = port.getHost().port
        contact = Contact("it", host, number, "http", original=original)
        exchange = Exchange(contact, Source.ANTI_ENTROPY)
        asked = exchange_states(quiet_client(reactor, 2.0), Signer(Envelope(), bytes), exchange, OURS)
        said = await asked.addTimeout(5, reactor)
        assert said == (None if original else THEIRS)
        path = b"/notify/7/3?notifier=me" if original else b"/notify?notifier=me"
        authority = f"[{host}]:{number}" if ":" in host else f"{host}:{number}"
        assert member.asked == [(path, authority.encode())]

    async def test_a_member_is_asked_at_its_ipv4_address(self) -> None:
        """One of ours answers with its statement, an original with nothing."""
        for original in (False, True):
            await self._exchanged("127.0.0.1", original=original)

    async def test_a_member_is_asked_at_its_ipv6_address(self) -> None:
        """In the same way; the URL has brackets around the address."""
        try:
            with socket.create_server(("::1", 0), family=socket.AF_INET6):
                pass
        except OSError as error:
            raise SkipTest(f"this machine has no IPv6 loopback: {error}") from None
        for original in (False, True):
            await self._exchanged("::1", original=original)


class _BrokenClient:
    """Raises at once, as a client does that cannot make a URL of a host."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def post(self, url: EncodedURL, **_: object) -> None:
        """See treq."""
        self.asked.append(url.host)
        raise ValueError("no such URL")


class FaultTests(SynchronousTestCase):
    """A fault in the making of one exchange is a failed exchange."""

    def test_members_are_asked_again_although_the_client_raises(self) -> None:
        """Neither the member itself nor those after it in the same round count as busy for ever."""
        clock, client = Clock(), _BrokenClient()
        store = Store(State(Generation(0), 42))
        spread = Spread(name="me", store=store, settings=SpreadSettings(), rng=Random(1))
        membership = FakeMembership("me")
        broadcaster = Broadcaster(
            reactor=clock,
            exchange_states=partial(exchange_states, client, Signer(Envelope(), bytes)),  # type: ignore[arg-type]  # as much of treq's client as is used here
            store=store,
            spread=spread,
            membership=membership,
            writer=Writer(
                store=store,
                journal=NullJournal(),
                spread=spread,
                clock=clock.seconds,
                wall_clock=lambda: 0,
                soon=at_once,
            ),
            interval_s=2.0,
            somebody_to_ask=False,
        )
        broadcaster.startService()
        membership.set_members(
            make_member("me"), make_member("a", "a", http="http:1"), make_member("b", "b", http="http:1")
        )
        clock.pump([0.1] * 61)
        assert sorted(client.asked[1:]) == ["a"] * 3 + ["b"] * 3
        assert spread.counters["failures"] == spread.counters["exchanges"] == 7
        self.successResultOf(broadcaster.stopService())
        assert not clock.getDelayedCalls()
