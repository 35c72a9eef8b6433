"""The members as SWIM knows them: one record each, the order in which they are probed, random choices among them.

Follows wire README 4.3 (probe order) and memberlist's state.go. Which news about a member counts is `rules`' business.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from onevalue.swim.address import to_address
from onevalue.types import Address, Incarnation, Rng
from onevalue.wire.messages import NodeStatus

MEMBERS_MAX: Final = 16384
"""Members in any state; further names are refused.

DEPARTURE (members-max): memberlist remembers every name that anybody forges.
"""

_SAMPLE_FACTOR: Final = 3

GONE: Final = (NodeStatus.DEAD, NodeStatus.LEFT)


@dataclass(frozen=True, slots=True)
class MemberRecord:
    """What is known of one member; replaced, never changed in place.

    Attributes:
        name: unique in the cluster.
        addr: 4 or 16 raw bytes, in the form in which they came.
        port: of gossip.
        meta: opaque here; Serf's tags.
        vsn: six bytes of protocol versions, or b"" if not told.
        incarnation: the newest that was heard.
        status: memberlist's state.
        changed: when `status` last changed, in the seconds of `now`.
    """

    name: str
    addr: bytes
    port: int
    meta: bytes
    vsn: bytes
    incarnation: Incarnation
    status: NodeStatus
    changed: float

    @property
    def address(self) -> Address:
        """Where to send to the member."""
        return to_address(self.addr, self.port)

    @property
    def protocol_max(self) -> int:
        """The newest memberlist protocol that it speaks: 3 has TCP pings, 4 nacks, 5 CRCs (wire README 4.1)."""
        return self.vsn[1] if len(self.vsn) == 6 else 0

    @property
    def is_gone(self) -> bool:
        """Dead or left; else it is alive, perhaps under suspicion."""
        return self.status in GONE


@dataclass(frozen=True, slots=True)
class Acquaintances:
    """Members that are known from the start; made once for all nodes of a simulated cluster, which share it.

    Attributes:
        records: alive members, by name.
        names_by_address: their names.
    """

    records: Mapping[str, MemberRecord]
    names_by_address: Mapping[Address, str]

    @classmethod
    def of(cls, records: Sequence[MemberRecord]) -> "Acquaintances":
        """These."""
        return cls({each.name: each for each in records}, {each.address: each.name for each in records})


class MemberTable:
    """All members that are remembered, in any state; at most `members_max`."""

    def __init__(self, members_max: int = MEMBERS_MAX) -> None:
        self._members_max = members_max
        self._records: dict[str, MemberRecord] = {}
        self._names_by_address: dict[Address, str] = {}
        self._order: list[str] = []
        self._turn = 0

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, name: str) -> bool:
        return name in self._records

    @property
    def is_full(self) -> bool:
        """No further name has room."""
        return len(self._records) >= self._members_max

    def get(self, name: str) -> MemberRecord | None:
        """The record of a name, or None."""
        return self._records.get(name)

    def at(self, address: Address) -> MemberRecord | None:
        """The member that was heard of last at an address, or None."""
        name = self._names_by_address.get(address)
        return None if name is None else self._records[name]

    def records(self) -> list[MemberRecord]:
        """All records, in the order in which their names became known."""
        return list(self._records.values())

    def put(self, record: MemberRecord, rng: Rng) -> None:
        """The record stands; a new name gets a random place in the probe order. The caller has seen to the room."""
        old = self._records.get(record.name)
        if old is None:
            self._insert_in_order(record.name, rng)
        elif (old.addr, old.port) != (record.addr, record.port):
            self._forget_address(old)
        self._records[record.name] = record
        self._names_by_address[record.address] = record.name

    def meet(self, known: Acquaintances, rng: Rng) -> None:
        """These stand in the table, beside and below those who stand there already; the probe order is random."""
        self._records = {**self._records, **known.records, **self._records}
        self._names_by_address = {**known.names_by_address, **self._names_by_address}
        self._order = list(self._records)
        self.shuffle(rng)

    def forget(self, names: list[str]) -> None:
        """These names are unknown again."""
        for name in names:
            self._forget_address(self._records.pop(name))
        passed = [name for name in self._order[: self._turn] if name in self._records]
        self._order = passed + [name for name in self._order[self._turn :] if name in self._records]
        self._turn = len(passed)

    def next_in_turn(self) -> MemberRecord | None:
        """The next member of the round of probes; None at its end, after which `shuffle` begins another."""
        if self._turn >= len(self._order):
            return None
        self._turn += 1
        return self._records[self._order[self._turn - 1]]

    def shuffle(self, rng: Rng) -> None:
        """A new round of probes begins, in a new random order."""
        rng.shuffle(self._order)
        self._turn = 0

    def choose(self, count: int, suits: Callable[[MemberRecord], bool], rng: Rng) -> list[MemberRecord]:
        """Up to `count` different random members that suit, fewer only when there are no more (unlike old memberlist).

        A small sample nearly always holds enough of them, so that a large table need not be looked through.
        """
        sample = rng.sample(self._order, min(len(self._order), _SAMPLE_FACTOR * count))
        found = [self._records[name] for name in sample if suits(self._records[name])]
        if len(found) < count:
            found = [record for record in self._records.values() if suits(record)]
            found = rng.sample(found, min(len(found), count))
        return found[:count]

    def _insert_in_order(self, name: str, rng: Rng) -> None:
        place = rng.randrange(len(self._order) + 1)
        self._order.insert(place, name)
        if place < self._turn:
            self._turn += 1

    def _forget_address(self, record: MemberRecord) -> None:
        if self._names_by_address.get(record.address) == record.name:
            del self._names_by_address[record.address]
