"""The routes about the cluster: its members and how far apart they are, queries, user events, force-leave, keys.

Keys are changed from this host only: the request holds one, and HTTP is not encrypted. Answers hold fingerprints, never
keys. It must not know how any of it is done; that is the membership's.
"""

import base64
import json
from collections.abc import Mapping
from typing import TypeVar

from klein import Klein
from twisted.internet.task import deferLater
from twisted.web.iweb import IRequest

from onevalue.addresses import is_loopback
from onevalue.bounds import QUERY_TIME_MAX_S
from onevalue.errors import BusyError, LocalProtocolError
from onevalue.member import KeyResult, Member, QueryRequest, Status
from onevalue.spread.contacts import http_url
from onevalue.spread.rumour import EVENT_NAME
from onevalue.web.answers import answer_json, answer_json_bytes
from onevalue.web.bodies import demand_json
from onevalue.web.context import Context
from onevalue.web.crosssite import refuse_cross_site
from onevalue.web.problems import ProblemError
from onevalue.wire.key_text import decode_key

MEMBERS_PER_TURN = 500
"""Members that are written between two turns of the reactor: there may be thousands."""

QUERY_FIELDS = ("name", "payload", "payload_base64", "nodes", "tags", "ack", "relay_factor", "timeout_s")

MISSING_SHOWN_MAX = 5
"""Failed members that are named where a key is not removed because of them."""

KEY_ACTIONS = ("install", "use", "remove")

_T = TypeVar("_T")


