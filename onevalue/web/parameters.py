"""Parameters of queries, strictly read: given once, of the right form, in their range. It must not know the routes.

All raise ProblemError (400) that names the parameter. Those that nobody asks for are ignored.
"""

import math
import re
from collections.abc import Sequence

from twisted.web.iweb import IRequest

from onevalue.web.problems import ProblemError

DIGITS_MAX = 18
"""Digits of an integer."""

_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")  # as JSON has it; float() takes 1_0 and more


def text(request: IRequest, name: str) -> str | None:
    """The parameter as it stands; None if it is not given."""
    given = request.args.get(name.encode())
    if given is None:
        return None
    if len(given) > 1:
        raise ProblemError(400, f"{name} is given {len(given)} times")
    return str(given[0].decode("utf-8", "replace"))


def integer(request: IRequest, name: str, *, least: int, most: int) -> int | None:
    """An integer in decimal digits; None if it is not given."""
    given = text(request, name)
    if given is None:
        return None
    if not (given.isascii() and given.isdecimal() and len(given) <= DIGITS_MAX and least <= int(given) <= most):
        raise ProblemError(400, f"{name} must be an integer from {least} to {most}")
    return int(given)


def number(request: IRequest, name: str, *, above: float, most: float) -> float | None:
    """A number above one bound, and at most another; None if it is not given."""
    given = text(request, name)
    if given is None:
        return None
    found = float(given) if _NUMBER.fullmatch(given) else math.nan
    if not above < found <= most:
        raise ProblemError(400, f"{name} must be a number above {above:g}, and at most {most:g}")
    return found


def one_of(request: IRequest, name: str, words: Sequence[str], *, most: int) -> str | int | None:
    """One of these words, or an integer from 1; None if it is not given."""
    given = text(request, name)
    if given is None or given in words:
        return given
    if not (given.isascii() and given.isdecimal() and len(given) <= DIGITS_MAX and 1 <= int(given) <= most):
        raise ProblemError(400, f"{name} must be {', '.join(words)}, or a number of nodes from 1 to {most}")
    return int(given)
