"""Garbage of long-lived objects is collected in turns of the reactor's own."""

import gc
import weakref

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from onevalue import process
from onevalue.collector import ALL_EVERY, LOOK_INTERVAL_S, YOUNGER_MAX, Collector


class Ring:
    """Garbage that no count of references finds."""

    def __init__(self) -> None:
        self.itself = self


class CollectorTests(SynchronousTestCase):
    """A node's thresholds, and a collector."""

    def setUp(self) -> None:
        """As in a node."""
        self.addCleanup(gc.set_threshold, *gc.get_threshold())
        self.addCleanup(gc.unfreeze)
        gc.set_threshold(*process.GC_THRESHOLDS)
        gc.collect()
        self.clock = Clock()
        self.collector = Collector(self.clock)
        self.collector.startService()

    def old_garbage(self) -> "weakref.ref[Ring]":
        """It was alive when younger objects were looked at."""
        ring = Ring()
        gc.collect(1)
        return weakref.ref(ring)

    def make_due(self) -> None:
        """Younger objects are looked at often enough."""
        for _ in range(YOUNGER_MAX):
            gc.collect(1)

    def test_older_objects_are_looked_at_once_it_is_due(self) -> None:
        """And not before."""
        garbage = self.old_garbage()
        self.clock.advance(LOOK_INTERVAL_S)
        assert garbage() is not None
        self.make_due()
        assert garbage() is not None
        self.clock.advance(LOOK_INTERVAL_S)
        assert garbage() is None

    def test_what_was_once_found_alive_is_looked_at_by_every_tenth_look(self) -> None:
        """And is gone then, if it is garbage."""
        ring = Ring()
        garbage = weakref.ref(ring)
        self.make_due()
        self.clock.advance(LOOK_INTERVAL_S)
        del ring
        looks = 1
        while garbage() is not None:
            self.make_due()
            self.clock.advance(LOOK_INTERVAL_S)
            looks += 1
        assert looks == ALL_EVERY

    def test_nothing_is_left_when_it_stops(self) -> None:
        """No call, also if it stops twice."""
        self.collector.stopService()
        self.collector.stopService()
        assert not self.clock.getDelayedCalls()
