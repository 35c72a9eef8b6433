"""What the HTTP server counts of its traffic, for /v1/status and metrics."""

from dataclasses import dataclass


@dataclass(slots=True)
class Traffic:
    """Counted since the start, but for `connections`.

    Attributes:
        connections: open at present.
        connections_refused: closed at once, because too many were open.
        requests_refused: answered with an error before any route saw them, for their form or size.
        requests_expired: of these, the ones that were not complete in time.
        requests_remembered: answered with a remembered answer, so that no route saw them either.
        errors: unexpected ones.
    """

    connections: int = 0
    connections_refused: int = 0
    requests_refused: int = 0
    requests_expired: int = 0
    requests_remembered: int = 0
    errors: int = 0
