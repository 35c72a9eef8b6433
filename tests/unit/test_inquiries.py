"""Own queries as Deferreds, answers to the queries of others, and keyrings that are kept in a thread."""

import os
import random
from collections.abc import Sequence

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from onevalue.config import LAN, SerfSettings
from onevalue.errors import LocalProtocolError
from onevalue.inquiries import KEEPING_TIME_MAX_S, Inquiries
from onevalue.loglines import LimitedLog
from onevalue.member import KeyResult, QueryRequest, QueryResult
from onevalue.serf.core import Serf
from onevalue.wire.envelope import Envelope
from onevalue.wire.key_text import encode_key, fingerprint
from onevalue.wire.keyring import Keyring
from tests.unit.gossip_bench import GossipReactor
from tests.unit.swim_net import PORT

OLD, NEW, OTHER = bytes(range(16)), bytes(range(100, 132)), bytes(range(40, 64))
OWN = ("10.0.0.1", PORT)


class InquiriesTestCase(SynchronousTestCase):
    """A node that is alone, whose packets to itself arrive."""

    def setUp(self) -> None:
        self.reactor = GossipReactor()
        self.kept: list[Sequence[bytes]] = []
        self.lines: list[str] = []
        self.envelope = Envelope(keyring=Keyring([OLD], os.urandom))
        self.serf = Serf(
            name="n1",
            addr=bytes([10, 0, 0, 1]),
            port=PORT,
            tags={},
            swim_settings=LAN,
            settings=SerfSettings(),
            rng=random.Random(1),
            envelope=self.envelope,
        )
        self.serf.start(0.0)
        log = Logger("test", observer=lambda event: self.lines.append(formatEvent(event)))  # type: ignore[arg-type]  # its kind of event is an Any
        self.inquiries = Inquiries(
            reactor=self.reactor,
            serf=self.serf,
            lines=LimitedLog(log, self.reactor.seconds),
            drain=self.drain,
            keep=self.kept.append,
            keys=self.keys,
        )

    def drain(self) -> None:
        """Packets of the node to itself arrive, and its events are handled."""
        for data, address in self.serf.datagrams_to_send():
            if address == OWN:
                self.serf.receive_datagram(data, OWN, self.reactor.seconds())
        while (event := self.serf.next_event()) is not None:
            self.inquiries.handle(event)
            self.drain()

    def keys(self) -> tuple[bytes, ...]:
        """What the node encrypts and decrypts with."""
        assert self.envelope.keyring is not None
        return self.envelope.keyring.keys

    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.reactor.advance(seconds)
        self.serf.handle_timer(self.reactor.seconds())
        self.drain()


class QueryTests(InquiriesTestCase):
    """Queries."""

    def test_a_query_fires_with_acks_and_answers(self) -> None:
        """As soon as all have answered."""
        self.inquiries.answer_query("which", lambda payload: payload.upper())
        result = self.successResultOf(self.inquiries.query(QueryRequest("which", b"me", ack=True)))
        assert result == QueryResult(("n1",), (("n1", b"ME"),))
        assert len(result.times) == 1

    def test_a_query_that_nobody_answers_fires_at_its_time(self) -> None:
        """With what came until then; names and tags reach the core."""
        request = QueryRequest("which", nodes=["n1"], tags={"role": "^$"}, ack=True, timeout_s=2.0)
        asked = self.inquiries.query(request)
        self.wait(1.9)
        assert not asked.called
        self.wait(0.2)
        assert self.successResultOf(asked) == QueryResult(("n1",), ())

    def test_a_query_can_be_given_up(self) -> None:
        """Then the core awaits nothing more."""
        asked = self.inquiries.query(QueryRequest("which"))
        assert len(self.serf._queries) == 1
        asked.cancel()
        self.failureResultOf(asked, CancelledError)  # type: ignore[no-untyped-call]  # Twisted's has no types
        assert len(self.serf._queries) == 0

    def test_stopping_ends_all_that_is_awaited(self) -> None:
        """Nobody waits for ever."""
        query, keys = self.inquiries.query(QueryRequest("which")), self.inquiries.change_keys("install", NEW, 0)
        self.inquiries.stop()
        self.failureResultOf(query, LocalProtocolError)  # type: ignore[no-untyped-call]  # likewise
        self.failureResultOf(keys, LocalProtocolError)  # type: ignore[no-untyped-call]  # likewise
        self.wait(10.0)


class KeyTests(InquiriesTestCase):
    """Keys."""

    def test_a_changed_keyring_is_kept_before_it_counts(self) -> None:
        """In a thread; and the log names keys by fingerprint only."""
        asked = self.inquiries.change_keys("install", NEW, 0)
        assert self.keys() == (OLD,)
        assert not asked.called
        assert self.reactor.pool.run() == 1
        assert self.kept == [(OLD, NEW)]
        assert self.keys() == (OLD, NEW)
        assert self.result(asked).complete
        [line] = self.lines
        assert fingerprint(NEW) in line
        assert encode_key(NEW) not in line

    def test_keys_are_told_by_fingerprint(self) -> None:
        """How many have each, and how many use it."""
        result = self.result(self.inquiries.change_keys("list", b"", 0))
        assert (dict(result.keys), dict(result.primary_keys)) == ({fingerprint(OLD): 1}, {fingerprint(OLD): 1})

    def test_a_keyring_that_cannot_be_kept_does_not_count(self) -> None:
        """The member that asked hears why."""

        def full(_: Sequence[bytes]) -> None:
            raise OSError(28, "No space left on device")

        self.inquiries._keep = full
        asked = self.inquiries.change_keys("install", NEW, 0)
        self.reactor.pool.run()
        result = self.result(asked)
        assert (result.errors, "No space left" in result.messages["n1"]) == (1, True)
        assert self.keys() == (OLD,)
        assert "No space left" in self.lines[0]

    def test_a_disk_that_hangs_holds_nobody_up(self) -> None:
        """After a time the change counts as not made; the next is written when the thread is free again."""
        asked = self.inquiries.change_keys("install", NEW, 0)
        self.reactor.advance(KEEPING_TIME_MAX_S)
        self.wait(0.0)
        assert self.result(asked).answers == 0  # it came too late to be heard
        assert self.keys() == (OLD,)
        assert "did not take it within 10 s" in self.lines[0]
        self.reactor.pool.run()  # the disk is back, and has taken what does not count any more
        self.reactor.advance(0)
        self.reactor.pool.run()
        assert self.kept == [(OLD, NEW), (OLD,)]

    def test_one_writing_waits_for_the_other_however_long_it_takes(self) -> None:
        """Else the older could end up on disk above the newer."""
        self.inquiries.change_keys("install", NEW, 0)
        self.reactor.advance(KEEPING_TIME_MAX_S)
        self.wait(0.0)
        self.inquiries.change_keys("install", OTHER, 0)
        assert self.reactor.pool.run() == 1
        for _ in range(3):
            self.reactor.pool.run()
            self.reactor.advance(0)
            self.drain()
        assert len(self.kept) == 3
        assert self.kept[-1] == self.keys()
        assert OTHER in self.keys()

    def test_a_node_that_keeps_nothing_changes_at_once(self) -> None:
        """--no-journal."""
        self.inquiries._keep = None
        assert self.result(self.inquiries.change_keys("install", NEW, 0)).complete

    def result(self, asked: Deferred[KeyResult]) -> KeyResult:
        """What it fired with."""
        result: KeyResult = self.successResultOf(asked)
        return result
