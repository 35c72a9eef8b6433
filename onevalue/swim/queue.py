"""The transmit-limited queue: messages that ride on packets to random members until each was sent often enough.

Follows wire README 4.6 and memberlist's queue.go. It must not know what a message means: who may replace whom is said
by the slot, and who waits for the end of a message by an opaque token.
"""

import math
from bisect import bisect_left, insort
from dataclasses import dataclass


def retransmit_limit(mult: int, nodes: int) -> int:
    """How many times each message is sent in a list of `nodes` members."""
    return mult * math.ceil(math.log10(nodes + 1))


@dataclass(slots=True)
class _Entry:
    transmits: int
    number: int  # counts the messages that were added, so newer ones have larger numbers
    message: bytes
    slot: str | None
    token: object | None

    @property
    def order(self) -> tuple[int, int, int]:
        """Fewest transmits first; among equals the longer message; among those the newest."""
        return (self.transmits, -len(self.message), -self.number)


def _order(entry: _Entry) -> tuple[int, int, int]:
    return entry.order


class BroadcastQueue:
    """Messages in the order in which they want to be sent; at most `entries_max` of them."""

    def __init__(self, retransmit_mult: int, entries_max: int) -> None:
        self._mult = retransmit_mult
        self._entries_max = entries_max
        self._entries: list[_Entry] = []  # always sorted by `order`
        self._slots: dict[str, _Entry] = {}
        self._finished: list[object] = []
        self._added = 0

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, message: bytes, *, slot: str | None = None, token: object | None = None) -> None:
        """The message is queued, unsent as yet; an older one of the same slot is gone and counts as finished.

        Above the bound of entries those that were sent most often are dropped, and count as finished.

        Args:
            message: with its id byte, if it has one; the queue does not look into it.
            slot: messages of one slot replace each other; None stands beside all others.
            token: told by `take_finished` when the message has left the queue.
        """
        if slot is not None and slot in self._slots:
            self._discard(self._slots[slot])
        self._added += 1
        entry = _Entry(0, self._added, message, slot, token)
        if slot is not None:
            self._slots[slot] = entry
        insort(self._entries, entry, key=_order)
        while len(self._entries) > self._entries_max:
            self._discard(self._entries[-1])

    def take(self, overhead: int, space: int, nodes: int) -> list[bytes]:
        """Messages that fill a packet as well as they can, in order; each is charged one transmission.

        Args:
            overhead: bytes that each message costs beyond its length.
            space: bytes to fill.
            nodes: members in the list, which give the limit of transmissions.
        """
        if not self._entries:  # nearly always
            return []
        taken = self._choose(overhead, space)
        limit = retransmit_limit(self._mult, nodes)
        for entry in taken:
            self._remove(entry)
            entry.transmits += 1
            if entry.transmits >= limit:
                self._finish(entry)
            else:
                insort(self._entries, entry, key=_order)
        return [entry.message for entry in taken]

    def take_finished(self) -> list[object]:
        """Tokens of the messages that left the queue since the last call: sent often enough, replaced or dropped."""
        finished, self._finished = self._finished, []
        return finished

    def _choose(self, overhead: int, space: int) -> list[_Entry]:
        """In each tier the longest that fits, again and again: one walk along the order that skips what is too long."""
        taken: list[_Entry] = []
        index = 0
        while index < len(self._entries) and space > overhead:
            entry = self._entries[index]
            if len(entry.message) + overhead <= space:
                taken.append(entry)
                space -= len(entry.message) + overhead
                index += 1
            else:
                fits = (entry.transmits, overhead - space, -self._added)
                index = bisect_left(self._entries, fits, lo=index, key=_order)
        return taken

    def _remove(self, entry: _Entry) -> None:
        del self._entries[bisect_left(self._entries, entry.order, key=_order)]

    def _discard(self, entry: _Entry) -> None:
        self._remove(entry)
        self._finish(entry)

    def _finish(self, entry: _Entry) -> None:
        if entry.slot is not None:
            del self._slots[entry.slot]
        if entry.token is not None:
            self._finished.append(entry.token)
