"""What members held when they last spoke."""

from twisted.trial.unittest import SynchronousTestCase

from onevalue.spread.holdings import Holdings
from onevalue.store import State
from onevalue.types import Generation
from tests.spread_rig import Node, member, state


class HoldingsTests(SynchronousTestCase):
    """As exchanges tell it."""

    def test_who_holds_the_state_is_known_from_exchanges(self) -> None:
        """Who was told of it and held less does not; of all others it is not known."""
        holdings, old, now, more = Holdings(), State(Generation(1), 1), State(Generation(2), 2), State(Generation(3), 3)
        holdings.answered("same", now.tag, old.tag)
        holdings.answered("less", old.tag, now.tag)
        holdings.answered("untold", old.tag, old.tag)
        holdings.answered("more", more.tag, now.tag)
        holdings.answered("rival", State(Generation(2), 1).tag, now.tag)
        names = ("same", "less", "rival", "untold", "more", "nobody")
        assert [holdings.holds(name, now) for name in names] == [True, False, False, None, None, None]

    def test_members_that_are_gone_are_forgotten(self) -> None:
        """Memory is bounded by the members there are."""
        node = Node(initial=state(1, 1))
        node.meet(member("b"), member("c"))
        for name in ("b", "c"):
            node.spread.answer_to(Node(name).spread.statement(), node.spread.held)
        assert (node.spread.holds("b"), node.spread.holds("c")) == (True, True)
        node.meet(member("b"))
        node.meet(member("b"), member("c"))
        assert (node.spread.holds("b"), node.spread.holds("c")) == (True, None)
