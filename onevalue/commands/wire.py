"""One HTTP exchange of the command with one node, by the standard library alone: it starts in no time.

Every read has a deadline, however slowly bytes drip in, and every answer a bound. (Names are looked up by the system,
in the time that the system takes.) It must not know which node is asked next, nor what an answer means.
"""

import io
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import BadStatusLine, HTTPConnection, HTTPException, HTTPResponse, IncompleteRead, RemoteDisconnected
from typing import Any
from urllib.parse import urlsplit

from onevalue.failover import Lost, NotSent, Outcome
from onevalue.replies import ANSWER_SIZE_MAX, Answer

CHUNK_SIZE = 65536
PORTS = {"http": 80, "https": 443}
CUT_OFF = "the connection was closed in the middle of the answer"
UNKNOWN_AUTHORITY = (18, 19, 20, 21)
"""OpenSSL's codes (X509_V_ERR_...) of a certificate whose authority is not among those that are trusted."""

Link = Any  # socket.socket or ssl.SSLSocket; ssl is loaded only when it is wanted


@dataclass(frozen=True)
class Request:
    """What is asked, of whichever node; `path` begins with a slash, and has the query."""

    method: str
    path: str
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class Deadline:
    """A moment on the monotonic clock, and what is left until then."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left_s(self) -> float:
        """Seconds, more than 0. Raises TimeoutError if there are none."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("no answer in time")
        return left


def exchange(url: str, request: Request, timeout_s: float, ca_file: str | None = None) -> Outcome:
    """What came of the request at the node at `url`, within `timeout_s`, but for looking up its name."""
    deadline = Deadline(timeout_s)
    try:
        link = connect(url, deadline, ca_file)
    except (OSError, ValueError) as error:  # ValueError: a name that cannot be one
        return NotSent(reason_of(error))
    with link:
        try:
            response = ask(link, deadline, url, request)
            body = response.read(ANSWER_SIZE_MAX + 1)
            if len(body) > ANSWER_SIZE_MAX:
                return Lost(f"the answer has more than {ANSWER_SIZE_MAX} bytes")
            if response.length:  # http.client does not tell of itself that there should be more
                return Lost(CUT_OFF)
            return Answer(response.status, response.getheader("ETag"), body)
        except (OSError, HTTPException) as error:
            return Lost(reason_of(error))


@contextmanager
def streaming(
    url: str, request: Request, timeout_s: float, silence_max_s: float, ca_file: str | None = None
) -> Iterator[Answer | Iterator[bytes]]:
    """The answer as it comes, chunk by chunk, if its status is 200; else all of it. The connection closes at the end.

    Raises (also while chunks are read):
        OSError, HTTPException: there is no connection, or it was lost, or nothing came for `silence_max_s`.
    """
    deadline = Deadline(timeout_s)
    with connect(url, deadline, ca_file) as link:
        response = ask(link, deadline, url, request)
        if response.status == 200:
            yield _chunks(response, silence_max_s)
        else:
            yield Answer(response.status, None, response.read(CHUNK_SIZE))


def _chunks(response: HTTPResponse, silence_max_s: float) -> Iterator[bytes]:
    source: Any = response.fp.raw  # a _Source, see `ask`
    while True:
        source.deadline = Deadline(silence_max_s)
        data = response.read1(CHUNK_SIZE)
        if not data:
            return
        yield data


def connect(url: str, deadline: Deadline, ca_file: str | None) -> Link:
    """A connection to the node, over TLS if the URL says so. Raises OSError, ValueError: there is none, and why."""
    parts = urlsplit(url)
    port = parts.port or PORTS[parts.scheme]
    refused: OSError | None = None
    for family, kind, protocol, _, address in socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM):
        link: Link = socket.socket(family, kind, protocol)
        try:
            link.settimeout(deadline.left_s())
            link.connect(address)
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if parts.scheme == "https":
                import ssl  # noqa: PLC0415  # it takes long to load

                context = ssl.create_default_context(cafile=ca_file)
                link = context.wrap_socket(link, server_hostname=parts.hostname)
        except OSError as error:
            link.close()
            refused = error
        else:
            return link
    raise refused or OSError("the name has no address")


def ask(link: Link, deadline: Deadline, url: str, request: Request) -> HTTPResponse:
    """The status and headers of the answer; its body is read with the same deadline.

    Raises:
        OSError, HTTPException: they did not come, or make no sense. The node may have got the request.
    """
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port or PORTS[parts.scheme])
    connection.default_port = PORTS[parts.scheme]  # the header Host leaves it out
    connection.sock = _Borrowed(link, deadline)
    headers = {"Connection": "close", "User-Agent": "onevalue", **request.headers}
    connection.request(request.method, parts.path.rstrip("/") + request.path, request.body, headers)
    return connection.getresponse()


def reason_of(error: Exception) -> str:
    """Why there was no answer, for people."""
    match error:
        case TimeoutError():
            return "no answer in time"
        case IncompleteRead():
            return CUT_OFF
        case RemoteDisconnected():
            return "the connection was closed before an answer"
        case BadStatusLine():
            return f"what came is no HTTP: {error}"
    if problem := getattr(error, "verify_message", None):  # an ssl.SSLCertVerificationError; ssl may not be loaded
        remedy = ". Name its authority with --ca-file" if getattr(error, "verify_code", 0) in UNKNOWN_AUTHORITY else ""
        return f"its certificate is not trusted: {problem}{remedy}"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text or type(error).__name__


class _Borrowed:
    """The socket as http.client uses it, with a deadline; who lent it closes it."""

    def __init__(self, link: Link, deadline: Deadline) -> None:
        self._link = link
        self._deadline = deadline

    def sendall(self, data: bytes) -> None:
        self._link.settimeout(self._deadline.left_s())
        self._link.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Source(self._link, self._deadline))

    def close(self) -> None:
        pass


class _Source(io.RawIOBase):
    """Bytes of a socket until the deadline, which may be put off."""

    def __init__(self, link: Link, deadline: Deadline) -> None:
        super().__init__()
        self._link = link
        self.deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._link.settimeout(self.deadline.left_s())
        count: int = self._link.recv_into(buffer)
        return count
