"""What Serf has gossiped, in which order, and the urgent slot beside all other gossip."""

from collections import Counter
from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from onevalue.config import LAN
from onevalue.serf.broadcasts import PACKET_MARGIN, QUEUE_MAX, URGENT_SLOTS_MAX, Broadcasts
from onevalue.swim.queue import retransmit_limit
from onevalue.wire.codec import decode_packet
from onevalue.wire.messages import User
from onevalue.wire.serf_codec import decode_serf
from onevalue.wire.serf_messages import UserEventMessage
from tests.unit.serf_net import hear, hear_alive, make_serf, time_of

OVERHEAD = 3
SPACE = 1400
NODES = 5
LIMIT = retransmit_limit(LAN.retransmit_mult, NODES)


class BroadcastsTests(SynchronousTestCase):
    """The queues."""

    def setUp(self) -> None:
        """Empty queues."""
        self.broadcasts = Broadcasts(LAN)

    def test_intents_go_before_queries_and_these_before_events(self) -> None:
        """Longer ones of a later kind wait."""
        self.broadcasts.add_event(b"event" * 9)
        self.broadcasts.add_query(b"query" * 3)
        self.broadcasts.add_intent(b"intent")
        assert self.broadcasts.take(OVERHEAD, SPACE, NODES) == [b"intent", b"query" * 3, b"event" * 9]

    def test_all_that_is_taken_fits_the_space(self) -> None:
        """With the overhead of each."""
        for index in range(100):
            self.broadcasts.add_intent(b"i" * (index % 7 + 1))
            self.broadcasts.add_event(b"e" * index)
        for space in (0, 3, 4, 100, 333):
            taken = self.broadcasts.take(OVERHEAD, space, NODES)
            assert sum(len(body) + OVERHEAD for body in taken) <= space

    def test_messages_of_equal_kind_stand_beside_each_other_and_leave_after_their_transmissions(self) -> None:
        """Serf's messages do not replace each other, not even equal ones."""
        self.broadcasts.add_event(b"same")
        self.broadcasts.add_event(b"same")
        taken = [self.broadcasts.take(OVERHEAD, SPACE, NODES) for _ in range(LIMIT + 1)]
        assert taken == [[b"same", b"same"]] * LIMIT + [[]]

    def test_an_urgent_message_replaces_the_one_before_it(self) -> None:
        """Only the newest state travels, the full number of times."""
        for body in (b"old, and longer", b"new"):
            self.broadcasts.put_urgent("value", body)
        taken = [self.broadcasts.take_urgent(OVERHEAD, SPACE, NODES) for _ in range(LIMIT + 1)]
        assert taken == [[b"new"]] * LIMIT + [[]]

    def test_urgent_slots_take_turns_one_message_a_packet(self) -> None:
        """However much space there is."""
        for slot in ("a", "b"):
            self.broadcasts.put_urgent(slot, slot.encode())
        assert [self.broadcasts.take_urgent(OVERHEAD, SPACE, NODES) for _ in range(4)] == [[b"a"], [b"b"]] * 2

    def test_what_no_packet_can_carry_is_not_queued(self) -> None:
        """It would wait for ever."""
        longest = LAN.packet_size_max - PACKET_MARGIN
        self.broadcasts.add_event(b"e" * (longest + 1))
        self.broadcasts.put_urgent("value", b"e" * (longest + 1))
        assert sum(self.broadcasts.lengths().values()) == 0
        self.broadcasts.add_event(b"e" * longest)
        assert self.broadcasts.take(OVERHEAD, SPACE - 2, NODES) == [b"e" * longest]

    def test_queues_and_slots_are_bounded(self) -> None:
        """A flood drops what was sent most often."""
        for index in range(QUEUE_MAX + 10):
            body = str(index).encode()
            self.broadcasts.add_event(body)
            self.broadcasts.put_urgent(str(index), body)
        assert self.broadcasts.lengths() == {
            "intents": 0,
            "queries": 0,
            "events": QUEUE_MAX,
            "urgent": URGENT_SLOTS_MAX,
        }


class UrgentSlotTests(SynchronousTestCase):
    """The value's slot in the packets of a whole node."""

    def test_a_thousand_value_events_in_a_row_leave_room_for_others(self) -> None:
        """All are sent as often as they are to be, a value only while it is the newest; no packet is too long."""
        serf = make_serf(1, swim_settings=replace(LAN, probe_interval_s=1e6))  # nobody is there to answer a probe
        serf.start(0.0)
        for index in range(2, 7):
            hear_alive(serf, f"n{index}", index)
        now = 0.0
        for _ in range(50):  # the gossip about the members themselves ends
            now += LAN.gossip_interval_s
            serf.handle_timer(now)
        serf.datagrams_to_send()
        sent: Counter[str] = Counter()
        for number in range(1000):
            hear(serf, UserEventMessage(time_of(5000 + number), f"deploy{number}", b"x" * 300), now)
            newest = serf.user_event("onevalue", b"%300d" % number, coalesce=False, slot="onevalue", now=now)
            now += 1.01 * LAN.gossip_interval_s
            serf.handle_timer(now)
            for data, _ in serf.datagrams_to_send():
                assert len(data) <= LAN.packet_size_max
                events = _user_events(data)
                assert all(event == decode_serf(newest) for event in events if event.name == "onevalue")
                sent.update(event.name for event in events)
        limit = retransmit_limit(LAN.retransmit_mult, 6)
        assert sent.pop("onevalue") == limit * 1000
        assert len(sent) == 1000
        assert set(list(sent.values())[:-5]) == {limit}


def _user_events(data: bytes) -> list[UserEventMessage]:
    messages = [decode_serf(each.body) for each in decode_packet(data).messages if isinstance(each, User)]
    return [message for message in messages if isinstance(message, UserEventMessage)]
