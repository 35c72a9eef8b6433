"""Confirming: who else holds an own write on its disk, for writers who want more than this node's word.

A member confirms a write by holding it, or a state of a higher generation, durably. Whom it cannot count are members
that hold less, or do not answer: they are asked again until the time is up. It must not know how a member is asked.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice

from onevalue.errors import BusyError
from onevalue.spread.contacts import Contact
from onevalue.store import State
from onevalue.types import Generation, Rng

CONFIRMATIONS_MAX = 256
"""Writes that wait for others at the same time."""

PARALLEL_MAX = 16
"""Members that are asked at once."""

SPARE = 1
"""So many more are asked than are needed, so that one slow member does not hold up a write."""

PAUSE_S = 0.2
"""Before a member that did not confirm is asked again."""


@dataclass(frozen=True, slots=True)
class Confirmed:
    """What came of it.

    Attributes:
        held: how many hold the write, or what stands above it, durably; this node among them.
        needed: how many were wanted.
        superseded_by: the newest state of a higher generation that any of them holds.
        winner: another value of the same generation that won; then the write is nowhere any more, or soon.
    """

    held: int
    needed: int
    superseded_by: State | None
    winner: State | None


@dataclass(eq=False)
class _Waiting:
    """A write that waits: `names` are the members that count, None: all; `here` is 1 if this node counts, too."""

    state: State
    needed: int
    names: dict[str, None] | None
    until: float
    done: Callable[[Confirmed], None]
    here: int
    held: dict[str, None] = field(default_factory=dict)
    superseded_by: State | None = None
    winner: State | None = None

    def missing(self) -> int:
        """How many more are wanted."""
        return self.needed - self.here - len(self.held)

    @property
    def is_over(self) -> bool:
        """There is nothing more to wait for."""
        return self.winner is not None or self.missing() <= 0

    def counts(self, name: str) -> bool:
        """This member's word would help."""
        return name not in self.held and (self.names is None or name in self.names)

    def sees(self, state: State) -> None:
        """Somebody holds `state`."""
        if state.generation == self.state.generation and self.state < state:
            self.winner = state
        elif state.generation > self.state.generation and (self.superseded_by is None or self.superseded_by < state):
            self.superseded_by = state

    def result(self) -> Confirmed:
        """As it stands now."""
        return Confirmed(self.here + len(self.held), self.needed, self.superseded_by, self.winner)


class Confirming:
    """The writes of this node that wait for others."""

    def __init__(self, rng: Rng) -> None:
        self._rng = rng
        self._waiting: list[_Waiting] = []
        self._asked: dict[str, Generation] = {}  # with the generation that each was told
        self._not_before: dict[str, float] = {}

    @property
    def full(self) -> bool:
        """No more writes can wait now."""
        return len(self._waiting) >= CONFIRMATIONS_MAX

    @property
    def deadline(self) -> float | None:
        """When a time is up, or a member may be asked again, in seconds of now; None when nothing waits."""
        return min([*(each.until for each in self._waiting), *self._not_before.values()], default=None)

    def begin(
        self,
        state: State,
        needed: int,
        names: Sequence[str] | None,
        until: float,
        current: State,
        done: Callable[[Confirmed], None],
        here: int,
    ) -> None:
        """`done` is called once: when `needed` hold `state`, this node counted; when another won; or at `until`.

        Args:
            state: an own write that is durable here.
            needed: how many, from 1.
            names: members that count; None: any.
            until: seconds of now.
            current: what this node holds by now.
            done: must not raise.
            here: 1 if this node holds it durably, else 0.

        Raises:
            BusyError: CONFIRMATIONS_MAX writes wait already; `done` is not called.
        """
        if self.full:
            raise BusyError(f"{CONFIRMATIONS_MAX} writes wait for confirmation already")
        waiting = _Waiting(state, needed, None if names is None else dict.fromkeys(names), until, done, here)
        waiting.sees(current)
        self._waiting.append(waiting)
        self._finish()

    def holds_now(self, current: State) -> None:
        """This node holds `current` now."""
        for waiting in self._waiting:
            waiting.sees(current)
        self._finish()

    def whom_to_ask(self, idle: Sequence[Contact], told: Generation, now: float) -> list[Contact]:
        """Whom of these, none of whom is being asked, to ask now; they will be told the state of this generation."""
        self._not_before = {name: at for name, at in self._not_before.items() if at > now and self._waiting}
        wanted = max((waiting.missing() for waiting in self._waiting), default=0)
        room = min(PARALLEL_MAX, wanted + SPARE) - len(self._asked)
        if wanted <= 0 or room <= 0:
            return []
        start = self._rng.randrange(len(idle)) if idle else 0  # not always the same members
        some = (c for part in (idle[start:], idle[:start]) for c in part if self._helps(c.name))
        chosen = list(islice(some, room))
        for contact in chosen:
            self._asked[contact.name] = told
        return chosen

    def holds(self, name: str, tag: str, generation: Generation, state: State | None) -> None:
        """This member holds the state with this tag durably; `state` is the state itself, if it was told."""
        for waiting in self._waiting:
            if state is not None:
                waiting.sees(state)
            if waiting.counts(name) and (generation > waiting.state.generation or tag == waiting.state.tag):
                waiting.held[name] = None
        self._finish()

    def ended(self, name: str, now: float) -> None:
        """The exchange with this member is over, whatever came of it."""
        told = self._asked.pop(name, None)
        if told is not None and any(each.counts(name) and each.state.generation <= told for each in self._waiting):
            self._not_before[name] = now + PAUSE_S  # it could have helped, and did not

    def _helps(self, name: str) -> bool:
        return name not in self._not_before and any(waiting.counts(name) for waiting in self._waiting)

    def expire(self, now: float) -> None:
        """Those whose time is up are done, with what there is."""
        over = [waiting for waiting in self._waiting if now >= waiting.until]
        self._waiting = [waiting for waiting in self._waiting if now < waiting.until]
        for waiting in over:
            waiting.done(waiting.result())

    def _finish(self) -> None:
        over = [waiting for waiting in self._waiting if waiting.is_over]
        self._waiting = [waiting for waiting in self._waiting if not waiting.is_over]
        for waiting in over:
            waiting.done(waiting.result())
