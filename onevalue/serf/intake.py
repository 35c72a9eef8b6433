"""What Serf's messages do to this node, and what of them is sent on: intents, user events, queries, push/pull states.

Follows wire README 5.4 to 5.9. It owns the clocks of members and events, and must not know how messages travel, nor
anything of joining, leaving and dialling; queries are `queries`'s. What comes as gossip and is news is sent on as the
bytes received; what comes in a push/pull is not.
"""

from collections.abc import Callable, Sequence
from typing import Final

from onevalue.config import SerfSettings
from onevalue.errors import RemoteProtocolError
from onevalue.serf import events
from onevalue.serf.broadcasts import Broadcasts
from onevalue.serf.event_log import EventLog
from onevalue.serf.event_ring import Verdict
from onevalue.serf.events import ReceivedEvent, SerfEvent
from onevalue.serf.lamport import LAMPORT_TIME_MAX, Clocks, LamportClock
from onevalue.serf.members import MemberStatus, SerfMember
from onevalue.serf.queries import Queries
from onevalue.serf.roster import IntentOutcome, Roster
from onevalue.swim.backlog import Work
from onevalue.types import LamportTime
from onevalue.wire.messages import UserState
from onevalue.wire.serf_codec import decode_serf, encode_serf
from onevalue.wire.serf_messages import (
    JoinIntent,
    LeaveIntent,
    Query,
    QueryResponse,
    Relay,
    SerfState,
    UserEventMessage,
)

COUNTER_NAMES: Final = (
    "serf_malformed",  # messages of Serf that mean nothing
    "serf_user_events",  # user events that were new here
    "serf_user_events_old",  # user events that came again or too late
    "serf_user_events_refused",  # user events above the bounds of the buffer
    "serf_queries",  # queries that were new here
    "serf_queries_unread",  # those with filters that came when too many of them waited
    "serf_query_responses",  # acks of and answers to own queries
    "serf_query_responses_late",  # those that came again, too late, or to no query of this node
    "serf_relayed",  # answers to queries that were passed on
    "serf_states_refused",  # states of push/pulls above the bound of what waits
)

EVENTS_TOLD_MAX: Final = 200
"""User events of one push/pull that are told together; of more, those that are found first come first."""

_JOIN_COST: Final = 0.25
_LEAVE_COST: Final = 1.0
_EVENT_COST: Final = 0.5


