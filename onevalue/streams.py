"""The TCP side of gossip: one message in, at most one out, then the connection ends. A thin shell, without decisions.

Decoding and encoding messages of megabytes takes long: it runs in a thread, in order, while the connection is paused.
It must not know what a message means.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias, cast
from typing import Protocol as TypingProtocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IDelayedCall
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from onevalue.errors import RemoteProtocolError
from onevalue.wire.envelope import Envelope
from onevalue.wire.messages import Err, StreamMessage
from onevalue.wire.stream import Outgoing, StreamDecoder
from onevalue.worker import Worker

REACTOR_DECODE_MAX = 512
"""Bytes of a message that are decoded on the reactor: pings and acks. What is longer goes to a thread."""

INBOUND_BYTES_MAX = 64 * 1024 * 1024
"""Bytes that all connections to us together may have sent without a whole message; one that brings more is cut off."""


Reactor: TypeAlias = Any  # Twisted's reactor provides many interfaces, and no one type has them all


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all streams of a node share.

    Attributes:
        reactor: clock.
        envelope: what stands around messages.
        worker: for what takes long.
    """

    reactor: Reactor
    envelope: Envelope
    worker: Worker


class MessageReader(Protocol):
    """Reads one message of a connection, within `time_max_s`; then `message_received` or `reading_failed`, once.

    Whatever comes after that is ignored. It stands in `open_streams` while the connection is open; `gone` fires when
    it has ended.
    """

    _log = Logger()
    _reads_requests = False

    def __init__(self, around: Surroundings, time_max_s: float, open_streams: list["MessageReader"]) -> None:
        self.size = 0
        self.gone: Deferred[None] = Deferred()
        self._around = around
        self._time_max_s = time_max_s
        self._open_streams = open_streams
        self._lost = False
        self._decoder = StreamDecoder(around.envelope, is_request=self._reads_requests)
        self._arrived: list[bytes] = []
        self._decoding = False
        self._over = False
        self._deadline: IDelayedCall | None = None

    def message_received(self, message: StreamMessage) -> None:
        """The one message."""
        raise NotImplementedError

    def reading_failed(self, error: RemoteProtocolError) -> None:
        """There will be none, and why."""
        raise NotImplementedError

    def connectionMade(self) -> None:
        """The time runs from here."""
        self._open_streams.append(self)
        self._deadline = self._around.reactor.callLater(self._time_max_s, self._timed_out)

    def dataReceived(self, data: bytes) -> None:
        """Decode what came; in a thread if the message is long."""
        if self._over:
            return
        self._arrived.append(data)
        self.size += len(data)
        if not self._decoding:
            self._decode()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone; if a thread still decodes, its result counts."""
        self._lost = True
        self._stop_clock()
        if self in self._open_streams:
            self._open_streams.remove(self)
        if not self._decoding:
            self._fail(f"the connection ended early: {reason.getErrorMessage()}")
        self.gone.callback(None)

    def close(self) -> None:
        """The connection ends when what was written is sent; the deadline stays until then."""
        self._over = True
        if self.transport is not None:
            self.transport.loseConnection()

    def abort(self) -> None:
        """The connection ends now."""
        self._over = True
        if self.transport is not None:
            cast("_Abortable", self.transport).abortConnection()

    def write(self, data: Outgoing) -> Deferred[None]:
        """Fires when the bytes were handed to the transport, or when it is gone; fails if they cannot be made."""
        done: Deferred[None] = Deferred()
        if not data.is_long:
            self._write(data.encode())
            done.callback(None)
            return done
        return self._around.worker.run(data.encode).addCallback(self._write)

    def _write(self, encoded: bytes) -> None:
        if self.transport is not None and not self._lost:
            self.transport.write(encoded)

    def _decode(self) -> None:
        data, self._arrived = b"".join(self._arrived), []
        if self.size <= REACTOR_DECODE_MAX:
            try:
                message = self._decoder.feed(data)
            except RemoteProtocolError as error:
                self._fail(error)
            else:
                self._decoded(message)
            return
        self._decoding = True
        cast("_Pausable", self.transport).pauseProducing()
        decoding: Deferred[StreamMessage | None] = self._around.worker.run(self._decoder.feed, data)
        decoding.addCallbacks(self._decoded_in_thread, self._decoding_failed).addErrback(self._broken)

    def _decoded_in_thread(self, message: StreamMessage | None) -> None:
        self._resume()
        self._decoded(message)

    def _decoding_failed(self, failure: Failure) -> None:
        self._resume()
        error = failure.value
        if not isinstance(error, RemoteProtocolError):
            failure.raiseException()  # a fault of ours
        self._fail(error)

    def _resume(self) -> None:
        self._decoding = False
        if self.transport is not None and not (self._lost or self._over):
            cast("_Pausable", self.transport).resumeProducing()

    def _decoded(self, message: StreamMessage | None) -> None:
        if self._over:
            return
        if message is not None:
            self._over = True
            self.message_received(message)
        elif self._arrived:
            self._decode()
        elif self._lost:
            self._fail("the connection ended early")

    def _broken(self, failure: Failure) -> None:
        """A fault of ours while the message was dealt with: the other side hears nothing, as if it were lost."""
        self._log.failure("a gossip stream failed, and is closed", failure)
        self.abort()

    def _fail(self, why: str | RemoteProtocolError) -> None:
        if not self._over:
            self._over = True
            self.reading_failed(RemoteProtocolError(why) if isinstance(why, str) else why)

    def _timed_out(self) -> None:
        self._deadline = None
        self._fail(f"no whole message within {self._time_max_s:g} s")
        self.abort()

    def _stop_clock(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._deadline = None


class InboundStream(MessageReader):
    """A connection that somebody opened to us: answered by `answer`; `malformed` is told of what made no sense."""

    _reads_requests = True

    def __init__(
        self,
        around: Surroundings,
        time_max_s: float,
        open_streams: list[MessageReader],
        answer: Callable[[StreamMessage], Outgoing | None],
        malformed: Callable[[RemoteProtocolError, str], None],
    ) -> None:
        super().__init__(around, time_max_s, open_streams)
        self._answer = answer
        self._malformed = malformed

    def dataReceived(self, data: bytes) -> None:
        """As for each; but all inbound streams together have a bound, too."""
        super().dataReceived(data)
        if not self._over and sum(stream.size for stream in self._open_streams) > INBOUND_BYTES_MAX:
            self._fail(f"the streams to this node hold more than {INBOUND_BYTES_MAX} bytes together")
            self.abort()

    def message_received(self, message: StreamMessage) -> None:
        """Answer, and close."""
        reply = self._answer(message)
        if reply is None:
            self.close()
        else:
            self.write(reply).addCallback(lambda _: self.close()).addErrback(self._broken)

    def reading_failed(self, error: RemoteProtocolError) -> None:
        """Say why, as memberlist does, if something came at all (wire README 3.1), and close.

        DEPARTURE (err-answers): memberlist says nothing of a label, nor of what is wrong within a readable layer.
        """
        if self.size:
            assert self.transport is not None, "something came"
            self._malformed(error, getattr(self.transport.getPeer(), "host", "?"))
            self.write(Outgoing(lambda: Err(str(error)), self._around.envelope.seal_reply, compress=False))
        self.close()


class OutboundStream(MessageReader):
    """A connection that we opened: sends `request`, and fires `done` with the one message that comes back."""

    def __init__(
        self, around: Surroundings, time_max_s: float, open_streams: list[MessageReader], request: Outgoing
    ) -> None:
        super().__init__(around, time_max_s, open_streams)
        self._request = request
        self.done: Deferred[StreamMessage] = Deferred(lambda _: self.abort())

    def connectionMade(self) -> None:
        """Ask."""
        super().connectionMade()
        self.write(self._request).addErrback(self._not_asked)

    def _not_asked(self, failure: Failure) -> None:
        """What cannot be sent, being too long, is a fault of ours that is told to whoever asked."""
        self._fail(failure.getErrorMessage())

    def message_received(self, message: StreamMessage) -> None:
        """That is it."""
        self.close()
        self.done.callback(message)

    def reading_failed(self, error: RemoteProtocolError) -> None:
        """`done` fails with the error."""
        self.close()
        if not self.done.called:
            self.done.errback(Failure(error))


class Once(Factory):
    """For one outgoing connection."""

    noisy = False  # a line in the log for each connection would bury what matters

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol

    def buildProtocol(self, addr: IAddress | None) -> Protocol:  # noqa: ARG002  # Twisted's signature
        """The one."""
        return self._protocol


class StreamFactory(Factory):
    """For connections that others open; None from `open_inbound` closes them."""

    noisy = False

    def __init__(self, open_inbound: Callable[[], InboundStream | None]) -> None:
        self._open_inbound = open_inbound

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:  # noqa: ARG002  # Twisted's signature
        """Another, if there is room."""
        return self._open_inbound()


class _Abortable(TypingProtocol):
    def abortConnection(self) -> None:
        """End it now."""
        ...


class _Pausable(TypingProtocol):
    def pauseProducing(self) -> None:
        """Read no more for now."""
        ...

    def resumeProducing(self) -> None:
        """Read on."""
        ...
