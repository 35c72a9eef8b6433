"""Admission: which states of others may be merged at all (docs/architecture.md, "What one value means").

`merge` has no bound relative to the present generation, or it would not be a lattice. So this stands in front of it:
one bad message must not use up all generations and freeze the value for good.
"""

from onevalue.store import GENERATION_MAX
from onevalue.types import Generation

GENERATION_LEAP_MAX = 2**32
"""A pushed state may be at most this many generations ahead of ours."""

PULLED_GENERATION_MAX = GENERATION_MAX - GENERATION_LEAP_MAX
"""A pulled state may have at most this generation, so that 2**32 writes remain whatever we learn."""


def refuse_pushed(generation: Generation, ours: Generation) -> str | None:
    """Why a state of this generation, sent or announced unasked, is not taken, or None if it may be."""
    if not 0 <= generation <= GENERATION_MAX:
        return f"generation {generation} is not from 0 to {GENERATION_MAX}"
    if generation > ours + GENERATION_LEAP_MAX:
        return f"generation {generation} is more than {GENERATION_LEAP_MAX} ahead of ours"
    return None


def refuse_pulled(generation: Generation) -> str | None:
    """Why a state of this generation, which we asked a member for, is not taken, or None if it may be."""
    if generation > PULLED_GENERATION_MAX:
        return f"generation {generation} would leave no room for writes"
    return None
