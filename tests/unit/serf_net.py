"""Serfs on the network in memory: nodes named n1, n2 and so on, and what they tell."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from onevalue.config import LAN, SerfSettings, SwimSettings
from onevalue.serf.core import Serf
from onevalue.serf.events import SerfEvent
from onevalue.serf.lamport import Clocks
from onevalue.serf.members import MemberStatus, SerfMember
from onevalue.types import Address, Incarnation, LamportTime
from onevalue.wire.codec import encode_message, encode_packet
from onevalue.wire.envelope import Envelope
from onevalue.wire.messages import Alive, User
from onevalue.wire.serf_codec import encode_serf, encode_tags
from onevalue.wire.serf_messages import SerfMessage
from tests.unit.swim_net import PORT, VSN, Net

STRANGER: Address = ("10.0.9.9", PORT)

_Event = TypeVar("_Event", bound=SerfEvent)


def time_of(number: int) -> LamportTime:
    """A number as a Lamport time."""
    return LamportTime(number)


def make_serf(  # noqa: PLR0913  # all that a Serf may be told
    index: int,
    *,
    seed: int = 1,
    name: str | None = None,
    tags: Mapping[str, str] | None = None,
    settings: SerfSettings | None = None,
    swim_settings: SwimSettings = LAN,
    clocks: Clocks | None = None,
    held_events: Sequence[str] = (),
    envelope: Envelope | None = None,
    lost: Sequence[SerfMember] = (),
) -> Serf:
    """A Serf at 10.0.0.`index` that nobody has started."""
    return Serf(
        name=name or f"n{index}",
        addr=bytes([10, 0, 0, index]),
        port=PORT,
        tags={"index": str(index)} if tags is None else tags,
        swim_settings=swim_settings,
        settings=settings or SerfSettings(),
        rng=random.Random(f"{seed} {index}"),
        clocks=clocks,
        held_events=held_events,
        envelope=envelope,
        lost=lost,
    )


def member(serf: Serf, name: str) -> SerfMember | None:
    """What a Serf knows of a name."""
    return next((each for each in serf.members() if each.name == name), None)


def hear_alive(serf: Serf, name: str, index: int, now: float = 0.0, *, incarnation: int = 1) -> None:
    """The Serf hears that a member is alive at 10.0.0.`index`."""
    meta = encode_tags({"index": str(index)})
    alive = Alive(Incarnation(incarnation), name, bytes([10, 0, 0, index]), PORT, meta, VSN)
    serf.receive_datagram(encode_packet([encode_message(alive)], compress=False, crc=False), STRANGER, now)


def hear(serf: Serf, message: SerfMessage | bytes, now: float = 0.0) -> bytes:
    """The Serf gets a Serf message as gossip; returns its bytes."""
    raw = message if isinstance(message, bytes) else encode_serf(message)
    serf.receive_datagram(encode_packet([encode_message(User(raw))], compress=False, crc=False), STRANGER, now)
    return raw


def told(serf: Serf) -> list[SerfEvent]:
    """All that the Serf tells now."""
    found: list[SerfEvent] = []
    while (event := serf.next_event()) is not None:
        found.append(event)
    return found


class SerfNet(Net):
    """A network whose nodes are Serfs at 10.0.0.1, 10.0.0.2 and so on."""

    def __init__(
        self,
        size: int,
        *,
        settings: SerfSettings | None = None,
        swim_settings: SwimSettings = LAN,
        seed: int = 1,
        loss: float = 0.0,
        held_events: Sequence[str] = (),
    ) -> None:
        super().__init__(seed, loss=loss)
        self.serfs: dict[str, Serf] = {}
        self._settings = settings or SerfSettings()
        self._swim_settings = swim_settings
        self._seed = seed
        self._held_events = held_events
        for index in range(1, size + 1):
            self.begin(index)

    @property
    def names(self) -> list[str]:
        """All nodes."""
        return list(self.serfs)

    def begin(
        self,
        index: int,
        clocks: Clocks | None = None,
        envelope: Envelope | None = None,
        lost: Sequence[SerfMember] = (),
    ) -> None:
        """The node of this number starts, perhaps anew, alone, and with nothing in mind but its clocks and `lost`."""
        serf = make_serf(
            index,
            seed=self._seed,
            settings=self._settings,
            swim_settings=self._swim_settings,
            clocks=clocks,
            held_events=self._held_events,
            envelope=envelope,
            lost=lost,
        )
        self.serfs[serf.name] = serf
        self.add(serf.name, serf, (f"10.0.0.{index}", PORT), envelope)

    def join(self, name: str, other: str) -> None:
        """A node begins to join another."""
        self.call(name, lambda _, now: self.serfs[name].join(self.nodes[other].address, now))

    def join_all(self) -> None:
        """All nodes have joined the first, and know each other."""
        for name in self.names[1:]:
            self.join(name, "n1")
        assert self.run_until(lambda: self.all_see(MemberStatus.ALIVE, self.names), 40.0), "all find each other"

    def status(self, at: str, name: str) -> MemberStatus | None:
        """The status of a name, as seen at a node."""
        known = member(self.serfs[at], name)
        return None if known is None else known.status

    def all_see(self, status: MemberStatus, names: Sequence[str]) -> bool:
        """Every node that is up sees all these names in this status."""
        return all(self.status(node.name, name) is status for node in self.nodes.values() if node.up for name in names)

    def told(self, at: str, kind: type[_Event]) -> list[_Event]:
        """All events of one kind that a node told."""
        return [event for event in self.nodes[at].events if isinstance(event, kind)]

    def forget_told(self) -> None:
        """What the nodes told until now is no longer looked at."""
        for node in self.nodes.values():
            node.events.clear()


def quick(settings: SwimSettings = LAN) -> SwimSettings:
    """Settings under which dead members are soon forgotten."""
    return replace(settings, gossip_to_the_dead_s=5.0)
