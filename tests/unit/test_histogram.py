"""Histograms count by bounds; and what is measured of a node's value."""

from twisted.trial.unittest import SynchronousTestCase

from onevalue.histogram import Histogram
from onevalue.measured import Measured
from onevalue.store import Source, State, Store
from onevalue.types import Generation


class HistogramTests(SynchronousTestCase):
    """Counts by upper bounds."""

    def test_a_value_counts_at_its_bound_and_above(self) -> None:
        """One that is above all bounds only among all."""
        histogram = Histogram((1.0, 2.0))
        for value in (0.5, 1.0, 1.5, 2.5):
            histogram.observe(value)
        assert histogram.cumulative == [2, 3, 4]
        assert histogram.sum == 5.5

    def test_an_empty_one_has_zeros(self) -> None:
        """For each bound, and for all."""
        assert Histogram((1.0,)).cumulative == [0, 0]


class MeasuredTests(SynchronousTestCase):
    """How states came, and how long they took."""

    def setUp(self) -> None:
        """A store at generation 0, at 100 s after 1970."""
        self.store = Store(State(Generation(0), 42))
        self.measured = Measured(self.store, lambda: 100.0)

    def take(self, generation: int, time: float, source: Source) -> None:
        """A state comes."""
        self.store.merge(State(Generation(generation), 1, "n2", time), source)

    def test_states_count_by_their_source_and_their_age(self) -> None:
        """Those that travelled; a state from the future took no time."""
        self.take(1, 99.5, Source.EVENT)
        self.take(2, 101.0, Source.ANTI_ENTROPY)
        assert self.measured.merges[Source.EVENT] == self.measured.merges[Source.ANTI_ENTROPY] == 1
        assert (self.measured.spread.cumulative[-1], self.measured.spread.sum) == (2, 0.5)

    def test_what_took_no_way_or_has_no_time_has_no_age(self) -> None:
        """Own writes, what is learnt at a join, and what an original program pushed."""
        self.take(1, 99.0, Source.SET)
        self.take(2, 1.0, Source.JOIN)
        self.take(3, 0.0, Source.NOTIFY)
        assert self.measured.spread.cumulative[-1] == 0
        assert sum(self.measured.merges.values()) == 3

    def test_what_is_no_news_does_not_count(self) -> None:
        """A state that the node has already."""
        self.take(0, 99.0, Source.EVENT)
        assert sum(self.measured.merges.values()) == 0
