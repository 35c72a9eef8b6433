"""Integers in paths, exactly as Go's strconv.Atoi takes them, for the original program's routes.

An optional sign and ASCII digits, nothing else: no space, no underscore, no digits of other scripts, 64 bits.
It must not know what the integer is for.
"""

import re

from onevalue.errors import RemoteProtocolError

_DIGITS_MAX = 19  # of 2**63
_SHOWN_MAX = 40
_INTEGER = re.compile(r"([+-]?)([0-9]+)")


def parse_integer(text: str, what: str, low: int, high: int) -> int:
    """The integer that `text` means, from `low` to `high`, which lie in 64 bits with sign.

    Raises:
        RemoteProtocolError: it means none, or one out of range; the message says why and names it `what`.
    """
    match = _INTEGER.fullmatch(text)
    if match is None:
        raise RemoteProtocolError(f"{what} {_shown(text)} is not an integer: an optional sign, then digits 0 to 9")
    sign, digits = match[1], match[2].lstrip("0") or "0"
    # Compared by length first: int() refuses thousands of digits with an error of its own.
    number = int(sign + digits) if len(digits) <= _DIGITS_MAX else None
    if number is None or not low <= number <= high:
        raise RemoteProtocolError(f"{what} {_shown(text)} is out of range: it must be from {low} to {high}")
    return number


def _shown(text: str) -> str:
    return ascii(text if len(text) <= _SHOWN_MAX else text[:_SHOWN_MAX] + "...")
