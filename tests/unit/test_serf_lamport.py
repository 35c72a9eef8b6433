"""Lamport clocks (wire README 5.3)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from onevalue.errors import RemoteProtocolError
from onevalue.serf.lamport import LAMPORT_TIME_MAX, LamportClock
from tests.unit.serf_net import time_of


class LamportClockTests(SynchronousTestCase):
    """One clock."""

    def test_a_clock_starts_at_one(self) -> None:
        """So that the first own message is above the status time of a member that nobody spoke of."""
        assert LamportClock().time == 1

    def test_witnessing_the_own_time_adds_one(self) -> None:
        """Each own message has its own time."""
        clock = LamportClock()
        clock.witness(clock.time)
        assert clock.time == 2

    def test_witnessing_moves_the_clock_above_what_it_saw_and_never_back(self) -> None:
        """Table: time of the clock, time witnessed, time afterwards."""
        for start, seen, after in [(1, 0, 1), (1, 1, 2), (5, 4, 5), (5, 5, 6), (5, 6, 7), (5, 1000, 1001)]:
            clock = LamportClock.resumed(time_of(start))
            clock.witness(time_of(seen))
            assert clock.time == after, (start, seen)

    def test_the_largest_time_is_where_a_clock_stands_still(self) -> None:
        """It does not wrap around."""
        clock = LamportClock()
        clock.witness(LAMPORT_TIME_MAX)
        clock.witness(clock.time)
        assert clock.time == LAMPORT_TIME_MAX

    def test_a_time_beyond_the_largest_is_refused_and_the_clock_stays(self) -> None:
        """It is nonsense that a peer sent."""
        clock = LamportClock()
        with pytest.raises(RemoteProtocolError):
            clock.witness(time_of(LAMPORT_TIME_MAX + 1))
        assert clock.time == 1

    def test_a_clock_goes_on_where_it_stood(self) -> None:
        """After a restart; but never below its first time."""
        assert LamportClock.resumed(time_of(0)).time == 1
        assert LamportClock.resumed(time_of(9)).time == 9

    @given(st.lists(st.integers(0, LAMPORT_TIME_MAX)))
    def test_a_clock_is_above_all_that_it_witnessed(self, seen: list[int]) -> None:
        """In any order, but for the very largest time."""
        clock = LamportClock()
        for number in seen:
            before = clock.time
            clock.witness(time_of(number))
            assert before <= clock.time
        assert all(number < clock.time or number == LAMPORT_TIME_MAX for number in seen)
