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
from onevalue.web.places import Places
from onevalue.web.rounds import Rounds, cancel
from onevalue.web.states import state_text
from onevalue.web.turns import Turns

WATCHERS_PERCENT_MAX = 80
"""Of the connections that there may be, so many may wait; more are refused, 503. The others are for all else."""

HEARTBEAT_INTERVAL_S = 15.0
"""So often a comment is sent on each stream, for whoever closes connections that are silent."""

PREAMBLE = b": each event is the state of the value\n"


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
        places: each who waits has one of them.
    """

    def __init__(self, reactor: IReactorTime, store: Store, places: Places) -> None:
        self._reactor = reactor
        self._store = store
        self._places = places
        self._streams: dict[EventStream, None] = {}
        self._waiters: dict[Waiter, None] = {}
        self._telling: Rounds[EventStream | Waiter] = Rounds(
            reactor, lambda: [*self._waiters, *self._streams], self._tell
        )
        self._beating: Turns[EventStream] = Turns(reactor, self._beat, lambda: None)
        self._next_beat: IDelayedCall | None = None
        self._prepared: tuple[State, bytes] | None = None
        store.observe(self._observe)

    def stream(self, request: LimitedRequest, known_tag: str | None) -> Deferred[bytes]:
        """`request` is answered by a stream: the state, unless it has the tag `known_tag`, then each change.

        The answer is complete when the Deferred fires.

        Raises ProblemError, 503: there are too many, or this node stops.
        """
        stream = self._places.take(
            request, lambda: EventStream(request, PREAMBLE, drained=self._tell, gone=self._leave)
        )
        self._streams[stream] = None
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
        waiter = self._places.take(request, lambda: Waiter(wanted, Deferred(lambda _: self._leave(waiter))))
        self._waiters[waiter] = None
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

    def _leave(self, one: EventStream | Waiter) -> None:
        there = self._streams if isinstance(one, EventStream) else self._waiters
        if one not in there:
            return
        if isinstance(one, EventStream):
            del self._streams[one]
        else:
            del self._waiters[one]
            cancel(one.time_up)
        self._places.free()
        if not self._streams:
            self._beating.stop()
            cancel(self._next_beat)
            self._next_beat = None
        if not (self._streams or self._waiters):
            self._telling.stop()

    def _release(self, waiter: Waiter) -> None:
        self._leave(waiter)
        waiter.done.callback(None)

    # Changes --------------------------------------------------------------------------------------------------------

    def _observe(self, _change: Change) -> None:
        if self._streams or self._waiters:
            self._telling.news()

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
