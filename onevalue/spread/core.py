"""Spread: decides what this node believes, whom it asks, and what it tells, in the three ways in which a value spreads.

1. Rumour: an own new state leaves at once as a value event, straight to the members and by gossip.
2. Anti-entropy: each round, states are exchanged with random members over HTTP.
3. Join: a newcomer asks before it takes writes (`learning`).

Inputs are statements, events, members and `now`; outputs are pulled: `exchanges_to_start`, `rumours_to_send`,
`writes_to_make`, `next_deadline`. `wake` is called when there may be something to pull. It must not know how any of it
travels; it has no clock, no socket, no Twisted.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import inf

from onevalue.config import SpreadSettings
from onevalue.errors import RemoteProtocolError
from onevalue.exchange import Statement, state_told
from onevalue.member import Member, UserEvent
from onevalue.spread.admission import refuse_pulled, refuse_pushed
from onevalue.spread.confirming import Confirmed, Confirming
from onevalue.spread.contacts import Contact, Contacts, contact_of
from onevalue.spread.exchanges import Exchange, PushOutcome
from onevalue.spread.fetching import Fetching
from onevalue.spread.holdings import Holdings
from onevalue.spread.learning import Learning
from onevalue.spread.outgoing import Outgoing, Rumour
from onevalue.spread.querying import query_answer
from onevalue.spread.rumour import EVENT_NAME, Announced, decode_event
from onevalue.spread.ties import TieWatch
from onevalue.store import Change, Source, State, Store
from onevalue.types import Generation, Rng

PULLS_AFTER_REFUSAL = 2
"""After a refused push, this many members are asked: if the cluster is really that far ahead, they say so."""

PULL_PAUSE_S = 1.0
"""Refused pushes lead to such questions at most this often, whoever floods us."""

COUNTERS = (
    *("states_refused", "events_malformed", "events_sent", "exchanges", "failures", "fetches", "originals_skipped"),
    *("answers_unauthenticated", "statements_unauthenticated", "originals_refused"),
)
"""What is counted. The second line is of the shells, which check who speaks before spread hears of it."""


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
        self._learning = Learning(settings, self._tell_ready)
        self._ready_observers: list[Callable[[], None]] = []
        self._ties = TieWatch(settings.tie_patience_s)
        self._fetching = Fetching(rng)
        self._confirming = Confirming(rng)
        self._holdings = Holdings()
        self._wanted: list[Exchange] = []
        self._questions: dict[str, None] = {}  # members of whom learning asks now
        self._next_pull = 0.0
        self._outgoing = Outgoing(name, settings, rng)
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

    def observe_ready(self, observer: Callable[[], None]) -> None:
        """`observer` is called when learning has ended. It must not raise, and only look."""
        self._ready_observers.append(observer)

    def retry_after_s(self, now: float) -> float:
        """How long a writer should wait for the end of learning, at most; 0 when it has ended."""
        deadline = self._learning.deadline
        return 0.0 if deadline is None else max(0.0, deadline - now)

    def statement(self, *, whole: bool = False) -> Statement:
        """What this node says of itself to another; a large value only if the `whole` is wanted."""
        return Statement(self.name, self.learning, *state_told(self._store.current, whole=whole))

    def statement_for(self, exchange: Exchange) -> Statement:
        """What this node says in an exchange that it begins: a large value in full if the member lacks it."""
        name, current = exchange.contact.name, self._store.current
        wanted = exchange.confirm or self._holdings.lacks(name, current)
        whole = wanted and not self._holdings.has(name, current)
        return replace(self.statement(whole=whole), confirm=exchange.confirm)

    @property
    def held(self) -> State:
        """What this node holds."""
        return self._store.current

    def holds(self, name: str) -> bool | None:
        """A member holds what this node does, as it said last; False: less, though it was told; None: not known."""
        return self._holdings.holds(name, self._store.current)

    def answer_to(self, statement: Statement, held: State, *, durable: bool = False) -> Statement:
        """What this node answers to a statement: the whole state, unless the other has the same or a higher generation.

        Args:
            statement: of another, which was received before.
            held: what this node held then.
            durable: it is on the disk here, and the other has asked for that.
        """
        lacks = statement.generation <= held.generation and statement.tag != held.tag
        if self._contacts.knows(statement.name):
            self._holdings.answered(statement.name, held.tag if lacks else statement.tag, held.tag)
        return Statement(self.name, self.learning, *state_told(held, whole=lacks), durable=durable)

    def answer_query(self, held_s: float) -> bytes:
        """What this node says to a query named as the value event, having held its state for so long."""
        return query_answer(self._store.current, learning=self.learning, held_s=held_s)

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
        self._holdings.keep([contact.name for contact in self._contacts.tagged()])
        if was_alone and not self.learning:
            for contact in self._contacts.tagged()[:1]:
                self._want(contact, Source.JOIN)
        self._settle(now)
        self.wake()

    def receive_statement(self, statement: Statement, now: float) -> PushOutcome:
        """Another of our nodes pushed its state with POST /notify, or told its tag, and then it may be fetched."""
        if statement.state is not None:
            return self._receive_push(statement.state, now)
        refused = self._refuse(statement.generation, now)
        if refused is None:
            self._hear_of(statement.tag, [statement.name], Source.NOTIFY, now)
        return PushOutcome(changed=False, refused=refused)

    def receive_original(self, state: State, now: float) -> PushOutcome:
        """Somebody pushed a state in the original's way, without saying who it is: the name it gives proves nothing."""
        outcome = self._receive_push(state, now)
        if self._store.current.is_integer:  # else no generation of ours would teach an original our value
            self._ties.original_pushed(state, self._store.current, now)
        self.wake()
        return outcome

    def receive_events(self, events: Sequence[UserEvent], now: float) -> None:
        """Value events came: one by gossip, or those of a push/pull together, which are merged as one maximum."""
        states: list[tuple[State, UserEvent]] = []
        announced: list[tuple[Announced, UserEvent]] = []
        for event in events:
            if event.name != EVENT_NAME:
                continue
            try:
                told = decode_event(event.payload)
            except RemoteProtocolError:
                self.counters["events_malformed"] += 1
                continue
            if self._refuse(told.generation, now) is not None:
                continue
            if isinstance(told, State):
                states.append((told, event))
            else:
                announced.append((told, event))
        # DEPARTURE (newest-only): Serf relays all events; here one that has been overtaken is dropped.
        if states:
            state, event = max(states, key=lambda pair: pair[0].order)
            self._store.merge(state, Source.EVENT)
            if state == self._store.current:
                self._relay(event)
        for news, event in sorted(announced, key=lambda pair: pair[0].generation)[-1:]:
            if self._hear_of(news.tag, [news.origin], Source.EVENT, now):
                self._relay(event)

    def answered(self, exchange: Exchange, statement: Statement | None, now: float) -> None:
        """A member answered with its statement, or, None, as the original program does: with 200 and no state."""
        contact = exchange.contact
        if statement is None and not contact.original:
            self.failed(exchange, now)
            return
        self._end(exchange)
        if statement is None:
            self._contacts.confirm_original(contact)
        elif refuse_pulled(statement.generation) is None:
            was_sent_whole = self._holdings.lacks(contact.name, self._store.current)
            self._holdings.answered(contact.name, statement.tag, exchange.told)
            self._learn(statement, Source.JOIN if self.learning else exchange.source, contact, now)
            lacks = self._holdings.lacks(contact.name, self._store.current)
            if lacks and not was_sent_whole and self._cannot_be_asked():
                self._want(contact, exchange.source)  # it could not come for it
        else:
            self.counters["states_refused"] += 1
            self._learning.failed(contact, now)  # what it knows has not reached us
        self._over(contact, None if statement is None else statement.tag, now)

    def failed(self, exchange: Exchange, now: float) -> None:
        """A member did not answer in time, or with nonsense."""
        self._end(exchange)
        self.counters["failures"] += 1
        self._contacts.doubt_original(exchange.contact)
        self._learning.failed(exchange.contact, now)
        self._over(exchange.contact, None, now)

    def confirm(
        self,
        state: State,
        needed: int,
        *,
        by_all: bool,
        until: float,
        done: Callable[[Confirmed], None],
        durable: bool = True,
    ) -> None:
        """Other members are asked to hold an own write durably; see `confirming.Confirming.begin`.

        Args:
            state: the write.
            needed: how many are to hold it, this node counted; more if `by_all`.
            by_all: all of our own nodes that are members now must hold it.
            until: seconds of now.
            done: told once.
            durable: this node holds it durably; without a journal it does not count.

        Raises:
            BusyError: too many writes wait for that; nothing was asked.
        """
        names = self._contacts.own_names() if by_all else None
        needed = needed if names is None else 1 + len(names)
        here = 1 if durable else 0
        self._confirming.begin(state, needed, names, until, self._store.current, done, here)
        self.wake()

    def give_up_confirming(self) -> None:
        """This node stops: whoever waits for others hears how far they are."""
        self._confirming.expire(inf)

    @property
    def confirms(self) -> bool:
        """More writes may wait for confirmation now."""
        return not self._confirming.full

    def round(self, now: float) -> None:
        """A round of anti-entropy begins with random members."""
        integer = self._store.current.is_integer
        for contact in self._contacts.pick(self._settings.members_to_notify, now, originals=integer):
            self._want(contact, Source.ANTI_ENTROPY)
        if not integer:
            self.counters["originals_skipped"] += self._contacts.originals
        self.wake()

    def handle_timer(self, now: float) -> None:
        """What was due at `now` has been decided; pull the outputs. Does not call `wake`."""
        self._settle(now)
        self._confirming.expire(now)
        for contact in self._confirming.whom_to_ask(self._idle(), self._store.current.generation, now):
            self._want(contact, Source.ANTI_ENTROPY, confirm=True)
        fetch = self._fetching.whom_to_ask(self._idle(), now)
        if fetch is not None:
            self.counters["fetches"] += 1
            self._want(*fetch)

    # Outputs --------------------------------------------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        """When `handle_timer` is to be called next, in seconds of now; None for not at all."""
        question = self._learning.next_question(self._idle(), len(self._questions)) if self.learning else None
        tie = None if self.learning else self._ties.deadline
        times = [self._learning.deadline, question, tie, self._outgoing.deadline]
        times += [self._fetching.deadline, self._confirming.deadline]
        return min((time for time in times if time is not None), default=None)

    def exchanges_to_start(self) -> list[Exchange]:
        """Exchanges to start now, at most one under way with each member; each ends in `answered` or `failed`."""
        wanted, self._wanted = self._wanted, []
        if not self._store.current.is_integer:  # no original could be told
            for exchange in wanted:
                if exchange.contact.original:
                    self._end(exchange)
            wanted = [exchange for exchange in wanted if not exchange.contact.original]
        self.counters["exchanges"] += len(wanted)
        return [replace(exchange, told=self._store.current.tag) for exchange in wanted]

    def rumours_to_send(self, now: float) -> list[Rumour]:
        """Value events to send now."""
        rumours = self._outgoing.to_send(self._store.current, self._members, now)
        self.counters["events_sent"] = self._outgoing.sent
        return rumours

    def writes_to_make(self, now: float) -> list[State]:
        """States that this node is to write upon with the same value, to heal a tie with the original program.

        Only upon that very state: else the old value would go above one that came meanwhile.
        """
        return [] if self.learning else self._ties.take_due(self._store.current, now)

    # Inside ---------------------------------------------------------------------------------------------------------

    def _receive_push(self, state: State, now: float) -> PushOutcome:
        refused = self._refuse(state.generation, now)
        changed = refused is None and self._store.merge(state, Source.NOTIFY)
        return PushOutcome(changed, refused)

    def _hear_of(self, tag: str, holders: Sequence[str], source: Source, now: float) -> bool:
        """Somebody holds the state with this tag; True if that is news, and then it will be fetched."""
        news = self._fetching.heard(tag, holders, source, self._store.current, len(self._members), now)
        if news:
            self.wake()
        return news

    def _learn(self, statement: Statement, source: Source, contact: Contact, now: float) -> None:
        """A member that was asked holds this."""
        if statement.state is not None:
            self._store.merge(statement.state, source)
        else:
            self._hear_of(statement.tag, [contact.name], source, now)
        self._learning.answered(contact, learning=statement.learning, now=now)
        if statement.durable and statement.name == contact.name:  # another may live there by now, or we ourselves
            self._confirming.holds(contact.name, statement.tag, statement.generation, statement.state)

    def _cannot_be_asked(self) -> bool:
        """The others cannot reach this node over HTTP, as it says itself."""
        return any(member.name == self.name and contact_of(member) is None for member in self._members)

    def _over(self, contact: Contact, tag: str | None, now: float) -> None:
        """An exchange is over; the member holds the state with this tag, None if that is not known."""
        self._fetching.ended(contact.name, tag, now)
        self._confirming.ended(contact.name, now)
        self._settle(now)
        self.wake()

    def _relay(self, event: UserEvent) -> None:
        """A value event that is the newest goes on, if that is ours to do."""
        if event.relay_wanted:
            self._outgoing.relay(event.raw, self._members)
            self.wake()

    def _refuse(self, generation: Generation, now: float) -> str | None:
        """Why a pushed state of this generation is not taken, and then members are asked; None: it may be."""
        refused = refuse_pushed(generation, self._store.current.generation)
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

    def _want(self, contact: Contact, source: Source, *, confirm: bool = False) -> None:
        if not self._contacts.busy(contact):
            self._contacts.begin(contact)
            self._wanted.append(Exchange(contact, source, confirm))

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

    def _tell_ready(self) -> None:
        for observer in self._ready_observers:
            observer()

    def _changed(self, change: Change) -> None:
        self._fetching.holds_now(change.new)
        self._confirming.holds_now(change.new)
        if change.source is Source.SET:
            self._outgoing.written(change.new)
            self.wake()
