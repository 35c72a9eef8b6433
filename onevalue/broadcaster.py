"""The broadcaster: the shell around `spread`. Anti-entropy by LoopingCall, and all else that spread wants.

Every round, and whenever spread has something to do, it starts the exchanges, sends the rumours and makes the writes
that spread decided on. It decides nothing itself, and keeps one delayed call for spread's next deadline. It must not
know how an exchange travels.
"""

from collections.abc import Callable
from typing import Any, NoReturn

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from onevalue.errors import ConflictError, RemoteProtocolError, UndecipherableError, WriteRefusedError
from onevalue.exchange import Statement
from onevalue.loglines import shown
from onevalue.membership import IMembership
from onevalue.spread import Rumour, Spread
from onevalue.spread.exchanges import Exchange
from onevalue.spread.rumour import EVENT_NAME
from onevalue.store import Change, Condition, Store
from onevalue.writer import Writer

EXCHANGE_TIME_MAX_S = 2.0
"""Deadline over one whole exchange, from dialling to the last byte of the answer."""

TIMER_PAUSE_MIN_S = 0.001
"""The shortest wait for a deadline: one that were always past must not keep the reactor busy."""

FAULT_PAUSE_S = 1.0
"""How long to wait after a fault of ours, so that one that repeats does not fill the log."""


ExchangeStates = Callable[[Exchange, Statement], "Deferred[Statement | None]"]
"""One exchange: see `exchanging.exchange_states`."""


def _no_answer(_: object, timeout_s: float) -> NoReturn:
    """Raises what people read of an exchange that took too long."""
    raise RemoteProtocolError(f"it did not answer within {timeout_s:g} s")


