"""What the SWIM core asks of its owner (Serf) while it builds packets; memberlist's Delegate."""

from typing import Protocol

from onevalue.wire.messages import UserState


class Delegate(Protocol):
    """Answers at once, without I/O."""

    def broadcasts(self, overhead: int, space: int) -> list[bytes]:
        """Bodies of user messages to piggyback, each charged with one transmission.

        Args:
            overhead: bytes that each body costs beyond its length.
            space: bytes to fill; the bodies and their overhead fit in it.
        """
        ...

    def urgent_broadcasts(self, overhead: int, space: int) -> list[bytes]:
        """As `broadcasts`, but asked before memberlist's own messages are packed: the value event's slot.

        DEPARTURE (value-first): memberlist offers the delegate only what its own messages leave.
        """
        ...

    def ack_payload(self) -> bytes | None:
        """What an ack of a direct ping carries: Serf's coordinate, or None."""
        ...

    def user_state(self, join: bool) -> UserState:
        """The user state of a push/pull; b"" for none. It must not change any more."""
        ...
