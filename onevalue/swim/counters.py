"""What the core counts, for people and for metrics; the names are fixed, so the counters cannot grow."""

from collections.abc import Iterable
from typing import Final

from onevalue.wire.message_ids import MessageId

COUNTER_NAMES: Final = (
    "malformed",  # messages, packets or streams that mean nothing
    "mislabelled",  # packets or streams with another label than ours, or none
    "undecipherable",  # packets or streams that no key of ours opens, or plain ones where keys are demanded
    "members_refused",  # names above MEMBERS_MAX
    "conflicts",  # names of members claimed from another address
    "suspicions",  # members that became suspect here, by own probes or the word of others
    "refutations",  # accusations of this node, refuted
    "probes",
    "probes_failed",  # nobody reached the member, which thus became suspect
    "probes_dropped",  # without a verdict, because this node stood still meanwhile
    "stalls",  # times that this node stood still, by its own timers
    "probes_by_stream",  # only TCP reached the member: UDP seems to be blocked
    "pings_refused",  # of one packet, above PINGS_PER_PACKET_MAX
    "relays_refused",  # indirect pings above RELAYS_MAX
    "push_pulls",  # exchanges that were merged
    "push_pulls_refused",  # exchanges whose protocol versions do not fit, or above the bound of what waits
    "streams_failed",
    "streams_refused",  # requests from elsewhere that got no answer
)


def new_counters() -> dict[str, int]:
    """All counters at 0."""
    return dict.fromkeys(COUNTER_NAMES, 0)


UNREADABLE: Final = "unreadable"
"""The kind of a packet in which no message could be read."""

_IN_PACKETS: Final = (
    *(MessageId.PING, MessageId.INDIRECT_PING, MessageId.ACK, MessageId.NACK),
    *(MessageId.SUSPECT, MessageId.ALIVE, MessageId.DEAD, MessageId.USER),
)
_KINDS: Final = {int(each): each.name.lower() for each in _IN_PACKETS}


class PacketCounts:
    """Packets, and bytes of UDP payload, by the kind of their first message: what rides on it counts with it."""

    def __init__(self) -> None:
        self.packets = dict.fromkeys([*_KINDS.values(), UNREADABLE], 0)
        self.bytes = dict(self.packets)

    def count(self, first: int | None, size: int) -> None:
        """A packet of `size` bytes counts; `first` is the number of its first message, None if there is none."""
        kind = _KINDS.get(first, UNREADABLE) if first is not None else UNREADABLE
        self.packets[kind] += 1
        self.bytes[kind] += size

    @property
    def totals(self) -> tuple[int, int]:
        """All packets, and all bytes."""
        return sum(self.packets.values()), sum(self.bytes.values())

    def rows(self) -> Iterable[tuple[str, int, int]]:
        """Kind, packets, bytes."""
        return [(kind, count, self.bytes[kind]) for kind, count in self.packets.items()]
