"""Long states of push/pulls, and floods of queries with filters, are dealt with in slices (`swim.backlog`)."""

from twisted.trial.unittest import SynchronousTestCase

from onevalue.serf.asking import ACK_WANTED
from onevalue.serf.core import Serf
from onevalue.serf.events import JoinDone, MemberJoin, SerfEvent, UserEvents
from onevalue.serf.intake import EVENTS_TOLD_MAX
from onevalue.serf.members import MemberStatus
from onevalue.swim.backlog import BACKLOG_WORKS_MAX
from onevalue.types import Address, Incarnation
from onevalue.wire.codec import encode_message, encode_packet
from onevalue.wire.internal_queries import TagFilter, encode_filter
from onevalue.wire.messages import NodeState, NodeStatus, PushPull, User
from onevalue.wire.serf_codec import encode_serf, encode_tags
from onevalue.wire.serf_messages import EventSlot, Query, SerfState
from tests.unit.serf_net import STRANGER, make_serf, time_of, told
from tests.unit.swim_net import PORT, VSN

PEER: Address = ("10.0.0.2", PORT)
LONG = 3000
"""Entries that take some slices."""


def state(**fields: object) -> SerfState:
    """A state that holds nothing else."""
    values: dict[str, object] = {
        "ltime": time_of(1),
        "status_ltimes": {},
        "left_members": (),
        "event_ltime": time_of(1),
        "events": (),
        "query_ltime": time_of(1),
    }
    return SerfState(**{**values, **fields})  # type: ignore[arg-type]  # fields by name


def nodes(count: int) -> tuple[NodeState, ...]:
    """Alive members m0, m1 and so on."""
    meta = encode_tags({})
    return tuple(
        NodeState(f"m{i}", b"\x0a\x01" + i.to_bytes(2, "big"), PORT, Incarnation(1), NodeStatus.ALIVE, meta, VSN)
        for i in range(count)
    )


class Node:
    """A Serf that has started, and its time."""

    def __init__(self) -> None:
        self.serf: Serf = make_serf(1)
        self.now = 0.0
        self.serf.start(self.now)
        told(self.serf)

    def wait(self, seconds: float) -> list[SerfEvent]:
        """So much time has passed, with every timer on time; what was told."""
        events: list[SerfEvent] = []
        end = self.now + seconds
        while (deadline := self.serf.next_deadline()) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            self.serf.handle_timer(self.now)
            self.serf.datagrams_to_send()
            events += told(self.serf)
        self.now = end
        return events

    @property
    def unmerged(self) -> tuple[object, object]:
        """What waits in SWIM and in Serf."""
        status = self.serf.status()
        swim = status["swim"]
        assert isinstance(swim, dict)
        return swim["unmerged"], status["unmerged"]


class StateTests(SynchronousTestCase):
    """Long states."""

    def setUp(self) -> None:
        self.node = Node()
        self.serf = self.node.serf

    def test_a_join_is_done_when_all_is_merged(self) -> None:
        """Members come first, then what the state says of them, then the end."""
        request_id = self.serf.join(PEER, self.node.now)
        self.serf.streams_to_open()
        times = {f"m{index}": time_of(7) for index in range(LONG)}
        message = PushPull(False, nodes(LONG), state(status_ltimes=times, left_members=("m5",)))
        self.serf.stream_answered(request_id, message, self.node.now)
        events = told(self.serf)
        assert self.node.unmerged[0] == LONG
        events += self.node.wait(1.0)
        joined = [event for event in events if isinstance(event, MemberJoin)]
        assert len(joined) == LONG
        assert events[-1] == JoinDone(request_id, PEER, None)
        members = {member.name: member for member in self.serf.members()}
        assert {members[name].status_ltime for name in times if name != "m5"} == {7}
        assert members["m5"].status is MemberStatus.LEAVING
        assert self.node.unmerged == (0, 0)

    def test_the_end_of_a_join_waits_for_the_state_of_another(self) -> None:
        """In order, though its own is short."""
        request_id = self.serf.join(PEER, self.node.now)
        long = state(status_ltimes={f"m{index}": time_of(7) for index in range(LONG)})
        self.serf.receive_stream(PushPull(True, (), long), self.node.now)
        assert self.node.unmerged == (0, LONG)
        self.serf.stream_answered(request_id, PushPull(False, (), state()), self.node.now)
        assert told(self.serf) == []
        assert self.node.wait(1.0) == [JoinDone(request_id, PEER, None)]

    def test_many_events_are_told_in_groups_oldest_first(self) -> None:
        """Each once."""
        slots = tuple(EventSlot(time_of(ltime), (("deploy", b"x"),)) for ltime in range(1, 1001))
        self.serf.receive_stream(PushPull(True, (), state(events=tuple(reversed(slots)))), self.node.now)
        groups = [event for event in told(self.serf) + self.node.wait(1.0) if isinstance(event, UserEvents)]
        assert {len(group.events) for group in groups} == {EVENTS_TOLD_MAX}
        assert [event.ltime for group in groups for event in group.events] == list(range(1, 1001))
        assert self.serf.counters["serf_user_events"] == 1000

    def test_states_above_the_bound_are_refused_and_counted(self) -> None:
        """Those that wait are merged."""
        long = state(status_ltimes={f"m{index}": time_of(7) for index in range(LONG)})
        for _ in range(BACKLOG_WORKS_MAX + 2):
            self.serf.receive_stream(PushPull(True, (), long), self.node.now)
        assert self.serf.counters["serf_states_refused"] == 2
        assert self.node.unmerged == (0, LONG * BACKLOG_WORKS_MAX)
        self.node.wait(3.0)
        assert self.node.unmerged == (0, 0)

    def test_a_node_can_leave_while_it_merges(self) -> None:
        """It takes no longer for that, and what is left is merged."""
        self.serf.receive_stream(PushPull(True, nodes(LONG), state()), self.node.now)
        self.serf.leave(self.node.now)
        self.node.wait(10.0)
        assert self.serf.status()["leave"] == "done"
        assert len(self.serf.members()) == LONG + 1


class QueryFloodTests(SynchronousTestCase):
    """Queries with filters, whose expressions may be hostile."""

    def test_a_few_are_dealt_with_at_once_others_soon_and_the_rest_is_counted(self) -> None:
        """All count as queries, and go on."""
        node = Node()
        filters = (encode_filter(TagFilter("index", "1")),) * 8
        count = 2 * BACKLOG_WORKS_MAX
        bodies = [
            encode_serf(Query(time_of(9), i, b"\x0a\x00\x09\x09", PORT, "n9", filters, ACK_WANTED, 0, 10**9, "q", b""))
            for i in range(count)
        ]
        packet = encode_packet([encode_message(User(body)) for body in bodies], compress=False, crc=False)
        node.serf.receive_datagram(packet, STRANGER, node.now)
        assert len(node.serf.datagrams_to_send()) == 1
        assert len(told(node.serf)) == 1
        assert len(node.wait(0.1)) == BACKLOG_WORKS_MAX - 1
        counters = node.serf.counters
        assert (counters["serf_queries"], counters["serf_queries_unread"]) == (count, count - BACKLOG_WORKS_MAX)
