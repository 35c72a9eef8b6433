"""A connection that answers requests which it has seen before from a table, without parser and routes.

Only what comes where a request can begin is looked at: on a connection over plain TCP that is open, idle and not
paused, when nothing has come since the last answer. A read is cut after each blank line. A piece that is, byte for
byte, a request in the table gets the bytes in the table. Any other takes the ordinary way of `channel`; what was
written for it is remembered if it was a whole request, answered at once, with 200, and its handler said that it may be.
So no second parser decides what a request means, and deadlines, order and pauses are those of the ordinary way.

It must not know the routes, nor when remembered answers are wrong (that is `remembered`).
"""

from collections.abc import Iterable
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import ISSLTransport
from twisted.internet.tcp import Server
from twisted.web.http_headers import Headers
from twisted.web.server import Request

from onevalue.web.channel import IDLE_TIME_MAX_S, LimitedChannel, LimitedRequest, Phase

_BLANK_LINE = b"\r\n\r\n"
_IDLE = Phase.IDLE  # a name of the module is found sooner


class RememberingChannel(LimitedChannel):
    """The server's side of one connection."""

    _host: str | None = None  # the address that the client has connected to; None: nothing is remembered here
    _between = False  # of a next request nothing has come yet
    _whole: bytes | None = None  # the bytes of the request that is under way, if all of them came at once
    _written: list[bytes]  # since then

    # What comes -----------------------------------------------------------------------------------------------------

    def connectionMade(self) -> None:
        """The connection is idle."""
        super().connectionMade()
        address = self.getHost()  # type: ignore[no-untyped-call]  # Twisted has no types here
        if isinstance(address, IPv4Address | IPv6Address) and not ISSLTransport.providedBy(self.transport):
            self._host = address.host
            self._between = True

    def dataReceived(self, data: bytes) -> None:
        """Bytes of one or more requests, or of part of one."""
        if self._host is not None and self._between and self.phase is _IDLE:
            self._begin(self._host, data)
        elif self._host is not None and self.phase is Phase.RECEIVING:
            self._go_on(data)
        else:
            self._receive(data)

    def _begin(self, host: str, data: bytes) -> None:
        """With these bytes, and what had to wait before them, a request begins."""
        if self._buffer or self.paused:
            data, self._buffer = self._buffer + data, b""
        answer = None if self.paused else self.site.remembered.lookup(host, data)
        if answer is None:
            self._receive_cut(host, data)
        else:
            self._answer()
            self._send(answer)

    def _go_on(self, data: bytes) -> None:
        """These bytes belong to a request that has begun; behind its end another may begin, if it has no body."""
        end = data.find(_BLANK_LINE) + len(_BLANK_LINE)
        rest = data[end:]
        if end < len(_BLANK_LINE) or not rest:
            self._receive(data)
            return
        self._receive(data[:end])
        if self._between:
            self.dataReceived(rest)
        else:
            self._receive(rest)

    def _receive_cut(self, host: str, data: bytes) -> None:
        """Each request of a read in turn, as long as each is answered at once, and the client reads the answers."""
        start, end = 0, data.find(_BLANK_LINE)
        while end >= 0 and self._between and not self.paused and self.phase is _IDLE:
            piece = data[start : end + len(_BLANK_LINE)]
            start += len(piece)
            end = data.find(_BLANK_LINE, start)
            answer = self.site.remembered.lookup(host, piece)
            if answer is None:
                self._whole, self._written = piece, []
                self._receive(piece)
                self._whole = None
            else:
                self._answer()
                self.transport.write(answer)  # not sent by itself: many fit one packet
        rest = data[start:]
        if self._between and self.paused:
            self._buffer = rest
        elif rest:
            self._receive(rest)

    def _receive(self, data: bytes) -> None:
        """The ordinary way."""
        self._between = False
        super().dataReceived(data)

    def requestDone(self, request: Request) -> None:
        """The answer has been handed over; it is remembered, if it may be."""
        self._between = self._host is not None and not self._buffer and not any(self._dataBuffer)
        if self._host is not None and self._whole is not None and self._between and self._may_remember(request):
            self.site.remembered.remember(self._host, self._whole, b"".join(self._written))
        self._whole = None
        super().requestDone(request)  # and the next request, if it is here: so this comes last

    def _may_remember(self, request: Request) -> bool:
        return (
            isinstance(request, LimitedRequest)
            and request.rememberable
            and request.code == 200
            and bool(self.persistent)
            and not request.requestHeaders.hasHeader(b"Expect")  # its 100 is not written by the request
        )

    # What goes ------------------------------------------------------------------------------------------------------

    def _answer(self) -> None:
        """An answer from the table is about to be given: the connection has been used."""
        self.site.traffic.requests_remembered += 1
        self._enter(_IDLE, IDLE_TIME_MAX_S)

    def _send(self, answer: bytes) -> None:
        """The bytes are with the system if it takes them now, which saves the reactor a turn; else they wait for it."""
        transport, sent = self.transport, 0
        if isinstance(transport, Server) and _has_sent_all(transport):
            try:
                sent = transport.getHandle().send(answer)
            except OSError:
                sent = 0  # no room; or the connection is gone, and the transport will say so
        if sent < len(answer):
            transport.write(answer[sent:])

    def writeHeaders(self, version: bytes, code: bytes, reason: bytes, headers: Headers) -> None:
        """The head of an answer, written so that it can be remembered; Twisted's own goes past `writeSequence`."""
        lines = [b"%b: %b\r\n" % (name, value) for name, values in headers.getAllRawHeaders() for value in values]
        self.writeSequence([b"%b %b %b\r\n" % (version, code, reason), *lines, b"\r\n"])

    def write(self, data: bytes) -> None:
        """Part of an answer."""
        if self._whole is not None:
            self._written.append(data)
        super().write(data)  # type: ignore[no-untyped-call]  # likewise

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """Parts of an answer."""
        parts = list(iovec)
        if self._whole is not None:
            self._written += parts
        super().writeSequence(parts)  # type: ignore[no-untyped-call]  # likewise


def _has_sent_all(transport: Any) -> bool:
    """True if an open connection has nothing to send: what is sent now overtakes nothing."""
    unsent = transport.dataBuffer or transport._tempDataBuffer  # noqa: SLF001  # nothing else tells of it
    return bool(transport.connected and not transport.disconnecting and not unsent)
