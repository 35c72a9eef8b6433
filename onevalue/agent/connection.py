"""One connection to a Serf agent's RPC: requests and what comes of them, records and whom they are for (wire README 6).

It must not know what is asked, nor what to do when the connection is lost.
"""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from onevalue.errors import AgentError, AwayError, BusyError, LocalProtocolError, RemoteProtocolError
from onevalue.wire import rpc_messages as rpc
from onevalue.wire.dialect import Splitter
from onevalue.wire.rpc_codec import (
    RECORDS,
    REPLIES,
    RESPONSE_ENTRIES_MAX,
    RESPONSE_SIZE_MAX,
    Body,
    decode_body,
    decode_response_header,
    encode_request,
)
from onevalue.worker import Worker

REQUEST_TIME_MAX_S: Final = 10.0
"""How long an agent may take to answer; one that does not is as good as gone, and the connection is closed."""

REQUESTS_MAX: Final = 256
"""Requests without an answer yet."""

LARGE: Final = 1 << 15
"""Bytes of a body from which on it is read in a thread: thousands of members take a second."""

AWAY: Final = "the agent is away: "
"""How what is told of a lost connection begins."""

_WITHOUT_BODY: Final = (
    rpc.ErrorText.AUTHENTICATION_REQUIRED,
    rpc.ErrorText.HANDSHAKE_REQUIRED,
    rpc.ErrorText.UNSUPPORTED_COMMAND,
)
"""Errors after which no body comes, whatever the command."""


@dataclass(slots=True)
class _Waiting:
    """A request without an answer, and who is told the records that follow it."""

    command: str
    answered: Deferred[Any]
    on_record: Callable[[Any], object] | None


