"""Who waits for a state to be durable without writing it: how many may, for how long, and when they hear.

It must not know what is written, nor when.
"""

from typing import Any, NoReturn

from twisted.internet.defer import Deferred, fail

from onevalue.errors import JournalError
from onevalue.store import WAITING_WRITES_MAX, State

DURABLE_WAITERS_MAX = WAITING_WRITES_MAX
"""Who may wait at once: as many as may wait to write. One more fails at once."""


class DurableWaiters:
    """All that wait, each for a state.

    Args:
        reactor: delayed calls.
        time_max_s: after so long one fails that nothing has ended: nobody has handed its state to the journal.
        name: of the journal, for errors.
    """

    def __init__(self, reactor: Any, time_max_s: float, name: str) -> None:
        self._reactor = reactor
        self._time_max_s = time_max_s
        self._name = name
        self._states: dict[Deferred[None], State] = {}

    def add(self, state: State) -> Deferred[None]:
        """Fires at a `tell` of `state` or above; else it fails with JournalError. Cancelled it is forgotten."""
        if len(self._states) >= DURABLE_WAITERS_MAX:
            return fail(JournalError(f"{self._name}: {len(self._states)} wait already. Try again later"))
        waiter: Deferred[None] = Deferred(self._forget)
        self._states[waiter] = state
        return waiter.addTimeout(self._time_max_s, self._reactor, self._late)

    def tell(self, durable: State) -> None:
        """This state is durable, and so is all below it."""
        for waiter in [waiter for waiter, state in self._states.items() if state <= durable]:
            if self._states.pop(waiter, None) is not None:  # one that is told may cancel another
                waiter.callback(None)

    def fail_all(self, trouble: str) -> None:
        """Nobody waits any more; all that did fail with JournalError."""
        for waiter in list(self._states):
            if self._states.pop(waiter, None) is not None:  # as above
                waiter.errback(JournalError(trouble))

    def _forget(self, waiter: Deferred[None]) -> None:
        self._states.pop(waiter, None)

    def _late(self, _: object, seconds: float) -> NoReturn:
        raise JournalError(f"{self._name}: what is waited for has not come to the disk for {seconds:g} s")
