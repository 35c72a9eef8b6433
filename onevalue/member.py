"""What the parts tell each other of a member and of a user event; plain facts, known to shells and core alike."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final


class Status(Enum):
    """Serf's words for what is known of a member; memberlist says "dead" for failed."""

    ALIVE = "alive"
    LEAVING = "leaving"
    LEFT = "left"
    FAILED = "failed"


PRESENT: Final = (Status.ALIVE, Status.LEAVING)


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

    @property
    def is_present(self) -> bool:
        """It answers, as far as is known: alive, or about to leave."""
        return self.status in PRESENT


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