class Intake:
    """Takes in what peers say; what the owner should know goes to `tell`."""

    def __init__(
        self,
        name: str,
        settings: SerfSettings,
        roster: Roster,
        broadcasts: Broadcasts,
        tell: Callable[[SerfEvent], object],
        stood: Clocks,
        held_events: Sequence[str],
        queries: Queries,
    ) -> None:
        """`stood`: where the clocks stood before a restart; events that are older are not new again."""
        self.counters = dict.fromkeys(COUNTER_NAMES, 0)
        self.disputes_leaving = True
        self._name = name
        self._roster = roster
        self._broadcasts = broadcasts
        self._tell = tell
        self._held = tuple(held_events)
        self._member_clock, self._event_clock = LamportClock.resumed(stood.member), LamportClock.resumed(stood.event)
        self.event_log = EventLog(settings, self._event_clock, stood.event)
        self._queries = queries

    @property
    def clocks(self) -> Clocks:
        """Where the three clocks stand."""
        return Clocks(self._member_clock.time, self._event_clock.time, self._queries.clock.time)

    # Own intents

    def announce_join(self, now: float) -> None:
        """This node says, with the present time, that it is a member and does not leave."""
        intent = JoinIntent(self._member_clock.time, self._name)
        self._receive_join(intent, now)
        self._broadcasts.add_intent(encode_serf(intent))

    def announce_leave(self, name: str, now: float, *, prune: bool = False, token: object | None = None) -> None:
        """This node says, with the present time, that `name` leaves; the token is told when that was gossiped."""
        intent = LeaveIntent(self._member_clock.time, name, prune)
        self._receive_leave(intent, now)
        self._broadcasts.add_intent(encode_serf(intent), token)

    def notice(self, event: SerfEvent) -> None:
        """A member that joins, but has said before that it leaves, is told so."""
        if isinstance(event, events.MemberJoin):
            self._tell_that_it_leaves(event.member)

    def _tell_that_it_leaves(self, member: SerfMember | None) -> None:
        """A leave intent that this node did not just get as gossip is gossiped if it makes a present member leaving.

        DEPARTURE (leave-told): Serf keeps it to itself. But the member may never have heard of it: somebody forced it
        out while it was out of reach. It would be leaving here for ever, if nothing has it contradict.
        """
        if member is not None and member.status is MemberStatus.LEAVING and member.name != self._name:
            self._broadcasts.add_intent(encode_serf(LeaveIntent(member.status_ltime, member.name)))

    # Messages

    def message(self, raw: bytes, now: float) -> Relay | None:
        """A Serf message that came as gossip, or straight, was dealt with; returns one that wants to be passed on.

        What makes no sense is counted, and changes nothing.
        """
        try:
            return self._receive(raw, now)
        except RemoteProtocolError:
            self.counters["serf_malformed"] += 1
            return None

    def _receive(self, raw: bytes, now: float) -> Relay | None:
        match message := decode_serf(raw):
            case JoinIntent():
                self._send_on_if_news(self._receive_join(message, now), raw)
            case LeaveIntent():
                self._send_on_if_news(self._receive_leave(message, now), raw)
            case UserEventMessage():
                self._receive_event(message, raw)
            case Query():
                self.counters["serf_queries"] += self._queries.receive(message, raw, now)
                self.counters["serf_queries_unread"] = self._queries.unread
            case QueryResponse():
                wanted = self._queries.receive_response(message, now)
                self.counters["serf_query_responses" if wanted else "serf_query_responses_late"] += 1
            case Relay():
                return self._receive_relay(message)
            case SerfState():
                raise RemoteProtocolError("a push/pull state does not travel as gossip")
        return None

    def _send_on_if_news(self, outcome: IntentOutcome, raw: bytes) -> None:
        if outcome.is_news:
            self._broadcasts.add_intent(raw)

    def _receive_join(self, intent: JoinIntent, now: float) -> IntentOutcome:
        self._member_clock.witness(intent.ltime)
        return self._roster.join_intent(intent.node, intent.ltime, now)

    def _receive_leave(self, intent: LeaveIntent, now: float) -> IntentOutcome:
        self._member_clock.witness(intent.ltime)
        is_self = intent.node == self._name
        outcome = self._roster.leave_intent(
            intent.node,
            intent.ltime,
            now,
            disputed=is_self and self.disputes_leaving,
            prune=intent.prune and not is_self,
        )
        if outcome.must_refute:
            self.announce_join(now)
        if outcome.left is not None:
            self._tell(events.MemberLeave(outcome.left))
        if outcome.reaped is not None:
            self._tell(events.MemberReap(outcome.reaped))
        return outcome

    def _receive_event(self, message: UserEventMessage, raw: bytes) -> None:
        verdict = self.event_log.receive(message)
        self._count_event(verdict)
        if verdict is not Verdict.NEW:
            return
        held = message.name in self._held
        if not held:
            self._broadcasts.add_event(raw)
        event = ReceivedEvent(message.name, message.payload, message.ltime, raw, relay_wanted=held)
        self._tell(events.UserEvents((event,)))

    def _count_event(self, verdict: Verdict) -> None:
        if verdict is Verdict.NEW:
            self.counters["serf_user_events"] += 1
        elif verdict is Verdict.REFUSED:
            self.counters["serf_user_events_refused"] += 1
        else:
            self.counters["serf_user_events_old"] += 1

    def _receive_relay(self, relay: Relay) -> Relay:
        """Serf relays only answers to queries.

        DEPARTURE (relay): and nothing else is passed on here, so that a stranger cannot have us send what it likes.
        """
        if relay.dest_port == 0 or not isinstance(decode_serf(relay.inner), QueryResponse):
            raise RemoteProtocolError("a relay of something else than an answer to a query")
        self.counters["serf_relayed"] += 1
        return relay

    # Push/pull

    def own_state(self) -> SerfState:
        """What a push/pull tells of this node's clocks, members' intents and user events (wire README 5.7)."""
        return SerfState(
            ltime=self._member_clock.time,
            status_ltimes=self._roster.status_ltimes(),
            left_members=self._roster.left_names(),
            event_ltime=self._event_clock.time,
            events=self.event_log.slots(),
            query_ltime=self._queries.clock.time,
        )

    def merge(self, state: UserState, now: float) -> Work:
        """The state of a push/pull has been merged; new user events are told together.

        What makes no sense is counted, and changes nothing.
        """
        if isinstance(state, bytes) or not _has_possible_times(state):
            self.counters["serf_malformed"] += 1
            return
        self._merge_clocks(state)
        yield from self._merge_intents(state, now)
        yield from self._merge_events(state)

    def _merge_clocks(self, state: SerfState) -> None:
        for clock, time in (
            (self._member_clock, state.ltime),
            (self._event_clock, state.event_ltime),
            (self._queries.clock, state.query_ltime),
        ):
            if time > 0:
                clock.witness(LamportTime(time - 1))

    def _merge_intents(self, state: SerfState, now: float) -> Work:
        """Left members first. The time of their leave is not told; it is after the one that is."""
        left = dict.fromkeys(state.left_members)
        for name in left:
            ltime = min(state.status_ltimes.get(name, 0) + 1, LAMPORT_TIME_MAX)
            if self._receive_leave(LeaveIntent(LamportTime(ltime), name), now).is_news:
                self._tell_that_it_leaves(self._roster.get(name))
            now = yield _LEAVE_COST
        for name, ltime in state.status_ltimes.items():
            if name not in left:
                self._receive_join(JoinIntent(ltime, name), now)
            now = yield _JOIN_COST

    def _merge_events(self, state: SerfState) -> Work:
        found: list[ReceivedEvent] = []
        for event in self.event_log.merge(state.events):
            if event is not None:
                found.append(event)
            if len(found) == EVENTS_TOLD_MAX:
                self._tell_found(found)
                found = []
            yield _EVENT_COST
        self._tell_found(found)

    def _tell_found(self, found: Sequence[ReceivedEvent]) -> None:
        if found:
            self.counters["serf_user_events"] += len(found)
            self._tell(events.UserEvents(tuple(found)))


def _has_possible_times(state: SerfState) -> bool:
    times = [state.ltime, state.event_ltime, state.query_ltime]
    times += state.status_ltimes.values()
    times += [slot.ltime for slot in state.events if slot is not None]
    return max(times) <= LAMPORT_TIME_MAX
