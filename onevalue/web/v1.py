"""The routes of the value, in JSON: /v1/value with entity tags and conditions (RFC 9110, 13), and /v1/status.

The state tag is the ETag. Conditions of writes are judged by the store, upon its head. It must not know how a state
is written, ordered or spread.
"""

import json
import re
from dataclasses import asdict

from klein import Klein
from twisted.web.iweb import IRequest

from onevalue.member import Status
from onevalue.store import VALUE_MAX, VALUE_MIN, State, Value
from onevalue.web.answers import answer_json
from onevalue.web.bodies import demand_json
from onevalue.web.context import Context
from onevalue.web.crosssite import refuse_cross_site
from onevalue.web.freshness import ShownContact
from onevalue.web.problems import ProblemError
from onevalue.web.remembered import may_be_remembered
from onevalue.web.traffic import Traffic

VALUE_ADMITTED = f"a JSON integer from {VALUE_MIN} to {VALUE_MAX}"

_TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
_TAG_LIST = re.compile(rf"\s*{_TAG}(?:\s*,\s*{_TAG})*\s*")
_TAGS = re.compile(_TAG)


class V1Routes:
    """The handlers; `add_to` an app."""

    def __init__(self, context: Context, contact: ShownContact, traffic: Traffic) -> None:
        self._context = context
        self._contact = contact
        self._traffic = traffic

    def add_to(self, app: Klein) -> None:
        """The routes are part of `app`."""
        app.route("/v1/value", methods=["GET"])(self.read_value)
        app.route("/v1/value", methods=["PUT"])(self.write_value)
        app.route("/v1/status", methods=["GET"])(self.status)

    def read_value(self, request: IRequest) -> bytes:
        """The state, or 304 if the client has it."""
        state = self._context.store.current
        known = _tags(request, "If-None-Match")
        if known is not None and (known == ["*"] or _quoted(state) in [tag.removeprefix("W/") for tag in known]):
            request.setResponseCode(304)
            request.setHeader(b"ETag", _quoted(state).encode())
            return b""
        may_be_remembered(request)
        return self._answer_state(request, state)

    async def write_value(self, request: IRequest) -> bytes:
        """Writes the value in the body upon the state that If-Match names, and answers with it when it is durable."""
        refuse_cross_site(request)
        demand_json(request)
        value = _value(request.content.read())
        state = await self._context.writer.write(value, self._if_match(request))
        return self._answer_state(request, state)

    def status(self, request: IRequest) -> bytes:
        """What an operator asks first."""
        context = self._context
        members = context.membership.members()
        counts = {status.value: sum(m.status is status for m in members) for status in Status}
        state = context.store.current
        document = {
            "name": context.name,
            "version": context.version,
            "uptime_s": round(max(0.0, context.now - context.started_s), 3),
            "ready": context.writer.not_ready is None,
            "learning": context.spread.learning,
            "members": {**counts, "suspect": sum(m.suspect for m in members)},
            "state": {"tag": state.tag, **state.to_json()},
            "last_contact_s": self._contact.last_contact_s(),
            "journal": dict(context.journal.status()),
            "engine": dict(context.membership.status()),
            "spread": dict(context.spread.counters),
            "http": asdict(self._traffic),
            "exposure": list(context.exposure),
        }
        return answer_json(request, document)

    def _answer_state(self, request: IRequest, state: State) -> bytes:
        request.setHeader(b"ETag", _quoted(state).encode())
        return answer_json(request, {**state.to_json(), "last_contact_s": self._contact.last_contact_s()})

    def _if_match(self, request: IRequest) -> str | None:
        """The tag that the write demands, or None. Of several the head's, if it is among them."""
        tags = _tags(request, "If-Match")
        if tags is None or tags == ["*"]:
            return None
        # A weak tag keeps its W/ and equals no state's: it never matches a write (RFC 9110, 13.1.1).
        tags = [tag.strip('"') for tag in tags]
        head = self._context.store.head.tag
        return head if head in tags else tags[0]


def _quoted(state: State) -> str:
    return f'"{state.tag}"'


def _tags(request: IRequest, name: str) -> list[str] | None:
    """The entity tags of a condition with their quotes, or ["*"]; None without the header."""
    lines = request.requestHeaders.getRawHeaders(name.encode())
    if lines is None:
        return None
    text = b",".join(lines).decode("latin-1")
    if text.strip() == "*":
        return ["*"]
    if not _TAG_LIST.fullmatch(text):
        raise ProblemError(400, f'{name} must be * or tags in quotes, as in "12-0123456789abcdef"')
    return _TAGS.findall(text)


def _value(body: bytes) -> Value:
    """The value that a body means."""
    try:
        value = json.loads(body.decode())
    except (ValueError, RecursionError):
        raise ProblemError(400, f"the body is not JSON; what is admitted is {VALUE_ADMITTED}") from None
    if type(value) is not int or not VALUE_MIN <= value <= VALUE_MAX:  # a bool is an int too, but not to JSON
        raise ProblemError(400, f"the body is no value; what is admitted is {VALUE_ADMITTED}")
    return value
