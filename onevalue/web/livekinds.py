"""What the live page is told of the node, its value and its members: each kind as one JSON object, made here.

The value goes as the text of its JSON, not as JSON: a browser would round the large integers in it. It must not know
when anything is told, nor to whom.
"""

from twisted.internet.task import deferLater

from onevalue.member import Member, Status
from onevalue.spread.contacts import HTTP_TAG, http_url
from onevalue.store import State
from onevalue.web.changes import CHANGES_MAX, RecentChanges
from onevalue.web.context import Context
from onevalue.web.freshness import ShownContact
from onevalue.web.happenings import Happenings
from onevalue.web.states import facts_of
from onevalue.web.survey import ASKED_MAX, asks

VALUE_TOLD_SIZE_MAX = 16 * 1024
"""Bytes of the JSON of a value that is told with each change; of a larger one only its size."""

MEMBERS_TOLD_MAX = 400
"""Members that are listed: those in trouble first. Of all, the numbers are told."""

MEMBERS_PER_TURN = 50
"""Members that are written between two turns of the reactor: some 2 ms."""

_TROUBLE = (Status.FAILED, Status.LEAVING)


class LiveKinds:
    """Makes the object of each kind.

    Args:
        context: the node.
        contact: how long ago another was heard.
        changes: the last ones.
        happenings: likewise.
    """

    def __init__(self, context: Context, contact: ShownContact, changes: RecentChanges, happenings: Happenings) -> None:
        self._context = context
        self._contact = contact
        self._changes = changes
        self._happenings = happenings

    async def node(self) -> dict[str, object]:
        """This node, how it is, and what time it is."""
        context, journal = self._context, self._context.journal
        current, durable = context.store.current, journal.durable
        last_contact_s = self._contact.last_contact_s()
        return {
            "name": context.name,
            "version": context.version,
            "now": round(context.wall_clock(), 3),
            "uptime_s": round(max(0.0, context.now - context.started_s), 1),
            "ready": context.writer.not_ready is None,
            "not_ready": context.writer.not_ready,
            "learning": context.spread.learning,
            "last_contact_s": None if last_contact_s is None else round(last_contact_s, 1),
            "isolated": context.isolated(),
            "health_score": context.membership.figures().health_score,
            "engine_trouble": context.membership.trouble(),
            "journal": {
                "kind": journal.status().get("kind"),
                "durable": durable is not None and durable >= current,
                "trouble": journal.trouble,
            },
            "exposure": list(context.exposure()),
            "tokens": context.access.tokens is not None,
            "value_size_max": context.value_size_max,
        }

    async def state(self) -> dict[str, object]:
        """The state, with the text of its value unless that is large."""
        state = self._context.store.current
        told = facts_of(state)
        return {**told, "text": state.text.decode()} if len(state.text) <= VALUE_TOLD_SIZE_MAX else told

    async def members(self) -> dict[str, object]:
        """How many there are of each status, how many hold the state, and a list: this node, trouble, all others."""
        current, members = self._context.store.current, self._context.membership.members()
        totals = {status.value: 0 for status in Status} | {"suspect": 0}
        holding = {"yes": 0, "no": 0, "unknown": 0}
        first: list[dict[str, object]] = []
        others: list[dict[str, object]] = []
        for start in range(0, len(members), MEMBERS_PER_TURN):
            if start:
                await deferLater(self._context.clock, 0, lambda: None)
            for member in members[start : start + MEMBERS_PER_TURN]:
                totals[member.status.value] += 1
                totals["suspect"] += member.suspect
                holds = self._holds(member, current)
                if member.is_present and is_ours(member):
                    holding[{True: "yes", False: "no", None: "unknown"}[holds]] += 1
                urgent = member.suspect or member.status in _TROUBLE or member.name == self._context.name
                if len(chosen := first if urgent else others) < MEMBERS_TOLD_MAX:
                    chosen.append(self._member(member, holds))
        return {
            "me": self._context.name,
            "count": len(members),
            "totals": totals,
            "holding": holding,
            "asked": asks(len(members)),
            "asked_max": ASKED_MAX,
            "members": [*first, *others][:MEMBERS_TOLD_MAX],
        }

    async def changes(self) -> dict[str, object]:
        """The last changes, the oldest first."""
        return {"changes": self._changes.told(), "changes_max": CHANGES_MAX}

    async def events(self) -> dict[str, object]:
        """What happened last, the oldest first."""
        return {"events": self._happenings.told()}

    def _holds(self, member: Member, current: State) -> bool | None:
        """As it said to a question, or else to an exchange; of who is not there nothing is known."""
        if not member.is_present:
            return None
        asked = self._changes.holds(member.name, current)
        return self._context.spread.holds(member.name) if asked is None else asked

    def _member(self, member: Member, holds: bool | None) -> dict[str, object]:
        membership = self._context.membership
        rtt_s = membership.rtt_s(membership.local_name, member.name)
        return {
            "name": member.name,
            "address": member.address,
            "status": member.status.value,
            "suspect": member.suspect,
            "http": http_url(member),
            "rtt_s": None if rtt_s is None else round(rtt_s, 5),
            "ours": is_ours(member),
            "holds": holds,
        }


def is_ours(member: Member) -> bool:
    """It is one of our nodes, and can say what it holds; a Serf agent holds nothing, and an original does not tell."""
    return HTTP_TAG in member.tags
