"""States as clients see them: the JSON object, and the tag as ETag. It must not know what is done with them."""

from onevalue.store import State
from onevalue.values import Value


def state_json(state: State) -> dict[str, Value]:
    """The members that every answer has of a state."""
    return {**state.to_json(), "tag": state.tag}


def quoted(state: State) -> bytes:
    """The ETag."""
    return f'"{state.tag}"'.encode()
