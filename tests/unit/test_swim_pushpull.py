"""Push/pull: what is sent and when, the version check, the merge, and how requests end (wire README 3.2 and 4.8)."""

from collections.abc import Sequence
from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from onevalue.config import SwimSettings
from onevalue.swim.events import MemberJoined, NameConflict, PushPullDone, UserStateReceived
from onevalue.swim.members import MemberRecord
from onevalue.swim.pushpull import as_entry, as_message, version_fault
from onevalue.swim.streams import STREAM_REQUESTS_MAX
from onevalue.types import Incarnation, SequenceNumber
from onevalue.wire.messages import Ack, Alive, Dead, Err, NodeState, NodeStatus, PushPull, StreamMessage, Suspect
from onevalue.wire.stream import Outgoing
from tests.unit.swim_bench import Bench, addr_of, address_of
from tests.unit.swim_net import PORT, VSN, decode_stream

ALIVE, SUSPECT, DEAD, LEFT = NodeStatus.ALIVE, NodeStatus.SUSPECT, NodeStatus.DEAD, NodeStatus.LEFT


def _entry(name: str, status: NodeStatus = ALIVE, incarnation: int = 1, vsn: bytes = VSN) -> NodeState:
    return NodeState(name, addr_of(name), PORT, Incarnation(incarnation), status, b"meta", vsn)


def _record(status: NodeStatus = ALIVE, vsn: bytes = VSN) -> MemberRecord:
    return MemberRecord("l", addr_of("l"), PORT, b"", vsn, Incarnation(1), status, 0.0)


def _fault(remote: Sequence[NodeState], local: Sequence[MemberRecord]) -> str | None:
    """What the version check says in the end."""
    check = version_fault(remote, local)
    while True:
        try:
            next(check)
        except StopIteration as stop:
            fault: str | None = stop.value
            return fault


def _push_pull(data: Outgoing | None) -> PushPull:
    message = decode_stream(data)
    assert isinstance(message, PushPull)
    return message


class VersionTests(SynchronousTestCase):
    """The version check."""

    def test_members_that_share_a_range_may_speak(self) -> None:
        """Different ranges, one common part, and everybody within it; whatever the state of the node."""
        remote = [_entry("b", vsn=bytes([1, 5, 2, 2, 5, 4])), _entry("c", DEAD, vsn=bytes([2, 3, 2, 4, 4, 4]))]
        assert _fault(remote, [_record(), _record(LEFT)]) is None
        assert _fault([], []) is None

    def test_each_version_outside_the_common_range_is_a_fault(self) -> None:
        """Protocol and delegate, below and above, remote and local, alive and dead, and no versions at all."""
        faults: list[tuple[list[NodeState], list[MemberRecord]]] = [
            ([_entry("b", vsn=bytes([1, 5, 6, 2, 5, 5]))], [_record()]),
            ([_entry("b", vsn=bytes([1, 5, 0, 2, 5, 5]))], [_record()]),
            ([_entry("b", vsn=bytes([1, 5, 2, 2, 5, 6]))], [_record()]),
            ([_entry("b", vsn=bytes([3, 5, 3, 2, 5, 5]))], [_record()]),
            ([_entry("b", vsn=bytes([1, 1, 1, 2, 5, 5]))], [_record()]),
            ([_entry("b", vsn=bytes([1, 5, 2, 2, 4, 4]))], [_record()]),
            ([_entry("b", vsn=bytes([1, 5, 2, 4, 5, 4])), _entry("c", vsn=bytes([1, 5, 2, 2, 5, 2]))], [_record()]),
            ([_entry("b", vsn=bytes([3, 5, 3, 2, 5, 5])), _entry("c", vsn=bytes([1, 5, 3, 2, 5, 5]))], [_record()]),
            ([_entry("b"), _entry("c", DEAD, vsn=bytes([1, 9, 9, 2, 5, 5]))], [_record()]),
            ([_entry("b")], [_record(), _record(DEAD, bytes([1, 9, 9, 2, 5, 5]))]),
            ([_entry("b"), _entry("c", vsn=b"")], [_record()]),
            ([_entry("b"), _entry("c", LEFT, vsn=b"")], [_record()]),
        ]
        for remote, local in faults:
            assert _fault(remote, local) is not None, (remote, local)

    def test_a_refused_exchange_changes_nothing_and_tells_its_starter(self) -> None:
        """Neither members nor user state; the answer to the other side comes before the verdict (pitfall 8)."""
        bench = Bench("b")
        bad = PushPull(True, (_entry("c"), _entry("d", vsn=bytes([1, 9, 9, 2, 5, 5]))), b"user state")
        reply = _push_pull(bench.swim.receive_stream(bad, 0.0))
        assert [node.name for node in reply.nodes] == ["a", "b"]
        request_id = bench.swim.push_pull(address_of("b"), join=True, now=0.0)
        bench.swim.stream_answered(request_id, bad, 0.0)
        (event,) = bench.events()
        assert isinstance(event, PushPullDone)
        assert event.error is not None
        assert "protocol version 9" in event.error
        assert (len(bench.swim.members()), bench.swim.counters["push_pulls_refused"]) == (2, 2)


