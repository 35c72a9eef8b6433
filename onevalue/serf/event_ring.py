"""What was seen lately, by Lamport time: tells new user events and queries from repeated and old ones.

Follows wire README 5.8 and 5.9: a ring of 512 slots, one Lamport time each; what is too far behind the clock to be told
from a repetition is too old. It must not know what the entries mean, nor who is told about them.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final, Generic, TypeVar

from onevalue.serf.lamport import LamportClock
from onevalue.types import LamportTime

RING_SLOTS: Final = 512
"""Serf's EventBuffer and QueryBuffer."""

EVENTS_PER_SLOT_MAX: Final = 256
"""Different entries of one Lamport time that are kept; more are refused.

DEPARTURE (slot-entries): Serf has no bound.
"""

RING_SIZE_MAX: Final = 2 * 1024 * 1024
"""Bytes that the entries of one ring have together, so that a push/pull that carries them stays far below 8 MiB.

DEPARTURE (ring-size): Serf has no bound. The oldest slots make room, and what is as old as they were is then too old.
"""


class Verdict(Enum):
    """What became of an entry that was offered to a ring."""

    NEW = "new"
    DUPLICATE = "duplicate"
    TOO_OLD = "too old"
    REFUSED = "refused"


_Key = TypeVar("_Key")


@dataclass(slots=True)
class _Slot(Generic[_Key]):
    ltime: LamportTime
    keys: dict[_Key, int]  # the size of each


class LamportRing(Generic[_Key]):
    """The newest entries around the time of `clock`, which it moves; equal time and equal key are one entry."""

    def __init__(self, clock: LamportClock, minimum: LamportTime) -> None:
        """Entries below `minimum` are too old from the start: they were delivered before a restart."""
        self._clock = clock
        self._minimum = minimum
        self._slots: list[_Slot[_Key] | None] = [None] * RING_SLOTS
        self._size = 0

    @property
    def size(self) -> int:
        """Bytes of all entries together."""
        return self._size

    def offer(self, ltime: LamportTime, key: _Key, size: int) -> Verdict:
        """The clock has witnessed the time; if the verdict is NEW the entry is recorded, else nothing more has changed.

        Args:
            ltime: of the entry.
            key: what tells entries of one time apart.
            size: bytes that it counts against RING_SIZE_MAX.

        Raises:
            RemoteProtocolError: the time is nonsense; nothing changed.
        """
        self._clock.witness(ltime)
        if ltime < self._minimum or ltime < self._clock.time - RING_SLOTS:
            return Verdict.TOO_OLD
        slot = self._slots[ltime % RING_SLOTS]
        if slot is not None and slot.ltime == ltime:
            if key in slot.keys:
                return Verdict.DUPLICATE
            if len(slot.keys) >= EVENTS_PER_SLOT_MAX:
                return Verdict.REFUSED
        if size > RING_SIZE_MAX:
            return Verdict.REFUSED
        self._record(ltime, key, size)
        return Verdict.NEW

    def entries(self) -> list[tuple[LamportTime, tuple[_Key, ...]] | None]:
        """All 512 slots with the entries of each, in the order of arrival; None for an empty one."""
        return [None if slot is None else (slot.ltime, tuple(slot.keys)) for slot in self._slots]

    def _record(self, ltime: LamportTime, key: _Key, size: int) -> None:
        slot = self._slots[ltime % RING_SLOTS]
        if slot is None or slot.ltime != ltime:
            self._empty(ltime % RING_SLOTS)
            slot = self._slots[ltime % RING_SLOTS] = _Slot(ltime, {})
        slot.keys[key] = size
        self._size += size
        while self._size > RING_SIZE_MAX:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        index, ltime = min(
            ((index, slot.ltime) for index, slot in enumerate(self._slots) if slot is not None),
            key=lambda pair: pair[1],
        )
        self._empty(index)
        self._minimum = LamportTime(ltime + 1)  # it was at most `ltime`, or that had not been recorded

    def _empty(self, index: int) -> None:
        slot = self._slots[index]
        if slot is not None:
            self._size -= sum(slot.keys.values())
            self._slots[index] = None
