"""The schemas of what is sent and answered, by the names that the description has for them.

JSON Schema, draft 2020-12, as OpenAPI 3.1 has it. Bounds are those of the code. It must not know the routes.
"""

from collections.abc import Sequence

from onevalue.bounds import QUERY_TIME_MAX_S
from onevalue.exchange import STATE_SENT_SIZE_MAX
from onevalue.member import Status
from onevalue.serf.asking import RELAY_FACTOR_MAX
from onevalue.serf.filters import FILTERS_MAX
from onevalue.spread.rumour import EVENT_NAME
from onevalue.store import GENERATION_MAX, ORIGIN_LENGTH_MAX, Source
from onevalue.values import VALUE_DEPTH_MAX
from onevalue.web.openapi_parts import Part, ref

TEXT: Part = {"type": "string"}
NAME: Part = {"type": "string", "minLength": 1}
FLAG: Part = {"type": "boolean"}
COUNT: Part = {"type": "integer", "minimum": 0}
COUNTS: Part = {"type": "object", "additionalProperties": COUNT}
ANYTHING: Part = {"type": "object"}
GENERATION: Part = {"type": "integer", "minimum": 0, "maximum": GENERATION_MAX}
SECONDS: Part = {"type": "number", "minimum": 0}
SECONDS_OR_NULL: Part = {"type": ["number", "null"], "minimum": 0}
BASE64: Part = {
    "type": "string",
    "contentEncoding": "base64",
    "pattern": "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$",
}
KEY: Part = {  # of 16, 24 or 32 bytes
    "type": "string",
    "contentEncoding": "base64",
    "pattern": "^([A-Za-z0-9+/]{22}==|[A-Za-z0-9+/]{32}|[A-Za-z0-9+/]{43}=)$",
}
TAG: Part = {"type": "string", "pattern": "^[0-9]+-[0-9a-f]{16}$"}


def record(properties: Part, optional: Part | None = None, **more: object) -> Part:
    """An object that has all of `properties`; it may have those of `optional`, and others unless `more` says not."""
    every = {**properties, **(optional or {})}
    return {"type": "object", "required": list(properties), "properties": every, **more}


def both(one: Part, properties: Part, optional: Part | None = None) -> Part:
    """An object as `one` describes it, with more members."""
    return {"allOf": [one, record(properties, optional)]}


def listed(items: Part) -> Part:
    """An array."""
    return {"type": "array", "items": items}


def words(found: Sequence[str]) -> Part:
    """One of these texts."""
    return {"type": "string", "enum": list(found)}


def schemas(value_size_max: int) -> Part:
    """All of them; `value_size_max` is this node's."""
    return {**_value(value_size_max), **_errors(), **_cluster(), **_bodies(), **_between_nodes()}


def _naming() -> Part:
    """What a state has beside its value."""
    return {
        "generation": GENERATION,
        "origin": {"type": "string", "maxLength": ORIGIN_LENGTH_MAX, "description": "the node where it was written"},
        "time": {"type": "number", "description": "when it was written there, seconds since 1970"},
    }


def _value(value_size_max: int) -> Part:
    state: Part = {"value": ref("Value"), **_naming()}
    acks = record({"needed": {"type": "integer", "minimum": 1}, "held": COUNT})
    return {
        "Value": {
            "description": f"Any JSON value, at most {value_size_max} bytes of JSON when it is written here and"
            f" {VALUE_DEPTH_MAX} deep; integers have 64 bits, other numbers 64 bits of floating point."
        },
        "BareState": record(state),
        "State": record({**state, "tag": ref("Tag")}),
        "Tag": {**TAG, "description": "names a state: its generation, and a hash of its value; also the ETag"},
        "HeldState": both(ref("State"), {"last_contact_s": ref("LastContact")}),
        "LastContact": {
            **SECONDS_OR_NULL,
            "description": "how long ago this node heard any other member; null if it never did",
        },
        "Acks": {**acks, "description": "how many nodes were to hold the write, and how many do"},
        "WrittenState": both(ref("HeldState"), {}, {"acks": ref("Acks"), "superseded_by": ref("State")}),
        "History": record(
            {
                "history": listed(both(ref("State"), {"source": words([each.value for each in Source])})),
                "history_max": {**COUNT, "description": "so many are kept; 0 with --no-journal"},
            },
            {"truncated": {"const": True, "description": "older ones did not fit the answer"}},
        ),
    }


def _errors() -> Part:
    problem = record(
        {
            "type": {"const": "about:blank"},
            "title": TEXT,
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "detail": {**TEXT, "description": "what was wrong, and what to do"},
        },
        {
            "error_id": {**TEXT, "description": "of 500: how the log names it"},
            "current": ref("State"),
            "written": ref("State"),
            "winner": ref("State"),
            "acks": ref("Acks"),
            "last_contact_s": ref("LastContact"),
        },
        description="RFC 9457",
    )
    return {"Problem": problem, "KeysProblem": {"allOf": [ref("Problem"), {**record({}, _keys())}]}}