class MergeTests(SynchronousTestCase):
    """What becomes of the entries."""

    def test_each_state_has_its_message(self) -> None:
        """Alive as it is, left at once, dead and suspect as a suspicion of our own (pitfall 18)."""
        assert as_message(_entry("b"), "a") == Alive(Incarnation(1), "b", addr_of("b"), PORT, b"meta", VSN)
        assert as_message(_entry("b", LEFT), "a") == Dead(Incarnation(1), "b", "b")
        for status in (SUSPECT, DEAD):
            assert as_message(_entry("b", status, 4), "a") == Suspect(Incarnation(4), "b", "a")

    def test_the_answer_is_the_state_before_the_merge_with_join_copied(self) -> None:
        """Members first, then the user state is told; members are told of in order."""
        bench = Bench("bc")
        bench.hear(Dead(Incarnation(1), "c", "x"))
        bench.events()
        bench.delegate.state = b"ours"
        request = PushPull(True, (_entry("d"), _entry("b", DEAD), _entry("c")), b"theirs")
        reply = _push_pull(bench.swim.receive_stream(request, 0.0))
        assert reply == PushPull(True, tuple(as_entry(record) for record in _before(bench)), b"ours join")
        events = bench.events()
        assert isinstance(events[0], MemberJoined)
        assert events[-1] == UserStateReceived(b"theirs", True)
        statuses = {record.name: record.status for record in bench.swim.members()}
        assert statuses == {"a": ALIVE, "b": SUSPECT, "c": DEAD, "d": ALIVE}

    def test_an_answer_is_merged_and_the_request_is_done(self) -> None:
        """Members, then user state with the own join flag, then the end without an error."""
        bench = Bench()
        request_id = bench.swim.push_pull(address_of("b"), join=True, now=0.0)
        (request,) = bench.swim.streams_to_open()
        sent = _push_pull(request.data)
        assert (sent.join, [node.name for node in sent.nodes]) == (True, ["a"])
        assert (request.request_id, request.address, request.deadline) == (request_id, address_of("b"), 10.0)
        bench.swim.stream_answered(request_id, PushPull(False, (_entry("b"),), b"state"), 0.5)
        joined, state, done = bench.events()
        assert isinstance(joined, MemberJoined)
        assert (state, done) == (
            UserStateReceived(b"state", True),
            PushPullDone(request_id, address_of("b"), True, None),
        )
        assert bench.swim.last_heard == 0.5

    def test_the_own_name_at_another_address_is_a_conflict_though_not_alive_there(self) -> None:
        """Told with that address, and counted; where this node is itself, or leaves, there is none."""
        elsewhere, port = addr_of("q"), PORT + 1
        for addr, told_port, leaves, conflict in (
            (elsewhere, PORT, False, (elsewhere, PORT)),
            (elsewhere, 0, False, (elsewhere, PORT)),
            (addr_of("a"), port, False, (addr_of("a"), port)),
            (addr_of("a"), PORT, False, None),
            (addr_of("a"), 0, False, None),
            (elsewhere, PORT, True, None),
        ):
            for status in (SUSPECT, DEAD):
                bench = Bench("b")
                if leaves:
                    bench.swim.leave(bench.now)
                entry = replace(_entry("a", status), addr=addr, port=told_port)
                bench.swim.receive_stream(PushPull(False, (_entry("b", status), entry)), bench.now)
                told = [(event.addr, event.port) for event in bench.events() if isinstance(event, NameConflict)]
                assert told == ([] if conflict is None else [conflict])
                assert bench.swim.counters["conflicts"] == len(told)

    def test_a_restarted_node_that_others_remember_refutes_upwards(self) -> None:
        """Told of itself with a higher incarnation, alive or dead, it goes above (pitfall 7)."""
        for status in (ALIVE, SUSPECT, DEAD, LEFT):
            bench = Bench("b")
            about_self = replace(_entry("a", status, 6), meta=b"old")
            bench.swim.receive_stream(PushPull(True, (_entry("b"), about_self)), 0.0)
            assert (bench.swim.local.incarnation, bench.swim.local.status) == (7, ALIVE), status


