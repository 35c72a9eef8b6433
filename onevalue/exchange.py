"""What two of our nodes tell each other in `POST /notify`: one statement each way, as JSON.

A statement is {"name", "learning", "state"}: who speaks, whether it may know less than its cluster, and what it holds.
Where the value is large, {"tag"} stands for {"state"}, unless the other needs the whole: who holds less gets it in the
answer, so asking is fetching. A request with {"confirm": true} is answered when what its receiver then holds is on its
disk, and the answer says so: {"durable": true}. An answer adds {"changed", "refused"}: what became of the statement
that it answers. It must not know what a node does with a statement (that is `spread`), nor how it travels.
"""

from dataclasses import dataclass

from onevalue.errors import RemoteProtocolError
from onevalue.store import ORIGIN_LENGTH_MAX, State, generation_of, is_text, state_from_json
from onevalue.types import Generation
from onevalue.values import VALUE_DEPTH_MAX, VALUE_SIZE_MAX, Value, canonical, object_text, parse_json

STATEMENT_SIZE_MAX = VALUE_SIZE_MAX + 8 * 1024
"""Bytes of JSON of one statement or answer, above which it is not read."""

STATE_SENT_SIZE_MAX = 1024
"""Bytes of a value that is sent in every statement; a larger one is named by its tag."""

_DEPTH_MAX = VALUE_DEPTH_MAX + 4  # the value stands in a state, the state in a statement


@dataclass(frozen=True, slots=True)
class Statement:
    """`name` holds a state; while `learning`, others of its cluster may hold a larger one that it has not heard of.

    Attributes:
        name: who speaks.
        learning: see above.
        state: what it holds; None if only its tag is told.
        named: the tag, where there is no state.
        confirm: the receiver should answer when what it then holds is durable.
        durable: what is held is on the speaker's disk; only where that was asked.
    """

    name: str
    learning: bool
    state: State | None
    named: str = ""
    confirm: bool = False
    durable: bool = False

    @property
    def tag(self) -> str:
        """Of the state that `name` holds."""
        return self.named if self.state is None else self.state.tag

    @property
    def generation(self) -> Generation:
        """Of the state that `name` holds."""
        return generation_of(self.named) if self.state is None else self.state.generation


def state_told(state: State, *, whole: bool) -> tuple[State | None, str]:
    """`state` and `named` of a statement: in full if it is small or the `whole` is wanted, else by its tag."""
    return (state, "") if whole or len(state.text) <= STATE_SENT_SIZE_MAX else (None, state.tag)


def encode_statement(statement: Statement) -> bytes:
    """The JSON body of a request."""
    return object_text(_members(statement))


def encode_answer(statement: Statement, *, changed: bool, refused: str | None) -> bytes:
    """The JSON body of an answer: the own statement, and what became of the other's."""
    return object_text({**_members(statement), "changed": canonical(changed), "refused": canonical(refused)})


def decode_statement(body: bytes) -> Statement:
    """The statement that a body means, of a request or of an answer; unknown fields are ignored.

    Raises:
        RemoteProtocolError: too long, not JSON, or a field is missing, of the wrong type or out of range.
    """
    obj = load_json(body, "a statement")
    if not isinstance(obj, dict):
        raise RemoteProtocolError("a statement is a JSON object")
    name, learning = obj.get("name"), obj.get("learning")
    confirm, durable = obj.get("confirm", False), obj.get("durable", False)
    if not is_text(name, ORIGIN_LENGTH_MAX) or not name:
        raise RemoteProtocolError(f"name must be a text of 1 to {ORIGIN_LENGTH_MAX} characters")
    if not (isinstance(learning, bool) and isinstance(confirm, bool) and isinstance(durable, bool)):
        raise RemoteProtocolError("learning, confirm and durable must be true or false")
    if "state" in obj:
        return Statement(name, learning, state_from_json(obj["state"]), "", confirm, durable)
    tag = obj.get("tag")
    generation_of(tag)
    return Statement(name, learning, None, str(tag), confirm, durable)


def load_json(body: bytes, what: str) -> Value:
    """The JSON of a peer. `what` names it in the error.

    Raises:
        RemoteProtocolError: longer than STATEMENT_SIZE_MAX, or not strict JSON (`values.parse_json`).
    """
    if len(body) > STATEMENT_SIZE_MAX:
        raise RemoteProtocolError(f"{what} has at most {STATEMENT_SIZE_MAX} bytes")
    try:
        return parse_json(body, _DEPTH_MAX)
    except RemoteProtocolError as error:
        raise RemoteProtocolError(f"{what} must be JSON: {error}") from None


def _members(statement: Statement) -> dict[str, bytes]:
    """The members of the object, by their canonical texts."""
    told = {"name": canonical(statement.name), "learning": canonical(statement.learning)}
    told |= {"tag": canonical(statement.named)} if statement.state is None else {"state": statement.state.json}
    return told | {key: b"true" for key in ("confirm", "durable") if getattr(statement, key)}
