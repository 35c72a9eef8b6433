"""What the parts tell each other of a member and of a user event; plain facts, known to shells and core alike."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
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


def count_by_status(members: Iterable[Member]) -> dict[Status, int]:
    """How many there are of each status."""
    statuses = [member.status for member in members]
    return {status: statuses.count(status) for status in Status}  # an enum's hash takes a call, and there may be many


@dataclass(frozen=True, slots=True)
class Happening:
    """What people may want to know of the members, as it happens.

    Attributes:
        kind: a word, such as "failed".
        text: a sentence or clause.
        name: the member that it is about, "" if none.
    """

    kind: str
    text: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class QueryRequest:
    """A query to the members.

    Attributes:
        name: of the query.
        payload: any bytes.
        nodes: only members of these names; none: all.
        tags: only members whose tags match these RE2 expressions somewhere.
        ack: members say that they have it.
        relay_factor: by how many other members each answer comes too.
        timeout_s: how long answers are awaited; None: as suits the size of the cluster.
    """

    name: str
    payload: bytes = b""
    nodes: Sequence[str] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    ack: bool = False
    relay_factor: int = 0
    timeout_s: float | None = None


@dataclass(frozen=True, slots=True)
class QueryResult:
    """What came of a query, in the order of arrival.

    Attributes:
        acks: who acked it.
        answers: who answered what.
        times: when each answer came, seconds of the reactor.
    """

    acks: Sequence[str]
    answers: Sequence[tuple[str, bytes]]
    times: Sequence[float] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class KeyResult:
    """What the members said to a request about keys; no key stands in it, only fingerprints.

    Attributes:
        nodes: how many were alive when it began.
        answers: how many of them answered.
        errors: how many of these refused.
        messages: what some had to say, by name.
        keys: how many have each key; only where keys were listed.
        primary_keys: how many encrypt with it.
    """

    nodes: int
    answers: int
    errors: int
    messages: Mapping[str, str]
    keys: Mapping[str, int]
    primary_keys: Mapping[str, int]

    @property
    def complete(self) -> bool:
        """All members that were alive did it."""
        return self.errors == 0 and self.answers >= self.nodes


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
