"""What was seen lately, by Lamport time (wire README 5.8), and the log of user events upon it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from onevalue.config import SerfSettings
from onevalue.errors import LocalProtocolError, RemoteProtocolError
from onevalue.serf.event_log import EventLog
from onevalue.serf.event_ring import EVENTS_PER_SLOT_MAX, RING_SIZE_MAX, RING_SLOTS, LamportRing, Verdict
from onevalue.serf.lamport import LAMPORT_TIME_MAX, LamportClock
from onevalue.wire.serf_codec import decode_serf, encode_serf
from onevalue.wire.serf_messages import EventSlot, UserEventMessage
from tests.unit.serf_net import time_of

NEW, DUPLICATE, TOO_OLD, REFUSED = Verdict.NEW, Verdict.DUPLICATE, Verdict.TOO_OLD, Verdict.REFUSED


class RingTests(SynchronousTestCase):
    """The ring alone."""

    def setUp(self) -> None:
        """An empty ring."""
        self.clock = LamportClock()
        self.ring: LamportRing[str] = LamportRing(self.clock, time_of(0))

    def _offer(self, ltime: int, key: str, size: int = 10) -> Verdict:
        return self.ring.offer(time_of(ltime), key, size)

    def test_equal_time_and_equal_key_are_one_entry(self) -> None:
        """Another key at the time, or the key at another time, is new."""
        assert [self._offer(5, "a"), self._offer(5, "a"), self._offer(5, "b"), self._offer(6, "a")] == [
            NEW,
            DUPLICATE,
            NEW,
            NEW,
        ]
        assert self.clock.time == 7

    def test_what_is_more_than_the_ring_behind_the_clock_is_too_old(self) -> None:
        """The last slot counts; one behind it does not."""
        self._offer(1000, "now")
        assert self.clock.time == 1001
        assert self._offer(1001 - RING_SLOTS, "a") is NEW
        assert self._offer(1000 - RING_SLOTS, "a") is TOO_OLD

    def test_a_slot_is_replaced_by_a_later_time(self) -> None:
        """The earlier entries are gone from the buffer, and too old if they come again."""
        self._offer(3, "a")
        assert self._offer(3 + RING_SLOTS, "b") is NEW
        assert self.ring.entries()[3] == (3 + RING_SLOTS, ("b",))
        assert self._offer(3, "a") is TOO_OLD
        assert self.ring.size == 10

    def test_what_is_below_the_minimum_is_too_old(self) -> None:
        """It was delivered before a restart."""
        self.ring = LamportRing(self.clock, time_of(5))
        assert [self._offer(4, "a"), self._offer(5, "a")] == [TOO_OLD, NEW]

    def test_a_time_out_of_range_is_nonsense_and_changes_nothing(self) -> None:
        """The clock stays too."""
        with pytest.raises(RemoteProtocolError):
            self._offer(LAMPORT_TIME_MAX + 1, "a")
        assert self.clock.time == 1
        assert not any(self.ring.entries())

    def test_a_slot_holds_a_bounded_number_of_entries(self) -> None:
        """More of one time are refused, and those that are held are still known."""
        verdicts = [self._offer(5, str(index)) for index in range(EVENTS_PER_SLOT_MAX + 1)]
        assert verdicts == [NEW] * EVENTS_PER_SLOT_MAX + [REFUSED]
        assert self._offer(5, "0") is DUPLICATE

    def test_the_oldest_make_room_when_the_ring_is_full_of_bytes_and_do_not_come_back(self) -> None:
        """The size stays within its bound, and what was dropped is too old."""
        half = RING_SIZE_MAX // 2
        for first in (1, RING_SLOTS - 1):  # the oldest is not always that of the first slot
            self.setUp()
            times = (first, first + 1, first + 2)
            assert [self._offer(ltime, "a", half) for ltime in times] == [NEW, NEW, NEW]
            assert self.ring.size == 2 * half
            assert [self._offer(ltime, "a", half) for ltime in times] == [TOO_OLD, DUPLICATE, DUPLICATE]
            assert self._offer(first + 3, "huge", RING_SIZE_MAX + 1) is REFUSED
            for ltime in range(first + 3, first + 20):
                assert self._offer(ltime, "a", half) is NEW
                held = [entry for entry in self.ring.entries() if entry is not None]
                assert sorted(held) == [(ltime - 1, ("a",)), (ltime, ("a",))]
                assert self.ring.size == 2 * half

    @given(st.lists(st.tuples(st.integers(0, 2000), st.sampled_from("abc")), max_size=60))
    def test_nothing_is_new_twice(self, offers: list[tuple[int, str]]) -> None:
        """Whatever the order."""
        ring: LamportRing[str] = LamportRing(LamportClock(), time_of(0))
        new = [offer for offer in offers if ring.offer(time_of(offer[0]), offer[1], 1) is NEW]
        assert len(new) == len(dict.fromkeys(new))
        assert ring.size == sum(len(entry[1]) for entry in ring.entries() if entry is not None)


class EventLogTests(SynchronousTestCase):
    """User events."""

    def setUp(self) -> None:
        """An empty log."""
        self.clock = LamportClock()
        self.log = EventLog(SerfSettings(), self.clock, time_of(0))

    def test_own_events_have_different_times_and_are_recorded(self) -> None:
        """So the second of two equal ones is not taken for the first (pitfall 21), and an echo is not new."""
        messages = [decode_serf(self.log.stamp("deploy", b"1", coalesce=True)) for _ in range(2)]
        assert messages == [UserEventMessage(time_of(ltime), "deploy", b"1", coalesce=True) for ltime in (1, 2)]
        assert isinstance(messages[0], UserEventMessage)
        assert self.log.receive(messages[0]) is DUPLICATE

    def test_an_own_event_that_is_too_long_is_refused_and_no_time_passes(self) -> None:
        """Name and payload of 512 bytes are too long already, because of what stands around them."""
        longest = len(encode_serf(UserEventMessage(time_of(1), "n", b"x" * 470)))
        fits = 470 + SerfSettings().user_event_size_max - longest
        for size in (fits + 1, 512, 9000):
            with pytest.raises(LocalProtocolError, match="shorter"):
                self.log.stamp("n", b"x" * size, coalesce=False)
        assert self.clock.time == 1
        assert len(self.log.stamp("n", b"x" * fits, coalesce=False)) == SerfSettings().user_event_size_max

    def test_name_and_payload_count_against_the_bytes_of_the_buffer(self) -> None:
        """Of own events and of others."""
        self.log.stamp("name", b"payload", coalesce=False)
        self.log.receive(UserEventMessage(time_of(9), "n\u00e9", b"other"))
        assert self.log._ring.size == len("name") + len("payload") + len("né".encode()) + len("other")

    def test_the_buffer_survives_a_push_pull(self) -> None:
        """512 slots with holes go out; the other side finds the events new once, oldest first."""
        for ltime, name in [(520, "c"), (3, "too old"), (9, "a"), (9, "b")]:
            self.log.receive(UserEventMessage(time_of(ltime), name, b""))
        slots = self.log.slots()
        assert len(slots) == RING_SLOTS
        assert slots[9] == EventSlot(time_of(9), (("a", b""), ("b", b"")))
        other = EventLog(SerfSettings(), LamportClock(), time_of(0))
        found = [(event.ltime, event.name) for event in other.merge(slots) if event is not None]
        assert found == [(9, "a"), (9, "b"), (520, "c")]
        assert list(other.merge(slots)) == [None] * len(found)

    def test_an_event_of_a_push_pull_can_be_sent_on(self) -> None:
        """Its message is made anew, and nobody wants it relayed."""
        (event,) = self.log.merge([None, EventSlot(time_of(4), (("n", b"p"),))])
        assert event is not None
        assert decode_serf(event.raw) == UserEventMessage(time_of(4), "n", b"p")
        assert (event.relay_wanted, event.by_push_pull) == (False, True)
