"""Fetching: a state of which this node knows only the tag, because its value is too large for an event.

Who announced it is asked first, then its origin, then random members, one at a time. All that hear of it at once begin
at different times, so that they do not all come to the origin in the same moment. It must not know how a member is
asked: any exchange of states will do, because who holds more answers with the whole of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from onevalue.spread.contacts import Contact
from onevalue.store import Source, State, generation_of
from onevalue.types import Generation, Rng

SPACING_S = 0.002
"""The first question comes within so long for each member, at random: a holder so answers some 500 a second."""

WAIT_MAX_S = 1.0
"""It comes within so long at the latest."""

PAUSE_S = 0.25
"""Before the next member is asked."""

ATTEMPTS_MAX = 12
"""Members that are asked for one state. After that anti-entropy brings it."""


GIVE_UP_S = 30.0
"""So long nobody is asked again for a state that nobody had; those who hold it and see that we do not, send it."""

HOLDERS_MAX = 8
"""Members that are remembered to hold it, to be asked first."""


@dataclass(slots=True)
class _Wanted:
    """A state that is to be fetched; `source` is how this node heard of it, `holders` are asked first."""

    tag: str
    generation: Generation
    source: Source
    holders: list[str]
    next_at: float
    attempts: int = 0

    def add(self, holders: Sequence[str]) -> None:
        """The first of them will be asked, too, if there is room."""
        if len(self.holders) < HOLDERS_MAX:
            self.holders += [name for name in holders[:1] if name not in self.holders]


class Fetching:
    """The newest state that this node has heard of and does not hold, and whom it asks for it."""

    def __init__(self, rng: Rng) -> None:
        self._rng = rng
        self._wanted: _Wanted | None = None
        self._rival: _Wanted | None = None  # another of the same generation: which is larger, nobody can tell yet
        self._asked: str | None = None  # the member that is asked now
        self._compared = ""  # the last tag that was fetched: it may have lost against ours, and is no news
        self._given_up = ""  # the last tag that nobody had
        self._given_up_until = 0.0

    @property
    def deadline(self) -> float | None:
        """When somebody is to be asked, in seconds of now; None: nothing is wanted, or an answer must come first."""
        return None if self._wanted is None or self._asked is not None else self._wanted.next_at

    def heard(self, tag: str, holders: Sequence[str], source: Source, current: State, members: int, now: float) -> bool:
        """Somebody holds the state with this tag. True if that is news, and the state may be above all others."""
        generation = generation_of(tag)
        if generation < current.generation or tag in {current.tag, self._compared}:
            return False
        if tag == self._given_up and now < self._given_up_until:
            return False
        for known in (self._wanted, self._rival):
            if known is not None and known.tag == tag:
                known.add(holders)
                return False
        if self._wanted is not None and generation < self._wanted.generation:
            return False
        wait_s = self._rng.uniform(0.0, min(WAIT_MAX_S, SPACING_S * members))
        first = list(dict.fromkeys(name for name in holders if name))
        news = _Wanted(tag, generation, source, first, now + wait_s)
        if self._wanted is not None and generation == self._wanted.generation:
            self._rival = news
        else:
            self._wanted, self._rival = news, None
        return True

    def holds_now(self, current: State) -> None:
        """This node holds `current` now: what is not above it is not wanted any more."""
        if self._wanted is not None and self._is_over(self._wanted, current):
            self._wanted, self._rival = self._rival, None
        if self._wanted is not None and self._is_over(self._wanted, current):
            self._wanted = None

    def whom_to_ask(self, idle: Sequence[Contact], now: float) -> tuple[Contact, Source] | None:
        """Whom of these to ask now, and how this node heard of what it wants; None: nobody now."""
        wanted = self._wanted
        if wanted is None or self._asked is not None or now < wanted.next_at:
            return None
        if wanted.attempts >= ATTEMPTS_MAX:
            self._given_up, self._given_up_until = wanted.tag, now + GIVE_UP_S
            self._wanted, self._rival = self._rival, None
            return self.whom_to_ask(idle, now)
        wanted.attempts += 1
        wanted.next_at = now + PAUSE_S
        contact = self._choose(wanted, idle)
        if contact is None:
            return None
        self._asked = contact.name
        return contact, wanted.source

    def ended(self, name: str, tag: str | None, now: float) -> None:
        """The exchange with this member is over; it holds the state with this tag, None if it did not answer."""
        if name != self._asked:
            return
        self._asked = None
        wanted = self._wanted
        if wanted is not None and tag == wanted.tag:  # it is here, whichever of the two is above the other
            self._compared = wanted.tag
            self._wanted, self._rival = self._rival, None
        elif wanted is not None:
            wanted.next_at = now + PAUSE_S

    @staticmethod
    def _is_over(wanted: _Wanted, current: State) -> bool:
        return wanted.generation < current.generation or wanted.tag == current.tag

    def _choose(self, wanted: _Wanted, idle: Sequence[Contact]) -> Contact | None:
        while wanted.holders:
            name = wanted.holders.pop(0)
            for contact in idle:
                if contact.name == name:
                    return contact
        return self._rng.sample(idle, 1)[0] if idle else None
