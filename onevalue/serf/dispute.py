"""Two nodes of one name: the members are asked whom they know by it, and what follows (wire README 5.10).

DEPARTURE (name-conflict): Serf's loser shuts down, and so do both when nobody answers. Here the loser says so and goes
on; it tells the members again and again where it is, so that it is taken up soon after the other is gone. It must not
know how members are asked or told.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from onevalue.errors import LocalProtocolError, RemoteProtocolError
from onevalue.serf.asking import Collector, Question
from onevalue.swim.address import is_addr, to_address
from onevalue.swim.timers import Timers
from onevalue.types import Address
from onevalue.wire.internal_queries import decode_conflict_answer

CONFLICT: Final = "_serf_conflict"
"""The query about a disputed name."""

VOTE_PAUSE_S: Final = 30.0
"""From the beginning of one vote to that of the next, at least."""

INSIST_PAUSE_S: Final = 2.0
"""A node that is not known by its name says where it is this often, for INSIST_SOON_S."""

INSIST_SOON_S: Final = 60.0

INSIST_LATER_S: Final = 30.0
"""And this often after that."""

QUIET_S: Final = 180.0
"""After so long without a sign of the other the dispute is over: several push/pulls would have told of it."""

TOLD_AGAIN_S: Final = 300.0
"""A conflict that goes on is told this often."""

CONFLICTS_MAX: Final = 256
"""Conflicts of which it is remembered that they were told."""

_TIMER: Final = "dispute"


class Verdict(Enum):
    """What a vote said."""

    VOTING = "the members are being asked"
    WON = "most members know this node by its name"
    LOST = "most members know another node by this name"
    UNDECIDED = "no member answered"


def judge(answers: int, for_us: int) -> Verdict:
    """Serf's rule: more than half of those who answered must name this node."""
    if answers == 0:
        return Verdict.UNDECIDED
    return Verdict.WON if for_us >= answers // 2 + 1 else Verdict.LOST


@dataclass(slots=True)
class Dispute:
    """A conflict about the own name.

    Attributes:
        address: where the other node of this name was seen last.
        since: when the first sign came, in the seconds of `now`.
        seen: when the last one came.
        verdict: of the last vote.
        answers: how many voted in it.
        for_us: how many of these for this node.
        voted: when it began.
    """

    address: Address
    since: float
    seen: float
    verdict: Verdict = Verdict.VOTING
    answers: int = 0
    for_us: int = 0
    voted: float = float("-inf")


@dataclass(slots=True)
class Vote:
    """Collects what members say to one query about the name; tells at its end.

    Attributes:
        address: of this node.
        voters: how many members may answer, as far as is known by then.
        judged: hears how many answered, and how many of them for this node.
    """

    address: Address
    voters: Callable[[], int]
    judged: Callable[[int, int], None]
    answers: int = 0
    for_us: int = 0

    def acked(self, sender: str) -> bool:  # noqa: ARG002  # as Collector has it
        """Acks are not asked for."""
        return False

    def answered(self, sender: str, payload: bytes) -> bool:  # noqa: ARG002
        """One more vote counts, also of a member that knows nobody by the name; enough when all have voted."""
        try:
            member = decode_conflict_answer(payload)
        except RemoteProtocolError:
            return False
        self.answers += 1
        if member is not None and is_addr(member.addr):  # as text: the same address may be spelt in 4 or 16 bytes
            self.for_us += to_address(member.addr, member.port) == self.address
        return self.answers >= self.voters()

    def ended(self, now: float) -> None:  # noqa: ARG002
        """The votes are counted."""
        self.judged(self.answers, self.for_us)


class OwnName:
    """Whether the name of this node is its alone.

    Args:
        name: of this node.
        address: where it is.
        timers: for what follows.
        ask: puts a question to all members.
        voters: how many other members there are.
        insist: tells them again where this node is.
        judged: hears of each verdict.
    """

    def __init__(
        self,
        *,
        name: str,
        address: Address,
        timers: Timers,
        ask: Callable[[Collector, Question, float], object],
        voters: Callable[[], int],
        insist: Callable[[], None],
        judged: Callable[[Dispute], None],
    ) -> None:
        self.dispute: Dispute | None = None
        self._question = Question(CONFLICT, name.encode("utf-8", "surrogateescape"))
        self._address = address
        self._timers = timers
        self._ask = ask
        self._voters = voters
        self._insist = insist
        self._judged = judged

    def disputed(self, other: Address, now: float) -> None:
        """Another node calls itself so; the members are asked, unless they just were."""
        if self.dispute is None:
            self.dispute = Dispute(other, now, now)
            self._timers.set(_TIMER, now + INSIST_PAUSE_S, self._go_on)
        dispute = self.dispute
        dispute.address, dispute.seen = other, now
        if now - dispute.voted < VOTE_PAUSE_S:
            return
        dispute.voted = now
        vote = Vote(self._address, self._voters, lambda answers, for_us: self._count(dispute, answers, for_us))
        try:
            self._ask(vote, self._question, now)
        except LocalProtocolError:  # too many queries are under way, or the name is too long for one: no vote
            self._count(dispute, 0, 0)

    def _count(self, dispute: Dispute, answers: int, for_us: int) -> None:
        dispute.answers, dispute.for_us = answers, for_us
        dispute.verdict = judge(answers, for_us)
        self._judged(dispute)

    def _go_on(self, now: float) -> None:
        dispute = self.dispute
        if dispute is None or now - dispute.seen > QUIET_S:
            self.dispute = None
            return
        if dispute.verdict is not Verdict.WON:
            self._insist()
        soon = now - dispute.since < INSIST_SOON_S
        self._timers.set(_TIMER, now + (INSIST_PAUSE_S if soon else INSIST_LATER_S), self._go_on)


class ConflictMemory:
    """Which conflicts were told lately: two nodes of one name cause one at every other message."""

    def __init__(self) -> None:
        self._told: dict[tuple[str, Address], float] = {}

    def is_news(self, name: str, other: Address, now: float) -> bool:
        """This conflict was not told for TOLD_AGAIN_S; from now on it was."""
        key = (name, other)
        if now - self._told.get(key, float("-inf")) < TOLD_AGAIN_S:
            return False
        self._told.pop(key, None)
        self._told[key] = now
        if len(self._told) > CONFLICTS_MAX:
            del self._told[next(iter(self._told))]
        return True
