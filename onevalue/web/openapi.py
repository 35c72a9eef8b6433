"""The description of the HTTP interface for programs, OpenAPI 3.1.0, and the route that serves it.

Each operation is described here, in the order of docs/protocol.md, 6; `openapi_parts` and `openapi_schemas` have what
they share. tests/unit/test_openapi.py holds description and routes together.
"""

import hashlib
import json

from klein import Klein
from twisted.web.iweb import IRequest

from onevalue.bounds import (
    ACK_TIMEOUT_MAX_S,
    ACK_TIMEOUT_MIN_S,
    ACK_TIMEOUT_S,
    ACK_WORDS,
    ACKS_MAX,
    STALE_MAX_S,
    WAIT_MAX_S,
)
from onevalue.journal_file import HISTORY_MAX_LIMIT
from onevalue.signing import NONCE_HEADER, SIGNATURE_HEADER
from onevalue.values import VALUE_MAX, VALUE_MIN
from onevalue.web.answers import answer_json_bytes
from onevalue.web.cluster import KEY_ACTIONS
from onevalue.web.conditions import TAGS_MAX, are_of, tags_of
from onevalue.web.context import Context
from onevalue.web.history import HISTORY_LIMIT_DEFAULT
from onevalue.web.openapi_parts import (
    EVENTS_TYPE,
    HTML_TYPE,
    PROBLEM_TYPE,
    Part,
    answer,
    body,
    errors,
    header,
    operation,
    query,
    ref,
    segment,
    text_answer,
)
from onevalue.web.openapi_schemas import GENERATION, TEXT, record, schemas, words
from onevalue.web.original import PUSHED_GENERATION_MAX

ABOUT = """\
One value, the same on every host of a fleet. Where there is GET there is HEAD; `/get`, `/set` and
`/notify/{curVal}/{curGeneration}` take any method. Where the node has a token file, `Authorization: Bearer TOKEN` is
needed; reading needs none as long as there is no token to read. Errors are problem documents under `/v1` (RFC 9457),
elsewhere a line of text."""

_INTEGER: Part = {"type": "integer", "minimum": VALUE_MIN, "maximum": VALUE_MAX}
_TAGS = f'(W/)?"[!#-~]*"(, *(W/)?"[!#-~]*"){{0,{TAGS_MAX - 1}}}'
_CONDITION: Part = {"anyOf": [{"const": "*"}, {"type": "string", "pattern": f"^{_TAGS}$"}]}
_IF_NONE_MATCH = header("If-None-Match", "the tags that the client has; * for any", _CONDITION)
_NOTIFIER = query("notifier", "who pushes, for the log", TEXT)


