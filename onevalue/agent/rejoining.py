"""Whom an agent that has lost its cluster is to join: members that were there, and have not left on purpose.

An agent that is started anew knows nobody, unless it is told to join (-join, -retry-join, -snapshot). It must not know
how an agent is asked.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from onevalue.addresses import host_port
from onevalue.member import Member, Status
from onevalue.types import Rng

REJOIN_AFTER_S: Final = 10.0
"""An agent that knows nobody for so long is asked to join some of those that were there."""

REJOIN_PAUSE_S: Final = 30.0
"""And then again, as often."""

REJOIN_MAX: Final = 3
"""So many members it is asked to join at once."""

KNOWN_MAX: Final = 256
"""Members that are remembered for that."""


class Rejoining:
    """Remembers, and decides when to join whom.

    Args:
        rng: chooses: not all nodes of a cluster are to ask for the same ones.
    """

    def __init__(self, rng: Rng) -> None:
        self._rng = rng
        self._known: dict[str, Member] = {}
        self._alone_since: float | None = None

    def lost(self, others: Sequence[Member]) -> list[Member]:
        """Whom an agent that knows these does not know any more, though they have not left; none if it knows any."""
        if any(member.status is not Status.LEFT for member in others):
            return []
        left = {member.name for member in others}
        return [replace(known, status=Status.FAILED) for name, known in self._known.items() if name not in left]

    def forget(self, name: str) -> None:
        """This member is not coming back."""
        self._known.pop(name, None)

    def notice(self, others: Iterable[Member]) -> bool:
        """These are there, or have left; True if any of them counts as a member still.

        Who failed does: the agent itself goes on looking for them.
        """
        any_member = False
        for member in others:
            if member.status is Status.LEFT:
                self.forget(member.name)
                continue
            any_member = True
            if member.is_present and (member.name in self._known or len(self._known) < KNOWN_MAX):
                self._known[member.name] = member
        return any_member

    def look(self, others: Iterable[Member], now: float) -> Sequence[str]:
        """The addresses to join now, given whom the agent knows; none while it knows any, or if none was known."""
        if self.notice(others):
            self._alone_since = None
        elif self._alone_since is None:
            self._alone_since = now
        elif self._known and now >= self._alone_since + REJOIN_AFTER_S:
            self._alone_since = now + REJOIN_PAUSE_S - REJOIN_AFTER_S
            some = self._rng.sample(sorted(self._known), min(REJOIN_MAX, len(self._known)))
            return [host_port(self._known[name].address, self._known[name].port) for name in some]
        return ()
