"""The work of the clients of the RPC: step by step, the longest waiting first, and half of all time is for others."""

from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from onevalue.rpc.turns import TURN_TIME_S, Turns
from tests.fakes import TURN_S, TurnClock


class TurnsTests(SynchronousTestCase):
    """On a clock whose turns are told apart."""

    def setUp(self) -> None:
        self.clock = TurnClock()
        self.turns = Turns(self.clock)
        self.done: list[str] = []

    def work(self, name: str, steps: int, step_s: float = 0.0) -> Callable[[], bool]:
        """Takes so many steps, of so many seconds each."""
        left = iter(range(steps - 1, -1, -1))

        def step() -> bool:
            self.done.append(name)
            self.clock.rightNow += step_s
            return next(left) > 0

        return step

    def test_works_take_turns(self) -> None:
        """None is done at once, and each has a step before another has its next."""
        self.turns.begin(self.work("a", 3))
        self.turns.begin(self.work("b", 1))
        assert self.done == []
        self.clock.turn()
        assert self.done == ["a", "b", "a", "a"]
        assert not self.clock.getDelayedCalls()

    def test_a_step_may_begin_another_work(self) -> None:
        """Which has its turn after those that wait."""

        def begin() -> bool:
            self.turns.begin(self.work("b", 2))
            return False

        self.turns.begin(begin)
        self.turns.begin(self.work("a", 2))
        self.clock.turn()
        assert self.done == ["a", "b", "a", "b"]

    def test_what_took_time_is_followed_by_as_much_rest(self) -> None:
        """And no turn is much longer than TURN_TIME_S."""
        for name in "abcd":
            self.turns.begin(self.work(name, 1, TURN_TIME_S / 2))
        self.clock.turn()
        assert self.done == ["a", "b"]
        self.clock.advance(TURN_TIME_S - 3 * TURN_S)
        assert self.done == ["a", "b"]
        self.clock.advance(3 * TURN_S)
        assert self.done == ["a", "b", "c", "d"]

    def test_a_step_that_raises_ends_its_work_only(self) -> None:
        """It is logged."""

        def fail() -> bool:
            raise ZeroDivisionError

        self.turns.begin(fail)
        self.turns.begin(self.work("a", 2))
        self.clock.turn()
        assert self.done == ["a", "a"]
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1  # type: ignore[no-untyped-call]  # Twisted's has no types

    def test_after_the_stop_nothing_is_done(self) -> None:
        """No delayed call is left; twice does no harm."""
        self.turns.begin(self.work("a", 2))
        self.turns.stop()
        self.turns.stop()
        self.clock.turn(2)
        assert self.done == []
        assert not self.clock.getDelayedCalls()
