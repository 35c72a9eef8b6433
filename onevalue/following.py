"""What a client does with streams of states (`GET /v1/watch`): never goes back, and comes back with patience.

The command and `onevalue.client` share it. It must not know how bytes come, nor the time.
"""

from onevalue.replies import Reading, decode, reading_of
from onevalue.sse import EventParser
from onevalue.types import Rng

SILENCE_MAX_S = 45.0
"""A stream on which nothing comes for so long is given up: nodes send a heartbeat every 15 s."""

RETRY_MIN_S = 0.25
"""The longest pause after the first failure; each failure in a row doubles it."""

RETRY_MAX_S = 15.0
"""The longest pause between two attempts."""


class Following:
    """The newest state that was heard, over any number of streams, one after the other.

    States are ordered as nodes order them, so a node that is behind is heard without going back. A cluster that was
    reset to lower generations is followed only by a new Following.

    Attributes:
        reading: the newest; None before the first.
        behind: the last state of this stream, if its generation is below that of `reading`; else None.
    """

    def __init__(self) -> None:
        self.reading: Reading | None = None
        self.behind: Reading | None = None
        self._parser = EventParser()

    def begin(self) -> dict[str, str]:
        """A new stream begins; returns the headers of its request."""
        self._parser = EventParser()
        self.behind = None
        known = {} if self.reading is None else {"Last-Event-ID": self.reading.tag}
        return {"Accept": "text/event-stream", "Cache-Control": "no-cache", **known}

    def receive(self, data: bytes) -> list[Reading]:
        """The states in these bytes that are newer than all before, in order.

        Raises:
            RemoteProtocolError: the stream makes no sense, and is to be closed.
        """
        newer: list[Reading] = []
        for event in self._parser.receive(data):
            if event.kind == "message":
                reading = reading_of(decode(event.data), event.last_id)
                if self.reading is None or self.reading.state < reading.state:
                    self.reading = reading
                    newer.append(reading)
                self.behind = reading if reading.generation < self.reading.generation else None
        return newer

    @property
    def retry_s(self) -> float:
        """The pause before the next attempt that the last stream asked for; 0 if it did not."""
        return (self._parser.retry_ms or 0) / 1000


class Backoff:
    """Pauses that double with each failure in a row, spread so that many clients do not come back together."""

    def __init__(self, rng: Rng) -> None:
        self._rng = rng
        self._longest_s = RETRY_MIN_S

    def reset(self) -> None:
        """Something came: the next failure is the first again."""
        self._longest_s = RETRY_MIN_S

    def next_s(self, asked_s: float = 0.0) -> float:
        """Seconds until the next attempt; at least `asked_s`, but never above RETRY_MAX_S."""
        pause_s = self._rng.uniform(self._longest_s / 2, self._longest_s)
        self._longest_s = min(2 * self._longest_s, RETRY_MAX_S)
        return min(max(pause_s, asked_s), RETRY_MAX_S)
