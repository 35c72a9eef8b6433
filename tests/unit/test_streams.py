"""One message in, at most one out: gossip streams, on a transport in memory."""

from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from onevalue import streams
from onevalue.errors import RemoteProtocolError
from onevalue.streams import InboundStream, MessageReader, Once, OutboundStream, StreamFactory, Surroundings
from onevalue.types import SequenceNumber
from onevalue.wire.envelope import Envelope
from onevalue.wire.messages import Ack, Err, Ping, StreamMessage, User
from onevalue.wire.stream import Outgoing, StreamDecoder, encode_stream
from onevalue.worker import Worker
from tests.unit.gossip_bench import GossipReactor

TIME_MAX_S = 10.0
_PING = Ping(SequenceNumber(7), "n1")
PING = encode_stream(_PING, compress=False)
ACK = encode_stream(Ack(SequenceNumber(7)), compress=False)
LONG = encode_stream(User(b"x" * 5000), compress=False)


def plain(message: StreamMessage, *, is_long: bool = False) -> Outgoing:
    """The message, without an envelope."""
    return Outgoing(lambda: message, bytes, compress=False, is_long=is_long)


class StreamsTestCase(SynchronousTestCase):
    """What all tests of streams share."""

    def setUp(self) -> None:
        self.reactor = GossipReactor()
        self.open_streams: list[MessageReader] = []
        self.around = Surroundings(self.reactor, Envelope(), Worker(self.reactor))

    def connect(self, stream: MessageReader) -> StringTransport:
        """The stream is connected."""
        transport = StringTransport()
        stream.makeConnection(transport)  # type: ignore[no-untyped-call]  # Twisted's has no types
        return transport

    def lose(self, stream: MessageReader) -> None:
        """The connection is gone."""
        stream.connectionLost(Failure(ConnectionDone()))

    def check_failed(self, stream: OutboundStream, kind: type[Exception]) -> None:
        """It has failed so."""
        self.failureResultOf(stream.done, kind)  # type: ignore[no-untyped-call]  # as above

    def check_nothing_left(self) -> None:
        """No delayed call, and nothing counts as open."""
        assert not self.reactor.getDelayedCalls()
        assert not self.open_streams


