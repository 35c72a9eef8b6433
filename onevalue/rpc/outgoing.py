"""What goes to one client of the RPC, and how much of it may wait for a client that does not read.

The transport tells, as it tells any producer: it pauses one when more than 64 KiB are unsent, and resumes it when none
are. What is written meanwhile is counted. It must not know what the bytes mean.
"""

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime, ITransport
from zope.interface import implementer

UNSENT_SIZE_MAX = 8 << 20
"""Bytes that may wait for one client beside those of its last response; with more it is cut off.

Serf drops records instead, without a word: a client that has lost its connection knows what it has missed.
"""

BEHIND_TIME_MAX_S = 30.0
"""A client that has not taken what waits for so long is cut off."""


@implementer(IPushProducer)
class Outgoing:
    """The way to one client.

    Args:
        reactor: time, and delayed calls.
        transport: of the client.
        drained: called when the client has taken all, after it had not.
        too_slow: called when the client is cut off because it did not read.

    Attributes:
        full: the client has not taken what it was sent; no further response is to be made.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        transport: ITransport,
        drained: Callable[[], object],
        too_slow: Callable[[], object],
    ) -> None:
        self.full = False
        self._reactor = reactor
        self._transport = transport
        self._drained = drained
        self._too_slow = too_slow
        self._unsent = 0
        self._deadline: IDelayedCall | None = None
        self._ended = False
        transport.registerProducer(self, True)  # type: ignore[attr-defined]  # not in ITransport, but in all that there are

    def respond(self, data: bytes) -> None:
        """The response is on its way, however long. Not to be called while `full`."""
        if not self._ended:
            self._transport.write(data)

    def tell(self, data: bytes) -> None:
        """The record is on its way; or the client is cut off, if too much waits for it."""
        if self._ended:
            return
        if self.full:
            self._unsent += len(data)
            if self._unsent > UNSENT_SIZE_MAX:
                self._give_up()
                return
        self._transport.write(data)

    def finish(self) -> None:
        """The connection ends as soon as all that was written has gone; nothing more is written."""
        if not self._ended:
            self._end()
            self._transport.loseConnection()

    def cut_off(self) -> None:
        """The connection ends at once."""
        self._end()
        self._transport.abortConnection()  # type: ignore[attr-defined]  # likewise

    def gone(self) -> None:
        """The connection has ended: no delayed call is left."""
        self._ended = True
        self._set_deadline(None)

    def pauseProducing(self) -> None:
        """The client has not taken all, and must do so in time."""
        self.full = True
        self._unsent = 0
        self._set_deadline(BEHIND_TIME_MAX_S)

    def resumeProducing(self) -> None:
        """The client has taken all."""
        self.full = False
        self._set_deadline(None)
        self._drained()

    def stopProducing(self) -> None:
        """The connection is gone, of which its protocol hears too."""

    def _end(self) -> None:
        if not self._ended:
            self._ended = True
            self._transport.unregisterProducer()  # type: ignore[attr-defined]  # likewise
            self._set_deadline(BEHIND_TIME_MAX_S)  # for what was written

    def _set_deadline(self, time_s: float | None) -> None:
        if self._deadline is not None:
            if self._deadline.active():
                self._deadline.cancel()
            self._deadline = None
        if time_s is not None:
            self._deadline = self._reactor.callLater(time_s, self._give_up)

    def _give_up(self) -> None:
        self.cut_off()
        self._too_slow()
