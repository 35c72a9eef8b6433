"""When all members are to be asked what they hold: soon after a change, again while some lack it, and now and then.

Decides by `now` alone. It must not know how anybody is asked, nor what the answers are for.
"""

from math import inf

ASK_SOON_S = 0.02
"""After a change; by then a healthy cluster has it."""

ASK_PAUSE_S = 2.0
"""From one question to the next, however often the value changes: each is a broadcast that all answer."""

ASK_INTERVAL_S = 10.0
"""From one question to the next when nothing changes."""

ASKED_MAX = 100
"""Members; in larger clusters nobody is asked, and what is known comes from anti-entropy alone."""


class Survey:
    """One who asks. Nothing is asked before the first `want`."""

    def __init__(self) -> None:
        self._asked_at = -inf
        self._wanted_at = inf
        self._under_way = False

    def want(self, now: float) -> None:
        """Something has changed, or somebody has begun to look: a question is wanted soon."""
        self._wanted_at = min(self._wanted_at, now + ASK_SOON_S)

    def next_question(self, members: int) -> float | None:
        """When to ask next, seconds of now, in a cluster of so many; None: not before something else happens."""
        if self._under_way or not asks(members):
            return None
        in_turn = inf if self._asked_at == -inf else self._asked_at + ASK_INTERVAL_S
        at = max(self._asked_at + ASK_PAUSE_S, min(self._wanted_at, in_turn))
        return None if at == inf else at

    def asked(self, now: float) -> None:
        """The question is under way until `ended`."""
        self._asked_at, self._wanted_at, self._under_way = now, inf, True

    def ended(self, now: float, *, all_hold_it: bool) -> None:
        """Nothing more will be answered; if not all hold what this node does, it is wanted again."""
        self._under_way = False
        if not all_hold_it:
            self.want(now)


def asks(members: int) -> bool:
    """A cluster of so many is asked at all: there are others, and not too many."""
    return 1 < members <= ASKED_MAX