def document(version: str, value_size_max: int) -> Part:
    """The description of a node of this version that takes values of this size."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "OneValue", "version": version, "description": ABOUT, "license": {"name": "MIT"}},
        "paths": {**_original(), **_value(), **_cluster(), **_keys(), **_node(), **_page()},
        "components": {
            "schemas": schemas(value_size_max),
            "responses": errors(),
            "headers": {"ETag": {"required": True, "schema": {"type": "string", "pattern": '^"[^"]+"$'}}},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"bearer": []}, {}],
    }


def _original() -> Part:
    get = operation("getValue", "The value, as JSON text", {200: text_answer("the value")}, text=True)
    set_ = operation(
        "setValue",
        "Writes an integer, and echoes it once it is durable",
        {200: text_answer("the value that was written")},
        failures=(403, 404, 409, 503),
        text=True,
        parameters=[segment("newVal", _INTEGER)],
    )
    push = operation(
        "pushValue",
        "Pushes a state, as the original program does",
        {200: answer("this node's state, and what became of the pushed one", ref("Pushed"))},
        failures=(403, 404),
        token=False,
        text=True,
        parameters=[
            segment("curVal", _INTEGER),
            segment("curGeneration", {**GENERATION, "maximum": PUSHED_GENERATION_MAX}),
            _NOTIFIER,
        ],
    )
    exchange = operation(
        "exchangeStates",
        "Exchange of two nodes: each says what it holds",
        {200: answer("what this node holds now", ref("StatementAnswer"))},
        failures=(403,),
        token=False,
        text=True,
        parameters=[
            _NOTIFIER,
            header(NONCE_HEADER, "where the cluster has a key", TEXT),
            header(SIGNATURE_HEADER, "where the cluster has a key", TEXT),
        ],
        requestBody=body(ref("Statement")),
    )
    return {
        "/get": {"get": get},
        "/set/{newVal}": {"get": set_},
        "/notify/{curVal}/{curGeneration}": {"get": push},
        "/notify": {"post": exchange},
    }


def _value() -> Part:
    known = answer("the client has it", tagged=True)
    seconds: Part = {"type": "number", "minimum": 0}
    read = operation(
        "readValue",
        "The state: the value, its generation, where and when it was written",
        {200: answer("the state", ref("HeldState"), tagged=True), 304: known},
        failures=(503, 504),
        parameters=[
            _IF_NONE_MATCH,
            query("wait", "seconds that the answer may wait for what is asked for", {**seconds, "maximum": WAIT_MAX_S}),
            query("min_generation", "the state is to have; 504 if it has not by then", GENERATION),
            query("max_stale", "seconds since another was heard; 503 beyond", {**seconds, "maximum": STALE_MAX_S}),
        ],
    )
    write = operation(
        "writeValue",
        "Writes the value; answers once it is durable here, and on as many nodes as `ack` says",
        {200: answer("the state that was written", ref("WrittenState"), tagged=True)},
        failures=(403, 409, 412, 415, 503, 504),
        parameters=[
            header("If-Match", "write upon one of these states only", _CONDITION),
            header("If-None-Match", "do not write upon these states", _CONDITION),
            query(
                "ack",
                "nodes that are to hold the write, this one counted",
                {"anyOf": [{"type": "integer", "minimum": 1, "maximum": ACKS_MAX}, words(ACK_WORDS)]},
            ),
            query(
                "timeout",
                "seconds that they may take; then 504, and the write stands",
                {
                    "type": "number",
                    "minimum": ACK_TIMEOUT_MIN_S,
                    "maximum": ACK_TIMEOUT_MAX_S,
                    "default": ACK_TIMEOUT_S,
                },
            ),
        ],
        requestBody=body(ref("Value")),
    )
    watch = operation(
        "watchValue",
        "Each change as a server-sent event; the state first",
        {200: answer("events: `id` is the tag, `data` a State", TEXT, media_type=EVENTS_TYPE)},
        failures=(503,),
        parameters=[header("Last-Event-ID", "the tag of the state that the client has", TEXT)],
    )
    limit: Part = {"type": "integer", "minimum": 1, "maximum": HISTORY_MAX_LIMIT, "default": HISTORY_LIMIT_DEFAULT}
    history = operation(
        "readHistory",
        "The states that this node has accepted, newest first",
        {200: answer("the newest", ref("History"))},
        failures=(503,),
        parameters=[query("limit", "at most so many", limit)],
    )
    return {
        "/v1/value": {"get": read, "put": write},
        "/v1/watch": {"get": watch},
        "/v1/history": {"get": history},
    }


def _cluster() -> Part:
    members = operation(
        "listMembers",
        "The members, and how far they are",
        {200: answer("the members, by name", ref("Members"))},
        failures=(404,),
        parameters=[query("rtt_from", "the member that round trips are reckoned from; this one unless given", TEXT)],
    )
    ask = operation(
        "query",
        "Asks the members; answers when all have, or the time is up",
        {200: answer("what they said", ref("QueryResult"))},
        failures=(403, 415, 503),
        requestBody=body(ref("Query")),
    )
    tell = operation(
        "sendEvent",
        "A user event to all members",
        {200: answer("it is on its way", record({"sent": TEXT}))},
        failures=(403, 415),
        requestBody=body(ref("Event")),
    )
    force_leave = operation(
        "forceLeave",
        "A failed member counts as left; with `prune` it is forgotten",
        {200: answer("the members are told", record({"name": TEXT, "prune": {"type": "boolean"}}))},
        failures=(403, 404, 409, 415),
        requestBody=body(ref("ForceLeave")),
    )
    return {
        "/v1/members": {"get": members},
        "/v1/query": {"post": ask},
        "/v1/event": {"post": tell},
        "/v1/force-leave": {"post": force_leave},
    }


def _keys() -> Part:
    done = answer("what the members said", ref("KeysResult"))
    undone = {
        409: answer("a member refused, or has failed and would miss it", ref("KeysProblem"), media_type=PROBLEM_TYPE),
        504: answer("not all answered in time", ref("KeysProblem"), media_type=PROBLEM_TYPE),
    }
    read = operation(
        "listKeys",
        "The fingerprints of the members' keys; from this host only",
        {200: done, **undone},
        failures=(403, 503),
    )
    change = operation(
        "changeKeys",
        "All members install, use or remove a key; from this host only",
        {200: done, **undone},
        failures=(403, 404, 415, 503),
        parameters=[segment("action", words(KEY_ACTIONS))],
        requestBody=body(ref("Key")),
    )
    return {"/v1/keys": {"get": read}, "/v1/keys/{action}": {"post": change}}


def _node() -> Part:
    status = operation("readStatus", "This node", {200: answer("what an operator asks first", ref("Status"))})
    described = operation(
        "describe",
        "This description",
        {
            200: answer("OpenAPI 3.1", record({"openapi": {"const": "3.1.0"}}), tagged=True),
            304: answer("the client has it", tagged=True),
        },
        parameters=[_IF_NONE_MATCH],
    )
    alive = operation("checkHealth", "200 while the process answers", {200: text_answer("ok")}, token=False, text=True)
    ready = operation(
        "checkReadiness",
        "200 once this node takes writes, with the journal's trouble if it has any",
        {200: text_answer("ready"), 503: text_answer("learning, or stopping")},
        token=False,
        text=True,
    )
    metrics = operation(
        "readMetrics", "What was counted and measured, for Prometheus", {200: text_answer("samples")}, text=True
    )
    return {
        "/v1/status": {"get": status},
        "/v1/openapi.json": {"get": described},
        "/healthz": {"get": alive},
        "/readyz": {"get": ready},
        "/metrics": {"get": metrics},
    }


def _page() -> Part:
    known = answer("the client has it", tagged=True)
    live = operation(
        "watchNode",
        "Node, state, members, changes and events, each as a server-sent event whenever it changes; for the page at /",
        {200: answer("events: `event` is the kind, `data` an object", TEXT, media_type=EVENTS_TYPE)},
        failures=(503,),
    )
    page = operation(
        "showPage",
        "The live page, for people",
        {200: answer("HTML", TEXT, media_type=HTML_TYPE, tagged=True), 304: known},
        token=False,
        text=True,
        parameters=[_IF_NONE_MATCH],
    )
    file = operation(
        "readPageFile",
        "A file of the live page",
        {200: answer("the file", TEXT, media_type="*/*", tagged=True), 304: known},
        failures=(404,),
        token=False,
        text=True,
        parameters=[segment("name", TEXT), _IF_NONE_MATCH],
    )
    return {"/v1/live": {"get": live}, "/": {"get": page}, "/page/{name}": {"get": file}}


class OpenApiRoutes:
    """The handler; `add_to` an app."""

    def __init__(self, context: Context) -> None:
        self._body = json.dumps(document(context.version, context.value_size_max)).encode()
        self._tag = hashlib.sha256(self._body).hexdigest()[:16]

    def add_to(self, app: Klein) -> None:
        """The route is part of `app`."""
        app.route("/v1/openapi.json", methods=["GET"])(self.describe)

    def describe(self, request: IRequest) -> bytes:
        """The description, or 304 if the client has it."""
        request.setHeader(b"ETag", f'"{self._tag}"'.encode())
        if are_of(tags_of(request, "If-None-Match"), self._tag):
            request.setResponseCode(304)
            return b""
        return answer_json_bytes(request, self._body)
