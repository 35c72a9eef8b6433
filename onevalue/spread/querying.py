"""What a node says of its state to a query, within what a packet holds. It must not know how queries travel."""

from onevalue.store import State
from onevalue.values import Value, canonical

QUERY_ANSWER_SIZE_MAX = 768
"""Bytes of the answer to a query: with names and numbers around it, it must fit a packet, relayed too."""


def query_answer(state: State, *, learning: bool, held_s: float) -> bytes:
    """The state, and for how many seconds it has been held here, as JSON of at most QUERY_ANSWER_SIZE_MAX bytes.

    Value and origin are left out where they are too long for that; the tag still tells who has the same.
    """
    told: dict[str, Value] = {
        "generation": state.generation,
        "held_s": round(max(0.0, held_s), 4),
        "learning": learning,
        "tag": state.tag,
    }
    parts: list[dict[str, Value]] = [{"origin": state.origin, "time": state.time}]
    if len(state.text) <= QUERY_ANSWER_SIZE_MAX:
        parts.append({"value": state.value})
    for more in parts:
        if len(canonical({**told, **more})) <= QUERY_ANSWER_SIZE_MAX:
            told |= more
    return canonical(told)
