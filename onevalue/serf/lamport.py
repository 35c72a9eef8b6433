"""Lamport clocks: one counter each for intents of members, for user events and for queries.

Follows wire README 5.3 and Serf's lamport.go. It must not know what the times are stamped on.
"""

from dataclasses import dataclass
from typing import Final

from onevalue.errors import RemoteProtocolError
from onevalue.types import LamportTime

LAMPORT_TIME_MAX: Final = LamportTime(2**63 - 1)
"""Times above it are nonsense, and a clock stands still there.

DEPARTURE (lamport-max): Serf uses all 64 bits and wraps around to 0; journals have signed integers.
"""


def check_time(time: int) -> LamportTime:
    """The time, which a peer has stamped on something. Raises RemoteProtocolError above LAMPORT_TIME_MAX."""
    if time > LAMPORT_TIME_MAX:
        raise RemoteProtocolError(f"a Lamport time is at most {LAMPORT_TIME_MAX}, not {time}")
    return LamportTime(time)


class LamportClock:
    """A time that never goes back and is above every time that it witnessed, but for the very largest."""

    def __init__(self) -> None:
        self._time = 1

    @property
    def time(self) -> LamportTime:
        """The present time, 1 or more; an own message is stamped with it, and the clock then witnesses that."""
        return LamportTime(self._time)

    def witness(self, time: LamportTime) -> None:
        """The clock is above `time`. Raises RemoteProtocolError above LAMPORT_TIME_MAX, and stays as it is."""
        if check_time(time) >= self._time:
            self._time = min(time + 1, LAMPORT_TIME_MAX)

    @classmethod
    def resumed(cls, time: LamportTime) -> "LamportClock":
        """A clock that stands at `time` at least: it stood there before a restart."""
        clock = cls()
        clock._time = max(clock._time, min(time, LAMPORT_TIME_MAX))
        return clock


@dataclass(frozen=True, slots=True)
class Clocks:
    """The times of all three clocks; journalled, so that after a restart own messages are not "too old" for others."""

    member: LamportTime
    event: LamportTime
    query: LamportTime
