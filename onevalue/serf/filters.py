"""Whom a query concerns: its filters against the name and the tags of a node (wire README 5.9).

RE2 matches in time linear in the tag's value, where Python's `re` can be stalled for ever. Reading an expression has no
such law, so there are bounds, which Serf has not: the costliest expression within them that random search found takes
11 ms for a tag of 512 bytes. It must not know queries, nor who is asked.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import re2  # type: ignore[import-untyped]  # google-re2 comes without types; only `Expression` calls it

from onevalue.errors import LocalProtocolError, RemoteProtocolError
from onevalue.wire.internal_queries import NodeFilter, decode_filter

FILTERS_MAX: Final = 8
"""Filters of one query; nobody matches more."""

EXPRESSION_SIZE_MAX: Final = 512
"""Bytes of an expression; all tags of a node have no more together.

DEPARTURE (filters): Serf has no bound, here and for the other three.
"""

UNICODE_CLASSES_MAX: Final = 8
"""Uses of \\p or \\P in an expression; each costs 0.2 ms to read, however little else there is."""

EXPRESSION_MEMORY_MAX: Final = 32 << 10
"""Bytes for what an expression is compiled to: compiling takes time by their square, matching in proportion."""

_REPLACEMENT: Final = dict.fromkeys(range(0xD800, 0xE000), 0xFFFD)

_OPTIONS: Final = re2.Options()
_OPTIONS.max_mem = EXPRESSION_MEMORY_MAX
_OPTIONS.never_capture = True
_OPTIONS.log_errors = False


def matches(filters: Sequence[bytes], name: str, tags: Mapping[str, str]) -> bool:
    """Whether a node fits all filters. One that is nonsense, or beyond the bounds, fits nobody; nothing is raised."""
    return len(filters) <= FILTERS_MAX and all(_fits(data, name, tags) for data in filters)


def check_expression(text: str) -> None:
    """A node of this program takes the expression. Raises LocalProtocolError, which says why, if it does not."""
    try:
        Expression(text)
    except ValueError as error:
        raise LocalProtocolError(f"the expression of a filter is not usable: {error}") from None


def _fits(data: bytes, name: str, tags: Mapping[str, str]) -> bool:
    try:
        wanted = decode_filter(data)
        if isinstance(wanted, NodeFilter):
            return name in wanted.names
        return Expression(wanted.expression).found_in(tags.get(wanted.tag, ""))
    except (RemoteProtocolError, ValueError):
        return False


class Expression:
    """An expression of RE2, compiled once.

    Args:
        text: of the expression.
        whole: it is `^text$`, so an alternative at its head may be a beginning, and one at its end an end, as in Serf.

    Raises:
        ValueError: it is no expression of RE2, or beyond the bounds.
    """

    def __init__(self, text: str, *, whole: bool = False) -> None:
        try:
            pattern = text.encode()
        except UnicodeEncodeError:
            raise ValueError("it is not UTF-8") from None
        if len(pattern) > EXPRESSION_SIZE_MAX:
            raise ValueError(f"it has more than {EXPRESSION_SIZE_MAX} bytes")
        if pattern.lower().count(rb"\p") > UNICODE_CLASSES_MAX:
            raise ValueError(f"it has more than {UNICODE_CLASSES_MAX} Unicode classes")
        try:
            self._compiled = re2.compile(b"^%b$" % pattern if whole else pattern, _OPTIONS)
        except re2.error as error:
            raise ValueError(error.args[0].decode("utf-8", "replace")) from None

    def found_in(self, text: str) -> bool:
        """Whether it matches somewhere in the text, in which U+FFFD stands for each byte that is not UTF-8."""
        return self._compiled.search(text.translate(_REPLACEMENT).encode()) is not None
