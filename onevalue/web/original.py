"""The routes of the original program, for fingers, scripts and old peers: /get, /set/{newVal}, /notify.

They answer every method, as the original does, in text/plain; what is out of bounds is 400 with the reason.
POST /notify without segments is how our own nodes exchange states (`exchange`), signed where the cluster has a key
(`signing`); who does not sign gets 403 there, and old peers do not.
It must not know how states are ordered or spread.
"""

from klein import Klein
from twisted.logger import Logger
from twisted.web.iweb import IRequest

from onevalue.errors import UndecipherableError
from onevalue.exchanging import answer_statement
from onevalue.loglines import LimitedLog
from onevalue.signing import NONCE_HEADER, SIGNATURE_HEADER
from onevalue.store import GENERATION_MAX, ORIGIN_LENGTH_MAX, State
from onevalue.types import Generation
from onevalue.values import VALUE_MAX, VALUE_MIN
from onevalue.web.answers import answer_json_bytes, answer_text
from onevalue.web.context import Context
from onevalue.web.crosssite import refuse_cross_site
from onevalue.web.integers import parse_integer
from onevalue.web.problems import ProblemError
from onevalue.web.remembered import may_be_remembered
from onevalue.web.states import state_text

PUSHED_GENERATION_MAX = GENERATION_MAX - 1
"""The largest generation of a legacy notify: the largest of all would leave no room for another write."""


class OriginalRoutes:
    """The handlers; `add_to` an app."""

    _log = Logger(namespace="onevalue.web")

    def __init__(self, context: Context) -> None:
        self._context = context
        self._refusals = LimitedLog(self._log, context.clock.seconds)

    def add_to(self, app: Klein) -> None:
        """The routes are part of `app`."""
        app.route("/get")(self.get_value)
        app.route("/set/<new_value>")(self.set_value)
        app.route("/notify/<value>/<generation>")(self.notify_original)
        app.route("/notify", methods=["POST"])(self.notify)

    def get_value(self, request: IRequest) -> bytes:
        """The value, as canonical JSON text."""
        may_be_remembered(request)
        return answer_text(request, self._context.store.current.text)

    async def set_value(self, request: IRequest, new_value: str) -> bytes:
        """Writes the integer, and echoes it when it is durable."""
        refuse_cross_site(request)
        value = parse_integer(new_value, "the value", VALUE_MIN, VALUE_MAX)
        await self._context.writer.write(value)
        return answer_text(request, b"%d" % value)

    def notify_original(self, request: IRequest, value: str, generation: str) -> bytes:
        """An original program, or a person, pushes a state; the answer is this node's own, and what became of it."""
        refuse_cross_site(request)
        self._refuse_original(request)
        state = State(
            Generation(parse_integer(generation, "the generation", 0, PUSHED_GENERATION_MAX)),
            parse_integer(value, "the value", VALUE_MIN, VALUE_MAX),
        )
        notifier = _printable(request.args.get(b"notifier", [b""])[0])
        outcome = self._context.spread.receive_original(state, self._context.now)
        if outcome.changed:
            self._log.info(
                "NewVal: {value} Gen: {generation} Notifier: {notifier}",
                value=state.value,
                generation=state.generation,
                notifier=notifier,
            )
        told = {"changed": outcome.changed, "refused": outcome.refused}
        return answer_json_bytes(request, state_text(self._context.store.current, told))

    async def notify(self, request: IRequest) -> bytes:
        """Another of our nodes pushes its statement, and gets this node's."""
        refuse_cross_site(request)
        nonce, signature = _header(request, NONCE_HEADER), _header(request, SIGNATURE_HEADER)
        context, body = self._context, request.content.read()
        try:
            answer, headers = await answer_statement(
                context.spread, context.signer, context.journal, nonce, signature, body, context.now
            )
        except UndecipherableError as error:
            raise self._refusal(request, "statements_unauthenticated", str(error)) from None
        for name, value in headers.items():
            request.setHeader(name.encode(), value.encode())
        return answer_json_bytes(request, answer)

    def _refuse_original(self, request: IRequest) -> None:
        """Nothing, if pushes in the original's way are taken. An original cannot sign. Raises ProblemError, 403."""
        if self._context.signer.demands_signatures:
            raise self._refusal(
                request,
                "originals_refused",
                "this cluster has a key, and takes states only from nodes that have it (signed POST /notify);"
                " to write a value, use /set/VALUE or PUT /v1/value",
            )

    def _refusal(self, request: IRequest, counter: str, detail: str) -> ProblemError:
        """The error to raise, counted and logged."""
        self._context.spread.counters[counter] += 1
        self._refusals.info(
            "{method} {path} of {peer} was refused: {detail}",
            method=request.method.decode("ascii", "replace"),
            path=request.path.decode("ascii", "replace"),
            peer=getattr(request.getClientAddress(), "host", "a local socket"),
            detail=detail,
        )
        return ProblemError(403, detail)


def _header(request: IRequest, name: str) -> str | None:
    """A header's text, None without it; of several, which no node sends, something of the wrong form."""
    lines = request.requestHeaders.getRawHeaders(name.encode())
    return None if lines is None else b",".join(lines).decode("latin-1")


def _printable(name: bytes) -> str:
    """A name that a stranger gave, fit for a line of the log."""
    text = name.decode("utf-8", "replace")[:ORIGIN_LENGTH_MAX]
    return "".join(char if char.isprintable() else "?" for char in text)
