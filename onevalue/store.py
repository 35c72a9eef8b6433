"""The store: the one value, its generation, which of two states wins, and who is told.

States are totally ordered, and `merge` keeps the larger: a join-semilattice, so nodes that saw the same states hold
the same value, whatever was lost, repeated or reordered (docs/architecture.md, "What one value means").

The store knows two states. `current` is what readers see. `head` is what the newest waiting own write proposes; it
equals `current` when nothing waits. Own writes wait, in order, until they are durable.

It must not know how a state travels, who asks, nor how it is made durable; it has no clock, no socket, no Twisted.
"""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cached_property
from typing import Self, TypeGuard

from onevalue.errors import (
    ConflictError,
    ExhaustedError,
    NotDurableError,
    RemoteProtocolError,
    TooLargeError,
    WriteRefusedError,
)
from onevalue.types import Generation
from onevalue.values import VALUE_DEPTH_MAX, VALUE_SIZE_MAX, Value, canonical, is_deeper, is_integer, object_text

GENERATION_MAX = Generation(2**63 - 1)
ORIGIN_LENGTH_MAX = 256

WAITING_WRITES_MAX = 4096
"""Own writes that wait for the journal."""

WAITING_SIZE_MAX = 8 * 1024 * 1024
"""Bytes of canonical JSON of these. In memory a value may take more than twenty times as many: it may be all arrays."""

_TAG = re.compile(r"(0|[1-9][0-9]{0,18})-[0-9a-f]{16}")


@dataclass(frozen=True, eq=False)
class State:
    """A value and its generation; `origin` and `time` are for people and never part of the order or of equality.

    Attributes:
        generation: 0 .. 2**63-1; counts the writes that this one stands upon.
        value: any JSON value within the bounds of `values`.
        origin: the name of the node where it was written, "" if not known.
        time: when it was written, seconds since 1970 by the origin's wall clock, 0.0 if not known.
    """

    generation: Generation
    value: Value
    origin: str = ""
    time: float = 0.0

    @cached_property
    def order(self) -> tuple[int, int, int, bytes]:
        """The place in the total order: generation; then integers by size, below all else; then canonical JSON."""
        if isinstance(self.value, int) and not isinstance(self.value, bool):
            return (self.generation, 0, self.value, b"")
        return (self.generation, 1, 0, self.text)

    @cached_property
    def text(self) -> bytes:
        """The canonical JSON of the value."""
        return canonical(self.value)

    @property
    def json(self) -> bytes:
        """The canonical text of `to_json`; that of the value is not made anew."""
        return object_text(
            {
                "generation": b"%d" % self.generation,
                "origin": canonical(self.origin),
                "time": canonical(self.time),
                "value": self.text,
            }
        )

    def numbered(self, generation: Generation) -> "State":
        """The same write at another generation."""
        state = replace(self, generation=generation)
        state.__dict__["text"] = self.text  # a cached property: what is known of the value stays known
        return state

    @property
    def is_integer(self) -> bool:
        """The value is one that the original program could hold, too."""
        return is_integer(self.value)

    @cached_property
    def tag(self) -> str:
        """The name of the state, also its ETag: generation, a dash, 16 hex digits of SHA-256 of the value."""
        return f"{self.generation}-{hashlib.sha256(self.text).hexdigest()[:16]}"

    def __eq__(self, other: object) -> bool:
        return self.order == other.order if isinstance(other, State) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.order)

    def __lt__(self, other: "State") -> bool:
        return self.order < other.order

    def __le__(self, other: "State") -> bool:
        return self.order <= other.order

    def to_json(self) -> dict[str, Value]:
        """The state as a JSON object; `state_from_json` reads it back."""
        return {"generation": self.generation, "value": self.value, "origin": self.origin, "time": self.time}


def state_from_json(obj: object) -> State:
    """The state that a peer's JSON object means, as `values.parse_json` read it.

    Raises:
        RemoteProtocolError: it is no object, a field is missing, of the wrong type or out of range.
    """
    if not isinstance(obj, dict):
        raise RemoteProtocolError("a state is a JSON object with generation and value")
    generation, value = obj.get("generation"), obj.get("value")
    origin, time = obj.get("origin", ""), obj.get("time", 0.0)
    if not _is_integer(generation, 0, GENERATION_MAX):
        raise RemoteProtocolError(f"generation must be an integer from 0 to {GENERATION_MAX}")
    if "value" not in obj:
        raise RemoteProtocolError("a state has a value")
    if not is_text(origin, ORIGIN_LENGTH_MAX):
        raise RemoteProtocolError(f"origin must be a text of at most {ORIGIN_LENGTH_MAX} characters")
    if isinstance(time, bool) or not isinstance(time, int | float) or not 0 <= time < 2**53:
        raise RemoteProtocolError("time must be a number of seconds since 1970")
    state = State(Generation(generation), value, origin, float(time))
    if len(state.text) > VALUE_SIZE_MAX:
        raise TooLargeError(f"a value has at most {VALUE_SIZE_MAX} bytes of canonical JSON, not {len(state.text)}")
    if is_deeper(state.text, VALUE_DEPTH_MAX):
        raise RemoteProtocolError(f"a value has at most {VALUE_DEPTH_MAX} arrays and objects in each other")
    return state


