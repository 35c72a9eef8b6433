"""States as clients see them: JSON, in which the text of a value is put as it is kept, and the tag as ETag.

A value may have hundreds of kilobytes, and making its text anew takes up to some 20 ms. It must not know what is done
with states.
"""

import json
from collections.abc import Mapping

from onevalue.store import State


def quoted(state: State) -> bytes:
    """The ETag."""
    return f'"{state.tag}"'.encode()


def facts_of(state: State) -> dict[str, object]:
    """What people are told of a state beside its value."""
    return {
        "generation": state.generation,
        "tag": state.tag,
        "origin": state.origin,
        "time": state.time,
        "size": len(state.text),
    }


def state_text(state: State, more: Mapping[str, object] | None = None) -> bytes:
    """The JSON object that clients get of a state, with more members behind its own."""
    head = json.dumps({"generation": state.generation, "origin": state.origin, "time": state.time, "tag": state.tag})
    rest = b"" if not more else b", " + object_text(more)[1:-1]
    return b'{"value": %b, %b%b}' % (state.text, head[1:-1].encode(), rest)


def object_text(members: Mapping[str, object]) -> bytes:
    """The JSON text of an object; a State that is a member is as `state_text` has it."""
    texts = (
        json.dumps(name).encode() + b": " + (state_text(each) if isinstance(each, State) else _text(each))
        for name, each in members.items()
    )
    return b"{" + b", ".join(texts) + b"}"


def _text(value: object) -> bytes:
    return json.dumps(value, allow_nan=False).encode()
