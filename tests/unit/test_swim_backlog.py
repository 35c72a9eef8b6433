"""The backlog: long work in slices, in order, within a bound, and merges of push/pulls that are made of it."""

from collections.abc import Callable

import pytest
from twisted.trial.unittest import SynchronousTestCase

from onevalue.swim.backlog import (
    BACKLOG_ENTRIES_MAX,
    BACKLOG_WORKS_MAX,
    SLICE_COST,
    SLICE_PAUSE_S,
    Backlog,
    Work,
)
from onevalue.swim.events import MemberJoined, PushPullDone, UserStateReceived
from onevalue.swim.timers import ACTIONS_PER_RUN_MAX, Timers
from onevalue.types import Incarnation, SequenceNumber
from onevalue.wire.messages import Ack, NodeState, NodeStatus, Ping, PushPull
from tests.unit.swim_bench import Bench, address_of, alive
from tests.unit.swim_net import PORT, VSN

LONG = 3 * SLICE_COST
"""Entries that take some slices."""


class BacklogTests(SynchronousTestCase):
    """The order and the turns of work."""

    def setUp(self) -> None:
        self.timers = Timers()
        self.backlog = Backlog(self.timers, "backlog")
        self.done: list[tuple[str, float]] = []

    def work(self, name: str, steps: int) -> Callable[[float], Work]:
        """Notes when each of its steps was made."""

        def begin(now: float) -> Work:
            for _ in range(steps):
                self.done.append((name, now))
                now = yield 1.0

        return begin

    def go_on(self) -> float:
        """The next slice has been made, at the time that is returned."""
        now = self.timers.next_deadline()
        assert now is not None
        self.timers.run(now)
        return now

    def test_short_work_is_done_at_once(self) -> None:
        """And nothing waits afterwards."""
        assert self.backlog.add(3, self.work("a", 3), 1.0)
        assert self.done == [("a", 1.0)] * 3
        assert (len(self.backlog), self.timers.next_deadline()) == (0, None)

    def test_one_turn_does_no_more_than_its_slice_however_the_work_is_cut(self) -> None:
        """The rest has the next turns, each told its own time."""
        quarter = SLICE_COST // 4
        for name in "abc":
            self.backlog.add(3 * quarter, self.work(name, 3 * quarter), 1.0)
        assert self.done == [("a", 1.0)] * 3 * quarter + [("b", 1.0)] * quarter
        assert self.timers.next_deadline() == 1.0 + SLICE_PAUSE_S
        second = self.go_on()
        third = self.go_on()
        assert (
            self.done[SLICE_COST:]
            == [(name, second) for name in "bbcc" for _ in range(quarter)] + [("c", third)] * quarter
        )
        assert (len(self.backlog), self.timers.next_deadline()) == (0, None)

    def test_work_waits_for_that_before_it(self) -> None:
        """However short it is."""
        self.backlog.add(LONG, self.work("long", LONG), 1.0)
        self.backlog.add(1, self.work("short", 1), 1.5)
        while len(self.backlog):
            self.go_on()
        assert [name for name, _ in self.done] == ["long"] * LONG + ["short"]

    def test_what_comes_then_comes_after_all_that_waits(self) -> None:
        """At once, if nothing does."""
        self.backlog.then(lambda now: self.done.append(("first", now)), 1.0)
        assert self.done == [("first", 1.0)]
        self.backlog.add(LONG, self.work("long", LONG), 2.0)
        self.backlog.then(lambda now: self.done.append(("last", now)), 2.0)
        while self.timers.next_deadline() is not None:
            last = self.go_on()
        assert [name for name, _ in self.done[1:]] == ["long"] * LONG + ["last"]
        assert self.done[-1] == ("last", last)

    def test_what_waits_is_bounded_by_entries_and_by_works(self) -> None:
        """But any one work has room when nothing waits."""
        assert self.backlog.add(2 * BACKLOG_ENTRIES_MAX, self.work("long", LONG), 1.0)
        assert not self.backlog.add(1, self.work("refused", 1), 1.0)
        while len(self.backlog):
            self.go_on()
        for _ in range(BACKLOG_WORKS_MAX):
            assert self.backlog.add(LONG, self.work("long", LONG), 9.0)
        assert not self.backlog.add(1, self.work("refused", 1), 9.0)
        while len(self.backlog):
            self.go_on()
        assert {name for name, _ in self.done} == {"long"}

    def test_a_fault_in_one_work_does_not_hold_up_the_next(self) -> None:
        """It is raised, and its work is gone."""

        def faulty(now: float) -> Work:
            for _ in range(SLICE_COST + 10):
                now = yield 1.0
            raise ZeroDivisionError(now)

        self.backlog.add(LONG, faulty, 1.0)
        self.backlog.add(1, self.work("next", 1), 1.0)
        with pytest.raises(ZeroDivisionError):
            self.go_on()
        self.go_on()
        assert [name for name, _ in self.done] == ["next"]
        assert len(self.backlog) == 0


