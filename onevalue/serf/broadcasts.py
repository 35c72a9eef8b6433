"""What Serf wants to be gossiped: intents, queries and user events in queues, and the urgent slots before all others.

Follows wire README 4.6 and 4.7. It must not know what the messages say; they are bytes from their id byte on.

DEPARTURE (value-slot): Serf's messages never replace each other. A message in an urgent slot does replace the one
before it, and has room in a packet before memberlist's own messages, so that of a value that changes often only the
newest state travels.
"""

from collections.abc import Mapping
from typing import Final

from onevalue.config import SwimSettings
from onevalue.swim.queue import BroadcastQueue

QUEUE_MAX: Final = 4096
"""Messages of one kind that wait; above it those sent most often are dropped. Serf's MaxQueueDepth."""

URGENT_SLOTS_MAX: Final = 8
"""Different urgent slots; each holds one message."""

PACKET_MARGIN: Final = 64
"""Bytes of a packet that a Serf message leaves to what stands around it: id byte, compound, encryption and label."""


class Broadcasts:
    """Asked by SWIM for what to piggyback; each message that it hands out is charged with one transmission."""

    def __init__(self, settings: SwimSettings) -> None:
        self._size_max = settings.packet_size_max - PACKET_MARGIN
        self._mult = settings.retransmit_mult
        self._intents = BroadcastQueue(self._mult, QUEUE_MAX)
        self._queries = BroadcastQueue(self._mult, QUEUE_MAX)
        self._events = BroadcastQueue(self._mult, QUEUE_MAX)
        self._urgent: dict[str, BroadcastQueue] = {}

    def add_intent(self, message: bytes, token: object | None = None) -> None:
        """The intent waits to be sent; the token is told by `take_finished` when it has left the queue."""
        self._add(self._intents, message, token=token)

    def add_query(self, message: bytes) -> None:
        """The query waits to be sent."""
        self._add(self._queries, message)

    def add_event(self, message: bytes) -> None:
        """The user event waits to be sent."""
        self._add(self._events, message)

    def put_urgent(self, slot: str, message: bytes) -> None:
        """The message is the only one of its slot, unsent as yet; above URGENT_SLOTS_MAX another slot is emptied."""
        self._add(self._urgent.setdefault(slot, BroadcastQueue(self._mult, 1)), message, slot=slot)
        if len(self._urgent) > URGENT_SLOTS_MAX:
            del self._urgent[next(iter(self._urgent))]

    def take_finished(self) -> list[object]:
        """Tokens of the intents that left the queue since the last call."""
        return self._intents.take_finished()

    def take_urgent(self, overhead: int, space: int, nodes: int) -> list[bytes]:
        """At most one message, of the slots in turn, so that a packet has room for others."""
        for slot, queue in list(self._urgent.items()):
            if taken := queue.take(overhead, space, nodes):
                self._urgent[slot] = self._urgent.pop(slot)
                return taken
        return []

    def take(self, overhead: int, space: int, nodes: int) -> list[bytes]:
        """Messages that fill the space: intents, then queries, then user events."""
        bodies: list[bytes] = []
        for queue in (self._intents, self._queries, self._events):
            taken = queue.take(overhead, space, nodes)
            space -= sum(len(body) + overhead for body in taken)
            bodies += taken
        return bodies

    def lengths(self) -> Mapping[str, int]:
        """How many messages wait, by kind; for people."""
        return {
            "intents": len(self._intents),
            "queries": len(self._queries),
            "events": len(self._events),
            "urgent": sum(len(queue) for queue in self._urgent.values()),
        }

    def _add(
        self, queue: BroadcastQueue, message: bytes, *, slot: str | None = None, token: object | None = None
    ) -> None:
        """What no packet can carry would wait for ever, so it is not queued; push/pulls spread it if it is an event."""
        if len(message) <= self._size_max:
            queue.add(message, slot=slot, token=token)