class ClusterRoutes:
    """The handlers; `add_to` an app."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def add_to(self, app: Klein) -> None:
        """The routes are part of `app`."""
        app.route("/v1/members", methods=["GET"])(self.members)
        app.route("/v1/query", methods=["POST"])(self.query)
        app.route("/v1/event", methods=["POST"])(self.event)
        app.route("/v1/force-leave", methods=["POST"])(self.force_leave)
        app.route("/v1/keys", methods=["GET"])(self.list_keys)
        app.route("/v1/keys/<action>", methods=["POST"])(self.change_keys)

    async def members(self, request: IRequest) -> bytes:
        """All members that are remembered, this node among them, and the round trip to each from one of them."""
        membership = self._context.membership
        members = membership.members()
        origin = request.args.get(b"rtt_from", [membership.local_name.encode()])[0].decode("utf-8", "replace")
        if all(member.name != origin for member in members):
            raise ProblemError(404, f"rtt_from: no member is called {origin!r}")
        listed: list[str] = []
        for start in range(0, len(members), MEMBERS_PER_TURN):
            if start:
                await deferLater(self._context.clock, 0, lambda: None)
            some = members[start : start + MEMBERS_PER_TURN]
            listed += [json.dumps({**_member(m), "rtt_s": membership.rtt_s(origin, m.name)}) for m in some]
        body = f'{{"rtt_from": {json.dumps(origin)}, "members": [{", ".join(listed)}]}}'
        return answer_json_bytes(request, body.encode())

    async def query(self, request: IRequest) -> bytes:
        """Asks the members, and answers with what they said, when all have or the time is up."""
        body = _Body(
            request, ("name", "payload", "payload_base64", "nodes", "tags", "ack", "relay_factor", "timeout_s")
        )
        timeout_s = body.optional("timeout_s", (int, float), None)
        if timeout_s is not None and not 0 < timeout_s <= QUERY_TIME_MAX_S:
            raise ProblemError(400, f"timeout_s must be more than 0 and at most {QUERY_TIME_MAX_S:g}")
        asked = QueryRequest(
            name=body.text("name"),
            payload=body.payload(),
            nodes=body.texts("nodes"),
            tags=body.text_map("tags"),
            ack=body.optional("ack", (bool,), default=False),
            relay_factor=body.optional("relay_factor", (int,), 0),
            timeout_s=timeout_s,
        )
        try:
            result = await self._context.membership.query(asked)
        except LocalProtocolError as error:
            raise _refusal(error) from None
        answers = [{"from": sender, **_payload(payload)} for sender, payload in result.answers]
        return answer_json(request, {"acks": list(result.acks), "answers": answers})

    async def event(self, request: IRequest) -> bytes:
        """Sends a user event to all members."""
        body = _Body(request, ("name", "payload", "payload_base64", "coalesce"))
        name = body.text("name")
        if name == EVENT_NAME:
            raise ProblemError(400, f"events named {EVENT_NAME} carry the value: write it with PUT /v1/value")
        try:
            coalesce = body.optional("coalesce", (bool,), default=False)
            await self._context.membership.send_event(name, body.payload(), coalesce)
        except LocalProtocolError as error:
            raise _refusal(error) from None
        return answer_json(request, {"sent": name})

    async def force_leave(self, request: IRequest) -> bytes:
        """A failed member counts as left, and with prune is forgotten."""
        body = _Body(request, ("name", "prune"))
        name, prune = body.text("name"), body.optional("prune", (bool,), default=False)
        membership = self._context.membership
        found = {member.name: member for member in [*membership.lost(), *membership.members()]}.get(name)
        if found is None:
            raise ProblemError(404, f"no member is called {name!r}")
        if found.status is Status.ALIVE and name != membership.local_name:
            raise ProblemError(
                409, f"{name} is alive, and would come back at once: stop it there, or wait until it counts as failed"
            )
        try:
            await membership.force_leave(name, prune)
        except LocalProtocolError as error:
            raise _refusal(error) from None
        return answer_json(request, {"name": name, "prune": prune})

    async def list_keys(self, request: IRequest) -> bytes:
        """The fingerprints of all keys, and how many members have each."""
        _demand_this_host(request)
        try:
            result = await self._context.membership.change_keys("list", b"", 0)
        except LocalProtocolError as error:
            raise _refusal(error) from None
        return self._answer_keys(request, result)

    async def change_keys(self, request: IRequest, action: str) -> bytes:
        """All members install, use or remove a key."""
        if action not in KEY_ACTIONS:
            raise ProblemError(404, f"there is nothing at this path; keys can be told to {', '.join(KEY_ACTIONS)}")
        _demand_this_host(request)
        body = _Body(request, ("key", "relay_factor", "force"))
        try:
            key = decode_key(body.text("key"))
        except ValueError as error:
            raise ProblemError(400, f"key: {error}") from None
        force, relay_factor = body.optional("force", (bool,), default=False), body.optional("relay_factor", (int,), 0)
        if action == "remove" and not force:
            self._demand_nobody_missing()
        try:
            result = await self._context.membership.change_keys(action, key, relay_factor)
        except LocalProtocolError as error:
            raise _refusal(error) from None
        return self._answer_keys(request, result)

    def _demand_nobody_missing(self) -> None:
        """Nothing, if all members are there: one that is not may know only the key that is to go, and be shut out."""
        membership = self._context.membership
        missing = [m.name for m in [*membership.members(), *membership.lost()] if m.status is Status.FAILED]
        if missing:
            names = ", ".join(missing[:MISSING_SHOWN_MAX])
            raise ProblemError(
                409,
                f"{len(missing)} members have failed ({names}): without this key they may never come back. "
                'Wait for them, have them leave (force-leave), or say "force": true',
            )

    @staticmethod
    def _answer_keys(request: IRequest, result: KeyResult) -> bytes:
        """What the members said; an error unless all of them did it."""
        document = {
            "nodes": result.nodes,
            "answers": result.answers,
            "errors": result.errors,
            "messages": dict(result.messages),
            "keys": dict(result.keys),
            "primary_keys": dict(result.primary_keys),
        }
        if result.errors:
            detail = f"{result.errors} of {result.nodes} members refused; see messages, and ask again"
            raise ProblemError(409, detail, extras=document)
        if not result.complete:
            detail = f"only {result.answers} of {result.nodes} members answered in time; ask again"
            raise ProblemError(504, detail, extras=document)
        return answer_json(request, document)


class _Body:
    """The JSON object that a request has as its body, and the fields that it may have.

    All methods raise ProblemError (400) that names the field.
    """

    def __init__(self, request: IRequest, admitted: tuple[str, ...]) -> None:
        refuse_cross_site(request)
        demand_json(request)
        try:
            fields = json.loads(request.content.read().decode())
        except (ValueError, RecursionError):
            fields = None
        if not isinstance(fields, dict):
            raise ProblemError(400, f"the body must be a JSON object of {', '.join(admitted)}")
        unknown = [name for name in fields if name not in admitted]
        if unknown:
            raise ProblemError(400, f"the body has {unknown[0]!r}; what is admitted is {', '.join(admitted)}")
        self._fields: dict[str, object] = fields

    def optional(self, name: str, kinds: tuple[type, ...], default: _T) -> _T:
        """The field, of one of these JSON types (true is no number), or `default` if it is not there."""
        value = self._fields.get(name)
        if value is None:
            return default
        if type(value) not in kinds:
            raise ProblemError(400, f"{name} must be {' or '.join(kind.__name__ for kind in kinds)}")
        return value  # type: ignore[return-value]  # its type was looked at

    def text(self, name: str) -> str:
        """The field, a text that is not empty and can be sent."""
        value = self.optional(name, (str,), "")
        if not value:
            raise ProblemError(400, f"{name} is missing")
        return _sendable(name, value)

    def texts(self, name: str) -> tuple[str, ...]:
        """The field, a list of texts."""
        values: list[object] = self.optional(name, (list,), [])
        return tuple(_sendable(name, value) for value in values)

    def text_map(self, name: str) -> Mapping[str, str]:
        """The field, an object of texts."""
        values: dict[str, object] = self.optional(name, (dict,), {})
        return {_sendable(name, key): _sendable(name, value) for key, value in values.items()}

    def payload(self) -> bytes:
        """The field payload as UTF-8, or payload_base64."""
        text = self.optional("payload", (str,), None)
        encoded = self.optional("payload_base64", (str,), None)
        if text is not None and encoded is not None:
            raise ProblemError(400, "payload and payload_base64 exclude each other")
        if encoded is None:
            return _sendable("payload", text or "").encode()
        try:
            return base64.b64decode(encoded, validate=True)
        except ValueError:
            raise ProblemError(400, "payload_base64 is not base64") from None


def _sendable(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise ProblemError(400, f"{name} must hold texts")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ProblemError(400, f"{name} has a lone surrogate") from None
    return value


def _payload(payload: bytes) -> dict[str, str]:
    """A payload as text if it is UTF-8, and in base64 in any case."""
    encoded = {"payload_base64": base64.b64encode(payload).decode()}
    try:
        return {"payload": payload.decode(), **encoded}
    except UnicodeDecodeError:
        return encoded


def _refusal(error: LocalProtocolError) -> ProblemError:
    """What cannot be asked, or not now."""
    if isinstance(error, BusyError):
        return ProblemError(503, str(error), {"Retry-After": "1"})
    return ProblemError(400, str(error))


def _demand_this_host(request: IRequest) -> None:
    """Nothing, if the client is a process of this host: on loopback, at the very address asked, or on a socket file."""
    client = getattr(request.getClientAddress(), "host", None)
    own = getattr(request.getHost(), "host", None)
    if client is not None and client != own and not is_loopback(client):
        raise ProblemError(403, "keys are managed from the node's own host only: HTTP would show them to the network")


def _member(member: Member) -> dict[str, object]:
    return {
        "name": member.name,
        "address": member.address,
        "port": member.port,
        "http": http_url(member),
        "status": member.status.value,
        "suspect": member.suspect,
        "tags": dict(member.tags),
    }
