"""One HTTP connection with limits: Twisted sets none on bodies or on the time of a request, and asks for no Host.

A connection is in one of four phases, each with a deadline that no byte puts off: idle; receiving a request, from its
first byte; handling it, until its answer has been handed over; closing. `server` looks at the deadlines. What does not
keep to the limits gets one clear answer and a closed connection, before any route sees it.

It must not know the routes. The rules of HTTP/1.1 are RFC 9112's.
"""

import math
import re
from enum import Enum
from io import BytesIO
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from twisted.internet.interfaces import ISSLTransport, ITCPTransport
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel, datetimeToString, parse_qs
from twisted.web.server import Request

from onevalue.exchange import STATEMENT_SIZE_MAX
from onevalue.web.problems import ProblemError, answer_problem, describe
from onevalue.web.traffic import UNROUTED

if TYPE_CHECKING:
    from onevalue.web.server import LimitedSite

BODY_SIZE_MAX = STATEMENT_SIZE_MAX + 4096
"""Bytes of a request's body; more is 413. The slack lets the reader of statements say itself what is too long."""

LARGE_BODY_SIZE = 16 * 1024
"""Bytes of a body from which on a request is handled in a turn of the reactor of its own: to read it may take 50 ms."""

BODIES_SIZE_MAX = 64 * 1024 * 1024
"""Bytes of all bodies that are held at the same time, on all connections; a request beyond is 503."""

HEADER_LINE_SIZE_MAX = 8192
"""Bytes of the request line, or of one header."""

HEADERS_SIZE_MAX = 16384
"""Bytes of the request line and all headers; more is 431."""

HEADERS_MAX = 100
"""Headers of a request; more is 431."""

REQUEST_TIME_MAX_S = 10.0
"""A request must be complete so long after its first byte, however its bytes drip in."""

RESPONSE_TIME_MAX_S = 30.0
"""A request must be answered, and the last answer of a connection read, within so long; some are allowed more."""

IDLE_TIME_MAX_S = 60.0
"""A connection without a request is closed after so long."""

HELD_SIZE_MAX = 16384
"""Bytes that are held of what a client sends on while it does not read the answer that it is given; then no more is
read. Twisted has the same bound where the client does read.
"""

LINGER_TIME_MAX_S = 2.0
"""So long what a refused client still sends is read and dropped; a reset would destroy the answer on its way."""

SERVER = b"onevalue"
_HOST = re.compile(rb"[A-Za-z0-9._~%!$&'()*+,;=:\[\]-]*")


class Phase(Enum):
    """What a connection is about."""

    IDLE = "idle"
    RECEIVING = "receiving"
    HANDLING = "handling"
    CLOSING = "closing"


class LimitedRequest(Request):
    """A request as Klein wants it, without what this service has no use for: forms, other resources, tracebacks."""

    channel: "LimitedChannel"
    args: dict[bytes, list[bytes]]
    content: BytesIO
    held_size = 0  # bytes of the body that count
    rememberable = False  # see `remembered.may_be_remembered`
    route = UNROUTED  # see `routes`

    def gotLength(self, _length: int | None) -> None:
        """The body is kept in memory, where Twisted takes a temporary file for one of unknown length."""
        self.content = BytesIO()

    def handleContentChunk(self, data: bytes) -> None:
        """Part of the body; more than the limit ends the request."""
        site = self.channel.site
        if self.content.tell() + len(data) > BODY_SIZE_MAX:
            self.channel.refuse(413, f"a body has at most {BODY_SIZE_MAX} bytes")
        elif site.bodies_size + len(data) > BODIES_SIZE_MAX:
            self.channel.refuse(503, "there are too many large requests; try again")
        else:
            self.content.write(data)
            self.held_size += len(data)
            site.bodies_size += len(data)

    def release(self) -> None:
        """The body does not count any more: the request has been answered, or its client is gone."""
        self.channel.site.bodies_size -= self.held_size
        self.held_size = 0

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """The request is complete. Bodies are never read as forms."""
        self.content.seek(0)
        self.method, self.uri, self.clientproto = command, path, version
        self.path, _, query = path.partition(b"?")
        self.args = parse_qs(query, True)
        if self.held_size >= LARGE_BODY_SIZE:
            self.channel.site.process_in_turn(self)
        else:
            self.process()

    @property
    def lost(self) -> bool:
        """The client is gone."""
        return bool(self._disconnected)

    def process(self) -> None:
        """The one resource answers."""
        site = self.channel.site
        self.site = site
        self.responseHeaders.setRawHeaders(b"Server", [SERVER])
        self.responseHeaders.setRawHeaders(b"Date", [datetimeToString(site.wall_clock())])
        self.prepath = []
        self.postpath = [unquote_to_bytes(segment) for segment in self.path[1:].split(b"/")]
        try:
            self.render(site.resource)  # type: ignore[no-untyped-call]  # likewise
        except Exception:  # noqa: BLE001  # whatever it is, it is logged, and the client gets an answer
            self.processingFailed(Failure())

    def processingFailed(self, reason: Failure) -> Failure:
        """An error that even the error handler of the routes did not answer."""
        body = answer_problem(self, self.channel.site.error_log.report(reason))
        self.write(body)  # type: ignore[no-untyped-call]  # likewise
        self.finish()  # type: ignore[no-untyped-call]  # likewise
        return reason

    @property
    def stopping(self) -> bool:
        """The server is: what can be answered is to be answered at once."""
        return self.channel.site.stopping

    def allow(self, limit_s: float) -> None:
        """The answer has so many seconds from now; `math.inf` if whoever gives it sees to its end."""
        self.channel.allow(limit_s)

    def getRequestHostname(self) -> bytes:
        """The same for all: no route depends on the Host header, and werkzeug raises for strange ones."""
        return b"localhost"


