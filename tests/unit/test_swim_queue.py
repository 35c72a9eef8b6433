"""The transmit-limited queue: its order, its charging, its slots and its bound (wire README 4.6)."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from onevalue.swim.queue import BroadcastQueue, retransmit_limit


def _queue(*messages: bytes, mult: int = 4, entries_max: int = 100) -> BroadcastQueue:
    queue = BroadcastQueue(mult, entries_max)
    for message in messages:
        queue.add(message)
    return queue


class OrderTests(SynchronousTestCase):
    """Which messages go into a packet."""

    def test_longer_messages_go_first_and_of_equal_ones_the_newest(self) -> None:
        """Within a tier the order is length, then age."""
        assert _queue(b"aa", b"bbb", b"cc").take(2, 100, 1) == [b"bbb", b"cc", b"aa"]

    def test_messages_sent_less_often_go_first_whatever_their_length(self) -> None:
        """A tier of fewer transmissions comes before longer messages of the next."""
        queue = _queue(b"long message")
        queue.take(2, 100, 1)
        queue.add(b"new")
        assert queue.take(2, 100, 1) == [b"new", b"long message"]

    def test_what_does_not_fit_is_passed_over_within_its_tier_and_then_in_the_next(self) -> None:
        """The space is filled with the longest that still fits, tier by tier."""
        queue = _queue(b"1" * 5)
        queue.take(2, 100, 1)
        for message in (b"2" * 30, b"3" * 20, b"4" * 10):
            queue.add(message)
        assert queue.take(2, 24, 1) == [b"3" * 20]
        assert queue.take(2, 19, 1) == [b"4" * 10, b"1" * 5]

    def test_overhead_is_charged_for_each_message(self) -> None:
        """A message fits only together with its overhead."""
        queue = _queue(b"12345678")
        assert queue.take(3, 10, 1) == []
        assert queue.take(3, 11, 1) == [b"12345678"]

    def test_no_message_is_taken_twice_for_one_packet(self) -> None:
        """There is space for two, but one copy leaves."""
        assert _queue(b"x").take(2, 100, 9) == [b"x"]


class LimitTests(SynchronousTestCase):
    """How often each message is sent, and how many may wait."""

    def test_a_message_leaves_after_its_full_number_of_transmissions(self) -> None:
        """It is taken limit times, then it is gone and its token is told once."""
        for nodes in (1, 9, 10, 120):
            queue = BroadcastQueue(4, 10)
            queue.add(b"m", token="t")
            limit = retransmit_limit(4, nodes)
            for _ in range(limit):
                assert queue.take_finished() == []
                assert queue.take(2, 50, nodes) == [b"m"]
            assert (queue.take(2, 50, nodes), queue.take_finished(), len(queue)) == ([], ["t"], 0)
            assert queue.take_finished() == []

    def test_a_newer_message_of_the_slot_replaces_the_older(self) -> None:
        """Only the newer one is sent, from its first transmission on, and the older counts as finished."""
        queue = BroadcastQueue(1, 10)
        queue.add(b"old", slot="n", token="old")
        queue.add(b"other", slot="m")
        queue.add(b"new", slot="n", token="new")
        assert queue.take_finished() == ["old"]
        assert queue.take(2, 100, 1) == [b"other", b"new"]
        assert queue.take_finished() == ["new"]
        queue.add(b"again", slot="n")
        assert queue.take(2, 100, 1) == [b"again"]

    def test_above_the_bound_the_most_transmitted_is_dropped(self) -> None:
        """The queue keeps what was sent least, and tells the token of what it dropped."""
        queue = BroadcastQueue(4, 2)
        queue.add(b"worn", token="worn")
        queue.take(2, 100, 1)
        queue.add(b"a")
        queue.add(b"bb")
        assert (len(queue), queue.take_finished()) == (2, ["worn"])
        assert queue.take(2, 100, 1) == [b"bb", b"a"]

    @given(
        st.lists(st.tuples(st.binary(min_size=1, max_size=40), st.sampled_from([None, "a", "b", "c"]))),
        st.lists(st.integers(0, 120), max_size=40),
    )
    def test_packets_never_overflow_and_every_token_is_told_once(
        self, messages: list[tuple[bytes, str | None]], spaces: list[int]
    ) -> None:
        """Whatever is added and taken, a packet fits its space and each message finishes at most once."""
        queue, finished = BroadcastQueue(2, 8), []
        for token, (message, slot) in enumerate(messages):
            queue.add(message, slot=slot, token=token)
            assert len(queue) <= 8
            for space in spaces[token : token + 1]:
                assert sum(len(taken) + 2 for taken in queue.take(2, space, 3)) <= space
            finished += queue.take_finished()
        while queue.take(2, 1000, 3):
            finished += queue.take_finished()
        assert Counter(finished) == Counter(range(len(messages)))