class TimersTests(SynchronousTestCase):
    """Many deadlines at one moment."""

    def test_a_run_has_a_bound_and_the_next_goes_on(self) -> None:
        """In their order."""
        timers = Timers()
        run: list[int] = []
        count = ACTIONS_PER_RUN_MAX + 50
        for number in range(count):
            timers.set(str(number), 1.0, lambda _, number=number: run.append(number))  # type: ignore[misc]
        timers.run(2.0)
        assert run == list(range(ACTIONS_PER_RUN_MAX))
        assert timers.next_deadline() == 1.0
        timers.run(2.0)
        assert run == list(range(count))


def _members(count: int, prefix: str = "m", status: NodeStatus = NodeStatus.ALIVE) -> tuple[NodeState, ...]:
    return tuple(
        NodeState(f"{prefix}{index}", b"\x0a\x01" + index.to_bytes(2, "big"), PORT, Incarnation(1), status, b"", VSN)
        for index in range(count)
    )


class LongMergeTests(SynchronousTestCase):
    """Push/pulls of more members than one slice takes."""

    def test_members_come_first_then_the_state_then_the_end(self) -> None:
        """In the order of the entries, over many turns."""
        bench = Bench()
        request_id = bench.swim.push_pull(address_of("b"), join=True, now=bench.now)
        bench.swim.stream_answered(request_id, PushPull(False, _members(LONG), b"state"), bench.now)
        events = bench.events()
        assert 0 < len(events) <= SLICE_COST
        assert bench.swim.status()["unmerged"] == LONG
        bench.wait(0.1)
        events += bench.events()
        joined = [event.member.name for event in events if isinstance(event, MemberJoined)]
        assert joined == [f"m{index}" for index in range(LONG)]
        assert events[-2:] == [
            UserStateReceived(b"state", True),
            PushPullDone(request_id, address_of("b"), True, None),
        ]
        assert bench.swim.status()["unmerged"] == 0

    def test_one_after_the_other(self) -> None:
        """A short one that comes during a long one is merged after it."""
        bench = Bench()
        bench.swim.receive_stream(PushPull(True, _members(LONG), b"long"), bench.now)
        bench.swim.receive_stream(PushPull(True, _members(1, "short"), b"short"), bench.now)
        bench.wait(0.1)
        events = bench.events()
        states = [event.state for event in events if isinstance(event, UserStateReceived)]
        assert states == [b"long", b"short"]
        assert bench.swim.counters["push_pulls"] == 2

    def test_a_version_that_does_not_fit_refuses_all(self) -> None:
        """Also if it is that of the last entry."""
        bench = Bench()
        bad = NodeState("z", b"\x0a\x00\x00\x09", PORT, Incarnation(1), NodeStatus.ALIVE, b"", bytes([9] * 6))
        bench.swim.receive_stream(PushPull(True, (*_members(10 * LONG), bad), b"state"), bench.now)
        bench.wait(0.5)
        assert bench.events() == []
        assert (len(bench.swim.members()), bench.swim.counters["push_pulls_refused"]) == (1, 1)

    def test_packets_are_dealt_with_between_slices(self) -> None:
        """A ping is answered, and a newer message about a member stands when the old one is merged."""
        bench = Bench()
        bench.swim.receive_stream(PushPull(True, _members(LONG)), bench.now)
        last = f"m{LONG - 1}"
        address = b"\x0a\x01" + (LONG - 1).to_bytes(2, "big")
        bench.hear(Ping(SequenceNumber(7), "a"), alive(last, 9, addr=address))
        assert bench.sent_of(Ack)
        assert bench.swim.status()["unmerged"] == LONG
        bench.wait(0.1)
        record = bench.swim.member(last)
        assert record is not None
        assert (record.incarnation, len(bench.swim.members())) == (9, LONG + 1)

    def test_what_is_above_the_bound_is_refused_and_told(self) -> None:
        """The other side has its answer all the same; the own request ends with the reason."""
        bench = Bench()
        for _ in range(BACKLOG_WORKS_MAX):
            bench.swim.receive_stream(PushPull(True, _members(LONG)), bench.now)
        assert bench.swim.receive_stream(PushPull(True, _members(1, "x")), bench.now) is not None
        request_id = bench.swim.push_pull(address_of("b"), join=True, now=bench.now)
        bench.swim.stream_answered(request_id, PushPull(False, _members(1, "y"), b"state"), bench.now)
        (done,) = bench.events_of(PushPullDone)
        assert isinstance(done, PushPullDone)
        assert done.error is not None
        assert bench.swim.counters["push_pulls_refused"] == 2
        bench.wait(0.5)
        assert bench.swim.counters["push_pulls"] == BACKLOG_WORKS_MAX
        assert bench.swim.member("x") is None

    def test_who_leaves_during_a_merge_has_left(self) -> None:
        """The rest is merged; what it says of this node is not contradicted any more."""
        bench = Bench("b")
        about_self = NodeState("a", bench.swim.local.addr, PORT, Incarnation(5), NodeStatus.ALIVE, b"", VSN)
        bench.swim.receive_stream(PushPull(True, (*_members(LONG), about_self)), bench.now)
        bench.swim.leave(bench.now)
        bench.wait(1.0)
        assert bench.swim.local.status is NodeStatus.LEFT
        assert len(bench.swim.members()) == LONG + 2
