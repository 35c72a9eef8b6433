"""Whether a node that has others is cut off from them: one rule, for the page, for systemd and for metrics.

It must not know who tells it, nor to whom.
"""

from collections.abc import Sequence

from onevalue.member import Member, Status
from onevalue.membership import IMembership
from onevalue.spread import Spread

ISOLATED_AFTER_S = 10.0
"""A node with others that has heard none of them for so long is cut off, or they all are gone."""


class Isolation:
    """Judges one node.

    Args:
        membership: the others.
        spread: whether this node is still looking for them.
        expects_others: it was told of some.
    """

    def __init__(self, membership: IMembership, spread: Spread, *, expects_others: bool) -> None:
        self._membership = membership
        self._spread = spread
        self._expects_others = expects_others

    def why(self) -> str | None:
        """Why this node is cut off now, a sentence; None: it is not."""
        membership = self._membership
        others = [member for member in membership.members() if member.name != membership.local_name]
        return isolation(
            [*others, *membership.lost()],
            membership.last_contact_s(),
            expects_others=self._expects_others,
            learning=self._spread.learning,
        )


def isolation(
    others: Sequence[Member], last_contact_s: float | None, *, expects_others: bool, learning: bool
) -> str | None:
    """Why a node with these other members, the lost ones too, is cut off, a sentence; None: it is not.

    Args:
        others: all but this node; those that have left are not missed.
        last_contact_s: how long ago any of them was heard, since the start.
        expects_others: it was told of others.
        learning: it is still looking for them, which is soon over.
    """
    if learning:
        return None
    missed = [member for member in others if member.status is not Status.LEFT]
    if not missed:
        unmet = expects_others and last_contact_s is None
        return "None of the nodes that this one was told of has answered: it is alone." if unmet else None
    if not any(member.is_present for member in missed):
        return "No other member answers: this node is cut off, or all the others are down."
    if last_contact_s is not None and last_contact_s > ISOLATED_AFTER_S:
        return f"No other member was heard for {last_contact_s:.0f} s: this node may be cut off."
    return None