class AgentConnection(Protocol):
    """The client's side. `lost` fires once, with why the connection is no more, a sentence; `why_lost` is that.

    Args:
        reactor: for deadlines.
        worker: reads what is large.
    """

    def __init__(self, reactor: IReactorTime, worker: Worker) -> None:
        self.lost: Deferred[str] = Deferred()
        self._reactor = reactor
        self._worker = worker
        self._splitter = Splitter(RESPONSE_SIZE_MAX)
        self._objects: deque[bytes] = deque()
        self._reading = False  # a thread has an object
        self._header: rpc.ResponseHeader | None = None  # whose body comes next
        self._waiting: dict[int, _Waiting] = {}
        self._followers: dict[int, _Waiting] = {}
        self._seq = 0
        self.why_lost: str | None = None

    # What the owner does

    def request(
        self, command: str, body: object | None = None, time_max_s: float = REQUEST_TIME_MAX_S
    ) -> Deferred[Any]:
        """Fires with the body of the response, None if it has none.

        Fails with AgentError: the agent refused it; AwayError: the connection was lost before an answer, or there was
        none within `time_max_s`, and then it is lost; BusyError: REQUESTS_MAX wait; LocalProtocolError: it cannot be
        sent. Cancelled, its answer is ignored.
        """
        return self._ask(command, body, None, time_max_s)

    def follow(self, command: str, body: object, on_record: Callable[[Any], object]) -> Deferred[Any]:
        """Fires when records are on their way, each of which `on_record` is told until the connection is lost.

        It may raise RemoteProtocolError, and then the connection is lost. Fails as `request`.
        """
        return self._ask(command, body, on_record, REQUEST_TIME_MAX_S)

    def close(self, why: str) -> None:
        """The connection is lost, for this reason."""
        self._end(why)

    # Protocol

    def dataReceived(self, data: bytes) -> None:
        """See IProtocol."""
        if self.why_lost is None:
            with self._refusing_nonsense():
                self._objects.extend(self._splitter.feed(data))
                self._go_on()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See IProtocol."""
        self._end(reason.getErrorMessage())

    # Inside

    def _ask(
        self, command: str, body: object | None, on_record: Callable[[Any], object] | None, time_max_s: float
    ) -> Deferred[Any]:
        if self.why_lost is not None:
            return fail(AwayError(f"{AWAY}{self.why_lost}"))
        if len(self._waiting) >= REQUESTS_MAX:
            return fail(BusyError(f"the agent has not answered {REQUESTS_MAX} requests yet; ask again later"))
        self._seq += 1
        seq = self._seq
        try:
            data = encode_request(command, seq, body)
        except LocalProtocolError as error:
            return fail(error)
        answered: Deferred[Any] = Deferred()
        self._waiting[seq] = _Waiting(command, answered, on_record)
        deadline = self._reactor.callLater(time_max_s, self._too_late, command, time_max_s)

        def over(result: Any) -> Any:
            if deadline.active():
                deadline.cancel()
            return result

        answered.addBoth(over)
        self._transport.write(data)
        return answered

    @property
    def _transport(self) -> Any:
        assert self.transport is not None, "connected"
        return self.transport

    def _too_late(self, command: str, time_max_s: float) -> None:
        self._end(f"it has not answered {command} within {time_max_s:g} s")

    def _end(self, why: str) -> None:
        if self.why_lost is not None:
            return
        self.why_lost = why
        self._objects.clear()
        waiting, self._waiting, self._followers = list(self._waiting.values()), {}, {}
        self._transport.abortConnection()
        for each in waiting:
            if not each.answered.called:
                each.answered.errback(Failure(AwayError(f"{AWAY}{why}")))
        self.lost.callback(why)

    def _go_on(self) -> None:
        """All objects that are there are read, in their order; while a thread reads one, the rest waits."""
        while self._objects and not self._reading and self.why_lost is None:
            data = self._objects.popleft()
            if self._header is None:
                self._read_header(decode_response_header(data))
                continue
            header, self._header = self._header, None
            body = self._body_of(header)
            assert body is not None, "only such headers are kept"
            if len(data) < LARGE:
                self._take(header, decode_body(body, data, RESPONSE_ENTRIES_MAX))
            else:
                self._read_in_thread(header, body, data)

    def _read_in_thread(self, header: rpc.ResponseHeader, body: Body, data: bytes) -> None:
        self._reading = True
        self._transport.pauseProducing()

        def read(result: Any) -> None:
            self._reading = False
            if self.why_lost is not None:
                return
            with self._refusing_nonsense():
                if isinstance(result, Failure):
                    result.raiseException()
                self._transport.resumeProducing()
                self._take(header, result)
                self._go_on()

        self._worker.run(decode_body, body, data, RESPONSE_ENTRIES_MAX).addBoth(read)

    @contextmanager
    def _refusing_nonsense(self) -> Iterator[None]:
        """What means nothing ends the connection: nobody knows what the next bytes would mean."""
        try:
            yield
        except RemoteProtocolError as error:
            self._end(f"it does not speak as an agent does: {error}")

    def _read_header(self, header: rpc.ResponseHeader) -> None:
        if self._body_of(header) is None:
            self._take(header, None)
        else:
            self._header = header

    def _body_of(self, header: rpc.ResponseHeader) -> Body | None:
        """What follows a header."""
        waiting = self._waiting.get(header.seq)
        if waiting is not None:
            return None if header.error in _WITHOUT_BODY else REPLIES.get(waiting.command)
        follower = self._followers.get(header.seq)
        if follower is None:
            raise RemoteProtocolError(f"a response to {header.seq}, which was not asked")
        return RECORDS[follower.command]

    def _take(self, header: rpc.ResponseHeader, body: Any) -> None:
        """A response or a record is whole."""
        waiting = self._waiting.pop(header.seq, None)
        if waiting is None:
            on_record = self._followers[header.seq].on_record
            if on_record is not None:
                on_record(body)
            if isinstance(body, rpc.QueryRecord) and body.kind == rpc.DONE:
                del self._followers[header.seq]
            return
        if waiting.on_record is not None and not header.error:
            self._followers[header.seq] = waiting
        if waiting.answered.called:  # cancelled
            return
        if header.error:
            waiting.answered.errback(Failure(AgentError(header.error, body)))
        else:
            waiting.answered.callback(body)
