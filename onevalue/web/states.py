"""States as clients see them: the JSON object. It must not know what is done with them."""

from onevalue.store import State, Value


def state_json(state: State) -> dict[str, Value]:
    """The members that every answer has of a state."""
    return {**state.to_json(), "tag": state.tag}