class LimitedChannel(HTTPChannel):
    """The server's side of one connection.

    Attributes:
        site: the server that it belongs to; set by it.
        deadline: seconds of the reactor, at which `expire` is to be called.
    """

    site: "LimitedSite"
    transport: Any  # of TCP, TLS or a local socket; all can abort
    maxHeaders = HEADERS_MAX
    totalHeadersSize = HEADERS_SIZE_MAX
    MAX_LENGTH = HEADER_LINE_SIZE_MAX

    phase = Phase.IDLE
    deadline = math.inf

    # The life of a connection ---------------------------------------------------------------------------------------

    def connectionMade(self) -> None:
        """The connection is idle."""
        super().connectionMade()  # type: ignore[no-untyped-call]  # Twisted has no types here
        self._enter(Phase.IDLE, IDLE_TIME_MAX_S)
        self.site.channel_opened(self)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]  # the default is Twisted's own affair
        """The connection is gone."""
        for request in self.requests:
            if isinstance(request, LimitedRequest):
                request.release()
        super().connectionLost(reason)  # type: ignore[no-untyped-call]  # likewise
        self.site.channel_closed(self)

    def dataReceived(self, data: bytes) -> None:
        """Bytes of one or more requests, or of part of one."""
        if self.phase is Phase.CLOSING:
            return
        super().dataReceived(data)  # type: ignore[no-untyped-call]  # likewise
        if self.paused and len(self._buffer) > HELD_SIZE_MAX:
            self._networkProducer.pauseProducing()
        if self.phase is Phase.IDLE and not self.paused and (self._buffer or self.requests):
            self._enter(Phase.RECEIVING, REQUEST_TIME_MAX_S)

    def allContentReceived(self) -> None:
        """A request is complete; it is handled, unless it has been refused."""
        if self.phase is not Phase.CLOSING:
            self._enter(Phase.HANDLING, RESPONSE_TIME_MAX_S)
            super().allContentReceived()  # type: ignore[no-untyped-call]  # likewise

    def requestDone(self, request: Request) -> None:
        """The answer has been handed over; the next request may come, or has come already."""
        if isinstance(request, LimitedRequest):
            request.release()
            self.site.served.count(request.method, request.route, request.code)
        if self.phase is not Phase.CLOSING:
            self._enter(Phase.IDLE, IDLE_TIME_MAX_S)
        super().requestDone(request)  # type: ignore[no-untyped-call]  # likewise
        if self.paused and self.phase is not Phase.CLOSING:
            self._networkProducer.pauseProducing()  # Twisted does not while an answer is written

    def loseConnection(self) -> None:
        """The connection closes when the client has read what was written, or at the deadline."""
        if self.phase is not Phase.CLOSING:
            self._enter(Phase.CLOSING, RESPONSE_TIME_MAX_S)
        super().loseConnection()  # type: ignore[no-untyped-call]  # likewise

    def expire(self) -> None:
        """The deadline has passed."""
        if self.phase is Phase.RECEIVING:
            self.site.traffic.requests_expired += 1
            self.refuse(408, f"a request must be complete within {REQUEST_TIME_MAX_S:g} seconds")
        elif self.phase is Phase.IDLE:
            self.loseConnection()
        else:
            self.abort()

    def abort(self) -> None:
        """The connection ends now, whatever is under way."""
        self._enter(Phase.CLOSING, math.inf)
        self.transport.abortConnection()

    def allow(self, limit_s: float) -> None:
        """The request that is being handled is to be answered within so many seconds from now."""
        if self.phase is Phase.HANDLING:
            self._enter(Phase.HANDLING, limit_s)

    def finish_up(self) -> None:
        """The server is stopping: a request that is under way is the last, and its answer says so."""
        if self.phase is Phase.IDLE:
            self.loseConnection()
        elif self.phase is Phase.HANDLING:
            self.persistent = False
            self.requests[0].responseHeaders.setRawHeaders(b"Connection", [b"close"])

    def checkPersistence(self, request: Request, version: bytes) -> bool:
        """True if another request may follow this one."""
        if self.site.stopping:
            request.responseHeaders.setRawHeaders(b"Connection", [b"close"])
            return False
        return bool(super().checkPersistence(request, version))  # type: ignore[no-untyped-call]  # likewise

    def _enter(self, phase: Phase, limit_s: float) -> None:
        self.phase = phase
        self.deadline = self.site.reactor.seconds() + limit_s

    # A client that does not read gets nothing more ------------------------------------------------------------------

    def pauseProducing(self) -> None:
        """The client does not read: requests that have come already wait too, or their answers would fill memory."""
        super().pauseProducing()  # type: ignore[no-untyped-call]  # likewise
        self.paused = True

    def resumeProducing(self) -> None:
        """The client reads again."""
        self.paused = False  # first: a stream goes on at once, and that may fill the buffers anew
        super().resumeProducing()  # type: ignore[no-untyped-call]  # likewise
        if self._buffer and not self.paused:
            self.dataReceived(b"")

    # What is refused ------------------------------------------------------------------------------------------------

    def headerReceived(self, line: bytes) -> bool:
        """One header; False ends the request."""
        try:
            return bool(super().headerReceived(line))  # type: ignore[no-untyped-call]  # likewise
        except ValueError:  # int() refuses a Content-Length of thousands of digits
            self.refuse(413, f"a body has at most {BODY_SIZE_MAX} bytes")
            return False

    def allHeadersReceived(self) -> None:
        """All headers are there: the body may come, or the request is refused."""
        problem = self._judge_headers()
        if problem is not None:
            self.refuse(*problem)
        else:
            super().allHeadersReceived()  # type: ignore[no-untyped-call]  # likewise

    def _judge_headers(self) -> tuple[int, str] | None:
        path = self._path.partition(b"?")[0]
        hosts = self.requests[-1].requestHeaders.getRawHeaders(b"Host", [])
        if len(hosts) > 1 or (not hosts and self._version == b"HTTP/1.1"):
            return 400, "a request has exactly one Host header"
        if hosts and not _HOST.fullmatch(hosts[0]):
            return 400, "the Host header is malformed"
        if not path.startswith(b"/") or path.startswith(b"//"):  # the routes would strip all of several slashes
            return 400, "the path must begin with one /"
        if not _is_utf8(path):
            return 400, "the path is not UTF-8"
        if self.length is not None and self.length > BODY_SIZE_MAX:
            return 413, f"a body has at most {BODY_SIZE_MAX} bytes"
        return None

    def lineLengthExceeded(self, _line: bytes) -> None:
        """A line is longer than the limit."""
        if self.requests:
            self.refuse(431, f"a header has at most {HEADER_LINE_SIZE_MAX} bytes")
        else:
            self.refuse(414, f"a request line has at most {HEADER_LINE_SIZE_MAX} bytes")

    def _respondToBadRequestAndDisconnect(self) -> None:
        """Twisted's own answer to all that it cannot read; its name is private, but nothing else tells of it."""
        if self._receivedHeaderSize > HEADERS_SIZE_MAX or self._receivedHeaderCount > HEADERS_MAX:
            self.refuse(431, f"a request has at most {HEADERS_MAX} headers and {HEADERS_SIZE_MAX} bytes of them")
        else:
            self.refuse(400, "the request is malformed")

    def refuse(self, status: int, detail: str) -> None:
        """The client gets this answer to a request that no route has seen, and the connection closes."""
        if self.phase is Phase.CLOSING:
            return
        self.site.traffic.requests_refused += 1
        problem = ProblemError(status, detail)
        content_type, body = describe(getattr(self, "_path", b"/"), problem)
        head = (
            f"HTTP/1.1 {status} {problem.title}\r\nServer: {SERVER.decode()}\r\nConnection: close\r\n"
            f"Content-Type: {content_type.decode()}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._enter(Phase.CLOSING, LINGER_TIME_MAX_S)
        self.clearLineBuffer()  # type: ignore[no-untyped-call]  # likewise
        self.transport.write(head.encode() + (b"" if getattr(self, "_command", b"") == b"HEAD" else body))
        if ITCPTransport.providedBy(self.transport) and not ISSLTransport.providedBy(self.transport):
            self.transport.loseWriteConnection()


def _is_utf8(path: bytes) -> bool:
    if b"%" not in path and path.isascii():
        return True
    try:
        unquote_to_bytes(path).decode()
    except UnicodeDecodeError:
        return False
    return True
