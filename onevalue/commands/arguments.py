"""What is typed, as argparse's types: times, integers, tags and numbers of nodes, in the ranges that nodes admit.

All raise ArgumentTypeError, or ValueError: wrong usage, before anybody is asked. And what comes on standard input. It
must not know any verb.
"""

import math
import sys
from argparse import ArgumentTypeError
from collections.abc import Callable

from onevalue.bounds import ACK_WORDS, ACKS_MAX
from onevalue.commands.verb import UsageError
from onevalue.failover import TAG


def seconds(text: str) -> float:
    """A time of more than 0 seconds."""
    number = float(text)
    if not 0 < number < math.inf:
        raise ArgumentTypeError(f"more than 0 seconds, not {text}")
    return number


def seconds_within(low: float, high: float) -> Callable[[str], float]:
    """The type of times from `low` to `high`; `low` may be 0, which itself is none."""

    def within(text: str) -> float:
        number = seconds(text)
        if not low <= number <= high:
            raise ArgumentTypeError(f"from {low:g} to {high:g} seconds, not {text}")
        return number

    within.__name__ = "seconds"  # argparse shows it for what is no number
    return within


def integer_within(low: int, high: int) -> Callable[[str], int]:
    """The type of integers from `low` to `high`."""

    def within(text: str) -> int:
        number = int(text)
        if not low <= number <= high:
            raise ArgumentTypeError(f"an integer from {low} to {high}, not {text}")
        return number

    within.__name__ = "integer"
    return within


def tag(text: str) -> str:
    """The tag of a state, without the quotes that it has in a header."""
    bare = text.strip().strip('"')
    if not TAG.fullmatch(bare):
        raise ArgumentTypeError(f"{text!r} is no tag: one is as `onevalue get --json` shows it, 12-0123456789abcdef")
    return bare


def tag_or_any(text: str) -> str:
    """Likewise, or * for any state."""
    return "*" if text.strip() == "*" else tag(text)


def acks(text: str) -> str:
    """How many nodes are to hold a write: a number, or a word, as the node is told."""
    if text in ACK_WORDS:
        return text
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= ACKS_MAX):
        raise ArgumentTypeError(f"{' or '.join(ACK_WORDS)}, or an integer from 1 to {ACKS_MAX}, not {text!r}")
    return str(int(text))


def standard_input(size_max: int) -> bytes:
    """All of it. Raises UsageError: it has more than `size_max` bytes."""
    data = sys.stdin.buffer.read(size_max + 1)
    if len(data) > size_max:
        raise UsageError(f"standard input has more than {size_max} bytes")
    return data
