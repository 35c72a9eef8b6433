"""Where the members stand, as their acks say (wire README 5.11). `coordinates` does the arithmetic.

It must not know when members are probed.
"""

from onevalue.errors import RemoteProtocolError
from onevalue.serf.coordinates import CoordinateClient
from onevalue.swim.events import AckReceived
from onevalue.types import Rng
from onevalue.wire.coordinates import Coordinate, decode_coordinate, encode_coordinate


class Places:
    """The place of this node, and those of members that have acked pings of it."""

    def __init__(self, name: str, rng: Rng) -> None:
        self._coordinates = CoordinateClient(name, rng)

    @property
    def resets(self) -> int:
        """How often the own coordinate had to begin anew."""
        return self._coordinates.resets

    def payload(self) -> bytes:
        """What an ack of this node says."""
        return encode_coordinate(self._coordinates.coordinate)

    def acked(self, ack: AckReceived) -> bool:
        """A member has acked a ping; False if it has told a place that makes no sense, and nothing has changed."""
        if ack.payload is None:
            return True
        try:
            self._coordinates.update(ack.member.name, decode_coordinate(ack.payload), ack.rtt_s)
        except RemoteProtocolError:
            return False
        return True

    def forget(self, name: str) -> None:
        """Nothing of this member is remembered."""
        self._coordinates.forget(name)

    def of(self, name: str) -> Coordinate | None:
        """Where this node or a member stands; None while nothing is known of that."""
        return self._coordinates.of(name)

    def rtt_s(self, one: str, other: str) -> float | None:
        """The estimated round trip between two members, seconds; None while too little is known."""
        return self._coordinates.rtt_s(one, other)