class InboundTests(StreamsTestCase):
    """Streams that others open."""

    def setUp(self) -> None:
        super().setUp()
        self.received: list[StreamMessage] = []
        self.malformed: list[RemoteProtocolError] = []

    def make(self) -> tuple[InboundStream, StringTransport]:
        """A stream that is open."""
        stream = InboundStream(self.around, TIME_MAX_S, self.open_streams, self.answer, self.refused)
        return stream, self.connect(stream)

    def refused(self, error: RemoteProtocolError, _host: str) -> None:
        """A stream of somebody was."""
        self.malformed.append(error)

    def answer(self, message: StreamMessage) -> Outgoing | None:
        """Pings get an ack, all else nothing."""
        self.received.append(message)
        return plain(Ack(message.seq_no)) if isinstance(message, Ping) else None

    def test_a_message_in_pieces_is_answered_once(self) -> None:
        """The answer is written, the connection closes, and what comes after is ignored."""
        stream, transport = self.make()
        for index in range(len(PING)):
            stream.dataReceived(PING[index : index + 1])
        stream.dataReceived(PING)
        assert len(self.received) == 1
        assert transport.value() == ACK
        assert transport.disconnecting
        self.lose(stream)
        self.successResultOf(stream.gone)
        assert not self.malformed
        self.check_nothing_left()

    def test_nonsense_is_told_why(self) -> None:
        """The reason travels back as an error message, and is counted once."""
        stream, transport = self.make()
        stream.dataReceived(b"\xff nonsense")
        assert isinstance(StreamDecoder().feed(transport.value()), Err)
        assert transport.disconnecting
        self.lose(stream)
        assert len(self.malformed) == 1
        self.check_nothing_left()

    def test_silence_is_cut_off(self) -> None:
        """A connection without a whole message ends at its deadline, however it drips."""
        stream, transport = self.make()
        for byte in PING[:4]:
            stream.dataReceived(bytes([byte]))
            self.reactor.advance(TIME_MAX_S / 4)
        assert transport.disconnected
        self.lose(stream)
        assert len(self.malformed) == 1
        self.check_nothing_left()

    def test_an_answer_that_nobody_reads_is_cut_off(self) -> None:
        """The deadline stays until the connection is gone."""
        stream, transport = self.make()
        stream.dataReceived(PING)
        assert not transport.disconnected
        self.reactor.advance(TIME_MAX_S)
        assert transport.disconnected
        self.lose(stream)
        self.check_nothing_left()

    def test_who_says_nothing_is_not_malformed(self) -> None:
        """A port scanner connects and goes; who goes in the middle of a message is counted."""
        for data, count in [(b"", 0), (PING[:3], 1)]:
            stream, _ = self.make()
            stream.dataReceived(data)
            self.lose(stream)
            assert len(self.malformed) == count
        self.check_nothing_left()

    def test_a_long_message_is_decoded_in_a_thread(self) -> None:
        """Meanwhile nothing more is read, and then it is dealt with as each."""
        stream, transport = self.make()
        stream.dataReceived(LONG[:3000])
        assert transport.producerState == "paused"
        stream.dataReceived(LONG[3000:])  # what the transport had read already
        assert self.reactor.pool.run() == 1
        assert self.reactor.pool.run() == 1
        assert transport.producerState == "producing"
        assert self.received == [User(b"x" * 5000)]
        assert transport.disconnecting

    def test_a_connection_that_ends_while_a_thread_decodes(self) -> None:
        """If the message was whole it counts; if not, the stream has failed then, not at its deadline."""
        for sent, received, malformed in [(len(LONG), 1, 0), (3000, 1, 1)]:
            stream, _ = self.make()
            stream.dataReceived(LONG[:sent])
            self.lose(stream)
            self.reactor.pool.run()
            assert (len(self.received), len(self.malformed)) == (received, malformed)
        self.check_nothing_left()

    def test_nonsense_found_in_a_thread_is_told_too(self) -> None:
        """As nonsense found on the reactor."""
        stream, transport = self.make()
        stream.dataReceived(b"\xff" + bytes(2000))
        self.reactor.pool.run()
        assert isinstance(StreamDecoder().feed(transport.value()), Err)
        assert len(self.malformed) == 1

    def test_a_fault_in_the_answer_closes_the_stream(self) -> None:
        """It is logged once, and the connection does not linger."""

        def fault(_: StreamMessage) -> Outgoing | None:
            raise ZeroDivisionError

        stream = InboundStream(self.around, TIME_MAX_S, self.open_streams, fault, self.refused)
        transport = self.connect(stream)
        stream.dataReceived(LONG)
        self.reactor.pool.run()
        assert transport.disconnected
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1  # type: ignore[no-untyped-call]  # as above

    def test_all_streams_together_have_a_bound(self) -> None:
        """The one that brings too much is cut off; the others go on."""
        self.patch(streams, "INBOUND_BYTES_MAX", 6000)  # type: ignore[no-untyped-call]  # as above
        first, one = self.make()
        second, other = self.make()
        first.dataReceived(LONG[:3500])
        second.dataReceived(LONG[:3500])
        assert (one.disconnected, other.disconnected) == (False, True)
        self.lose(second)
        first.dataReceived(LONG[3500:])
        while self.reactor.pool.run():
            pass
        assert len(self.received) == 1

    def test_no_room_is_no_protocol(self) -> None:
        """The factory closes what it has no stream for."""
        assert StreamFactory(lambda: None).buildProtocol(None) is None


class OutboundTests(StreamsTestCase):
    """Streams that this node opens."""

    def make(self) -> tuple[OutboundStream, StringTransport]:
        """A stream that is open, and has asked."""
        stream = OutboundStream(self.around, TIME_MAX_S, self.open_streams, plain(_PING))
        assert Once(stream).buildProtocol(None) is stream
        transport = self.connect(stream)
        assert transport.value() == PING
        return stream, transport

    def test_the_answer_fires(self) -> None:
        """And the connection closes."""
        stream, transport = self.make()
        stream.dataReceived(ACK)
        assert self.successResultOf(stream.done) == Ack(SequenceNumber(7))
        assert transport.disconnecting
        self.lose(stream)
        self.check_nothing_left()

    def test_an_early_end_fails(self) -> None:
        """At once, whether nothing came, or half a message, or one that a thread still decodes."""
        for data in [b"", LONG[:100], LONG[:3000]]:
            stream, _ = self.make()
            stream.dataReceived(data)
            self.lose(stream)
            self.reactor.pool.run()
            self.check_failed(stream, RemoteProtocolError)
            self.successResultOf(stream.gone)
        self.check_nothing_left()

    def test_it_fails_at_its_deadline(self) -> None:
        """With a reason, and without a connection."""
        stream, transport = self.make()
        self.reactor.advance(TIME_MAX_S)
        self.check_failed(stream, RemoteProtocolError)
        assert transport.disconnected
        self.lose(stream)
        self.check_nothing_left()

    def test_it_can_be_cancelled(self) -> None:
        """The connection is cut, and an answer that was on its way has no effect."""
        stream, transport = self.make()
        stream.done.cancel()
        self.check_failed(stream, CancelledError)
        assert transport.disconnected
        stream.dataReceived(ACK)
        self.lose(stream)
        self.check_nothing_left()
