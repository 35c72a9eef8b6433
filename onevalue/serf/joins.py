"""Joins that the owner has asked for: each is a push/pull, and its end is told.

Periodic exchanges and the dialling of members that are gone are the core's own affair, and none of these. It must not
know how a push/pull goes.
"""

from collections.abc import Callable

from onevalue.serf.events import JoinDone, SerfEvent
from onevalue.serf.healing import Healing
from onevalue.swim.events import PushPullDone
from onevalue.types import Address


class Joins:
    """Gives each join an id, by which its end is told.

    Args:
        healing: dials.
        announce: says that this node is a member; called at each join that brought an answer, before its end is told.
        tell: the owner.
    """

    def __init__(
        self,
        healing: Healing,
        announce: Callable[[float], object],
        tell: Callable[[SerfEvent], object],
    ) -> None:
        self._healing = healing
        self._announce = announce
        self._tell = tell
        self._begun = 0
        self._under_way: dict[int, int] = {}  # by the ids of their push/pulls

    def begin(self, address: Address, name: str, now: float) -> int:
        """A join is under way; returns its id. A JoinDone with that id ends it, perhaps before this returns.

        With a name the node there is first asked whether it is its own; if it is not, that is an error.
        """
        self._begun += 1
        join_id = self._begun

        def begun(request_id: int | None) -> None:
            if request_id is None:
                self._tell(JoinDone(join_id, address, f"no node there answers to the name {name}"))
            else:
                self._under_way[request_id] = join_id

        self._healing.dial(address, name, begun, now)
        return join_id

    def ended(self, done: PushPullDone, now: float) -> None:
        """A push/pull is over; nothing happens if it was no join."""
        join_id = self._under_way.pop(done.request_id, None)
        if join_id is not None:
            if done.error is None:
                self._announce(now)
            self._tell(JoinDone(join_id, done.address, done.error))
