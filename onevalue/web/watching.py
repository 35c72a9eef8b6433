"""Who waits for the value to change: streams of events, and reads that wait. All are told of the latest state.

A change is told to some in each turn of the reactor. Each gets what is current at its turn, so nobody gets an older
state after a newer one, and changes that come quickly are told as one. It must not know what the routes are, nor how
bytes reach a client.
"""

from collections.abc import Callable
from dataclasses import dataclass

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from onevalue.store import Change, State, Store
from onevalue.web.channel import LimitedRequest
from onevalue.web.eventstream import HEARTBEAT, EventStream, event
from onevalue.web.problems import ProblemError
from onevalue.web.states import state_text
from onevalue.web.traffic import Traffic
from onevalue.web.turns import Turns

WATCHERS_PERCENT_MAX = 80
"""Of the connections that there may be, so many may wait; more are refused, 503. The others are for all else."""

RETRY_AFTER_S = 5
"""Whoever is refused is told to come back after so long."""

HEARTBEAT_INTERVAL_S = 15.0
"""So often a comment is sent on each stream, for whoever closes connections that are silent."""

TELL_PAUSE_PER_WATCHER_S = 0.00002
"""From one telling to the next, for each watcher: about as long as it takes, so half of the time is for all else."""


@dataclass(eq=False, slots=True)
class Waiter:
    """A read that waits until it may look again: `wanted` holds of the current state, or time is up."""

    wanted: Callable[[State], bool]
    done: Deferred[None]
    time_up: IDelayedCall | None = None


class Watchers:
    """All who wait, one observer of the store, and the timers that they need: none while nobody waits.

    Args:
        reactor: delayed calls.
        store: the value.
        traffic: is counted here.
    """

    def __init__(self, reactor: IReactorTime, store: Store, traffic: Traffic) -> None:
        self._reactor = reactor
        self._store = store
        self._traffic = traffic
        self._streams: dict[EventStream, None] = {}
        self._waiters: dict[Waiter, None] = {}
        self._telling: Turns[EventStream | Waiter] = Turns(reactor, self._tell, self._told_all)
        self._beating: Turns[EventStream] = Turns(reactor, self._beat, lambda: None)
        self._changed = False  # since the round under way began, or the pause
        self._pause: IDelayedCall | None = None
        self._next_beat: IDelayedCall | None = None
        self._prepared: tuple[State, bytes] | None = None
        store.observe(self._observe)

    def stream(self, request: LimitedRequest, known_tag: str | None) -> Deferred[bytes]:
        """`request` is answered by a stream: the state, unless it has the tag `known_tag`, then each change.

        The answer is complete when the Deferred fires.

        Raises ProblemError, 503: there are too many, or this node stops.
        """
        self._admit(request)
        stream = EventStream(request, drained=self._tell, gone=self._leave)
        self._streams[stream] = None
        self._count()
        if self._next_beat is None:
            self._next_beat = self._reactor.callLater(HEARTBEAT_INTERVAL_S, self._begin_beat)
        current = self._store.current
        if current.tag == known_tag:
            stream.known = current
        else:
            self._tell(stream)
        return stream.ended

    def wait(self, request: LimitedRequest, wanted: Callable[[State], bool], wait_s: float) -> Deferred[None]:
        """Fires when `wanted` holds of the current state, after `wait_s` seconds, or when this node stops.

        `wanted` must not raise.

        Raises ProblemError, 503: there are too many, or this node stops.
        """
        self._admit(request)
        waiter = Waiter(wanted, Deferred(lambda _: self._leave(waiter)))
        self._waiters[waiter] = None
        self._count()
        waiter.time_up = self._reactor.callLater(wait_s, self._release, waiter)
        return waiter.done

    def end_all(self) -> None:
        """Every stream is complete, and every read that waits answers with what is."""
        for stream in list(self._streams):
            self._leave(stream)
            stream.end()
        for waiter in list(self._waiters):
            self._release(waiter)

    # They come and go -----------------------------------------------------------------------------------------------

    def _admit(self, request: LimitedRequest) -> None:
        if request.stopping:
            raise ProblemError(503, "this node is stopping; ask another")
        if len(self._streams) + len(self._waiters) >= self._traffic.watchers_max:
            self._traffic.watchers_refused += 1
            detail = f"{self._traffic.watchers_max} watch or wait here already; ask another node, or later"
            raise ProblemError(503, detail, {"Retry-After": str(RETRY_AFTER_S)})

    def _leave(self, one: EventStream | Waiter) -> None:
        if isinstance(one, EventStream):
            self._streams.pop(one, None)
        else:
            self._waiters.pop(one, None)
            if one.time_up is not None and one.time_up.active():
                one.time_up.cancel()
        self._count()
        if not self._streams:
            self._beating.stop()
            _cancel(self._next_beat)
            self._next_beat = None
        if not self._traffic.watchers:
            self._telling.stop()
            _cancel(self._pause)
            self._pause, self._changed = None, False

    def _release(self, waiter: Waiter) -> None:
        self._leave(waiter)
        waiter.done.callback(None)

    def _count(self) -> None:
        self._traffic.watchers = len(self._streams) + len(self._waiters)

    # Changes --------------------------------------------------------------------------------------------------------

    def _observe(self, _change: Change) -> None:
        if self._streams or self._waiters:
            self._changed = True
            if not self._telling.running and self._pause is None:
                self._begin_telling()

    def _begin_telling(self) -> None:
        self._pause = None
        if self._changed:
            self._changed = False
            self._telling.begin([*self._waiters, *self._streams])

    def _told_all(self) -> None:
        pause_s = TELL_PAUSE_PER_WATCHER_S * self._traffic.watchers
        self._pause = self._reactor.callLater(pause_s, self._begin_telling)

    def _tell(self, one: EventStream | Waiter) -> None:
        """The current state is on its way, if it is news to this one, and this one is still there and takes it."""
        current = self._store.current
        if isinstance(one, Waiter):
            if one in self._waiters and one.wanted(current):
                self._release(one)
        elif one in self._streams and not one.full and one.known is not current:
            one.known = current
            one.send(self._event_of(current))

    def _event_of(self, state: State) -> bytes:
        if self._prepared is None or self._prepared[0] is not state:
            self._prepared = state, event(state.tag, state_text(state))
        return self._prepared[1]

    # Heartbeats -----------------------------------------------------------------------------------------------------

    def _begin_beat(self) -> None:
        self._next_beat = self._reactor.callLater(HEARTBEAT_INTERVAL_S, self._begin_beat)
        if not self._beating.running:
            self._beating.begin(self._streams)

    def _beat(self, stream: EventStream) -> None:
        if stream in self._streams and not stream.full:
            stream.send(HEARTBEAT)


def _cancel(call: IDelayedCall | None) -> None:
    if call is not None and call.active():
        call.cancel()
