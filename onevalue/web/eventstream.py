"""One answer that is a stream of server-sent events (WHATWG HTML, 9.2): its form, and what a slow client gets of it.

What the client does not take stays in the system's buffer, which is made small, and at most an event of it in this
process: until all of that has gone nothing more is written, and then only the latest. The transport tells, as it tells
any producer: it pauses one when more than `bufferSize` bytes are unsent, 64 KiB unless one says otherwise, and resumes
it when none is.

It must not know what the events are about, nor who else watches.
"""

import math
import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from onevalue.web.channel import LimitedRequest

RETRY_MS = 2000
"""After so long a client that has lost its stream connects again."""

UNSENT_SIZE_MAX = 512
"""Bytes of a stream that wait in this process; with more it gets nothing until all have gone.

Over TLS that an endpoint wraps around its own connections it is Twisted's 64 KiB instead.
"""

SEND_BUFFER_SIZE = 32768
"""Bytes of a stream that wait in the system, by and large; its own choice would be megabytes of old news."""

BEHIND_TIME_MAX_S = 30.0
"""A client that has not taken an event for so long is cut off."""

UNACKNOWLEDGED_TIME_MAX_S = 60.0
"""A client whose host has acknowledged nothing for so long is gone; heartbeats make it show."""

HEARTBEAT = b":\n\n"


def event(tag: str, data: bytes) -> bytes:
    """An event with the id `tag`; `data` has no line breaks."""
    return b"id: %b\ndata: %b\n\n" % (tag.encode(), data)


def named_event(kind: str, data: bytes) -> bytes:
    """An event of this kind; `data` has no line breaks."""
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), data)


@implementer(IPushProducer)
class EventStream:
    """A stream to one client, from its first byte on.

    Args:
        request: is answered.
        preamble: a comment, a line that tells people what the events are.
        drained: called when the client has taken all, after it had not; it may `send`.
        gone: called when the client is gone.

    Attributes:
        ended: fires with the last bytes, none, when `end` was called: for Klein, that then finishes the answer.
        full: the client has not taken what it was sent; nothing is to be sent.
        known: what the client was sent last; the owner's own.
    """

    __slots__ = ("_drained", "_request", "ended", "full", "known")

    def __init__(
        self,
        request: LimitedRequest,
        preamble: bytes,
        drained: Callable[["EventStream"], None],
        gone: Callable[["EventStream"], None],
    ) -> None:
        self._request = request
        self._drained = drained
        self.full = False
        self.known: object = None
        self.ended: Deferred[bytes] = Deferred(lambda _: gone(self))  # Klein cancels it when the client is gone
        set_headers(request)
        _narrow(request.transport)
        request.allow(math.inf)
        request.registerProducer(self, True)  # type: ignore[no-untyped-call]  # Twisted has no types here
        self.send(preamble + b"retry: %d\n\n" % RETRY_MS)

    def send(self, data: bytes) -> None:
        """The bytes are on their way. Not to be called while `full`."""
        self._request.write(data)  # type: ignore[no-untyped-call]  # likewise

    def end(self) -> None:
        """The stream is complete; a client that has not taken all is cut off."""
        self._request.unregisterProducer()  # type: ignore[no-untyped-call]  # likewise
        if self.full:
            self._request.channel.abort()
        else:
            self.ended.callback(b"")

    def pauseProducing(self) -> None:
        """The client has not taken all, and must do so in time."""
        self.full = True
        self._request.allow(BEHIND_TIME_MAX_S)

    def resumeProducing(self) -> None:
        """The client has taken all."""
        self.full = False
        self._request.allow(math.inf)
        self._drained(self)

    def stopProducing(self) -> None:
        """The connection is gone, of which `ended` tells."""


def set_headers(request: LimitedRequest) -> None:
    """The answer is a stream that neither caches nor proxies keep."""
    headers = request.responseHeaders
    headers.setRawHeaders(b"Content-Type", [b"text/event-stream"])
    headers.setRawHeaders(b"Cache-Control", [b"no-store"])
    headers.setRawHeaders(b"X-Accel-Buffering", [b"no"])


def _narrow(transport: Any) -> None:
    """Little waits on the way, and a client that is gone shows; nothing changes where there are no such buffers."""
    transport.bufferSize = UNSENT_SIZE_MAX  # also of one read, but nothing is to come from this client any more
    handle = getattr(transport, "socket", None)  # getHandle() is that of TLS, if there is any
    if isinstance(handle, socket.socket):
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_SIZE)
        if handle.family != socket.AF_UNIX and hasattr(socket, "TCP_USER_TIMEOUT"):
            handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(1000 * UNACKNOWLEDGED_TIME_MAX_S))
