"""What a node answers to a client over HTTP: readings of its state, and why it refused.

The command and `onevalue.client` share it. It must not know how an answer came, nor from which node.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeAlias

from onevalue.errors import (
    ClientError,
    ConditionFailedError,
    OvertakenError,
    RefusedError,
    RemoteProtocolError,
    UnconfirmedError,
)
from onevalue.store import GENERATION_MAX, State
from onevalue.types import Generation
from onevalue.values import Value

ANSWER_SIZE_MAX = 32 * 1024 * 1024
"""Bytes of one answer that a client takes: the members of a very large cluster, or a long history."""

TAG_LENGTH_MAX = 64
"""Characters of a tag."""

DETAIL_SHOWN_MAX = 500
"""Characters of a node's explanation that become part of an error."""

Document: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class Answer:
    """The whole answer to one request. `etag` is the header as it came."""

    status: int
    etag: str | None
    body: bytes


@dataclass(frozen=True)
class Reading:
    """A state as a node told it.

    Attributes:
        state: generation, value, origin, time; its order says which of two readings is newer.
        tag: the name of the state, for `if_match`.
        document: all that the node said, `last_contact_s` say; it has the tag in any case.
    """

    state: State
    tag: str
    document: Document = field(compare=False)

    @property
    def value(self) -> Value:
        """The value, any JSON."""
        return self.state.value

    @property
    def generation(self) -> int:
        """Counts the writes that it stands upon."""
        return self.state.generation


def decode(body: bytes | str) -> Any:
    """The JSON value that a text means; RFC 8259, so without NaN and Infinity.

    Raises:
        RemoteProtocolError: it means none.
    """
    try:
        return json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise RemoteProtocolError("the answer is not JSON") from None


def reading_of(obj: object, etag: str | None = None) -> Reading:
    """The reading that a JSON object means; its tag is the object's, else the ETag's.

    Raises:
        RemoteProtocolError: it means none.
    """
    if not isinstance(obj, dict) or "value" not in obj:
        raise RemoteProtocolError("the answer is no state: a JSON object with value and generation")
    generation, origin, time = obj.get("generation"), obj.get("origin", ""), obj.get("time", 0.0)
    tag = obj.get("tag", (etag or "").removeprefix("W/").strip('"'))
    if type(generation) is not int or not 0 <= generation <= GENERATION_MAX:
        raise RemoteProtocolError("the answer is no state: its generation is no integer of 63 bits")
    if not isinstance(origin, str) or type(time) not in {int, float} or not math.isfinite(time):
        raise RemoteProtocolError("the answer is no state: its origin or time is of the wrong kind")
    if not isinstance(tag, str) or not 0 < len(tag) <= TAG_LENGTH_MAX or not tag.isprintable():
        raise RemoteProtocolError("the answer is no state: it has no tag")
    state = State(Generation(generation), obj["value"], origin, float(time))
    try:
        state.text  # noqa: B018  # it can be ordered, as it can be made
    except (ValueError, RecursionError):
        raise RemoteProtocolError("the answer is no state: its value has no canonical form") from None
    return Reading(state, tag, {**obj, "tag": tag})


def document_of(answer: Answer) -> Document:
    """The JSON object of an answer that says 200.

    Raises:
        ClientError: it says something else, and so does the error.
        RemoteProtocolError: it is no JSON object.
    """
    if answer.status != 200:
        raise refusal(answer)
    document = decode(answer.body)
    if not isinstance(document, dict):
        raise RemoteProtocolError("the answer is no JSON object")
    return document


def reading(answer: Answer) -> Reading:
    """The reading in an answer that says 200; raises as `document_of` and `reading_of` do."""
    return reading_of(document_of(answer), answer.etag)


def refusal(answer: Answer) -> ClientError:
    """The error that an answer other than 200 means."""
    document = problem_of(answer)
    detail = explanation(answer)
    match answer.status:
        case 412:
            return ConditionFailedError(detail, 412, document)
        case 409 if "winner" in document:
            return OvertakenError(detail, 409, document)
        case 504 if "written" in document:
            return UnconfirmedError(detail, 504, document)
        case _:
            return RefusedError(detail, answer.status, document)


def problem_of(answer: Answer) -> Document:
    """The problem document (RFC 9457) that explains an answer; empty if it has none."""
    try:
        document = decode(answer.body)
    except RemoteProtocolError:
        return {}
    return document if isinstance(document, dict) else {}


def explanation(answer: Answer) -> str:
    """Why an answer is not 200, on one line, with its status."""
    detail = problem_of(answer).get("detail")
    text = detail if isinstance(detail, str) else answer.body[:DETAIL_SHOWN_MAX].decode("utf-8", "replace").strip()
    line = "".join(char if char.isprintable() else " " for char in text[:DETAIL_SHOWN_MAX])
    return f"{answer.status} {line}".strip()


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)
