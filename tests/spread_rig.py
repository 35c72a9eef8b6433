"""A node whose shell is the test: time is moved by hand, and what spread wants is pulled and kept.

`turn` does what the broadcaster does in one turn of the reactor, and checks on the way what holds for every turn: none
leads to another at the same time, so no shell can be kept busy without end; and whatever there is to pull was told, by
a wake or by the deadline that the shell knows, or a shell that sleeps until then would come late.
"""

from collections.abc import Mapping
from random import Random

from onevalue.config import SpreadSettings
from onevalue.exchange import Statement
from onevalue.member import Member, Status
from onevalue.spread import Rumour, Spread
from onevalue.spread.exchanges import Exchange
from onevalue.store import Source, State, Store, Write
from onevalue.types import Generation
from onevalue.values import Value

TURNS_MAX = 10_000


def state(generation: int, value: Value = 0) -> State:
    """A state without origin and time."""
    return State(Generation(generation), value)


def member(
    name: str, http: str | None = "http:8080", status: Status = Status.ALIVE, address: str = "10.0.0.1"
) -> Member:
    """A member with this `http` tag, or without one."""
    tags: Mapping[str, str] = {} if http is None else {"http": http}
    return Member(name, address, 7946, status, suspect=False, tags=tags)


def members(count: int) -> list[Member]:
    """So many of our nodes, sorted by name."""
    return [member(f"m{number:05}") for number in range(count)]


class Node:
    """Store and spread of the node `name`, at `now`."""

    def __init__(
        self, name: str = "me", *, initial: State | None = None, settings: SpreadSettings | None = None, seed: int = 1
    ) -> None:
        self.now = 1.7e9  # as large as the seconds of a reactor: floats are coarse there
        self.store = Store(initial or state(0, 42))
        self.spread = Spread(name=name, store=self.store, settings=settings or SpreadSettings(), rng=Random(seed))
        self.spread.wake = self._woken
        self.wakes = 0
        self._wakes_heard = 0
        self._deadline: float | None = None  # what a shell would wait for
        self.under_way: dict[str, Exchange] = {}
        self.asked: list[tuple[float, str]] = []
        self.sources: list[Source] = []
        self.rumours: list[tuple[float, Rumour]] = []
        self.raised: list[tuple[float, State]] = []
        self.store.observe(lambda change: self.sources.append(change.source))

    def _woken(self) -> None:
        self.wakes += 1

    # The world

    def start(self, *, somebody_to_ask: bool = True) -> None:
        """It begins, and sees itself only."""
        self.spread.start(self.now, somebody_to_ask=somebody_to_ask)
        self.meet()

    def meet(self, *others: Member) -> None:
        """These are the other members now."""
        everybody = sorted([*others, member(self.spread.name)], key=lambda one: one.name)
        self.spread.members_changed(everybody, self.now)
        self.turn()

    def write(self, value: Value) -> None:
        """Somebody writes here; it is durable at once."""
        self.store.propose(value, origin=self.spread.name, time=0.0, done=_must_be_made)
        self.store.begin_commit()
        self.store.end_commit()

    def answer(self, name: str, held: State | None, *, learning: bool = False) -> None:
        """The member that is asked says what it holds; None: it answers as the original program does."""
        said = None if held is None else Statement(name, learning, held)
        self.spread.answered(self.under_way.pop(name), said, self.now)
        self.turn()

    def fail(self, name: str) -> None:
        """The member that is asked does not answer."""
        self.spread.failed(self.under_way.pop(name), self.now)
        self.turn()

    def round(self) -> list[str]:
        """A round of anti-entropy; whom it asks."""
        before = len(self.asked)
        self.spread.round(self.now)
        self.turn()
        return [name for _, name in self.asked[before:]]

    # The shell

    def turn(self) -> None:
        """One turn of the shell: all outputs are pulled, and the next deadline is later than now."""
        wakes = self.wakes
        expected = wakes > self._wakes_heard or (self._deadline is not None and self._deadline <= self.now)
        pulled = len(self.asked) + len(self.raised)
        self.spread.handle_timer(self.now)
        if expected:  # else none, as in a shell: a token may be there a little before its time
            self.rumours += [(self.now, rumour) for rumour in self.spread.rumours_to_send(self.now)]
        for exchange in self.spread.exchanges_to_start():
            assert exchange.contact.name not in self.under_way, "two exchanges with one member"
            self.under_way[exchange.contact.name] = exchange
            self.asked.append((self.now, exchange.contact.name))
        self.raised += [(self.now, one) for one in self.spread.writes_to_make(self.now)]
        assert self.wakes == wakes, "pulling wakes the one who pulls"
        deadline = self.spread.next_deadline()
        assert deadline is None or deadline > self.now, "what was due is still due"
        if not expected:
            assert pulled == len(self.asked) + len(self.raised), "nobody woke the shell for this"
            assert deadline is None or (self._deadline or deadline + 1) <= deadline, "nobody told of this deadline"
        self._wakes_heard, self._deadline = wakes, deadline

    def run(self, seconds: float) -> None:
        """Time passes, with a turn at each deadline."""
        end = self.now + seconds
        for _ in range(TURNS_MAX):
            deadline = self.spread.next_deadline()
            if deadline is None or deadline > end:
                break
            self.now = deadline
            self.turn()
        else:
            raise AssertionError("busy without end")
        self.now = end
        self.turn()


def _must_be_made(write: Write) -> None:
    assert write.error is None
