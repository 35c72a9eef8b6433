"""What a journal is to the rest of the node; and the one that keeps nothing.

It must not know how anything is kept.
"""

from collections.abc import Callable, Mapping, Sequence

from twisted.internet.defer import Deferred, succeed
from zope.interface import Attribute, Interface, implementer

from onevalue.histogram import Histogram
from onevalue.journal_records import Contents, HistoryEntry, LamportClocks, Peer
from onevalue.store import Source, State


class IJournal(Interface):
    """The durable copy. All calls are made on the reactor's thread."""

    contents: Contents = Attribute("What was there at the start.")
    trouble: str | None = Attribute("Why the last transaction failed, a sentence; None once one succeeds: it tries.")
    durable: State | None = Attribute("The newest state known to be durable; None when there is none.")
    history_max: int = Attribute("How many accepted states are kept, 0 .. HISTORY_MAX_LIMIT.")
    commit_times: Histogram = Attribute("Seconds that each transaction took which was made durable.")

    def append(states: Sequence[State], source: Source) -> Deferred[None]:
        """Fires when all the states are durable, in one transaction.

        The current state is the largest of them and of what was there; own writes stand in the history, and others
        that were accepted. Fails with JournalError, and then nothing of it is kept (a power failure in that moment
        aside: what was refused may then be there after all). It has no deadline once its transaction runs: its outcome
        is known when the disk answers.
        """

    def disown(states: Sequence[State]) -> None:
        """States whose append is not done yet were overtaken: they will stand in no history. Never fails.

        Once a larger one that is learnt in the same turn is durable, so is this.
        """

    def learn(state: State, source: Source) -> None:
        """`state` will be durable soon; a larger one that is learnt before takes its place. Never fails."""

    def when_durable(state: State) -> Deferred[None]:
        """Fires when `durable` is `state` or larger, at once if so; it writes nothing itself: `learn` or `append` does.

        Fails with JournalError when that is not to be seen soon: a transaction fails or stalls meanwhile, the journal
        closes, DURABLE_WAITERS_MAX wait already, or nothing has brought it for DURABLE_TIME_MAX_S. Then it may become
        durable later, or not. Cancelled it is forgotten.
        """

    def save_peers(peers: Sequence[Peer]) -> None:
        """The first PEERS_MAX of `peers` will soon replace the journal's; a later call before takes their place."""

    def save_clocks(clocks: LamportClocks) -> None:
        """`clocks` will soon replace the journal's; a later call before takes their place."""

    def history(limit: int) -> Deferred[list[HistoryEntry]]:
        """The durable accepted states, newest first: at most `limit`, none after HISTORY_READ_SIZE_MAX bytes of values.

        Fails with JournalError: too many wait, the file cannot be read, or the disk has not answered for STALL_S.
        """

    def status() -> Mapping[str, object]:
        """What /v1/status shows: kind (sqlite or none), path, healthy, trouble, durable (a tag), counters, bounds."""

    def observe_trouble(observer: Callable[[], None]) -> None:
        """`observer` is called after each change of `trouble`. It must not raise."""

    def observe_stall(observer: Callable[[str], None]) -> None:
        """`observer` is called with the trouble when a transaction has not ended for STALL_S. It must not raise."""

    def close() -> Deferred[None]:
        """Fires, within CLOSE_TIMEOUT_S or soon after, when all is written that can be, and file and lock are free.

        From the call on `append`, `history` and `when_durable` fail, and the rest has no effect. Twice does no harm.
        """


@implementer(IJournal)
class NullJournal:
    """The journal of a throw-away node (--no-journal): keeps nothing, and never fails."""

    contents = Contents(state=None, peers=(), clocks=None)
    trouble: str | None = None
    durable: State | None = None
    history_max = 0
    commit_times = Histogram()  # nothing is ever counted

    def append(self, states: Sequence[State], source: Source) -> Deferred[None]:  # noqa: ARG002  # nothing is kept
        """Fires at once."""
        return succeed(None)

    def disown(self, states: Sequence[State]) -> None:
        """No effect."""

    def learn(self, state: State, source: Source) -> None:
        """No effect."""

    def when_durable(self, state: State) -> Deferred[None]:  # noqa: ARG002  # nothing is kept
        """Fires at once: no crash can bring back what is kept nowhere."""
        return succeed(None)

    def save_peers(self, peers: Sequence[Peer]) -> None:
        """No effect."""

    def save_clocks(self, clocks: LamportClocks) -> None:
        """No effect."""

    def history(self, limit: int) -> Deferred[list[HistoryEntry]]:  # noqa: ARG002  # nothing is kept
        """Fires at once with nothing."""
        return succeed([])

    def status(self) -> Mapping[str, object]:
        """See IJournal."""
        return {"kind": "none", "path": None, "healthy": True, "trouble": None, "durable": None, "history_max": 0}

    def observe_trouble(self, observer: Callable[[], None]) -> None:
        """No effect."""

    def observe_stall(self, observer: Callable[[str], None]) -> None:
        """No effect."""

    def close(self) -> Deferred[None]:
        """Fires at once."""
        return succeed(None)