def generation_of(tag: object) -> Generation:
    """The generation of the state that has this tag.

    Raises:
        RemoteProtocolError: it is no tag.
    """
    found = _TAG.fullmatch(tag) if isinstance(tag, str) else None
    if found is None or int(found[1]) > GENERATION_MAX:
        raise RemoteProtocolError("a tag is a generation, a dash and 16 hex digits in lower case")
    return Generation(int(found[1]))


def is_text(obj: object, length_max: int) -> TypeGuard[str]:
    """True for a text of at most so many characters that UTF-8 can express; JSON can spell lone surrogates."""
    if not isinstance(obj, str) or len(obj) > length_max:
        return False
    try:
        obj.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_integer(obj: object, low: int, high: int) -> TypeGuard[int]:
    return isinstance(obj, int) and not isinstance(obj, bool) and low <= obj <= high


class Source(Enum):
    """How a state came to this node."""

    SET = "set"
    NOTIFY = "notify"  # pushed over HTTP, by anti-entropy of another node or by an original program
    EVENT = "event"  # a rumour
    ANTI_ENTROPY = "anti-entropy"  # the answer to our own exchange
    JOIN = "join"  # learnt before this node took writes


@dataclass(frozen=True)
class Change:
    """`current` went from `old` to the larger `new`."""

    old: State
    new: State
    source: Source


@dataclass(frozen=True, slots=True)
class Condition:
    """What a writer demands of the state that it writes upon (RFC 9110, 13.1).

    Attributes:
        match: its tag must be one of these; None: any state will do.
        none_match: its tag must be none of these.
        no_state: no state will do, because there always is one (`If-None-Match: *`).
    """

    match: tuple[str, ...] | None = None
    none_match: tuple[str, ...] = ()
    no_state: bool = False

    @classmethod
    def of(cls, tag: str) -> Self:
        """The very state with this tag."""
        return cls((tag,))

    def refuses(self, state: State) -> str | None:
        """Why not upon this state, a clause; None: it may be."""
        if self.no_state:
            return "there is always a value"
        if self.match is not None and state.tag not in self.match:
            return f"the state is {state.tag}, not {' or '.join(self.match) or 'one that a write may name'}"
        return f"the state is {state.tag}" if state.tag in self.none_match else None


@dataclass(eq=False)
class Write:
    """An own write that waits until it is durable.

    `done` is called once: with `error` None when `state` is durable and merged, else with the reason why no node will
    ever see it; of one `in_flight`, once what overtook it is durable (see `Writer`). Until then `state` may change: a
    merged state that overtakes head makes it take a generation above. `in_flight` while the journal has exactly this
    state in a commit, and for good if it is lost meanwhile.
    """

    state: State
    condition: Condition | None
    done: Callable[["Write"], None]
    error: WriteRefusedError | None = None
    in_flight: bool = field(default=False, repr=False)


Observer = Callable[[Change], None]


