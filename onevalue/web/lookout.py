"""Looks on for the live page: keeps the rings of what happened, and, while somebody reads, asks who holds what.

With no page open nothing is asked, made or timed; changes and happenings go into their rings, and that is all. What is
decided is decided by `survey`, `changes` and `livekinds`; it must not know how bytes reach a page.
"""

import json
from math import inf

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from onevalue.errors import LocalProtocolError
from onevalue.member import Happening, QueryRequest
from onevalue.spread.rumour import EVENT_NAME
from onevalue.store import Change
from onevalue.web.changes import RecentChanges
from onevalue.web.context import Context
from onevalue.web.freshness import ShownContact
from onevalue.web.happenings import Happenings
from onevalue.web.livefeed import Kind, LiveFeed
from onevalue.web.livekinds import LiveKinds, is_ours
from onevalue.web.places import Places
from onevalue.web.rounds import cancel
from onevalue.web.survey import Survey

PREAMBLE = b": what the page at / shows: node, state, members, changes, events\n"

BEAT_INTERVAL_S = 3.0
"""So often the node is told, whatever happens: a page that hears nothing for four times as long is disconnected."""

ASK_TIME_MAX_S = 1.0
"""How long answers are awaited: members that are Serf agents give none."""

PAUSE_S = 0.2
"""From one event of a kind to the next, the short ones."""

LONG_PAUSE_S = 0.5
"""And of lists."""

HEARD_PER_TURN = 250
"""Members of whom it is looked up what they said, between two turns of the reactor."""


