"""The health score of this node: how slow it seems to itself (Lifeguard's local health; memberlist's awareness.go).

0 is healthy. Probes that fail although others did hear the target, and accusations that had to be refuted, raise it; a
probe that succeeds lowers it. A node with a high score gives others more time before it accuses them.
"""


class Awareness:
    """A score from 0 to `max_multiplier` - 1 (wire README 4.3)."""

    def __init__(self, max_multiplier: int) -> None:
        self._score = 0
        self._score_max = max_multiplier - 1

    @property
    def score(self) -> int:
        """The present health score; 0 is best."""
        return self._score

    def adjust(self, delta: int) -> None:
        """The score is higher by `delta`, within its range."""
        self._score = min(max(self._score + delta, 0), self._score_max)

    def scale(self, interval_s: float) -> float:
        """The interval that suits a node of this health: as many times as long."""
        return interval_s * (self._score + 1)
