"""The small parts that operations of the description are built of: parameters, answers, errors, an operation itself.

OpenAPI 3.1.0, 4.8. It must not know which routes there are.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from onevalue.web.answers import JSON
from onevalue.web.problems import PROBLEM_JSON

Part: TypeAlias = dict[str, Any]
"""JSON of the description."""

JSON_TYPE = JSON.decode()
PROBLEM_TYPE = PROBLEM_JSON.decode()
TEXT_TYPE = "text/plain"
EVENTS_TYPE = "text/event-stream"
HTML_TYPE = "text/html"

REASONS = {
    400: "malformed, or out of range",
    401: "the token is missing or wrong",
    403: "not allowed: a token that only reads, a page of another site, a missing signature, or another host",
    404: "there is nothing of this name",
    408: "the request was not complete in time",
    409: "it cannot be done as things stand",
    412: "a condition does not hold",
    413: "value or body too long",
    414: "request line too long",
    415: "the body is of another type",
    421: "the Host header is no name of this host",
    431: "headers too long",
    500: "a fault of this node; its log names it",
    503: "not now, or not here",
    504: "not in time",
}
"""What each error means."""

ANYWHERE = (400, 408, 413, 414, 421, 431, 500)
"""The errors that any request may get, most of them before a route sees it."""

_HEADERS: dict[int, Part] = {
    401: {"WWW-Authenticate": {"required": True, "schema": {"type": "string"}}},
    503: {"Retry-After": {"description": "seconds", "schema": {"type": "integer", "minimum": 0}}},
}


def ref(name: str, kind: str = "schemas") -> Part:
    """A component, by its name."""
    return {"$ref": f"#/components/{kind}/{name}"}


def content(schema: Part, media_type: str = JSON_TYPE) -> Part:
    """What a body holds."""
    return {"content": {media_type: {"schema": schema}}}


def answer(text: str, schema: Part | None = None, *, media_type: str = JSON_TYPE, tagged: bool = False) -> Part:
    """A response; `tagged`: it has an ETag."""
    headers = {"headers": {"ETag": ref("ETag", "headers")}} if tagged else {}
    return {"description": text, **headers, **({} if schema is None else content(schema, media_type))}


def text_answer(text: str) -> Part:
    """A response that is a line of text."""
    return answer(text, {"type": "string"}, media_type=TEXT_TYPE)


def errors() -> Part:
    """The responses to errors as components: Problem400 under /v1, Text400 elsewhere."""
    found = {}
    for status, reason in REASONS.items():
        headers = {"headers": _HEADERS[status]} if status in _HEADERS else {}
        # Who sends too long a request line is answered before its path is known.
        problem = content({"type": "string"}, TEXT_TYPE) if status == 414 else content(ref("Problem"), PROBLEM_TYPE)
        found[f"Problem{status}"] = {"description": reason, **headers, **problem}
        found[f"Text{status}"] = {"description": reason, **headers, **content({"type": "string"}, TEXT_TYPE)}
    return found


def query(name: str, text: str, schema: Part) -> Part:
    """A parameter in the query of the URL."""
    return {"name": name, "in": "query", "description": text, "schema": schema}


def header(name: str, text: str, schema: Part) -> Part:
    """A parameter in a header."""
    return {"name": name, "in": "header", "description": text, "schema": schema}


def segment(name: str, schema: Part) -> Part:
    """A parameter in the path."""
    return {"name": name, "in": "path", "required": True, "schema": schema}


def body(schema: Part) -> Part:
    """What a request must have as its body."""
    return {"required": True, **content(schema)}


def operation(
    name: str,
    summary: str,
    answers: Mapping[int, Part],
    *,
    failures: Sequence[int] = (),
    token: bool = True,
    text: bool = False,
    **more: Any,
) -> Part:
    """An operation.

    Args:
        name: its operationId.
        summary: what it does, in a line.
        answers: by status; of errors, those that say more than all of their status.
        failures: the other errors that it may have beside those of all.
        token: where the node has tokens, it needs one.
        text: it tells its errors as text.
        more: fields of the operation, such as `parameters`.
    """
    statuses = sorted({*ANYWHERE, *failures, *((401,) if token else ())})
    kind = "Text" if text else "Problem"
    responses = {str(status): ref(f"{kind}{status}", "responses") for status in statuses}
    responses |= {str(status): found for status, found in answers.items()}
    secured: Part = {} if token else {"security": []}
    return {
        "operationId": name,
        "summary": summary,
        **more,
        "responses": dict(sorted(responses.items())),
        **secured,
    }
