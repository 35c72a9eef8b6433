"""Admission: which states of others may be merged at all (docs/architecture.md, "What one value means").

`merge` has no bound relative to the present generation, or it would not be a lattice. So this stands in front of it:
one bad message must not use up all generations and freeze the value for good.
"""

from onevalue.store import GENERATION_MAX, State

GENERATION_LEAP_MAX = 2**32
"""A pushed state may be at most this many generations ahead of ours."""

PULLED_GENERATION_MAX = GENERATION_MAX - GENERATION_LEAP_MAX
"""A pulled state may have at most this generation, so that 2**32 writes remain whatever we learn."""


def refuse_pushed(state: State, current: State) -> str | None:
    """Why a state that somebody sent us unasked is not merged, or None if it may be."""
    if not 0 <= state.generation <= GENERATION_MAX:
        return f"generation {state.generation} is not from 0 to {GENERATION_MAX}"
    if state.generation > current.generation + GENERATION_LEAP_MAX:
        return f"generation {state.generation} is more than {GENERATION_LEAP_MAX} ahead of ours"
    return None


def refuse_pulled(state: State) -> str | None:
    """Why a state that we asked a member for is not merged, or None if it may be."""
    if state.generation > PULLED_GENERATION_MAX:
        return f"generation {state.generation} would leave no room for writes"
    return None
