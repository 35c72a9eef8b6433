"""Outgoing: the newest value event, when it leaves, and to whom at once.

An own state becomes an event if the bound on events lets it pass; states between are never sent. Copies leave at a
bounded rate, in slices. It must not know how an event travels, nor why a state is the newest.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from onevalue.config import SpreadSettings
from onevalue.member import Member
from onevalue.spread.rumour import TokenBucket, encode_event, targets_of_head, targets_of_origin
from onevalue.store import State
from onevalue.types import Rng

DIRECT_COPIES_BURST = 256
"""Direct copies that leave in one go, as many as there are of one event among 16,000 members; the rest follows at the
bounded rate."""


@dataclass(frozen=True, slots=True)
class Rumour:
    """A value event is to leave.

    Attributes:
        payload: of an own event to make, which goes into the value slot of gossip too; else None.
        raw: the event of another node, which goes on into the value slot as the same bytes; else None.
            With neither, the newest value event goes to `direct` only: a later slice of its copies.
        direct: members that get a copy at once.
    """

    payload: bytes | None
    raw: bytes | None
    direct: tuple[Member, ...]


class Outgoing:
    """What this node has to send of value events."""

    def __init__(self, name: str, settings: SpreadSettings, rng: Rng) -> None:
        self.sent = 0  # own events, since the start
        self._name = name
        self._settings = settings
        self._rng = rng
        self._own: State | None = None  # the newest own state, while its event has not left
        self._events = TokenBucket(settings.events_per_s, settings.events_burst)
        self._event_wait: float | None = None
        self._copies = TokenBucket(settings.direct_copies_per_s, DIRECT_COPIES_BURST)
        self._copies_wait: float | None = None
        self._newest: Rumour | None = None  # the newest event, with the members that still get a copy

    @property
    def deadline(self) -> float | None:
        """When there is more to send, in seconds of now; None for not at all."""
        return min((time for time in (self._event_wait, self._copies_wait) if time is not None), default=None)

    def written(self, state: State) -> None:
        """This node has made this state: it is to leave, in place of any before."""
        self._own = state

    def relay(self, raw: bytes, members: Sequence[Member]) -> None:
        """The newest event is another node's: it is to go on as it is, at once to those whom this node heads."""
        self._newest = Rumour(None, raw, tuple(targets_of_head(members, self._name, self._settings.direct_members_max)))

    def to_send(self, current: State, members: Sequence[Member], now: float) -> list[Rumour]:
        """What is to leave now; `current` is what this node holds."""
        self._originate(current, members, now)
        return self._copy(now)

    def _originate(self, current: State, members: Sequence[Member], now: float) -> None:
        """Make the event of the newest own state, if the bound on events lets it pass now."""
        self._event_wait = None
        if self._own is None:
            return
        if self._own != current:
            self._own = None  # overtaken: its winner's origin tells the others
        elif self._events.take(1, now):
            targets = targets_of_origin(members, self._name, self._settings.direct_members_max)
            # Begin anywhere: a newer event ends the copies of the one before, and must not always starve the same.
            start = self._rng.randrange(len(targets)) if targets else 0
            self._newest = Rumour(encode_event(self._own), None, tuple(targets[start:] + targets[:start]))
            self._own = None
            self.sent += 1
        else:
            self._event_wait = self._events.next_token()

    def _copy(self, now: float) -> list[Rumour]:
        """The newest event, to as many members as the bound on copies lets pass now; the rest of them waits."""
        self._copies_wait = None
        rumour, self._newest = self._newest, None
        if rumour is None:
            return []
        count = self._copies.take(len(rumour.direct), now)
        rest = rumour.direct[count:]
        if rest:
            self._newest = Rumour(None, None, rest)
            self._copies_wait = self._copies.next_token()
        return [replace(rumour, direct=rumour.direct[:count])]
