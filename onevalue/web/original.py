"""The routes of the original program, for fingers, scripts and old peers: /get, /set/{newVal}, /notify.

They answer every method, as the original does, in text/plain; what is out of bounds is 400 with the reason.
POST /notify without segments is how our own nodes exchange states (`exchange`).
It must not know how states are ordered or spread.
"""

from klein import Klein
from twisted.logger import Logger
from twisted.web.iweb import IRequest

from onevalue.exchange import decode_statement, encode_answer
from onevalue.store import (
    GENERATION_MAX,
    ORIGIN_LENGTH_MAX,
    VALUE_MAX,
    VALUE_MIN,
    State,
    canonical,
)
from onevalue.types import Generation
from onevalue.web.answers import answer_json, answer_json_bytes, answer_text
from onevalue.web.context import Context
from onevalue.web.crosssite import refuse_cross_site
from onevalue.web.integers import parse_integer

PUSHED_GENERATION_MAX = GENERATION_MAX - 1
"""The largest generation of a legacy notify: the largest of all would leave no room for another write."""


class OriginalRoutes:
    """The handlers; `add_to` an app."""

    _log = Logger(namespace="onevalue.web")

    def __init__(self, context: Context) -> None:
        self._context = context

    def add_to(self, app: Klein) -> None:
        """The routes are part of `app`."""
        app.route("/get")(self.get_value)
        app.route("/set/<new_value>")(self.set_value)
        app.route("/notify/<value>/<generation>")(self.notify_original)
        app.route("/notify", methods=["POST"])(self.notify)

    def get_value(self, request: IRequest) -> bytes:
        """The value, as text."""
        return answer_text(request, canonical(self._context.store.current.value))

    async def set_value(self, request: IRequest, new_value: str) -> bytes:
        """Writes the integer, and echoes it when it is durable."""
        refuse_cross_site(request)
        value = parse_integer(new_value, "the value", VALUE_MIN, VALUE_MAX)
        await self._context.writer.write(value)
        return answer_text(request, b"%d" % value)

    def notify_original(self, request: IRequest, value: str, generation: str) -> bytes:
        """An original program, or a person, pushes a state; the answer is this node's own, and what became of it."""
        refuse_cross_site(request)
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
        current = self._context.store.current.to_json()
        return answer_json(request, {**current, "changed": outcome.changed, "refused": outcome.refused})

    def notify(self, request: IRequest) -> bytes:
        """Another of our nodes pushes its statement, and gets this node's."""
        refuse_cross_site(request)
        spread = self._context.spread
        outcome = spread.receive_statement(decode_statement(request.content.read()), self._context.now)
        answer = encode_answer(spread.statement(), changed=outcome.changed, refused=outcome.refused)
        return answer_json_bytes(request, answer)


def _printable(name: bytes) -> str:
    """A name that a stranger gave, fit for a line of the log."""
    text = name.decode("utf-8", "replace")[:ORIGIN_LENGTH_MAX]
    return "".join(char if char.isprintable() else "?" for char in text)
