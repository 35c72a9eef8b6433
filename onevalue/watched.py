"""A value that is kept in memory because a node tells of each change: see `onevalue.client.Client.watch`.

It owns the one stream that is open, its silence, and who is told. It must not know how a request is made.
"""

import math
from collections.abc import Callable, Sequence
from itertools import cycle
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.iweb import IResponse

from onevalue.errors import RemoteProtocolError
from onevalue.following import SILENCE_MAX_S, Backoff, Following
from onevalue.replies import Reading
from onevalue.types import Rng
from onevalue.values import Value

CLOSE_TIME_MAX_S = 2.0
"""A connection that was closed counts as gone after so long, whatever the other side does."""


class Watched:
    """The newest state that any of the nodes has told. It begins to be kept when this is made, until `stop`.

    It never goes back: not when the connection breaks, nor when the next node is behind. So a cluster that was reset to
    lower generations is seen only by a new Watched.

    Args:
        reactor: clock.
        urls: of nodes, at least one: when one falls silent the next is heard.
        open_stream: asks a node for its changes, with these headers; fires with a response of status 200, or fails.
        rng: spreads the pauses between attempts.

    Attributes:
        value: any JSON; None before the first state, see `ready`.
        generation: of the state; None likewise.
        tag: the name of the state, for `if_match`; None likewise.
        reading: the whole state; None likewise.
        trouble: why no node is heard at present; None while one is, and before the first attempt has ended.
    """

    _log = Logger(namespace="onevalue.client")

    def __init__(
        self,
        reactor: Any,
        urls: Sequence[str],
        open_stream: "Callable[[str, dict[str, str]], Deferred[IResponse]]",
        rng: Rng,
    ) -> None:
        self.value: Value = None
        self.generation: int | None = None
        self.tag: str | None = None
        self.reading: Reading | None = None
        self.trouble: str | None = None
        self._reactor = reactor
        self._urls = urls
        self._open_stream = open_stream
        self._backoff = Backoff(rng)
        self._following = Following()
        self._observers: list[Callable[[Reading], object]] = []
        self._waiting: list[Deferred[Reading]] = []
        self._heard_at = -math.inf
        self._stream: _Stream | None = None
        self._stopping = False
        self._ended: list[Deferred[None]] = []
        self._loop: Deferred[None] | None = None
        loop = Deferred.fromCoroutine(self._follow())
        loop.addErrback(lambda failure: failure.trap(CancelledError) and None)
        loop.addErrback(lambda failure: self._log.failure("watching has ended", failure))
        self._loop = loop
        loop.addCallback(self._finish)

    @property
    def staleness_s(self) -> float:
        """Seconds since a node was last heard (a change or a heartbeat, every 15 s); infinity before the first time."""
        return float(self._reactor.seconds()) - self._heard_at

    def ready(self) -> Deferred[Reading]:
        """Fires with the state as soon as there is one: at once, if there is. Cancelled by `stop`."""
        return self.changed() if self.reading is None else succeed(self.reading)

    def changed(self) -> Deferred[Reading]:
        """Fires once, with the next newer state. Its owner may cancel it; `stop` does."""
        waiting: Deferred[Reading] = Deferred(self._forget)
        self._waiting.append(waiting)
        return waiting

    def observe(self, observer: Callable[[Reading], object]) -> Callable[[], None]:
        """Calls `observer` with each newer state; an error of it is logged. Returns what ends that."""
        self._observers.append(observer)
        return lambda: self._observers.remove(observer) if observer in self._observers else None

    def stop(self) -> Deferred[None]:
        """Nothing is heard or told any more; fires when the connection and all timers are gone. The value stays."""
        if self._loop is None:
            return succeed(None)
        done: Deferred[None] = Deferred()
        self._ended.append(done)
        if not self._stopping:
            self._stopping = True
            if self._stream is not None:
                self._stream.close()
            else:
                self._loop.cancel()
            for waiting in list(self._waiting):
                waiting.cancel()
        return done

    def _finish(self, _: object) -> None:
        self._loop = None
        ended, self._ended = self._ended, []
        for done in ended:
            done.callback(None)

    async def _follow(self) -> None:
        for url in cycle(self._urls):
            try:
                await self._hear(url)
            except Exception as error:  # noqa: BLE001  # whatever it was, the next node is tried
                self.trouble = f"{url}: {error or type(error).__name__}"
            if self._stopping:
                return
            await deferLater(self._reactor, self._backoff.next_s(self._following.retry_s), lambda: None)

    async def _hear(self, url: str) -> None:
        response = await self._open_stream(url, self._following.begin())
        self._stream = _Stream(self._reactor, self._receive)
        response.deliverBody(self._stream)
        try:
            await self._stream.ended
        finally:
            self._stream = None

    def _receive(self, data: bytes) -> None:
        self.trouble = None
        self._heard_at = self._reactor.seconds()
        self._backoff.reset()
        for reading in self._following.receive(data):
            self.reading = reading
            self.value, self.generation, self.tag = reading.value, reading.generation, reading.tag
            self._tell(reading)

    def _forget(self, waiting: Deferred[Reading]) -> None:
        if waiting in self._waiting:
            self._waiting.remove(waiting)

    def _tell(self, reading: Reading) -> None:
        for observer in list(self._observers):
            try:
                observer(reading)
            except Exception:  # noqa: BLE001  # one observer's error is not the others'
                self._log.failure("an observer of the value failed")
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if not each.called:  # cancelled by one before it
                each.callback(reading)


class _Stream(Protocol):
    """The body of one response: each piece is handed on; silence, or what makes no sense, ends it."""

    def __init__(self, reactor: Any, receive: Callable[[bytes], None]) -> None:
        self.ended: Deferred[None] = Deferred()
        self._reactor = reactor
        self._receive = receive
        self._error = Failure(ConnectionError("the connection ended"))
        self._closing = False
        self._timer = reactor.callLater(SILENCE_MAX_S, self.close, f"nothing came for {SILENCE_MAX_S:g} s")

    def dataReceived(self, data: bytes) -> None:
        if self._closing:
            return
        self._timer.reset(SILENCE_MAX_S)
        try:
            self._receive(data)
        except RemoteProtocolError as error:
            self.close(str(error))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self._closing and not reason.check(ResponseDone, PotentialDataLoss):
            self._error = reason
        self._end()

    def close(self, why: str = "closed") -> None:
        """The connection is being closed; `ended` fires, soon in any case."""
        if self._closing:
            return
        self._closing = True
        self._error = Failure(ConnectionError(why))
        if self._timer.active():  # it is not, if it was the timer that called this
            self._timer.cancel()
        self._timer = self._reactor.callLater(CLOSE_TIME_MAX_S, self._end)
        if self.transport is not None:
            self.transport.loseConnection()

    def _end(self) -> None:
        if self._timer.active():
            self._timer.cancel()
        self._closing = True
        if not self.ended.called:
            self.ended.errback(self._error)
