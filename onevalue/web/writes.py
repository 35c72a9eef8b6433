"""The route of own writes in JSON: PUT /v1/value, its conditions, and who is to hold the write before it is answered.

It must not know how a state is written, ordered or spread, nor whom to ask.
"""

from dataclasses import dataclass

from klein import Klein
from twisted.internet.defer import Deferred
from twisted.web.iweb import IRequest

from onevalue.bounds import ACK_TIMEOUT_MAX_S, ACK_TIMEOUT_MIN_S, ACK_TIMEOUT_S, ACK_WORDS, ACKS_MAX
from onevalue.errors import BusyError
from onevalue.spread.confirming import Confirmed
from onevalue.store import State
from onevalue.values import parse_value
from onevalue.web.answers import answer_json_bytes
from onevalue.web.bodies import demand_json
from onevalue.web.conditions import demanded
from onevalue.web.context import Context
from onevalue.web.crosssite import refuse_cross_site
from onevalue.web.parameters import seconds, word_or_integer
from onevalue.web.problems import ProblemError
from onevalue.web.states import quoted, state_text


@dataclass(frozen=True, slots=True)
class Wanted:
    """Who is to hold a write: so many nodes, this one counted, or with `by_all` all that are members now."""

    nodes: int
    by_all: bool
    timeout_s: float


class WriteRoutes:
    """The handlers; `add_to` an app."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def add_to(self, app: Klein) -> None:
        """The routes are part of `app`."""
        app.route("/v1/value", methods=["PUT"])(self.write_value)

    async def write_value(self, request: IRequest) -> bytes:
        """Writes the value in the body upon a state that fits the conditions; answers when enough nodes hold it."""
        refuse_cross_site(request)
        demand_json(request)
        context = self._context
        wanted = self._wanted(request)
        value = parse_value(request.content.read(), context.value_size_max)
        condition = demanded(request)
        if wanted is not None and not context.spread.confirms:
            raise ProblemError(503, "too many writes wait for other nodes; nothing was written", {"Retry-After": "1"})
        until = context.now + (0.0 if wanted is None else wanted.timeout_s)
        state = await context.writer.write(value, condition)
        if wanted is None:
            return self._answer(request, state, {})
        return self._answer(request, state, self._judged(state, await self._confirmed(state, wanted, until)))

    def _wanted(self, request: IRequest) -> Wanted | None:
        """Who is to hold the write, as `ack` and `timeout` say; None: this node alone."""
        timeout_s = seconds(request.args, "timeout", ACK_TIMEOUT_MIN_S, ACK_TIMEOUT_MAX_S) or ACK_TIMEOUT_S
        ack = word_or_integer(request.args, "ack", ACK_WORDS, ACKS_MAX)
        if ack == "all":
            return Wanted(1, True, timeout_s)
        if ack == "majority":
            size = self._context.cluster_size
            if size is None:
                raise ProblemError(400, "ack=majority needs to know of how many: start the nodes with --cluster-size")
            ack = size // 2 + 1
        return None if ack is None or ack == 1 else Wanted(int(ack), False, timeout_s)

    def _confirmed(self, state: State, wanted: Wanted, until: float) -> "Deferred[Confirmed]":
        """Fires when enough others hold the state, or at `until`, with what came of it."""
        done: Deferred[Confirmed] = Deferred()

        def later(confirmed: Confirmed) -> None:
            # In a turn of its own: whoever is told may write again, which an observer of the store must not.
            self._context.clock.callLater(0, done.callback, confirmed)

        try:
            self._context.spread.confirm(
                state,
                wanted.nodes,
                by_all=wanted.by_all,
                until=until,
                done=later,
                durable=self._context.journal.durable is not None,
            )
        except BusyError as error:
            raise ProblemError(504, f"{error}; the write stands here", extras={"written": state}) from None
        return done

    @staticmethod
    def _judged(state: State, confirmed: Confirmed) -> dict[str, object]:
        """What the answer tells of the others. Raises ProblemError where the write lost, or too few hold it."""
        acks = {"needed": confirmed.needed, "held": confirmed.held}
        if confirmed.winner is not None:
            detail = f"another value won generation {state.generation}: {confirmed.winner.tag}"
            raise ProblemError(409, detail, extras={"winner": confirmed.winner, "written": state})
        if confirmed.held < confirmed.needed:
            detail = (
                f"{confirmed.held} of {confirmed.needed} nodes hold the write by now; it stands, and goes on spreading"
            )
            raise ProblemError(504, detail, extras={"acks": acks, "written": state})
        above = confirmed.superseded_by
        return {"acks": acks} | ({} if above is None else {"superseded_by": above})

    def _answer(self, request: IRequest, state: State, more: dict[str, object]) -> bytes:
        request.setHeader(b"ETag", quoted(state))
        last_contact_s = self._context.membership.last_contact_s()
        return answer_json_bytes(request, state_text(state, {"last_contact_s": last_contact_s, **more}))