def _before(bench: Bench) -> list[MemberRecord]:
    """The members of the bench as they were before b was suspected and d came."""
    return [replace(record, status=ALIVE if record.name == "b" else record.status) for record in bench.swim.members()][
        :3
    ]


class RequestTests(SynchronousTestCase):
    """How requests end: once each, whatever happens."""

    def test_every_other_end_is_an_error_in_words(self) -> None:
        """An error message, a message of another kind, a failure of the connection, the deadline."""
        answers: list[tuple[StreamMessage | None, str]] = [
            (Err("go away"), "go away"),
            (Ack(SequenceNumber(1)), "Ack"),
            (None, "refused"),
        ]
        for answer, words in answers:
            bench = Bench()
            request_id = bench.swim.push_pull(address_of("b"), join=False, now=0.0)
            if answer is None:
                bench.swim.stream_failed(request_id, "refused", 0.0)
            else:
                bench.swim.stream_answered(request_id, answer, 0.0)
            (event,) = bench.events()
            assert isinstance(event, PushPullDone)
            assert words in str(event.error)

    def test_a_request_ends_at_its_deadline_and_only_once(self) -> None:
        """Whatever the shell reports later is ignored."""
        bench = Bench()
        request_id = bench.swim.push_pull(address_of("b"), join=False, now=0.0)
        bench.wait(9.9)
        assert bench.events() == []
        bench.wait(0.2)
        assert len(bench.events_of(PushPullDone)) == 1
        bench.swim.stream_answered(request_id, PushPull(False, (_entry("b"),)), bench.now)
        bench.swim.stream_failed(request_id, "late", bench.now)
        bench.swim.stream_failed(request_id + 50, "unknown", bench.now)
        assert (bench.events(), len(bench.swim.members())) == ([], 1)

    def test_requests_above_the_bound_fail_at_once(self) -> None:
        """They end with an event like all others."""
        bench = Bench()
        for _ in range(STREAM_REQUESTS_MAX + 1):
            last = bench.swim.push_pull(address_of("b"), join=False, now=0.0)
        (event,) = bench.events()
        assert isinstance(event, PushPullDone)
        assert event.request_id == last
        assert len(bench.requests) == STREAM_REQUESTS_MAX

    def test_a_random_alive_member_is_met_every_interval(self) -> None:
        """Without join, at most one interval after the start, then one in each; never the gone or the suspect."""
        bench = Bench("bcd", SwimSettings(push_pull_interval_s=10.0, probe_interval_s=1000.0, probe_timeout_s=1.0))
        bench.hear(Dead(Incarnation(1), "c", "x"), Dead(Incarnation(1), "d", "d"))
        bench.wait(50.0)
        assert len(bench.requests) == 5
        assert {request.address for request in bench.requests} == {address_of("b")}
        assert not any(_push_pull(request.data).join for request in bench.requests)
