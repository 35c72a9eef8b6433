"""What waits for the journal: in order, bounded, newest only."""

from twisted.trial.unittest import SynchronousTestCase

from onevalue.errors import JournalError
from onevalue.journal_queue import BATCH_STATES_MAX, DISOWNED_MAX, WAITING_STATES_MAX, Append, AppendQueue, Behind, tell
from onevalue.journal_records import HistoryEntry, LamportClocks, Peer
from onevalue.store import Source, State
from onevalue.types import Generation

ENTRY = HistoryEntry(State(Generation(1), 1), Source.SET)


def append(size: int) -> Append:
    """An append of so many states."""
    return Append([ENTRY] * size)


class AppendQueueTests(SynchronousTestCase):
    """The queue of appends."""

    def test_a_batch_is_bounded_and_whole(self) -> None:
        """Appends go in their order, as many as fit into one transaction, and none in halves."""
        queue = AppendQueue()
        waiting = [append(1), append(BATCH_STATES_MAX - 1), append(1), append(BATCH_STATES_MAX)]
        assert all(queue.put(each) for each in waiting)
        assert queue.take_batch() == waiting[:2]
        assert queue.take_batch() == waiting[2:3]
        assert queue.take_batch() == waiting[3:]
        assert (bool(queue), queue.states, queue.take_batch()) == (False, 0, [])

    def test_no_append_is_too_large_for_a_batch(self) -> None:
        """An append with more states than one transaction takes is refused, or it would wait for ever."""
        queue = AppendQueue()
        assert not queue.put(append(BATCH_STATES_MAX + 1))
        assert not queue

    def test_a_full_queue_refuses(self) -> None:
        """With WAITING_STATES_MAX states no more may wait, until a batch was taken."""
        queue = AppendQueue()
        while queue.states < WAITING_STATES_MAX:
            assert queue.put(append(BATCH_STATES_MAX))
        assert not queue.put(append(1))
        assert queue.states == WAITING_STATES_MAX
        queue.take_batch()
        assert queue.put(append(1))

    def test_all_that_wait_fail_together(self) -> None:
        """When the journal is in trouble nobody waits any more."""
        queue = AppendQueue()
        appends = [append(1), append(2)]
        for each in appends:
            queue.put(each)
        queue.fail_all("the disk is gone")
        errors: list[str] = []
        for each in appends:
            each.done.addErrback(lambda failure: errors.append(repr(failure.value)))
        assert errors == [repr(JournalError("the disk is gone"))] * 2
        assert (bool(queue), queue.states) == (False, 0)

    def test_success_is_told(self) -> None:
        """Without a trouble every append fires with None."""
        appends = [append(1), append(2)]
        tell(appends, None)
        assert [self.successResultOf(each.done) for each in appends] == [None, None]


class BehindTests(SynchronousTestCase):
    """The slots."""

    def test_what_is_disowned_adds_up_to_a_bound(self) -> None:
        """The oldest make room."""
        tags = tuple(f"{number}-" for number in range(DISOWNED_MAX + 1))
        assert Behind(disowned=tags[2:]).over(Behind(disowned=tags[:2])).disowned == tags[1:]

    def test_the_newer_fills_each_slot(self) -> None:
        """Put over older ones, what is newer takes their place, and what is older stays where nothing newer is."""
        old = Behind(ENTRY, (Peer("a", "127.0.0.1", 1),), LamportClocks(1, 1, 1))
        no_peers = Behind(peers=())
        assert no_peers.over(old) == Behind(old.learnt, (), old.clocks)
        assert old.over(no_peers) == old
        assert Behind().over(old) == old.over(Behind()) == old

    def test_an_empty_list_of_peers_is_something_to_write(self) -> None:
        """No peers at all is news; nothing in any slot is not."""
        assert Behind(peers=())
        assert not Behind()