class Broadcaster(Service):
    """Keeps this node's value and those of the others together.

    Args:
        reactor: its clock and delayed calls.
        exchange_states: makes an exchange.
        store: of which it only looks when it changes.
        spread, membership, writer: decides, tells and writes.
        interval_s: between two rounds of anti-entropy.
        somebody_to_ask: the node begins by learning.
    """

    log = Logger()

    def __init__(
        self,
        *,
        reactor: IReactorTime,
        exchange_states: ExchangeStates,
        store: Store,
        spread: Spread,
        membership: IMembership,
        writer: Writer,
        interval_s: float,
        somebody_to_ask: bool,
    ) -> None:
        self._reactor = reactor
        self._exchange_states = exchange_states
        self._spread = spread
        self._membership = membership
        self._writer = writer
        self._somebody_to_ask = somebody_to_ask
        self._interval_s = interval_s
        self._rounds = LoopingCall(self._round)
        self._rounds.clock = reactor
        self._pumping: IDelayedCall | None = None
        self._timer: IDelayedCall | None = None
        self._held_since = reactor.seconds()
        self._under_way: list[Deferred[Any]] = []
        self._silent: list[str] = []  # members that did not answer lately, so that the log tells it once
        store.observe(self._holds_from_now)

    def startService(self) -> None:
        """Learning begins, and rounds follow each interval."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's has no types
        self._spread.wake = self._wake
        self._membership.observe_members(self._members_changed)
        self._membership.observe_events(lambda events: self._spread.receive_events(events, self._reactor.seconds()))
        self._membership.observe_addresses_tried(self._addresses_tried)
        self._membership.answer_query(EVENT_NAME, self._answer_query)
        self._spread.observe_ready(self._tell_ready)
        if self._somebody_to_ask:
            self.log.info("takes no writes yet: it learns first what the others hold")
        self._spread.start(self._reactor.seconds(), somebody_to_ask=self._somebody_to_ask)
        self._rounds.start(self._interval_s, now=False).addErrback(self._failed, "a round")

    def stopService(self) -> Deferred[object]:
        """Fires when no exchange is under way any more and no delayed call is left."""
        super().stopService()  # type: ignore[no-untyped-call]  # Twisted's has no types
        self._spread.wake = lambda: None
        self._spread.give_up_confirming()
        if self._rounds.running:
            self._rounds.stop()
        for call in (self._pumping, self._timer):
            if call is not None and call.active():
                call.cancel()
        under_way = list(self._under_way)
        for exchange in under_way:
            exchange.cancel()
        return DeferredList(under_way, consumeErrors=True).addCallback(lambda _: None)

    def _members_changed(self) -> None:
        members = self._membership.members()
        if self._silent:
            names = {member.name for member in members}
            self._silent = [name for name in self._silent if name in names]
        self._spread.members_changed(members, self._reactor.seconds())

    def _holds_from_now(self, _change: Change) -> None:
        self._held_since = self._reactor.seconds()

    def _answer_query(self, _payload: bytes) -> bytes:  # nothing is asked but the state
        return self._spread.answer_query(self._reactor.seconds() - self._held_since)

    def _addresses_tried(self, nobody_else: bool) -> None:
        self._spread.addresses_tried(self._reactor.seconds(), nobody_else=nobody_else)

    def _wake(self) -> None:
        """Pull what spread has in the next turn of the reactor, so that a burst of changes is one pull."""
        if self._pumping is None and self.running:
            self._pumping = self._reactor.callLater(0, self._pump)

    def _round(self) -> None:
        # A LoopingCall ends for good at its first error.
        try:
            self._spread.round(self._reactor.seconds())
            self._wake()
        except Exception:  # noqa: BLE001  # see above: whatever it is, the next round must come
            self._failed(Failure(), "a round")

    def _pump(self) -> None:
        if self._pumping is not None and self._pumping.active():
            self._pumping.cancel()
        self._pumping = None
        now, faultless = self._reactor.seconds(), True
        try:
            self._spread.handle_timer(now)
            for rumour in self._spread.rumours_to_send(now):
                self._send(rumour)
            for exchange in self._spread.exchanges_to_start():
                self._start(exchange)
            for state in self._spread.writes_to_make(now):
                self._writer.write(state.value, Condition.of(state.tag)).addErrback(self._not_raised)
        except Exception:  # noqa: BLE001  # the node must go on, whatever one turn stumbled over
            self._failed(Failure(), "spreading")
            faultless = False
        self._arm(self._spread.next_deadline() if faultless else now + FAULT_PAUSE_S)

    def _arm(self, deadline: float | None) -> None:
        """Keep one delayed call, for the next deadline."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if deadline is not None and self.running:
            wait_s = max(TIMER_PAUSE_MIN_S, deadline - self._reactor.seconds())
            self._timer = self._reactor.callLater(wait_s, self._pump)

    def _send(self, rumour: Rumour) -> None:
        if rumour.payload is not None:
            self._membership.send_value_event(rumour.payload, rumour.direct)
        elif rumour.raw is not None:
            self._membership.relay_value_event(rumour.raw, rumour.direct)
        else:
            self._membership.copy_value_event(rumour.direct)

    def _start(self, exchange: Exchange) -> None:
        """Exchange states with a member; spread hears how it ended, within the deadline."""
        # Whatever goes wrong, at once too, must reach spread: else it took the member for busy for ever.
        under_way = maybeDeferred(self._exchange_states, exchange, self._spread.statement_for(exchange))
        under_way.addTimeout(EXCHANGE_TIME_MAX_S, self._reactor, _no_answer)
        self._under_way.append(under_way)

        def ended(result: Statement | Failure | None) -> None:
            self._under_way.remove(under_way)
            now = self._reactor.seconds()
            if isinstance(result, Failure):
                if result.check(UndecipherableError):
                    self._spread.counters["answers_unauthenticated"] += 1
                self._tell_silent(exchange.contact.name, result)
                self._spread.failed(exchange, now)
            else:
                self._tell_answering(exchange.contact.name)
                self._membership.exchanged(exchange.contact.name)
                self._spread.answered(exchange, result, now)

        under_way.addBoth(ended).addErrback(self._failed, "an exchange")

    def _tell_ready(self) -> None:
        self.log.info("ready for writes: {why}", why=self._spread.ready_because)

    def _tell_silent(self, name: str, failure: Failure) -> None:
        if self.running and name not in self._silent:
            self._silent.append(name)
            self.log.info("no exchange with {name}: {reason}", name=shown(name), reason=failure.getErrorMessage())

    def _tell_answering(self, name: str) -> None:
        if name in self._silent:
            self._silent.remove(name)
            self.log.info("{name} exchanges states again", name=shown(name))

    def _not_raised(self, failure: Failure) -> None:
        # A conflict is no news: a state that came first has ended the tie.
        if failure.check(ConflictError):
            return
        if failure.check(WriteRefusedError):
            self.log.info("the tie with an original program stands: {reason}", reason=failure.getErrorMessage())
        else:
            self._failed(failure, "raising the generation above an original's")

    def _failed(self, failure: Failure, what: str) -> None:
        self.log.failure("{what} failed, and goes on", failure, what=what)
