"""What all parts of one SWIM member share: settings, chance, deadlines, counters, envelope, and telling the owner.

It must not know any of the parts.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from onevalue.config import SwimSettings
from onevalue.histogram import Histogram
from onevalue.swim.counters import PacketCounts, new_counters
from onevalue.swim.events import SwimEvent
from onevalue.swim.timers import Timers
from onevalue.types import Rng
from onevalue.wire.envelope import Envelope


@dataclass(frozen=True, slots=True)
class Common:
    """Handed to each part.

    Attributes:
        settings: memberlist's.
        rng: chance.
        tell: the owner hears of this event, after those before it.
        envelope: what stands around packets and streams.
        timers: what is to be done when; each part names its keys after itself.
        counters: see `counters`; each part counts its own.
        received, sent: packets, by kind.
        round_trips: seconds from a direct ping to its ack.
    """

    settings: SwimSettings
    rng: Rng
    tell: Callable[[SwimEvent], None]
    envelope: Envelope = field(default_factory=Envelope)
    timers: Timers = field(default_factory=Timers)
    counters: dict[str, int] = field(default_factory=new_counters)
    received: PacketCounts = field(default_factory=PacketCounts)
    sent: PacketCounts = field(default_factory=PacketCounts)
    round_trips: Histogram = field(default_factory=Histogram)
