"""What the fuzzers and the state machines have found, one test each, in the order in which it was found."""

from twisted.trial.unittest import SynchronousTestCase

from onevalue.store import Source, State, Store, Write
from onevalue.types import Generation


def state(generation: int, value: int) -> State:
    """A state without origin and time."""
    return State(Generation(generation), value)


class StoreFindTests(SynchronousTestCase):
    """Found by test_store_machine.py."""

    def setUp(self) -> None:
        """A write in flight, one behind it, a state of another node between the two; and those behind give up."""
        self.ended: list[Write] = []
        self.store = Store(state(0, 0))
        self._propose(1)
        self.store.begin_commit()
        self._propose(9)
        self.store.merge(state(2, 5), Source.NOTIFY)
        self.store.give_up_waiting("the disk does not answer")

    def _propose(self, value: int) -> Write:
        return self.store.propose(value, origin="", time=0.0, done=self.ended.append)

    def test_head_is_never_below_current(self) -> None:
        """Nobody would write upon it."""
        assert self.store.head == self.store.current == state(2, 5)

    def test_a_write_upon_what_readers_see_is_not_lost(self) -> None:
        """It was made, and nobody else has written since: readers see it."""
        write = self._propose(3)
        self.store.end_commit()
        self.store.begin_commit()
        self.store.end_commit()
        assert write.error is None
        assert self.store.current == write.state == state(3, 3)
