"""Virtual time: what is due happens in order, on nodes that live and are awake."""

from twisted.trial.unittest import SynchronousTestCase

from onevalue.simulation.clock import WALL_CLOCK_START_S, Clock, NodeClock


class ClockTests(SynchronousTestCase):
    """One time line for all."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.node = NodeClock(self.clock)
        self.done: list[tuple[float, str]] = []

    def note(self, what: str) -> None:
        """Something is done, now."""
        self.done.append((self.clock.now, what))

    def test_things_happen_in_the_order_of_their_times(self) -> None:
        """And what falls on one moment in the order in which it was asked for."""
        for delay_s, what in [(2.0, "c"), (1.0, "a"), (1.0, "b"), (3.0, "late")]:
            self.node.callLater(delay_s, self.note, what)
        self.clock.run_until(2.5)
        assert self.done == [(1.0, "a"), (1.0, "b"), (2.0, "c")]
        assert (self.clock.now, self.clock.steps) == (2.5, 3)

    def test_what_is_cancelled_does_not_happen(self) -> None:
        """Such a call is not active any more, nor is one that was made."""
        cancelled, made = self.node.callLater(1.0, self.note, "a"), self.node.callLater(1.0, self.note, "b")
        cancelled.cancel()
        assert (cancelled.active(), made.active(), made.getTime()) == (False, True, 1.0)
        self.clock.run_until(1.0)
        assert self.done == [(1.0, "b")]
        assert not made.active()

    def test_a_stalled_node_does_all_later_and_others_go_on(self) -> None:
        """What came meanwhile is done at the end of the stall, in its order."""
        other = NodeClock(self.clock)
        self.node.callLater(1.0, self.note, "a")
        self.node.callLater(2.0, self.note, "b")
        other.callLater(1.5, self.note, "other")
        self.node.stalled_until = 3.0
        self.clock.run_until(4.0)
        assert self.done == [(1.5, "other"), (3.0, "a"), (3.0, "b")]

    def test_after_a_stall_timers_come_before_what_has_arrived(self) -> None:
        """As in a reactor: so a node that stood still may judge others before it reads their answers."""
        self.clock.call(1.0, self.node, self.note, "packet")
        self.node.callLater(2.0, self.note, "timer")
        self.node.stalled_until = 3.0
        self.clock.run_until(4.0)
        assert self.done == [(3.0, "timer"), (3.0, "packet")]

    def test_a_dead_node_does_nothing(self) -> None:
        """Whatever it had waited for."""
        self.node.callLater(1.0, self.note, "a")
        self.node.is_dead = True
        self.clock.run_until(2.0)
        assert self.done == []

    def test_on_a_slow_node_each_thing_takes_its_time(self) -> None:
        """The next thing waits for the end of the one before."""
        self.node.step_s = 0.25
        for what in "abc":
            self.node.callLater(1.0, self.note, what)
        self.clock.run_until(2.0)
        assert self.done == [(1.0, "a"), (1.25, "b"), (1.5, "c")]

    def test_only_the_wall_clock_can_be_wrong(self) -> None:
        """The clock of the reactor moves on, whatever people set."""
        self.clock.run_until(5.0)
        self.node.wall_offset_s = -3600.0
        assert self.node.seconds() == 5.0
        assert self.node.wall_clock() == WALL_CLOCK_START_S + 5.0 - 3600.0

    def test_whoever_looks_on_is_told_whose_turn_it_was(self) -> None:
        """Not of what belongs to no node."""
        seen: list[NodeClock] = []
        self.node.callLater(1.0, self.note, "a")
        self.clock.call(1.0, None, self.note, "network")
        self.clock.run_until(2.0, seen.append)
        assert seen == [self.node]