def _keys() -> Part:
    messages: Part = {"type": "object", "additionalProperties": TEXT, "description": "what some said, by name"}
    return {
        "nodes": {**COUNT, "description": "members that were alive when it began"},
        "answers": COUNT,
        "errors": {**COUNT, "description": "answers that say no"},
        "messages": messages,
        "keys": {**COUNTS, "description": "how many have each key, by fingerprint; only where keys are listed"},
        "primary_keys": {**COUNTS, "description": "how many encrypt with each"},
    }


def _cluster() -> Part:
    member: Part = {
        "name": TEXT,
        "address": TEXT,
        "port": {**COUNT, "maximum": 65535},
        "http": {"type": ["string", "null"], "description": "null if it cannot be reached, or has no tag"},
        "status": words([each.value for each in Status]),
        "suspect": FLAG,
        "tags": {"type": "object", "additionalProperties": TEXT},
        "rtt_s": {**SECONDS_OR_NULL, "description": "estimated round trip from rtt_from; null while little is known"},
    }
    status: Part = {
        "name": TEXT,
        "version": TEXT,
        "uptime_s": {"type": "number", "minimum": 0},
        "ready": FLAG,
        "learning": FLAG,
        "members": COUNTS,
        "state": record(
            {**_naming(), "tag": ref("Tag"), "value_size": COUNT},
            {"value": ref("Value")},
            description="a large value is left out",
        ),
        "value_size_max": COUNT,
        "cluster_size": {"type": ["integer", "null"]},
        "last_contact_s": ref("LastContact"),
        "reactor": record(
            {"lag_s": SECONDS, "lag_max_s": SECONDS, "stalls": COUNT},
            description="how late the reactor does what is due: now, at most in the last minute; how often by 0.25 s",
        ),
        **dict.fromkeys(("journal", "engine", "spread", "http"), ANYTHING),
        "exposure": listed(TEXT),
    }
    answer = record({"from": TEXT, "payload_base64": BASE64}, {"payload": {**TEXT, "description": "if it is UTF-8"}})
    return {
        "Members": record({"rtt_from": TEXT, "members": listed(ref("Member"))}),
        "Member": record(member),
        "Status": record(status, description="for people; may grow"),
        "QueryResult": record({"acks": listed(TEXT), "answers": listed(answer)}),
        "KeysResult": record(_keys()),
    }


def _bodies() -> Part:
    def fields(required: Part, optional: Part) -> Part:
        """A body of a request: null stands for what is not given, and what is not named here is refused."""
        nullable = {name: _or_null(schema) for name, schema in optional.items()}
        return record(required, nullable, additionalProperties=False)

    payload: Part = {"payload": TEXT, "payload_base64": BASE64}
    both_payloads = record({"payload": TEXT, "payload_base64": TEXT})
    relays: Part = {"relay_factor": {"type": "integer", "minimum": 0, "maximum": RELAY_FACTOR_MAX}}
    question: Part = {
        **payload,
        "nodes": {**listed(TEXT), "description": "ask these only"},
        "tags": {
            "type": "object",
            "additionalProperties": TEXT,
            "maxProperties": FILTERS_MAX,
            "description": "ask those only whose tags match these RE2 expressions",
        },
        "ack": FLAG,
        **relays,
        "timeout_s": {"type": "number", "exclusiveMinimum": 0, "maximum": QUERY_TIME_MAX_S},
    }
    event_name: Part = {**NAME, "not": {"const": EVENT_NAME}, "description": f"not {EVENT_NAME}, which is the value's"}
    return {
        "Query": {**fields({"name": NAME}, question), "not": both_payloads},
        "Event": {**fields({"name": event_name}, {**payload, "coalesce": FLAG}), "not": both_payloads},
        "ForceLeave": fields({"name": NAME}, {"prune": FLAG}),
        "Key": fields({"key": KEY}, {**relays, "force": FLAG}),
    }


def _or_null(schema: Part) -> Part:
    return {**schema, "type": [schema["type"], "null"]}


def _between_nodes() -> Part:
    """What `exchange` reads and writes: a state, or in its place its tag."""
    name: Part = {"type": "string", "minLength": 1, "maxLength": ORIGIN_LENGTH_MAX}
    held: Part = {
        "anyOf": [record({"state": ref("BareState")}), record({"tag": TAG})],
        "description": f"the tag stands for a state whose value has more than {STATE_SENT_SIZE_MAX} bytes",
    }
    outcome: Part = {"changed": FLAG, "refused": {"type": ["string", "null"], "description": "why it was not taken"}}
    speaker: Part = {"name": name, "learning": FLAG}
    return {
        "Statement": record(speaker, {"confirm": FLAG, "durable": FLAG}, **held),
        "StatementAnswer": record({**speaker, **outcome}, {"durable": FLAG}, **held),
        "Pushed": both(ref("BareState"), outcome),
    }
