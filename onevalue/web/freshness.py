"""How long ago any other member was heard, as answers show it.

The truth changes all the time, and no answer that shows it could be remembered. So what is shown is a sample: taken
when it is first wanted in a second of the wall clock, or after the members have changed, and shown until that second
ends. It must not know who shows it; what decides by the age of a state asks the membership.
"""

from collections.abc import Callable

from onevalue.membership import IMembership


class ShownContact:
    """The sample.

    Args:
        membership: knows the truth.
        wall_clock: seconds since 1970.
        renewed: called when another sample is, or will be, shown.
    """

    def __init__(self, membership: IMembership, wall_clock: Callable[[], float], renewed: Callable[[], None]) -> None:
        self._membership = membership
        self._wall_clock = wall_clock
        self._renewed = renewed
        self._second: int | None = None
        self._sample_s: float | None = None
        membership.observe_members(self._forget)

    def last_contact_s(self) -> float | None:
        """Seconds, as they were at most a second ago; None when there is no other member."""
        second = int(self._wall_clock())
        if second != self._second:
            self._second, self._sample_s = second, self._membership.last_contact_s()
            self._renewed()
        return self._sample_s

    def _forget(self) -> None:
        """The first other member has come, perhaps: null would be wrong."""
        self._second = None
        self._renewed()
