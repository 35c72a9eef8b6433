"""What a conflict about a name leads to: a dispute about the own one, a closer look at that of another.

`dispute` decides what becomes of the own name. It must not know how conflicts are found.
"""

from collections.abc import Callable

from onevalue.serf import events
from onevalue.serf.dispute import ConflictMemory, Dispute, OwnName
from onevalue.serf.events import SerfEvent
from onevalue.serf.queries import Queries
from onevalue.swim.address import to_address
from onevalue.swim.core import Swim
from onevalue.swim.events import NameConflict
from onevalue.swim.timers import Timers


class Names:
    """Takes conflicts; tells them, and the verdicts about the own name, to the owner."""

    def __init__(self, swim: Swim, queries: Queries, timers: Timers, tell: Callable[[SerfEvent], object]) -> None:
        self._swim = swim
        self._tell = tell
        self._memory = ConflictMemory()
        self._own = OwnName(
            name=swim.local.name,
            address=swim.local.address,
            timers=timers,
            ask=queries.ask_for,
            voters=lambda: queries.present - 1,
            insist=swim.insist,
            judged=self._judged,
        )

    @property
    def dispute(self) -> Dispute | None:
        """About the name of this node, if another node has it too."""
        return self._own.dispute

    def conflict(self, conflict: NameConflict, now: float) -> None:
        """The own name is disputed; or another's, who may have moved: then it is seen soon that the old one is gone."""
        name, other = conflict.existing.name, to_address(conflict.addr, conflict.port)
        if name == self._swim.local.name:
            self._own.disputed(other, now)
        else:
            self._swim.probe_soon(name)
        if self._memory.is_news(name, other, now):
            self._tell(events.NameConflict(name, conflict.addr, conflict.port))

    def _judged(self, dispute: Dispute) -> None:
        self._tell(events.NameJudged(dispute.verdict, dispute.answers, dispute.for_us, dispute.address))
