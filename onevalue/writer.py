"""The writer: the way of an own write through the store and the journal, with group commit.

A write is proposed at once, so it has its place behind those that wait; while one commit runs, all that come stand
together in the next. It is visible, acknowledged and sent only when it is durable; and it is refused only when no
restart can bring it back.

It must not know how writes come in, nor how a state travels.
"""

from collections.abc import Callable

from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure

from onevalue.errors import ConflictError, ExhaustedError, NotDurableError, NotReadyError, WriteRefusedError
from onevalue.journal import IJournal
from onevalue.spread import Spread
from onevalue.store import Condition, Source, State, Store, Write
from onevalue.values import Value

RESULTS: dict[type[WriteRefusedError], str] = {
    ConflictError: "conflict",
    NotReadyError: "not_ready",
    NotDurableError: "not_durable",
    ExhaustedError: "exhausted",
}
"""How a write can be refused, as metrics name it."""

ACKNOWLEDGED = "acknowledged"


class Writer:
    """Makes own writes, in order.

    Args:
        store: shared by all services.
        journal: makes states durable.
        spread: knows whether this node may write yet.
        clock: seconds of the reactor, for how long to wait.
        wall_clock: seconds since 1970, for people.
        soon: calls a function in the next turn of the reactor: what is written in one turn stands in one commit.

    Attributes:
        results: how many writes ended how, since the start; see RESULTS.
    """

    def __init__(
        self,
        *,
        store: Store,
        journal: IJournal,
        spread: Spread,
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
        soon: Callable[[Callable[[], None]], object],
    ) -> None:
        self._store = store
        self._journal = journal
        self._spread = spread
        self._clock = clock
        self._wall_clock = wall_clock
        self._soon = soon
        self._is_due = False  # a commit begins soon
        self._committing = self._closed = False
        self._stall: str | None = None  # why the commit under way does not end
        self._idle_waiters: list[Deferred[None]] = []
        self.results = dict.fromkeys([ACKNOWLEDGED, *RESULTS.values()], 0)
        journal.observe_stall(self._stalled)
        store.when_overtaken(journal.disown)

    @property
    def not_ready(self) -> str | None:
        """Why this node takes no own writes, whatever its disk does; None when it takes them."""
        if self._closed:
            return "this node is stopping; write on another"
        return "this node is still learning what its cluster holds" if self._spread.learning else None

    def close(self) -> None:
        """From now on writes are refused; those under way end as they would.

        To be called before this node leaves: a write that is acknowledged later would travel to nobody.
        """
        self._closed = True

    def write(self, value: Value, condition: Condition | None = None) -> Deferred[State]:
        """Fires with the state of the write when it is durable and merged.

        Fails with a WriteRefusedError of errors.py when it was not made; then no node will ever see it. So one that is
        overtaken while its commit is under way hears so when what overtook it is durable: a crash before that would
        bring it back. The exception is NotDurableError: a disk that failed, or did not answer, while it was being
        written may have it all the same, and a node that crashes then may start with it.

        While the journal's disk does not answer, writes fail at once, but for those that it has been given already.
        """
        if self.not_ready is not None:
            return self._refused(NotReadyError(self.not_ready, self._spread.retry_after_s(self._clock())))
        if self._stall is not None:
            return self._refused(NotDurableError(self._stall))
        done: Deferred[State] = Deferred()
        try:
            self._store.propose(
                value,
                origin=self._spread.name,
                time=self._wall_clock(),
                done=lambda write: self._finish(done, write),
                condition=condition,
            )
        except WriteRefusedError as error:
            return self._refused(error)
        self._commit()
        return done

    def when_idle(self) -> Deferred[None]:
        """Fires when no commit is under way and no write waits; at once if that is so now."""
        if not (self._committing or self._is_due):
            return succeed(None)
        waiter: Deferred[None] = Deferred()
        self._idle_waiters.append(waiter)
        return waiter

    def _commit(self) -> None:
        if not (self._committing or self._is_due):
            self._is_due = True
            self._soon(self._begin)

    def _begin(self) -> None:
        self._is_due = False
        states = self._store.begin_commit()
        if not states:
            waiters, self._idle_waiters = self._idle_waiters, []
            for waiter in waiters:
                waiter.callback(None)
            return
        self._committing = True
        self._journal.append(states, Source.SET).addBoth(self._committed)

    def _committed(self, result: Failure | None) -> None:
        # Those who are told may write again, or ask when all is idle: it still counts as committing meanwhile.
        self._store.end_commit(result.getErrorMessage() if isinstance(result, Failure) else None)
        self._committing = False
        self._stall = None
        self._begin()

    def _stalled(self, trouble: str) -> None:
        """Whoever waits behind a commit that does not end hears so now; its own writes when the disk answers."""
        if self._committing:
            self._stall = trouble
            self._store.give_up_waiting(trouble)

    def _finish(self, done: Deferred[State], write: Write) -> None:
        """Who writes hears how it ended, if need be when the journal has what overtook the write."""
        error = write.error
        # One that finds no generation left may have been renumbered while it was in flight.
        may_be_on_disk = write.in_flight or isinstance(error, ExhaustedError)
        if error is None:
            self.results[ACKNOWLEDGED] += 1
            done.callback(write.state)
        elif may_be_on_disk and not isinstance(error, NotDurableError):
            overtaken = self._journal.when_durable(self._store.current)
            overtaken.addCallbacks(
                lambda _: self._tell(done, error), lambda failure: self._tell(done, _open_outcome(error, failure))
            )
        else:
            self._tell(done, error)

    def _tell(self, done: Deferred[State], error: WriteRefusedError) -> None:
        """Who writes hears that the write was refused, and it is counted."""
        self.results[RESULTS[type(error)]] += 1
        done.errback(error)

    def _refused(self, error: WriteRefusedError) -> Deferred[State]:
        self.results[RESULTS[type(error)]] += 1
        return fail(error)


def _open_outcome(error: WriteRefusedError, failure: Failure) -> NotDurableError:
    """What a writer hears who was overtaken, and whose write the disk may have all the same."""
    return NotDurableError(
        f"{error}, but the disk does not take that ({failure.getErrorMessage()}). Whether this write was made is open:"
        " if this host crashes now, it may be there after all. Read the value before you write again"
    )
