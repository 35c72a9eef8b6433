"""What waits for the journal's next transaction: appends in a bounded queue, all else in one slot each.

It must not know when a transaction begins nor how it goes.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from twisted.internet.defer import Deferred

from onevalue.errors import JournalError
from onevalue.journal_records import HistoryEntry, LamportClocks, Peer
from onevalue.store import WAITING_WRITES_MAX

BATCH_STATES_MAX = WAITING_WRITES_MAX
"""States in one transaction, and so in one append: as many as may wait in the store."""

WAITING_STATES_MAX = 4 * BATCH_STATES_MAX
"""States that wait for their transaction; an append beyond is refused."""

DISOWNED_MAX = BATCH_STATES_MAX
"""Tags of states that are to be no history; while the disk takes nothing the oldest make room."""


@dataclass(frozen=True, slots=True)
class Behind:
    """What is written when there is time, in one slot each; None: nothing. `disowned`: tags, of states appended."""

    learnt: HistoryEntry | None = None
    peers: tuple[Peer, ...] | None = None
    clocks: LamportClocks | None = None
    disowned: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self != Behind()

    def over(self, older: "Behind") -> "Behind":
        """Both; in a slot that both fill, this one's; all that is disowned, up to DISOWNED_MAX."""
        return Behind(
            learnt=older.learnt if self.learnt is None else self.learnt,
            peers=older.peers if self.peers is None else self.peers,
            clocks=older.clocks if self.clocks is None else self.clocks,
            disowned=(older.disowned + self.disowned)[-DISOWNED_MAX:],
        )


@dataclass(frozen=True, slots=True, eq=False)
class Append:
    """Entries that become durable together, or not at all; then `done` fires."""

    entries: list[HistoryEntry]
    done: Deferred[None] = field(default_factory=Deferred)


class AppendQueue:
    """The appends that wait, in order; `states` counts their states."""

    def __init__(self) -> None:
        self._appends: deque[Append] = deque()
        self.states = 0

    def __bool__(self) -> bool:
        return bool(self._appends)

    def put(self, append: Append) -> bool:
        """The append waits behind all others; False if it is too large or too many wait, and nothing changed."""
        size = len(append.entries)
        if size > BATCH_STATES_MAX or self.states + size > WAITING_STATES_MAX:
            return False
        self._appends.append(append)
        self.states += size
        return True

    def take_batch(self) -> list[Append]:
        """As many of the appends, in order, as may go into one transaction; they no longer wait."""
        batch: list[Append] = []
        room = BATCH_STATES_MAX
        while self._appends and len(self._appends[0].entries) <= room:
            batch.append(self._appends.popleft())
            room -= len(batch[-1].entries)
            self.states -= len(batch[-1].entries)
        return batch

    def fail_all(self, trouble: str) -> None:
        """No append waits any more; all that did fail with JournalError."""
        appends, self._appends, self.states = list(self._appends), deque(), 0
        tell(appends, trouble)


def tell(appends: Sequence[Append], trouble: str | None) -> None:
    """All of them are done; with a trouble they fail with JournalError."""
    for append in appends:
        if trouble is None:
            append.done.callback(None)
        else:
            append.done.errback(JournalError(trouble))
