"""What is read in JSON: GET /v1/value with its entity tag (RFC 9110, 13), and /v1/status.

It must not know how a state is written, ordered or spread.
"""

from dataclasses import asdict

from klein import Klein
from twisted.internet.defer import Deferred
from twisted.web.iweb import IRequest

from onevalue.member import count_by_status
from onevalue.store import State
from onevalue.values import Value
from onevalue.web.answers import answer_json, answer_json_bytes
from onevalue.web.channel import RESPONSE_TIME_MAX_S, LimitedRequest
from onevalue.web.conditions import are_of, tags_of
from onevalue.web.context import Context
from onevalue.web.freshness import ShownContact
from onevalue.web.reading import Wish, demand_fresh, demand_generation, wish_of
from onevalue.web.remembered import may_be_remembered
from onevalue.web.states import quoted, state_text
from onevalue.web.traffic import Traffic
from onevalue.web.watching import Watchers

STATUS_VALUE_SIZE_MAX = 1024
"""Bytes of a value that /v1/status shows; of a larger one it shows only the size."""


class V1Routes:
    """The handlers; `add_to` an app."""

    def __init__(self, context: Context, contact: ShownContact, traffic: Traffic, watchers: Watchers) -> None:
        self._context = context
        self._contact = contact
        self._traffic = traffic
        self._watchers = watchers

    def add_to(self, app: Klein) -> None:
        """The routes are part of `app`."""
        app.route("/v1/value", methods=["GET"])(self.read_value)
        app.route("/v1/status", methods=["GET"])(self.status)

    def read_value(self, request: LimitedRequest) -> bytes | Deferred[bytes]:
        """The state, or 304 if the client has it; now, or when it is what the query of the URL asks for."""
        if request.args:
            return Deferred.fromCoroutine(self._read_as_wished(request, wish_of(request.args)))
        return self._read_now(request)

    def _read_now(self, request: IRequest) -> bytes:
        state = self._context.store.current
        request.setHeader(b"ETag", quoted(state))
        if are_of(tags_of(request, "If-None-Match"), state.tag):
            request.setResponseCode(304)
            return b""
        may_be_remembered(request)
        return answer_json_bytes(request, state_text(state, {"last_contact_s": self._contact.last_contact_s()}))

    async def _read_as_wished(self, request: LimitedRequest, wish: Wish) -> bytes:
        known = tags_of(request, "If-None-Match")

        def wanted(state: State) -> bool:
            return state.generation >= wish.min_generation and not are_of(known, state.tag)

        demand_fresh(wish, self._context)
        if wish.wait_s and known != ["*"] and not wanted(self._context.store.current):
            request.allow(wish.wait_s + RESPONSE_TIME_MAX_S)
            await self._watchers.wait(request, wanted, wish.wait_s)
            demand_fresh(wish, self._context)
        demand_generation(wish, self._context.store.current, stopping=request.stopping)
        return self._read_now(request)

    def status(self, request: IRequest) -> bytes:
        """What an operator asks first."""
        context = self._context
        members = context.membership.members()
        counts = {status.value: count for status, count in count_by_status(members).items()}
        state = context.store.current
        document = {
            "name": context.name,
            "version": context.version,
            "uptime_s": round(max(0.0, context.now - context.started_s), 3),
            "ready": context.writer.not_ready is None,
            "learning": context.spread.learning,
            "members": {**counts, "suspect": sum(m.suspect for m in members)},
            "state": _shown(state),
            "value_size_max": context.value_size_max,
            "cluster_size": context.cluster_size,
            "last_contact_s": self._contact.last_contact_s(),
            "journal": dict(context.journal.status()),
            "value_file": None if context.value_file is None else dict(context.value_file()),
            "reactor": dict(context.lag().status),
            "engine": dict(context.membership.status()),
            "spread": dict(context.spread.counters),
            "http": asdict(self._traffic),
            "rpc": None if context.rpc is None else dict(context.rpc().status),
            "exposure": list(context.exposure()),
        }
        return answer_json(request, document)


def _shown(state: State) -> dict[str, Value]:
    """The state, and the size of its value, which is left out if it is large."""
    size = len(state.text)
    told = {**state.to_json(), "tag": state.tag, "value_size": size}
    return told if size <= STATUS_VALUE_SIZE_MAX else {name: each for name, each in told.items() if name != "value"}
