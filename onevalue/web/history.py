"""The route of the history: the states that this node has accepted, newest first, as far as its journal keeps them.

An answer may have megabytes: it is encoded and sent in pieces, no faster than its client reads, and only so many are
under way at once. It must not know how the history is kept.
"""

from collections.abc import Iterator, Sequence

from klein import Klein
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer, IPushProducer
from twisted.web.iweb import IRequest
from zope.interface import implementer

from onevalue.errors import JournalError
from onevalue.journal import HistoryEntry
from onevalue.journal_file import HISTORY_MAX_LIMIT, HISTORY_READ_SIZE_MAX
from onevalue.web.answers import JSON
from onevalue.web.context import Context
from onevalue.web.parameters import integer
from onevalue.web.problems import ProblemError
from onevalue.web.states import state_text

HISTORY_LIMIT_DEFAULT = 100
"""Entries of an answer to a client that names no limit."""

HISTORY_ANSWER_SIZE_MAX = HISTORY_READ_SIZE_MAX
"""Bytes of the entries of an answer; what does not fit is left out, the oldest first.

No larger than what the journal reads: no entry is shorter in the answer than its value is there, so an answer from a
reading that ended early is always one that leaves something out, and says so.
"""

HISTORY_ANSWERS_MAX = 3
"""Answers that are being made or sent, since each may hold HISTORY_ANSWER_SIZE_MAX; one more is refused."""

PIECE_SIZE = 64 * 1024
"""Bytes that are encoded between two looks at whether the client still reads, and so between two turns of the reactor.

As many as Twisted's transports take before they ask for a pause.
"""


class HistoryRoutes:
    """The handlers; `add_to` an app."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._answers = 0

    def add_to(self, app: Klein) -> None:
        """The routes are part of `app`."""
        app.route("/v1/history", methods=["GET"])(self.history)

    async def history(self, request: IRequest) -> bytes:
        """The newest accepted states, and how each came."""
        limit = integer(request.args, "limit", 1, HISTORY_MAX_LIMIT) or HISTORY_LIMIT_DEFAULT
        if self._answers >= HISTORY_ANSWERS_MAX:
            raise ProblemError(503, f"{self._answers} clients read the history already", {"Retry-After": "1"})
        self._answers += 1
        try:
            entries = await self._context.journal.history(limit)
            request.setHeader(b"Content-Type", JSON)
            request.setHeader(b"Cache-Control", b"no-cache")
            if request.method != b"HEAD":
                sending = _Sending(IConsumer(request), _pieces(entries, self._context.journal.history_max))
                await sending.done
        except JournalError as error:
            raise ProblemError(503, str(error)) from None
        finally:
            self._answers -= 1
        return b""


@implementer(IPushProducer)
class _Sending:
    """Hands pieces to a request whenever its client has read those before; `done` fires when all are handed over.

    It ends with the request: Klein cancels what is under way when a client is gone, and `done` with it.
    """

    def __init__(self, consumer: IConsumer, pieces: Iterator[bytes]) -> None:
        self.done: Deferred[None] = Deferred()
        self._consumer = consumer
        self._pieces = pieces
        self._reads = True
        consumer.registerProducer(self, streaming=True)
        self._go_on()

    def resumeProducing(self) -> None:
        """The client has read what there was."""
        self._reads = True
        self._go_on()

    def pauseProducing(self) -> None:
        """The client has enough to read."""
        self._reads = False

    def stopProducing(self) -> None:
        """The client is gone."""
        self._reads = False

    def _go_on(self) -> None:
        while self._reads:
            piece = next(self._pieces, None)
            if piece is None:
                self._reads = False
                self._consumer.unregisterProducer()
                self.done.callback(None)
            else:
                self._consumer.write(piece)


def _pieces(entries: Sequence[HistoryEntry], history_max: int) -> Iterator[bytes]:
    """The answer, as JSON text, in pieces of about PIECE_SIZE."""
    piece, size, written = bytearray(b'{"history": ['), 0, 0
    for entry in entries:
        text = _entry(entry)
        if size + len(text) > HISTORY_ANSWER_SIZE_MAX:
            break
        piece += (b", " if written else b"") + text
        size, written = size + len(text), written + 1
        if len(piece) >= PIECE_SIZE:
            yield bytes(piece)
            piece.clear()
    piece += b'], "history_max": %d' % history_max
    yield bytes(piece) + (b', "truncated": true}' if written < len(entries) else b"}")


def _entry(entry: HistoryEntry) -> bytes:
    state = entry.state
    return state_text(state, {"source": entry.source.value})
