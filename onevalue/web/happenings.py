"""The last things that happened, for people: a ring with numbers, in which what repeats is one entry.

It must not know what happens, nor who reads it.
"""

from collections import deque
from dataclasses import asdict, dataclass

HAPPENINGS_MAX = 100
"""What is kept."""

TEXT_SHOWN_MAX = 300
"""Characters of each that are kept."""


@dataclass(slots=True)
class Entry:
    """One thing that happened `times` times without anything between.

    Attributes:
        seq: counts all entries since the start, from 1.
        kind: a word, such as "failed".
        text: a sentence or clause.
        name: the member that it is about, "" if none.
        time: of the last time, seconds since 1970.
        times: how often.
    """

    seq: int
    kind: str
    text: str
    name: str
    time: float
    times: int = 1


class Happenings:
    """The ring."""

    def __init__(self) -> None:
        self._ring: deque[Entry] = deque(maxlen=HAPPENINGS_MAX)
        self._seq = 0

    def add(self, kind: str, text: str, wall_time: float, name: str = "") -> None:
        """It happened."""
        text, last = text[:TEXT_SHOWN_MAX], self._ring[-1] if self._ring else None
        if last is not None and (last.kind, last.text, last.name) == (kind, text, name):
            last.time, last.times = wall_time, last.times + 1
            return
        self._seq += 1
        self._ring.append(Entry(self._seq, kind, text, name, wall_time))

    def told(self) -> list[dict[str, object]]:
        """All that are kept, the oldest first."""
        return [{**asdict(entry), "time": round(entry.time, 3)} for entry in self._ring]
