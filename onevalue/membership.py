"""What the rest of the node sees of the membership engine: the members, and a way to tell them something.

Two engines stand behind it: `gossip`, embedded (the default), and later an external Serf agent.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface


class Status(Enum):
    """Serf's words for what is known of a member; memberlist says "dead" for failed."""

    ALIVE = "alive"
    LEAVING = "leaving"
    LEFT = "left"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Member:
    """One member as this node knows it at present.

    Attributes:
        name: unique in the cluster.
        address: numeric IPv4 or IPv6 host, without brackets.
        port: of gossip, UDP and TCP.
        status: Serf's word.
        suspect: alive, but under suspicion.
        tags: Serf's tags; `http` tells scheme and port of its HTTP service (docs/protocol.md).
    """

    name: str
    address: str
    port: int
    status: Status
    suspect: bool
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class UserEvent:
    """A Serf user event that reached this node.

    Attributes:
        name: of the event.
        payload: as sent.
        raw: the Serf message as received, from its id byte on; what a relay sends on.
        relay_wanted: it came as gossip and is new here, so relaying is ours to decide; False in a push/pull.
    """

    name: str
    payload: bytes
    raw: bytes
    relay_wanted: bool


class IMembership(Interface):
    """The engine. All calls are made on the reactor's thread."""

    local_name: str = Attribute("The name of this node.")

    def members() -> Sequence[Member]:
        """All members that are remembered, this node among them, sorted by name."""

    def last_contact_s() -> float | None:
        """How long ago any other member was heard, seconds; None when there is no other."""

    def observe_members(observer: Callable[[], None]) -> None:
        """`observer` is called after each change of the members. It must not raise."""

    def observe_events(observer: Callable[[Sequence[UserEvent]], None]) -> None:
        """`observer` gets user events as they arrive: one as gossip, those of one push/pull together."""

    def send_value_event(payload: bytes, direct: Sequence[Member]) -> None:
        """A value event of this node travels: at once straight to `direct`, and in the one value slot of gossip."""

    def relay_value_event(raw: bytes, direct: Sequence[Member]) -> None:
        """The value event of another node travels on, as the same bytes."""

    def send_event(name: str, payload: bytes, coalesce: bool) -> None:
        """A user event of this node travels by gossip. Raises LocalProtocolError when it is too large."""

    def join(addresses: Sequence[str]) -> Deferred[int]:
        """Fires with how many of the addresses answered a push/pull."""

    def status() -> Mapping[str, object]:
        """What /v1/status shows of the engine: counters, queue lengths, health."""
