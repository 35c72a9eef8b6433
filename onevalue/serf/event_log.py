"""User events: stamping own ones, telling new ones from repeated and old ones, and the buffer that push/pulls carry.

Follows wire README 5.8 and Serf's handling of user events. It must not know how events travel nor who is told.
"""

from collections.abc import Iterator, Sequence

from onevalue.config import SerfSettings
from onevalue.errors import LocalProtocolError
from onevalue.serf.event_ring import LamportRing, Verdict
from onevalue.serf.events import ReceivedEvent
from onevalue.serf.lamport import LamportClock
from onevalue.types import LamportTime
from onevalue.wire.serf_codec import encode_serf
from onevalue.wire.serf_messages import EventSlot, UserEventMessage


class EventLog:
    """The user events that were seen lately, own ones among them."""

    def __init__(self, settings: SerfSettings, clock: LamportClock, minimum: LamportTime) -> None:
        """Events below `minimum` were delivered before a restart, and are not again."""
        self._size_max = settings.user_event_size_max
        self._clock = clock
        self._ring: LamportRing[tuple[str, bytes]] = LamportRing(clock, minimum)

    def stamp(self, name: str, payload: bytes, *, coalesce: bool) -> bytes:
        """An own event has its time and is recorded; returns the message to send, from its id byte on.

        Raises:
            LocalProtocolError: the message is longer than user_event_size_max; nothing changed.
        """
        message = UserEventMessage(self._clock.time, name, payload, coalesce)
        raw = encode_serf(message)
        if len(raw) > self._size_max:  # name and payload are in it, so Serf's own bound for these holds too
            raise LocalProtocolError(
                f"user event {name!r} has {len(payload)} bytes of payload and {len(raw)} bytes in all; "
                f"at most {self._size_max} bytes fit: make the payload shorter"
            )
        self._ring.offer(message.ltime, (name, payload), _size(message))  # witnesses its time, and so moves the clock
        return raw

    def receive(self, message: UserEventMessage) -> Verdict:
        """Whether a received event is new; it is recorded then. Raises RemoteProtocolError for a time out of range."""
        return self._ring.offer(message.ltime, (message.name, message.payload), _size(message))

    def merge(self, slots: Sequence[EventSlot | None]) -> Iterator[ReceivedEvent | None]:
        """Takes in the events of a push/pull one by one, oldest first; gives each that is new, and None for each other.

        What was given is recorded. Their times are in range.
        """
        for slot in sorted((slot for slot in slots if slot is not None), key=lambda slot: slot.ltime):
            for name, payload in slot.events:
                message = UserEventMessage(slot.ltime, name, payload)
                if self.receive(message) is Verdict.NEW:
                    raw = encode_serf(message)
                    yield ReceivedEvent(name, payload, slot.ltime, raw, relay_wanted=False, by_push_pull=True)
                else:
                    yield None

    def slots(self) -> tuple[EventSlot | None, ...]:
        """The whole buffer as a push/pull carries it, holes included."""
        return tuple(None if entry is None else EventSlot(*entry) for entry in self._ring.entries())


def _size(message: UserEventMessage) -> int:
    return len(message.name.encode("utf-8", "surrogateescape")) + len(message.payload)
