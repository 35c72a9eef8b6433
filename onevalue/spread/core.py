"""Spread: decides what this node believes, whom it asks, and what it tells, in the three ways in which a value spreads.

1. Rumour: an own new state leaves at once as a value event, straight to the members and by gossip.
2. Anti-entropy: each round, states are exchanged with random members over HTTP.
3. Join: a newcomer asks before it takes writes (`learning`).

Inputs are statements, events, members and `now`; outputs are pulled: `exchanges_to_start`, `rumours_to_send`,
`writes_to_make`, `next_deadline`. `wake` is called when there may be something to pull. It must not know how any of it
travels; it has no clock, no socket, no Twisted.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from onevalue.config import SpreadSettings
from onevalue.errors import RemoteProtocolError
from onevalue.exchange import Statement
from onevalue.member import Member, UserEvent
from onevalue.spread.admission import refuse_pulled, refuse_pushed
from onevalue.spread.contacts import Contact, Contacts
from onevalue.spread.learning import Learning
from onevalue.spread.rumour import (
    EVENT_NAME,
    TokenBucket,
    decode_event,
    encode_event,
    targets_of_head,
    targets_of_origin,
)
from onevalue.spread.ties import TieWatch
from onevalue.store import Change, Source, State, Store, Value, canonical
from onevalue.types import Rng

PULLS_AFTER_REFUSAL = 2
"""After a refused push, this many members are asked: if the cluster is really that far ahead, they say so."""

PULL_PAUSE_S = 1.0
"""Refused pushes lead to such questions at most this often, whoever floods us."""

COUNTERS = (
    *("states_refused", "events_malformed", "events_sent", "exchanges", "failures"),
    *("answers_unauthenticated", "statements_unauthenticated", "originals_refused"),
)
"""What is counted. The second line is of the shells, which check who speaks before spread hears of it."""

QUERY_ANSWER_SIZE_MAX = 768
"""Bytes of the answer to a query: with names and numbers around it, it must fit a packet, relayed too."""

DIRECT_COPIES_BURST = 256
"""Direct copies that leave in one go, as many as there are of one event among 16,000 members; the rest follows at the
bounded rate."""


@dataclass(frozen=True, slots=True)
class PushOutcome:
    """What became of a pushed state: merged with a change or not, or refused, and why."""

    changed: bool
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class Exchange:
    """States are to be exchanged with this member over HTTP; ends with `answered` or `failed`."""

    contact: Contact
    source: Source


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


class Spread:
    """The one decider of a node.

    Args:
        name: of this node.
        store: shared by all services; observed from here on.
        settings: bounds and rates.
        rng: chance.
    """

    def __init__(self, *, name: str, store: Store, settings: SpreadSettings, rng: Rng) -> None:
        self.name = name
        self.wake: Callable[[], None] = lambda: None
        self.counters = dict.fromkeys(COUNTERS, 0)
        self._store = store
        self._settings = settings
        self._rng = rng
        self._members: Sequence[Member] = ()
        self._contacts = Contacts(name, settings, rng)
        self._learning = Learning(settings)
        self._ties = TieWatch(settings.tie_patience_s)
        self._wanted: list[Exchange] = []
        self._questions: dict[str, None] = {}  # members of whom learning asks now
        self._next_pull = 0.0
        self._own: State | None = None  # the newest own state, while its event has not left
        self._events = TokenBucket(settings.events_per_s, settings.events_burst)
        self._event_wait: float | None = None
        self._copies = TokenBucket(settings.direct_copies_per_s, DIRECT_COPIES_BURST)
        self._copies_wait: float | None = None
        self._newest: Rumour | None = None  # the newest event, with the members that still get a copy
        store.observe(self._changed)

    # What this node is ----------------------------------------------------------------------------------------------

    @property
    def learning(self) -> bool:
        """True while this node takes no writes, because its cluster may hold what it has not heard of."""
        return self._learning.active

    @property
    def ready_because(self) -> str:
        """Why learning ended, a sentence."""
        return self._learning.ended_because

    def retry_after_s(self, now: float) -> float:
        """How long a writer should wait for the end of learning, at most; 0 when it has ended."""
        deadline = self._learning.deadline
        return 0.0 if deadline is None else max(0.0, deadline - now)

    def statement(self) -> Statement:
        """What this node says of itself to another."""
        return Statement(self.name, self.learning, self._store.current)

    def answer_query(self, payload: bytes) -> bytes:  # noqa: ARG002  # nothing is asked but the state
        """What this node says to a query named as the value event: its state, as JSON of QUERY_ANSWER_SIZE_MAX bytes.

        Value and origin are left out where they are too long for that; the tag still tells who has the same.
        """
        state = self._store.current
        told: dict[str, Value] = {"generation": state.generation, "learning": self.learning, "tag": state.tag}
        parts: list[dict[str, Value]] = [{"origin": state.origin, "time": state.time}, {"value": state.value}]
        for more in parts:
            if len(canonical({**told, **more})) <= QUERY_ANSWER_SIZE_MAX:
                told |= more
        return canonical(told)

    # Inputs ---------------------------------------------------------------------------------------------------------

    def start(self, now: float, *, somebody_to_ask: bool) -> None:
        """The node begins; with somebody to ask it is learning."""
        if somebody_to_ask:
            self._learning.start(now)
        self.wake()

    def addresses_tried(self, now: float, *, nobody_else: bool) -> None:
        """Each join address was dialled at least once; with `nobody_else` all of them are this node's own."""
        self._learning.addresses_tried(nobody_else=nobody_else)
        self._settle(now)
        self.wake()

    def members_changed(self, members: Sequence[Member], now: float) -> None:
        """These are the members now, sorted by name. A node that was alone asks one that appeared at once."""
        was_alone = not self._contacts.tagged()
        self._members = members
        self._contacts.update(members)
        if was_alone and not self.learning:
            for contact in self._contacts.tagged()[:1]:
                self._want(contact, Source.JOIN)
        self._settle(now)
        self.wake()

    def receive_statement(self, statement: Statement, now: float) -> PushOutcome:
        """Another of our nodes pushed its state with POST /notify."""
        return self._receive_push(statement.state, now)

    def receive_original(self, state: State, now: float) -> PushOutcome:
        """Somebody pushed a state in the original's way, without saying who it is: the name it gives proves nothing."""
        outcome = self._receive_push(state, now)
        self._ties.original_pushed(state, self._store.current, now)
        self.wake()
        return outcome

    def receive_events(self, events: Sequence[UserEvent], now: float) -> None:
        """Value events came: one by gossip, or those of a push/pull together, which are merged as one maximum."""
        admitted: list[tuple[State, UserEvent]] = []
        for event in events:
            if event.name != EVENT_NAME:
                continue
            try:
                state = decode_event(event.payload)
            except RemoteProtocolError:
                self.counters["events_malformed"] += 1
                continue
            if self._refuse(state, now) is None:
                admitted.append((state, event))
        if not admitted:
            return
        state, event = max(admitted, key=lambda pair: pair[0].order)
        self._store.merge(state, Source.EVENT)
        # DEPARTURE (newest-only): Serf relays all events; here one that has been overtaken is dropped.
        if event.relay_wanted and state == self._store.current:
            targets = targets_of_head(self._members, self.name, self._settings.direct_members_max)
            self._newest = Rumour(None, event.raw, tuple(targets))
            self.wake()

    def answered(self, exchange: Exchange, statement: Statement | None, now: float) -> None:
        """A member answered with its statement, or, None, as the original program does: with 200 and no state."""
        contact = exchange.contact
        if statement is None and not contact.original:
            self.failed(exchange, now)
            return
        self._end(exchange)
        if statement is None:
            self._contacts.confirm_original(contact)
        elif refuse_pulled(statement.state) is None:
            self._store.merge(statement.state, Source.JOIN if self.learning else exchange.source)
            self._learning.answered(contact, learning=statement.learning, now=now)
        else:
            self.counters["states_refused"] += 1
            self._learning.failed(contact, now)  # what it knows has not reached us
        self._settle(now)
        self.wake()

    def failed(self, exchange: Exchange, now: float) -> None:
        """A member did not answer in time, or with nonsense."""
        self._end(exchange)
        self.counters["failures"] += 1
        self._contacts.doubt_original(exchange.contact)
        self._learning.failed(exchange.contact, now)
        self._settle(now)
        self.wake()

    def round(self, now: float) -> None:
        """A round of anti-entropy begins with random members."""
        for contact in self._contacts.pick(self._settings.members_to_notify, now):
            self._want(contact, Source.ANTI_ENTROPY)
        self.wake()

    def handle_timer(self, now: float) -> None:
        """What was due at `now` has been decided; pull the outputs. Does not call `wake`."""
        self._settle(now)

    # Outputs --------------------------------------------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        """When `handle_timer` is to be called next, in seconds of now; None for not at all."""
        question = self._learning.next_question(self._idle(), len(self._questions)) if self.learning else None
        tie = None if self.learning else self._ties.deadline
        times = [self._learning.deadline, question, tie, self._event_wait, self._copies_wait]
        return min((time for time in times if time is not None), default=None)

    def exchanges_to_start(self) -> list[Exchange]:
        """Exchanges to start now, at most one under way with each member; each ends in `answered` or `failed`."""
        wanted, self._wanted = self._wanted, []
        self.counters["exchanges"] += len(wanted)
        return wanted

    def rumours_to_send(self, now: float) -> list[Rumour]:
        """Value events to send now."""
        self._originate(now)
        return self._copy(now)

    def writes_to_make(self, now: float) -> list[State]:
        """States that this node is to write upon with the same value, to heal a tie with the original program.

        Only upon the very state (`if_match` its tag): else the old value would go above one that came meanwhile.
        """
        return [] if self.learning else self._ties.take_due(self._store.current, now)

    # Inside ---------------------------------------------------------------------------------------------------------

    def _receive_push(self, state: State, now: float) -> PushOutcome:
        refused = self._refuse(state, now)
        changed = refused is None and self._store.merge(state, Source.NOTIFY)
        return PushOutcome(changed, refused)

    def _refuse(self, state: State, now: float) -> str | None:
        """Why this pushed state is not merged, and then members are asked what they hold; None: it may be."""
        refused = refuse_pushed(state, self._store.current)
        if refused is None:
            return None
        self.counters["states_refused"] += 1
        if now >= self._next_pull:
            self._next_pull = now + PULL_PAUSE_S
            idle = self._idle()  # our own nodes: the original program cannot tell its state
            for contact in self._rng.sample(idle, min(PULLS_AFTER_REFUSAL, len(idle))):
                self._want(contact, Source.ANTI_ENTROPY)
            self.wake()
        return refused

    def _want(self, contact: Contact, source: Source) -> None:
        if not self._contacts.busy(contact):
            self._contacts.begin(contact)
            self._wanted.append(Exchange(contact, source))

    def _end(self, exchange: Exchange) -> None:
        self._contacts.end(exchange.contact)
        self._questions.pop(exchange.contact.name, None)

    def _idle(self) -> list[Contact]:
        return [contact for contact in self._contacts.tagged() if not self._contacts.busy(contact)]

    def _settle(self, now: float) -> None:
        """Go on with learning as far as what is known now allows."""
        if self.learning:
            self._learning.check(self._contacts.tagged(), now, others=self._contacts.any_plain())
        if self.learning:
            for contact in self._learning.whom_to_ask(self._idle(), len(self._questions), now):
                self._want(contact, Source.JOIN)
                self._questions[contact.name] = None

    def _changed(self, change: Change) -> None:
        if change.source is Source.SET:
            self._own = change.new
            self.wake()

    def _originate(self, now: float) -> None:
        """Make the event of the newest own state, if the bound on events lets it pass now."""
        self._event_wait = None
        if self._own is None:
            return
        if self._own != self._store.current:
            self._own = None  # overtaken: its winner's origin tells the others
        elif self._events.take(1, now):
            targets = targets_of_origin(self._members, self.name, self._settings.direct_members_max)
            # Begin anywhere: a newer event ends the copies of the one before, and must not always starve the same.
            start = self._rng.randrange(len(targets)) if targets else 0
            self._newest = Rumour(encode_event(self._own), None, tuple(targets[start:] + targets[:start]))
            self._own = None
            self.counters["events_sent"] += 1
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
