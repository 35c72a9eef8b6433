"""Drives the pure core: packets, streams and time are fed in; packets, streams to open and events are drained.

It keeps one delayed call, for the next deadline. A fault of ours in one turn is logged, and the next turn comes. It
decides nothing, and must not know what events mean, nor what carries packets and streams (`transport`).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError  # noqa: A004  # Twisted has its own
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from onevalue.errors import RemoteProtocolError
from onevalue.loglines import LimitedLog
from onevalue.serf.core import Serf
from onevalue.serf.events import SerfEvent
from onevalue.streams import Reactor
from onevalue.transport import Transport
from onevalue.types import Address
from onevalue.wire.messages import StreamMessage
from onevalue.wire.stream import Outgoing

TIMER_PAUSE_MIN_S = 0.001
"""The shortest wait for a deadline: one that were always past must not keep the reactor busy."""

FAULT_PAUSE_S = 1.0
"""The shortest wait after a fault of ours, so that one that repeats does not fill the log."""


class Driver:
    """Drives one core; whoever else calls the core calls `drain` afterwards.

    Args:
        reactor: clock.
        serf: the core.
        transport: carries packets and streams; nobody else uses it.
        lines: for faults.
        begin: called when a round of draining begins.
        handle: gets each event.
        want: called before packets go, as more may be wanted by then.
        deadline: when `drain` is to be called next for the sake of `want`; None for not at all.
        drained: called when nothing is left to do.
    """

    def __init__(
        self,
        *,
        reactor: Reactor,
        serf: Serf,
        transport: Transport,
        lines: LimitedLog,
        begin: Callable[[], None],
        handle: Callable[[SerfEvent], None],
        want: Callable[[], None],
        deadline: Callable[[], float | None],
        drained: Callable[[], None],
    ) -> None:
        self._reactor = reactor
        self._serf = serf
        self._transport = transport
        self._lines = lines
        self._begin = begin
        self._handle = handle
        self._want = want
        self._deadline = deadline
        self._drained = drained
        self._timer: IDelayedCall | None = None
        self._timer_at: float | None = None
        self._timer_pause_s = TIMER_PAUSE_MIN_S
        self._draining = False
        self.is_open = False

    def open(self) -> None:
        """What arrives is fed in. Raises CannotListenError if it cannot arrive; nothing is open then."""
        self._transport.open(self)
        self.is_open = True

    def shut(self) -> None:
        """The timer is not set any more; what is wanted still goes."""
        self.is_open = False

    def close(self) -> Deferred[Any]:
        """Fires when nothing is open any more; no timer waits."""
        closing = self._transport.close()
        if self._timer is not None and self._timer.active():  # after the closing, which drains once more
            self._timer.cancel()
        self._timer = None
        return closing

    # Feeding

    @contextmanager
    def guarded(self, what: str) -> Iterator[None]:
        """A fault within is logged with these words, and goes no further."""
        try:
            yield
        except Exception:  # noqa: BLE001  # see above, whatever it is
            self._fault(what)

    def failed(self, failure: Failure, what: str) -> None:
        """That it failed is logged."""
        self._lines.failure("{what} failed, and goes on", failure, what=what)

    def _fault(self, what: str) -> None:
        self._timer_pause_s = FAULT_PAUSE_S
        self.failed(Failure(), what)

    def datagram_received(self, data: bytes, source: Address) -> None:
        """See Receiver."""
        try:
            self._serf.receive_datagram(data, source, self._reactor.seconds())
        except Exception:  # noqa: BLE001  # as guarded, which takes longer, and this is done for each packet
            self._fault("a packet")
        self.drain()

    def stream_received(self, message: StreamMessage) -> Outgoing | None:
        """See Receiver."""
        reply: Outgoing | None = None
        with self.guarded("the answer to a stream"):
            reply = self._serf.receive_stream(message, self._reactor.seconds())
        self.drain()
        return reply

    def stream_malformed(self, error: RemoteProtocolError, host: str) -> None:
        """See Receiver."""
        self._serf.swim.count_refused(error)
        self._lines.info("a gossip stream of {host} was refused: {reason}", host=host, reason=str(error))

    def stream_ended(self, request_id: int, result: StreamMessage | Failure) -> None:
        """See Receiver."""
        now = self._reactor.seconds()
        with self.guarded("the end of a stream"):
            if isinstance(result, Failure):
                refused = result.check(ConnectionRefusedError) is not None
                self._serf.stream_failed(request_id, result.getErrorMessage(), now, refused=refused)
            else:
                self._serf.stream_answered(request_id, result, now)
        self.drain()

    def _timer_fired(self) -> None:
        self._timer = None
        self._timer_pause_s = TIMER_PAUSE_MIN_S
        with self.guarded("a deadline"):
            self._serf.handle_timer(self._reactor.seconds())
        self.drain()

    # Draining

    def drain(self) -> None:
        """All that the core wants done is done or under way, and the timer stands at the next deadline.

        Called from within itself it does nothing: the outer one goes on until nothing is left.
        """
        if self._draining:
            return
        self._draining = True
        try:
            while self._drain_once():
                pass
        finally:
            self._draining = False
        self._arm()
        self._drained()

    def _drain_once(self) -> bool:
        """True if there was something to do, which may have made more."""
        busy = False
        self._begin()
        while (event := self._serf.next_event()) is not None:
            busy = True
            with self.guarded("an event"):
                self._handle(event)
        self._want()
        for data, address in self._serf.datagrams_to_send():
            busy = True
            self._transport.send(data, address)
        for request in self._serf.streams_to_open():
            busy = True
            self._transport.ask(request)
        return busy

    def _arm(self) -> None:
        deadlines = (self._serf.next_deadline(), self._deadline())
        deadline = min((each for each in deadlines if each is not None), default=None)
        if deadline == self._timer_at and self._timer is not None:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_at = None, deadline
        if deadline is not None and self.is_open:
            wait_s = max(self._timer_pause_s, deadline - self._reactor.seconds())
            self._timer = self._reactor.callLater(wait_s, self._timer_fired)