class Store:
    """The one value of this node, shared by all services.

    Args:
        initial: the state to begin with: the journal's, or the configured value at generation 0.
    """

    def __init__(self, initial: State) -> None:
        self._current = initial
        self._waiting: list[Write] = []
        self._waiting_size = 0  # bytes of their values
        self._observers: list[Observer] = []
        self._tell_overtaken: Callable[[list[State]], None] = lambda _: None

    @property
    def current(self) -> State:
        """What readers see."""
        return self._current

    @property
    def head(self) -> State:
        """What the newest waiting own write proposes; `current` when none waits, or when that is larger.

        It is larger when a state was merged above a write in flight, and those behind it were given up.
        """
        return max(self._waiting[-1].state, self._current) if self._waiting else self._current

    def observe(self, observer: Observer) -> Callable[[], None]:
        """From now on `observer` is called at each change of `current`, in order; returns the way to end that.

        An observer must not raise, and must not write or merge before it returns.
        """
        self._observers.append(observer)
        return lambda: self._observers.remove(observer)

    def when_overtaken(self, tell: Callable[[list[State]], None]) -> None:
        """From now on `tell` is called with the states in flight that were overtaken, before the change is seen.

        Their writes are refused or numbered anew: they are not accepted here, though the journal may have them already.
        """
        self._tell_overtaken = tell

    def propose(
        self,
        value: Value,
        *,
        origin: str,
        time: float,
        done: Callable[[Write], None],
        condition: Condition | None = None,
    ) -> Write:
        """An own write of `value` stands behind all that wait; `head` is its state. Nobody sees it yet.

        Args:
            value: a value that the caller has checked.
            origin: the name of this node.
            time: the wall clock, seconds since 1970.
            done: told once how the write ended; see Write.
            condition: what is demanded of `head`.

        Raises:
            ConflictError: `head` is not what is demanded; nothing changed.
            ExhaustedError: `head` has the largest generation; nothing changed.
            NotDurableError: WAITING_WRITES_MAX writes, or WAITING_SIZE_MAX bytes of them, wait already; nothing
                changed.
        """
        base = self.head
        refusal = None if condition is None else condition.refuses(base)
        if refusal is not None:
            raise ConflictError(refusal)
        if base.generation >= GENERATION_MAX:
            raise ExhaustedError("the generation is the largest that there is")
        if len(self._waiting) >= WAITING_WRITES_MAX:
            raise NotDurableError(f"{WAITING_WRITES_MAX} writes wait for the journal already")
        write = Write(State(Generation(base.generation + 1), value, origin, time), condition, done)
        if self._waiting_size + len(write.state.text) > WAITING_SIZE_MAX:
            raise NotDurableError(f"{self._waiting_size} bytes of writes wait for the journal already")
        self._waiting.append(write)
        self._waiting_size += len(write.state.text)
        return write

    def begin_commit(self) -> list[State]:
        """The states of all waiting writes, in order, to be made durable in one transaction; they are in flight.

        Empty when nothing waits. Only one commit may be under way: `end_commit` must follow before the next.
        """
        for write in self._waiting:
            write.in_flight = True
        return [write.state for write in self._waiting]

    def end_commit(self, error: str | None = None) -> None:
        """The commit is over. Without an error its writes are done and visible; with one, all that wait have failed.

        A write that was overtaken during the commit waits on, for the next one.
        """
        if error is not None:
            failed = self._waiting
            self._wait([])
            for write in failed:
                write.error = NotDurableError(error)
        else:
            failed = []
        done = [write for write in self._waiting if write.in_flight]
        self._wait([write for write in self._waiting if not write.in_flight])
        if done:
            self._advance(max(write.state for write in done), Source.SET)
        for write in failed + done:
            write.done(write)

    def give_up_waiting(self, error: str) -> None:
        """The writes that are not in flight have failed; those that are wait on for the end of their commit."""
        lost = [write for write in self._waiting if not write.in_flight]
        self._wait([write for write in self._waiting if write.in_flight])
        for write in lost:
            write.error = NotDurableError(error)
        for write in lost:
            write.done(write)

    def merge(self, state: State, source: Source) -> bool:
        """`current` is the larger of itself and `state`; True if that is a change.

        If `state` overtakes `head`, the waiting writes are numbered anew above it; conditional ones fail, unless they
        would have been made upon it too.
        Commutative, associative, idempotent; no bound relative to the present generation (that is `spread`'s).
        """
        if not self._current < state:
            return False
        # Head, not the first that waits: a write in flight may be durable already. Renumbered or refused while it is
        # above `state`, it would come back at the next start, above what was acknowledged instead.
        lost = self._rebase(state) if self.head <= state else []
        self._advance(state, source)
        for write in lost:
            write.done(write)
        return True

    def _rebase(self, base: State) -> list[Write]:
        """Number the waiting writes anew above `base`; returns those that cannot be: refused, or for want of room."""
        # One that is the very same is accepted.
        self._tell_overtaken([write.state for write in self._waiting if write.in_flight and write.state < base])
        upon, kept, lost = base, [], []
        for write in self._waiting:
            if write.condition is not None and write.condition.refuses(upon) is not None:
                write.error = ConflictError(f"state {base.tag} came first")
                lost.append(write)
            elif upon.generation >= GENERATION_MAX:
                write.error = ExhaustedError("the generation is the largest that there is")
                lost.append(write)
            else:
                upon = write.state = write.state.numbered(Generation(upon.generation + 1))
                write.in_flight = False
                kept.append(write)
        self._wait(kept)
        return lost

    def _wait(self, waiting: list[Write]) -> None:
        """These are the writes that wait now."""
        self._waiting = waiting
        self._waiting_size = sum(len(write.state.text) for write in waiting)

    def _advance(self, state: State, source: Source) -> None:
        if not self._current < state:
            return
        change = Change(self._current, state, source)
        self._current = state
        for observer in tuple(self._observers):
            observer(change)
