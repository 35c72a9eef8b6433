"""The gossip streams of one node: those that others open, of a bounded number, and those that the core asks for.

It must not know what a message means; `streams` knows how one is read.
"""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.python.failure import Failure

from onevalue.errors import RemoteProtocolError
from onevalue.streams import (
    InboundStream,
    MessageReader,
    Once,
    OutboundStream,
    Reactor,
    StreamFactory,
    Surroundings,
)
from onevalue.swim.streams import StreamRequest
from onevalue.wire.envelope import Envelope
from onevalue.wire.messages import StreamMessage
from onevalue.wire.stream import Outgoing
from onevalue.worker import Worker

INBOUND_STREAMS_MAX = 128
"""Connections that may be open to us at once; more are closed unread, as memberlist does."""


class Connections:
    """Takes and makes connections until it is closed.

    Args:
        reactor: sockets, threads, clock.
        envelope: what stands around messages.
        time_max_s: deadline of an exchange that another began.
        received: a message came on a stream that another opened; the answer, or None.
        malformed: such a stream made no sense, and why.
        ended: a stream that was asked for is over: its id, and the answer or why there is none. It must not raise.
    """

    def __init__(
        self,
        *,
        reactor: Reactor,
        envelope: Envelope,
        time_max_s: float,
        received: Callable[[StreamMessage], Outgoing | None],
        malformed: Callable[[RemoteProtocolError, str], None],
        ended: Callable[[int, StreamMessage | Failure], None],
    ) -> None:
        self.factory = StreamFactory(self._open_inbound)
        self._reactor = reactor
        self._around = Surroundings(reactor, envelope, Worker(reactor))
        self._time_max_s = time_max_s
        self._received = received
        self._malformed = malformed
        self._ended = ended
        self._inbound: list[MessageReader] = []
        self._outbound: list[MessageReader] = []
        self._under_way: list[Deferred[Any]] = []  # outbound ones, from dialling to the answer
        self._closed = False

    @property
    def inbound(self) -> int:
        """How many connections that others opened are open."""
        return len(self._inbound)

    def open(self, request: StreamRequest) -> None:
        """The request is under way, and `ended` is told by its deadline; at once, if there are no more connections."""
        if self._closed:
            self._ended(request.request_id, Failure(ConnectionError("this node has stopped")))
            return
        time_s = max(0.0, request.deadline - self._reactor.seconds())
        host, port = request.address
        endpoint = (TCP6ClientEndpoint if ":" in host else TCP4ClientEndpoint)(self._reactor, host, port, time_s)
        stream = OutboundStream(self._around, time_s, self._outbound, request.data)
        under_way: Deferred[Any] = endpoint.connect(Once(stream)).addCallback(lambda _: stream.done)
        under_way.addTimeout(time_s, self._reactor)
        self._under_way.append(under_way)

        def over(result: StreamMessage | Failure) -> None:
            self._under_way.remove(under_way)
            self._ended(request.request_id, result)

        under_way.addBoth(over)

    def close(self) -> Deferred[Any]:
        """Fires when no connection is left; none will be taken or made any more."""
        self._closed = True
        streams = self._inbound + self._outbound
        gone = [stream.gone for stream in streams]
        for stream in streams:
            stream.abort()
        for each in list(self._under_way):
            each.cancel()
        return DeferredList(gone)

    def _open_inbound(self) -> InboundStream | None:
        if self._closed or len(self._inbound) >= INBOUND_STREAMS_MAX:
            return None
        return InboundStream(self._around, self._time_max_s, self._inbound, self._received, self._malformed)
