"""Small types that every part may use: the four counters, addresses and ports, and chance as an argument.

Four counters count four things, and mypy keeps them apart: the generation of the value, the incarnation of a
member, the sequence number of a probe, the Lamport time of an intent, event or query.
"""

from collections.abc import MutableSequence, Sequence
from typing import NewType, Protocol, TypeVar

Generation = NewType("Generation", int)  # 0 .. 2**63-1, of the value
Incarnation = NewType("Incarnation", int)  # 0 .. 2**32-1, of a member
SequenceNumber = NewType("SequenceNumber", int)  # 0 .. 2**32-1, of a probe
LamportTime = NewType("LamportTime", int)  # 0 .. 2**64-1, of an intent, event or query

Address = tuple[str, int]  # numeric host as text (IPv4 or IPv6, never a name), port

PORT_DIGITS_MAX = 5

_T = TypeVar("_T")


def port_number(text: str) -> int | None:
    """The port from 0 to 65535 that ASCII digits mean; None for any other text."""
    if not (text.isascii() and text.isdecimal() and len(text) <= PORT_DIGITS_MAX):
        return None
    port = int(text)
    return port if port < 65536 else None


class Rng(Protocol):
    """The part of `random.Random` that the core uses; handed in, so that a run can be repeated."""

    def random(self) -> float:
        """A float in [0, 1)."""
        ...

    def uniform(self, a: float, b: float) -> float:
        """A float between a and b."""
        ...

    def randrange(self, stop: int, /) -> int:
        """An integer in [0, stop)."""
        ...

    def sample(self, population: Sequence[_T], k: int) -> list[_T]:
        """K different elements, in random order; k is at most the length."""
        ...

    def shuffle(self, x: MutableSequence[_T]) -> None:
        """X in random order, in place."""
        ...
