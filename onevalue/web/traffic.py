"""What the HTTP server counts of its traffic, for /v1/status and metrics."""

from collections import Counter
from dataclasses import dataclass
from typing import Final


@dataclass(slots=True)
class Traffic:
    """Counted since the start, but for `connections` and `watchers`.

    Attributes:
        connections: open at present.
        connections_refused: closed at once, because too many were open.
        requests_refused: answered with an error before any route saw them, for their form or size.
        requests_expired: of these, the ones that were not complete in time.
        requests_denied: answered with an error before any route saw them, for want of a right (401, 403, 421).
        requests_remembered: answered with a remembered answer, so that no route saw them either.
        errors: unexpected ones.
        watchers: streams, and reads that wait, at present.
        watchers_refused: because there were too many.
        connections_max: how many there may be, as long as the node runs.
        watchers_max: likewise.
    """

    connections: int = 0
    connections_refused: int = 0
    requests_refused: int = 0
    requests_expired: int = 0
    requests_denied: int = 0
    requests_remembered: int = 0
    errors: int = 0
    watchers: int = 0
    watchers_refused: int = 0
    connections_max: int = 0
    watchers_max: int = 0


UNROUTED: Final = "none"
"""The route of requests that no route has seen."""

_METHODS: Final = frozenset([b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS"])


class Served:
    """Answers that were given by the routes, by method, route and status; routes are those of the program alone."""

    def __init__(self) -> None:
        self._answers: Counter[tuple[bytes, str, int]] = Counter()

    def count(self, method: bytes, route: str, code: int) -> None:
        """An answer was given; methods that nobody knows count as one."""
        self._answers[method if method in _METHODS else b"other", route, code] += 1

    def rows(self) -> list[tuple[str, str, int, int]]:
        """Method, route, status, how many; sorted."""
        return sorted((method.decode(), route, code, count) for (method, route, code), count in self._answers.items())
