"""Certificates of members over real TLS connections on loopback: only who was called is believed."""

import shutil
import socket
import tempfile
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor as _reactor
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from onevalue.certificates import CA_FILE_SIZE_MAX, read_authorities
from onevalue.errors import ConfigError, RemoteProtocolError, UndecipherableError
from onevalue.exchange import Statement, encode_statement
from onevalue.exchanging import exchange_states, quiet_client
from onevalue.signing import Signer
from onevalue.spread.contacts import Contact
from onevalue.spread.exchanges import Exchange
from onevalue.store import Source, State
from onevalue.types import Generation
from onevalue.wire.envelope import Envelope
from tests.certificates import Authority, Pair

reactor: Any = _reactor
OURS = Statement("me", learning=False, state=State(Generation(3), 7))
THEIRS = Statement("it", learning=False, state=State(Generation(4), 8))
HOST = "127.0.0.1"


class Member(Resource):
    """Answers as a node of ours, and counts how often it was asked."""

    isLeaf = True
    asked = 0

    def render(self, _: Request) -> bytes:
        """Any method."""
        self.asked += 1
        return encode_statement(THEIRS)


class Plain(Protocol):
    """Speaks HTTP as it is."""

    def dataReceived(self, _: bytes) -> None:
        assert self.transport is not None
        self.transport.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        self.transport.loseConnection()


class ExchangeTests(TestCase):
    """An exchange of states over TLS."""

    def setUp(self) -> None:
        """Two authorities, of which we trust the first."""
        self.folder = Path(tempfile.mkdtemp(prefix="onevalue-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.ours = Authority.new(self.folder, "ours")
        self.stranger = Authority.new(self.folder, "stranger")
        self.trusted: Authority | None = self.ours
        self.member = Member()  # type: ignore[no-untyped-call]  # Twisted's has no types

    async def exchange(self, pair: Pair, host: str = HOST) -> Statement | None:
        """What the member says, which shows this certificate."""
        port = await serverFromString(reactor, pair.endpoint(host, 0)).listen(Site(self.member))
        self.addCleanup(port.stopListening)
        return await self.ask(host, port.getHost().port)

    async def ask(self, host: str, port: int) -> Statement | None:
        """What a member says that is said to speak TLS there."""
        contact = Contact("it", host, port, "https", original=False)
        client = quiet_client(reactor, 2.0, None if self.trusted is None else read_authorities(self.trusted.file))
        asked = exchange_states(client, Signer(Envelope(), bytes), Exchange(contact, Source.ANTI_ENTROPY), OURS)
        return await asked.addTimeout(5, reactor)

    async def assert_refused(self, pair: Pair, *words: str) -> None:
        """The error says so, and the member has not heard a word."""
        with pytest.raises(UndecipherableError) as caught:
            await self.exchange(pair)
        for word in (f"the certificate of {HOST} is refused", *words):
            assert word in str(caught.value)
        assert self.member.asked == 0

    async def test_a_certificate_of_our_authority_for_the_address_is_believed(self) -> None:
        """Among other addresses and names, too."""
        for pair in (self.ours.pair("a", HOST), self.ours.pair("b", "n1.example", "192.0.2.1", HOST)):
            assert await self.exchange(pair) == THEIRS

    async def test_an_ipv6_address_is_one(self) -> None:
        """However it is written."""
        try:
            socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        except OSError as error:
            raise SkipTest(f"this machine has no IPv6 loopback: {error}") from None
        assert await self.exchange(self.ours.pair("a", "0:0:0:0:0:0:0:1"), "::1") == THEIRS

    async def test_another_authority_is_not_believed(self) -> None:
        """Nor is who vouches for himself, nor one of ours where we trust only the platform's."""
        await self.assert_refused(self.stranger.pair("a", HOST), "--ca-file")
        self.trusted = None
        await self.assert_refused(self.ours.pair("b", HOST), "--ca-file")

    async def test_a_certificate_for_another_address_is_not_believed(self) -> None:
        """Nor for a name, though it looks like the address, nor for nobody at all."""
        for number, names in enumerate([("127.0.0.2",), ("localhost",), ("127.0.0.1.example",), ()]):
            await self.assert_refused(self.ours.pair(f"p{number}", *names), "for this address", "alternative name")

    async def test_an_old_certificate_is_not_believed(self) -> None:
        """The reason is told."""
        await self.assert_refused(self.ours.pair("a", HOST, days=-1), "expired")

    async def test_who_speaks_no_tls_is_not_heard(self) -> None:
        """Nothing falls back to plain."""
        port = await serverFromString(reactor, f"tcp:0:interface={HOST}").listen(Factory.forProtocol(Plain))
        self.addCleanup(port.stopListening)
        with pytest.raises(RemoteProtocolError, match="no TLS connection"):
            await self.ask(HOST, port.getHost().port)


class FileTests(SynchronousTestCase):
    """--ca-file."""

    def setUp(self) -> None:
        """A folder for each test."""
        self.folder = Path(tempfile.mkdtemp(prefix="onevalue-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.path = self.folder / "ca.pem"

    def test_all_certificates_of_a_file_count(self) -> None:
        """So that an authority can be replaced while nodes run with both."""
        one, other = (Authority.new(self.folder, name).file.read_text() for name in ("a", "b"))
        self.path.write_text(f"our old one\n{one}\nour new one\n{other}")
        assert len(read_authorities(self.path)) == 2

    def test_what_is_no_file_of_certificates_is_refused(self) -> None:
        """Option and file are named, and what was wrong."""
        pair = Authority.new(self.folder).pair("a", HOST)
        broken = pair.certificate.read_text().replace("\n", "\nAAAA", 2)
        for content, words in [
            ("", "no certificate in PEM"),
            (pair.key.read_text(), "no certificate in PEM"),
            (broken, "broken"),
            ("#" * (CA_FILE_SIZE_MAX + 1), f"more than {CA_FILE_SIZE_MAX} bytes"),
            (None, "No such file"),
        ]:
            self.path.unlink(missing_ok=True)
            if content is not None:
                self.path.write_text(content)
            with pytest.raises(ConfigError) as caught:
                read_authorities(self.path)
            assert str(caught.value).startswith(f"--ca-file: {self.path} ")
            assert words in str(caught.value)
