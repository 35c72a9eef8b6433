"""What two of our nodes tell each other in `POST /notify`: one statement each way, as JSON.

A statement is {"name", "learning", "state"}: who speaks, whether it may know less than its cluster, and what it holds.
An answer adds {"changed", "refused"}: what became of the statement that it answers.
It must not know what a node does with a statement (that is `spread`), nor how it travels.
"""

import json
from dataclasses import dataclass
from typing import cast

from onevalue.errors import RemoteProtocolError
from onevalue.store import ORIGIN_LENGTH_MAX, State, Value, canonical, is_text, state_from_json

STATEMENT_SIZE_MAX = 64 * 1024
"""Bytes of JSON of one statement or answer, above which it is not read."""


@dataclass(frozen=True, slots=True)
class Statement:
    """`name` holds `state`; while `learning`, others of its cluster may hold a larger one that it has not heard of."""

    name: str
    learning: bool
    state: State


def encode_statement(statement: Statement) -> bytes:
    """The JSON body of a request."""
    return canonical(_to_json(statement))


def encode_answer(statement: Statement, *, changed: bool, refused: str | None) -> bytes:
    """The JSON body of an answer: the own statement, and what became of the other's."""
    return canonical({**_to_json(statement), "changed": changed, "refused": refused})


def decode_statement(body: bytes) -> Statement:
    """The statement that a body means, of a request or of an answer; unknown fields are ignored.

    Raises:
        RemoteProtocolError: too long, not JSON, or a field is missing, of the wrong type or out of range.
    """
    obj = load_json(body, "a statement")
    if not isinstance(obj, dict):
        raise RemoteProtocolError("a statement is a JSON object")
    name, learning = obj.get("name"), obj.get("learning")
    if not is_text(name, ORIGIN_LENGTH_MAX) or not name:
        raise RemoteProtocolError(f"name must be a text of 1 to {ORIGIN_LENGTH_MAX} characters")
    if not isinstance(learning, bool):
        raise RemoteProtocolError("learning must be true or false")
    return Statement(name, learning, state_from_json(obj.get("state")))


def load_json(body: bytes, what: str) -> object:
    """The JSON of a peer. `what` names it in the error.

    Raises:
        RemoteProtocolError: longer than STATEMENT_SIZE_MAX, not JSON, or nested too deeply.
    """
    if len(body) > STATEMENT_SIZE_MAX:
        raise RemoteProtocolError(f"{what} has at most {STATEMENT_SIZE_MAX} bytes")
    try:
        return cast("object", json.loads(body))
    except (ValueError, RecursionError) as error:
        raise RemoteProtocolError(f"{what} is JSON: {error}") from None


def _to_json(statement: Statement) -> dict[str, Value]:
    return {"name": statement.name, "learning": statement.learning, "state": statement.state.to_json()}
