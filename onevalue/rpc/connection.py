"""One client of the RPC: requests handled one after the other, responses and records sent (wire README 6).

It owns what a client may do when: handshake, key, order, and when the connection is closed. It must not know what a
command does.
"""

import hmac
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IHalfCloseableProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from onevalue.errors import OneValueError, RemoteProtocolError
from onevalue.rpc.commands import Answer, HangUpError, Reply, refusal
from onevalue.rpc.outgoing import Outgoing
from onevalue.rpc.session import Session
from onevalue.rpc.surroundings import Surroundings
from onevalue.wire import rpc_messages as rpc
from onevalue.wire.dialect import Splitter
from onevalue.wire.rpc_codec import (
    REQUEST_ENTRIES_MAX,
    REQUEST_SIZE_MAX,
    REQUESTS,
    decode_body,
    decode_request_header,
    encode_response,
)
from onevalue.wire.rpc_messages import ErrorText

GREETING_TIME_MAX_S: Final = 10.0
"""A client that has not done its handshake, and told its key where one is needed, for so long is cut off."""

FAULT: Final = "an error of the node itself, of which its log tells"


@implementer(IHalfCloseableProtocol)
class RpcConnection(Protocol):
    """From the first byte to the last.

    Args:
        around: what it shares with all other connections.
    """

    _log = Logger()

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._splitter = Splitter(REQUEST_SIZE_MAX)
        self._incoming: deque[Iterator[bytes]] = deque()  # of what has come; no more is read while there is any
        self._header: rpc.RequestHeader | None = None  # of the request whose body is to come
        self._skips_body = False
        self._greeted = self._authenticated = False
        self._busy = self._ended = False
        self._reading = True
        self._heard_all = False  # the client sends no more
        self._deadline: IDelayedCall | None = None
        self._session = Session(self._tell, around.reactor.seconds)

    # What Twisted calls

    def connectionMade(self) -> None:
        """The client must do its handshake in time."""
        assert self.transport is not None
        self._outgoing = Outgoing(self._around.reactor, self.transport, self._go_on, self._too_slow)
        self._deadline = self._around.reactor.callLater(GREETING_TIME_MAX_S, self._outgoing.cut_off)
        self._around.opened(self)

    def dataReceived(self, data: bytes) -> None:
        """What it brings is handled now, or when what came before has been."""
        if self._ended:
            return
        self._incoming.append(self._splitter.feed(data))
        self._go_on()

    def readConnectionLost(self) -> None:
        """The client sends no more: the connection ends when all that it has asked for is answered."""
        self._heard_all = True
        self._go_on()

    def writeConnectionLost(self) -> None:
        """Nobody here closes one direction only."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002  # as Protocol has it
        """Nothing is left of it."""
        self._end()
        self._outgoing.gone()
        self._around.closed(self)

    # What the service calls

    def hush(self) -> None:
        """The client gets what was written, and nothing more; it may close the connection."""
        self._end()

    def finish_up(self) -> None:
        """The connection ends when all that was written has gone."""
        self._end()
        self._outgoing.finish()

    def cut_off(self) -> None:
        """The connection ends at once."""
        self._end()
        self._outgoing.cut_off()

    # Requests

    def _go_on(self) -> None:
        """Requests are taken until one takes its time, the client does not read, or there are none."""
        while self._incoming and not (self._busy or self._ended or self._outgoing.full):
            try:
                item = next(self._incoming[0], None)
                if item is None:
                    self._incoming.popleft()
                else:
                    self._take(item)
            except RemoteProtocolError:
                self.finish_up()
        if not self._heard_all:
            self._read(not self._incoming)
        elif not (self._incoming or self._busy):
            self.finish_up()

    def _read(self, wanted: bool) -> None:
        if wanted is self._reading or self._ended:
            return
        self._reading = wanted
        transport: Any = self.transport  # an ITransport does not say that it is a producer too
        if wanted:
            transport.resumeProducing()
        else:
            transport.pauseProducing()

    def _take(self, item: bytes) -> None:
        """An object that the client has sent: a header, or the body of the one before."""
        if self._skips_body:
            self._skips_body = False
        elif self._header is not None:
            header, self._header = self._header, None
            struct = REQUESTS[header.command]
            assert struct is not None, "a header waits for a body"
            self._begin(header, decode_body(struct, item, REQUEST_ENTRIES_MAX))
        else:
            self._take_header(decode_request_header(item))

    def _take_header(self, header: rpc.RequestHeader) -> None:
        is_known = header.command in REQUESTS
        has_body = is_known and REQUESTS[header.command] is not None
        if not self._greeted and header.command != "handshake":
            self._refuse(header, ErrorText.HANDSHAKE_REQUIRED, closes=True)
        elif not self._may(header.command):
            # DEPARTURE (rpc-skip): Serf takes the body for the next header, and refuses once more.
            self._skips_body = has_body
            self._refuse(header, ErrorText.AUTHENTICATION_REQUIRED, closes=False)
        elif not is_known:
            self._refuse(header, ErrorText.UNSUPPORTED_COMMAND, closes=True)
        elif has_body:
            self._header = header
        else:
            self._begin(header, None)

    def _may(self, command: str) -> bool:
        return self._authenticated or not self._around.key or command in {"handshake", "auth"}

    def _refuse(self, header: rpc.RequestHeader, error: str, *, closes: bool) -> None:
        """The request is refused in its turn: refusals take time as well."""

        def refuse() -> None:
            self._respond(header, Reply(error))
            if closes:
                self.finish_up()
            self._busy = False
            self._go_on()

        self._later(refuse)

    def _begin(self, header: rpc.RequestHeader, body: Any) -> None:
        """The request is handled in its turn."""
        self._around.counts.requests[header.command] += 1
        self._later(partial(self._handle, header, body))

    def _later(self, work: Callable[[], None]) -> None:
        """The work is done in a later turn, if the client is there then; the next request waits until it is over."""
        self._busy = True

        def step() -> bool:
            if not self._ended:
                work()
            return False

        self._around.turns.begin(step)

    def _handle(self, header: rpc.RequestHeader, body: Any) -> None:
        answer: Answer | None
        try:
            answer = self._answer(header, body)
        except Exception:  # noqa: BLE001  # whatever it is, the client hears of it
            answer = self._failed(Failure(), header)
        if isinstance(answer, Deferred):
            answer.addErrback(self._failed, header).addCallback(self._over, header)
            answer.addErrback(lambda failure: self._log.failure("a response of the RPC failed", failure))
        else:
            self._over(answer, header)

    def _answer(self, header: rpc.RequestHeader, body: Any) -> Answer:
        if isinstance(body, rpc.Handshake):
            return self._handshake(body)
        if isinstance(body, rpc.Auth):
            return self._authenticate(body)
        return self._around.commands.run(header.command, self._session, header.seq, body)

    def _failed(self, failure: Failure, header: rpc.RequestHeader) -> Reply | None:
        """What the client hears of it; None: nothing, as the connection is closed."""
        if failure.check(HangUpError):
            return None
        if failure.check(OneValueError):
            return refusal(header.command, failure.getErrorMessage())
        self._log.failure("the RPC command {command} failed", failure, command=header.command)
        return refusal(header.command, FAULT)

    def _over(self, reply: Reply | None, header: rpc.RequestHeader) -> None:
        self._busy = False
        if self._ended:
            return
        if reply is None:
            self.finish_up()
            return
        self._respond(header, reply)
        self._go_on()

    # Who the client is

    def _handshake(self, body: rpc.Handshake) -> Reply:
        if body.version != rpc.VERSION:
            return Reply(ErrorText.UNSUPPORTED_VERSION)
        if self._greeted:
            return Reply(ErrorText.DUPLICATE_HANDSHAKE)
        self._greeted = True
        self._know()
        return Reply()

    def _authenticate(self, body: rpc.Auth) -> Reply:
        """Where there is no key, the empty one is right, as it is for Serf."""
        if not hmac.compare_digest(body.key.encode("utf-8", "surrogatepass"), self._around.key):
            self._around.counts.events["wrong_keys"] += 1
            self._around.lines.info("an RPC client has told a wrong key")
            return Reply(ErrorText.INVALID_TOKEN)
        self._authenticated = True
        self._know()
        return Reply()

    def _know(self) -> None:
        """The client may stay for as long as it likes, if it has done all that it must."""
        if self._deadline is not None and (self._authenticated or not self._around.key):
            self._deadline.cancel()
            self._deadline = None

    # What goes out

    def _respond(self, header: rpc.RequestHeader, reply: Reply) -> None:
        self._around.counts.events["refused"] += bool(reply.error)
        self._outgoing.respond(encode_response(reply.error, header.seq, reply.body))
        if reply.then is not None:
            reply.then()

    def _tell(self, seq: int, record: bytes) -> None:
        self._outgoing.tell(encode_response("", seq, record))

    def _too_slow(self) -> None:
        self._around.counts.events["clients_too_slow"] += 1
        self._around.lines.info("an RPC client that did not read was cut off")

    def _end(self) -> None:
        """Nothing more is taken from the client, and nothing of it is under way."""
        self._ended = True
        self._incoming.clear()
        self._session.close()
        if self._deadline is not None:
            if self._deadline.active():
                self._deadline.cancel()
            self._deadline = None
