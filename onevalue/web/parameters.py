"""Parameters in the query of a URL, strictly read: given once, of the right form, in their range.

All raise ProblemError (400) that names the parameter. What else the query holds is not looked at. It must not know what
a parameter is for.
"""

import re
from collections.abc import Mapping, Sequence

from onevalue.web.problems import ProblemError

Parameters = Mapping[bytes, Sequence[bytes]]
"""As Twisted reads the query of a URL."""

_SECONDS = re.compile(r"[0-9]{1,40}(?:\.[0-9]{1,40})?(?:[eE][+-]?[0-9]{1,3})?")  # as JSON has it; float() takes 1_0
_INTEGER = re.compile(r"[0-9]{1,19}")  # as many as 2**63 has


def text(args: Parameters, name: str) -> str | None:
    """The parameter as it stands; None if it is not given."""
    given = args.get(name.encode(), ())
    if len(given) > 1:
        raise ProblemError(400, f"{name} may be given once")
    return given[0].decode("utf-8", "replace") if given else None


def seconds(args: Parameters, name: str, low: float, high: float) -> float | None:
    """A number of seconds in this range; None if it is not given."""
    given = text(args, name)
    if given is None:
        return None
    if not _SECONDS.fullmatch(given) or not low <= float(given) <= high:
        raise ProblemError(400, f"{name} must be a number of seconds from {low:g} to {high:.0f}, as in {name}=2.5")
    return float(given)


def integer(args: Parameters, name: str, low: int, high: int) -> int | None:
    """An integer in this range; None if it is not given."""
    given = text(args, name)
    if given is None:
        return None
    if not _INTEGER.fullmatch(given) or not low <= int(given) <= high:
        raise ProblemError(400, f"{name} must be an integer from {low} to {high}")
    return int(given)


def word_or_integer(args: Parameters, name: str, words: Sequence[str], high: int) -> str | int | None:
    """One of these words, or an integer from 1; None if it is not given."""
    given = text(args, name)
    if given is None or given in words:
        return given
    if not _INTEGER.fullmatch(given) or not 1 <= int(given) <= high:
        raise ProblemError(400, f"{name} must be {', '.join(words)}, or an integer from 1 to {high}")
    return int(given)