class Lookout:
    """One observer of the node for all pages.

    Args:
        context: the node.
        contact: how long ago another was heard.
        places: each page takes one.

    Attributes:
        feed: the streams to the pages.
    """

    _log = Logger(namespace="onevalue.web")

    def __init__(self, context: Context, contact: ShownContact, places: Places) -> None:
        self._context = context
        self._changes = RecentChanges(context.name)
        self._happenings = Happenings()
        self._survey = Survey()
        self._asking: Deferred[None] | None = None
        self._next_question: IDelayedCall | None = None
        self._next_beat: IDelayedCall | None = None
        self._kinds = kinds = LiveKinds(context, contact, self._changes, self._happenings)
        self.feed = LiveFeed(
            context.clock,
            places,
            PREAMBLE,
            [
                Kind("node", kinds.node, PAUSE_S),
                Kind("state", kinds.state, PAUSE_S),
                Kind("members", self._members, LONG_PAUSE_S),
                Kind("changes", kinds.changes, LONG_PAUSE_S),
                Kind("events", kinds.events, LONG_PAUSE_S),
            ],
            self._opened,
            self._closed,
        )
        self._happenings.add("started", "this node started", context.wall_clock(), context.name)
        context.store.observe(self._changed)
        context.membership.observe_members(self._members_changed)
        context.membership.observe_happenings(self._happened)
        context.spread.observe_ready(self._now_ready)
        context.journal.observe_trouble(self._disk_changed)

    # Somebody looks, or nobody --------------------------------------------------------------------------------------

    def _opened(self) -> None:
        self._survey.want(self._context.now)
        self._arm()
        self.feed.touch("state", "changes", "events")
        self._beat()

    def _closed(self) -> None:
        cancel(self._next_beat)
        cancel(self._next_question)
        self._next_beat = self._next_question = None
        if self._asking is not None:
            self._asking.cancel()
        self._changes.stop_measuring()

    def _beat(self) -> None:
        self._next_beat = self._context.clock.callLater(BEAT_INTERVAL_S, self._beat)
        self.feed.touch("node", "members")  # of members some things change that nobody is told of: how far, who holds

    # What happens ---------------------------------------------------------------------------------------------------

    def _changed(self, change: Change) -> None:
        now = self._context.now
        self._changes.add(change, now, self._context.wall_clock(), measured=self.feed.is_open)
        if self.feed.is_open:
            self._survey.want(now)
            self._arm()
            self.feed.touch("state", "members", "changes")

    def _members_changed(self) -> None:
        if self.feed.is_open:
            self._changes.keep([member.name for member in self._context.membership.members()])
            self._arm()
            self.feed.touch("node", "members")

    def _happened(self, happening: Happening) -> None:
        self._happenings.add(happening.kind, happening.text, self._context.wall_clock(), happening.name)
        self.feed.touch("events")

    def _now_ready(self) -> None:
        self._happened(Happening("ready", f"this node takes writes: {self._context.spread.ready_because}"))
        self.feed.touch("node")

    def _disk_changed(self) -> None:
        trouble = self._context.journal.trouble
        if trouble is None:
            self._happened(Happening("recovered", "the disk takes writes again"))
        else:
            self._happened(Happening("disk", f"the disk does not take writes: {trouble}"))
        self.feed.touch("node")

    # Who holds what -------------------------------------------------------------------------------------------------

    async def _members(self) -> dict[str, object]:
        """The members, when what they said over HTTP has been heard, some in each turn of the reactor."""
        members, spread = self._context.membership.members(), self._context.spread
        for start in range(0, len(members), HEARD_PER_TURN):
            if start:
                await deferLater(self._context.clock, 0, lambda: None)
            for member in members[start : start + HEARD_PER_TURN]:
                current = self._context.store.current
                # An exchange told so, at most a beat ago. The origin counts as a holder anyway, and has to answer: when
                # it began, no exchange tells.
                if not self._changes.holds(member.name, current) and spread.holds(member.name):
                    self._changes.heard(member.name, current.tag, self._context.now)
        self._settle()
        await deferLater(self._context.clock, 0, lambda: None)
        return await self._kinds.members()

    def _settle(self) -> None:
        if not self._changes.pending:
            return
        members = self._context.membership.members()
        present = [member.name for member in members if member.is_present and is_ours(member)]
        if self._changes.settle(present, self._context.now):
            self.feed.touch("changes")

    def _arm(self) -> None:
        """The delayed call for the next question stands at its time."""
        cancel(self._next_question)
        at = self._survey.next_question(len(self._context.membership.members()))
        self._next_question = (
            None if at is None else self._context.clock.callLater(max(0.0, at - self._context.now), self._ask)
        )

    def _ask(self) -> None:
        self._next_question = None
        self._survey.asked(self._context.now)
        self._asking = Deferred.fromCoroutine(self._asked())
        self._asking.addErrback(self._failed).addCallback(self._over)

    async def _asked(self) -> None:
        membership = self._context.membership
        result = await membership.query(QueryRequest(EVENT_NAME, timeout_s=ASK_TIME_MAX_S))
        for (sender, payload), at in zip(result.answers, result.times, strict=True):
            told = answer_told(payload)
            if told is not None:
                tag, held_s = told
                # Without the trip of the answer a change would seem to come from its origin in no time.
                trip_s = (membership.rtt_s(membership.local_name, sender) or 0.0) / 2
                self._changes.heard(sender, tag, at, held_s + trip_s)

    def _failed(self, failure: Failure) -> None:
        if failure.check(CancelledError, LocalProtocolError) is None:
            self._log.failure("asking who holds the state failed, and goes on", failure)

    def _over(self, _: object) -> None:
        """The question is over, with or without answers."""
        self._asking = None
        self._settle()
        self._survey.ended(self._context.now, all_hold_it=not self._changes.pending)
        if self.feed.is_open:
            self._arm()
            self.feed.touch("members")


def answer_told(payload: bytes) -> tuple[str, float] | None:
    """The tag in an answer to the question, and for how long the member has held that state; 0 if it does not say.

    None if there is no tag: whoever answered is no node of ours.
    """
    try:
        told = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    if not isinstance(told, dict) or not isinstance(tag := told.get("tag"), str):
        return None
    held_s = told.get("held_s")
    if isinstance(held_s, bool) or not isinstance(held_s, int | float) or not 0 <= held_s < inf:
        return tag, 0.0
    return tag, held_s
