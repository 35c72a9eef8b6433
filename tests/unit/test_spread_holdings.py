"""What members held when they last spoke."""

from twisted.trial.unittest import SynchronousTestCase

from onevalue.spread.holdings import Holdings
from onevalue.store import State
from onevalue.types import Generation


class HoldingsTests(SynchronousTestCase):
    """As exchanges tell it."""

    def test_who_holds_the_state_is_known_from_exchanges(self) -> None:
        """Who was told of it and held less does not; of all others it is not known."""
        holdings, old, now, more = Holdings(), State(Generation(1), 1), State(Generation(2), 2), State(Generation(3), 3)
        holdings.answered("same", now.tag, old.tag)
        holdings.answered("less", old.tag, now.tag)
        holdings.answered("untold", old.tag, old.tag)
        holdings.answered("more", more.tag, now.tag)
        names = ("same", "less", "untold", "more", "nobody")
        assert [holdings.holds(name, now) for name in names] == [True, False, None, None, None]
