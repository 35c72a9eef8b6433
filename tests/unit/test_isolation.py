"""When a node is cut off from the others, and when it is only alone."""

import random

from twisted.trial.unittest import SynchronousTestCase

from onevalue.config import SpreadSettings
from onevalue.isolation import ISOLATED_AFTER_S, Isolation, isolation
from onevalue.member import Status
from onevalue.spread import Spread
from onevalue.store import State, Store
from onevalue.types import Generation
from tests.fakes import FakeMembership, make_member


class RuleTests(SynchronousTestCase):
    """By what is known of the others."""

    def why(self, *others: Status, contact_s: float | None = 0.5, expects: bool = True, learning: bool = False) -> str:
        """The reason, "" for none."""
        members = [make_member(f"n{number}", status=status) for number, status in enumerate(others)]
        return isolation(members, contact_s, expects_others=expects, learning=learning) or ""

    def test_a_node_among_others_is_not(self) -> None:
        """As long as one of them is there, and was heard lately."""
        assert self.why(Status.ALIVE, Status.FAILED) == ""
        assert self.why(Status.ALIVE, contact_s=ISOLATED_AFTER_S) == ""
        assert "11 s" in self.why(Status.ALIVE, contact_s=ISOLATED_AFTER_S + 1)

    def test_a_node_whose_others_have_failed_is(self) -> None:
        """Those who left are not missed, however long ago it was, nor when they are forgotten."""
        assert "cut off" in self.why(Status.FAILED, Status.LEFT)
        assert self.why(Status.LEFT, contact_s=9999.0) == ""
        assert self.why(contact_s=99999.0) == ""

    def test_a_node_that_never_met_anybody_is(self) -> None:
        """If it was told of somebody."""
        assert "alone" in self.why(contact_s=None)
        assert self.why(contact_s=None, expects=False) == ""

    def test_a_node_that_still_looks_for_them_is_not_yet(self) -> None:
        """Neither one that was told of them, nor one that remembers them from before its restart."""
        assert self.why(contact_s=None, learning=True) == ""
        assert self.why(Status.FAILED, contact_s=None, learning=True) == ""


class NodeTests(SynchronousTestCase):
    """One node, as it goes on."""

    def test_who_failed_long_ago_is_missed_too(self) -> None:
        """It is no member any more, but still looked for; the node itself is none of the others."""
        membership = FakeMembership("n1", [make_member("n1")])
        spread = Spread(
            name="n1", store=Store(State(Generation(0), 42)), settings=SpreadSettings(), rng=random.Random(1)
        )
        judged = Isolation(membership, spread, expects_others=False)
        assert judged.why() is None
        membership.lost_members = [make_member("n2", status=Status.FAILED)]
        assert "cut off" in str(judged.why())
        membership.set_members(make_member("n1"), make_member("n2"))
        membership.lost_members, membership.contact_s = [], 0.5
        assert judged.why() is None
