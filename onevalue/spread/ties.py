"""Ties with nodes of the original program: they compare generations alone, so at an equal one they never learn ours.

When such a node has pushed a losing value at our generation, and ours has stood for a while since, this node raises the
generation by one with the same value. Nodes that do so at once make the same state.
"""

from onevalue.store import State


class TieWatch:
    """The one tie that stands now, if any."""

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._tag: str | None = None
        self._until = 0.0

    @property
    def deadline(self) -> float | None:
        """When the tie has stood long enough, in seconds of now; None without a tie."""
        return self._until if self._tag is not None else None

    def original_pushed(self, state: State, current: State, now: float) -> None:
        """An original program holds `state`; a tie begins if it has our generation and another, smaller value."""
        if state.generation == current.generation and state < current and self._tag != current.tag:
            self._tag, self._until = current.tag, now + self._patience_s

    def take_due(self, current: State, now: float) -> list[State]:
        """The state to write upon with its own value, if the tie still stands at its deadline; then it is over."""
        stands = self._tag == current.tag
        if stands and now < self._until:
            return []
        self._tag = None
        return [current] if stands else []
