"""Swim as a whole on a bench: packets, streams, time, and what nonsense does to it (nothing)."""

import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from onevalue.config import SwimSettings
from onevalue.errors import LocalProtocolError
from onevalue.swim.core import PINGS_PER_PACKET_MAX, STREAM_USER_SIZE_MAX
from onevalue.swim.events import MemberGone, UserMessage
from onevalue.types import Incarnation, SequenceNumber
from onevalue.wire.codec import COMPOUND_PARTS_MAX, encode_message, encode_packet
from onevalue.wire.messages import Ack, Alive, Dead, Err, NodeStatus, Ping, PushPull, Suspect, User
from tests.unit.swim_bench import STRANGER, Bench, addr_of, address_of, alive
from tests.unit.swim_net import PORT, VSN, decode_stream, make_swim

CRC_ID, COMPOUND_ID = 12, 7
PLAIN = SwimSettings(compression=False)


class PingTests(SynchronousTestCase):
    """Answering pings."""

    def test_a_ping_is_answered_where_it_says_or_where_it_came_from(self) -> None:
        """With the owner's payload; both source fields count, or neither."""
        for fields, address in [
            ((addr_of("c"), 5000, "c"), ("10.0.0.3", 5000)),
            ((addr_of("c"), 0, "c"), STRANGER),
            ((b"", 5000, "c"), STRANGER),
            ((b"", 0, ""), STRANGER),
        ]:
            bench = Bench()
            bench.delegate.payload = b"coordinate"
            bench.hear(Ping(SequenceNumber(4), "a", *fields))
            assert bench.sent() == [(Ack(SequenceNumber(4), b"coordinate"), address), (alive("a"), address)]

    def test_a_ping_for_another_name_is_met_with_silence(self) -> None:
        """Names are compared exactly; no name means anyone."""
        bench = Bench()
        bench.hear(Ping(SequenceNumber(4), "A"), Ping(SequenceNumber(4), "b"))
        assert bench.sent() == []
        bench.hear(Ping(SequenceNumber(4), ""))
        assert len(bench.sent_of(Ack)) == 1

    def test_no_more_than_a_few_pings_of_one_packet_are_answered(self) -> None:
        """The others are counted; what stands beside them is taken in."""
        bench = Bench()
        pings = [Ping(SequenceNumber(number), "a") for number in range(PINGS_PER_PACKET_MAX + 3)]
        bench.hear(*pings, alive("c"))
        answered = [message.seq_no for message, _ in bench.sent_of(Ack) if isinstance(message, Ack)]
        assert answered == list(range(PINGS_PER_PACKET_MAX))
        assert (bench.swim.counters["pings_refused"], len(bench.swim.members())) == (3, 2)

    def test_packets_count_by_their_first_message(self) -> None:
        """Also one that nobody can read; the status has the sums, of packets and of bytes."""
        bench = Bench()
        ping = encode_packet(
            [encode_message(Ping(SequenceNumber(4), "a")), encode_message(alive("c"))], compress=False, crc=False
        )
        for data in (ping, b"\xff"):
            bench.swim.receive_datagram(data, STRANGER, bench.now)
        sent = bench.swim.datagrams_to_send()
        packets = bench.swim.packets
        assert {kind: count for kind, count, _ in packets["in"].rows() if count} == {"ping": 1, "unreadable": 1}
        assert {kind: count for kind, count, _ in packets["out"].rows() if count} == {"ack": len(sent)}
        counters = bench.swim.status()["counters"]
        assert isinstance(counters, dict)
        assert (counters["packets_in"], counters["packets_out"]) == (2, len(sent))
        assert counters["bytes_out"] == sum(len(data) for data, _ in sent)
        assert counters["bytes_in"] == len(ping) + 1

    def test_a_long_user_message_on_a_stream_is_refused(self) -> None:
        """One of as many bytes as the bound is taken in."""
        bench = Bench()
        for size in (STREAM_USER_SIZE_MAX, STREAM_USER_SIZE_MAX + 1):
            assert bench.swim.receive_stream(User(bytes(size)), 1.0) is None
        assert bench.events() == [UserMessage(bytes(STREAM_USER_SIZE_MAX), None)]
        assert bench.swim.counters["streams_refused"] == 1

    def test_stream_pings_are_answered_without_payload_and_those_for_others_not(self) -> None:
        """Wrong name: closed without a reply."""
        bench = Bench()
        bench.delegate.payload = b"coordinate"
        answer = bench.swim.receive_stream(Ping(SequenceNumber(4), "a"), 0.0)
        assert answer is not None
        assert decode_stream(answer) == Ack(SequenceNumber(4), None)
        assert bench.swim.receive_stream(Ping(SequenceNumber(4), "b"), 0.0) is None

    def test_streams_that_nobody_should_open_are_closed_silently(self) -> None:
        """An ack or an error as a request gets no answer; a user message is told without a source."""
        bench = Bench()
        assert bench.swim.receive_stream(Ack(SequenceNumber(1)), 0.0) is None
        assert bench.swim.receive_stream(Err("x"), 0.0) is None
        assert bench.swim.receive_stream(User(b"body"), 0.0) is None
        assert (bench.events(), bench.swim.counters["streams_refused"]) == ([UserMessage(b"body", None)], 2)


class PacketTests(SynchronousTestCase):
    """What rides on packets, and how large they get."""

    def test_the_order_is_message_urgent_bodies_news_other_bodies(self) -> None:
        """README 4.7, with the urgent bodies before memberlist's own messages."""
        bench = Bench()
        bench.delegate.urgent, bench.delegate.other = [b"urgent"], [b"other 1", b"other 2"]
        bench.hear(Ping(SequenceNumber(1), "a"))
        expected = [Ack(SequenceNumber(1)), User(b"urgent"), alive("a"), User(b"other 1"), User(b"other 2")]
        assert [message for message, _ in bench.sent()] == expected

    def test_packets_are_as_full_as_can_be_and_never_larger_than_the_limit(self) -> None:
        """For gossip with CRC and for acks, whatever waits; compound header, lengths and checksum are counted."""
        largest = 0
        for seed in range(60):
            rng = random.Random(seed)
            bench = Bench("b", PLAIN)
            bench.delegate.other = [bytes(rng.randrange(200)) for _ in range(9)]
            for number in range(40):
                bench.swim._states.queue.add(bytes([8]) + bytes(rng.randrange(300)), slot=f"{number}")
            bench.swim.receive_datagram(encode_message(Ping(SequenceNumber(1), "a")), STRANGER, 0.0)
            bench.swim.handle_timer(0.3)
            sizes = [len(data) for data, _ in bench.swim.datagrams_to_send()]
            largest = max(largest, *sizes)
            assert max(sizes) <= PLAIN.packet_size_max
        assert largest > PLAIN.packet_size_max - 20

    def test_many_small_messages_go_as_several_compounds(self) -> None:
        """No compound has more than 127 parts."""
        bench = Bench("b", SwimSettings(packet_size_max=9000, compression=False))
        for _ in range(300):
            bench.swim._states.queue.add(b"\x08x")
        bench.swim.receive_datagram(encode_message(Ping(SequenceNumber(1), "a")), STRANGER, 0.0)
        packets = [data for data, _ in bench.swim.datagrams_to_send()]
        assert [data[1] for data in packets if data[0] == COMPOUND_ID] == [COMPOUND_PARTS_MAX] * 2 + [302 - 254 + 1]

    def test_a_user_message_goes_alone_with_a_checksum_for_known_members(self) -> None:
        """Members that can read a CRC get one, strangers none; what is long is compressed."""
        bench = Bench("b")
        body = b"value " * 50
        bench.swim.send_user(address_of("b"), body, 0.0)
        bench.swim.send_user(STRANGER, b"body", 0.0)
        (known, _), (stranger, _) = bench.swim.datagrams_to_send()
        assert stranger == b"\x08body"
        assert known[0] == CRC_ID
        assert int.from_bytes(known[1:5], "big") == zlib.crc32(known[5:])
        assert len(known) < len(body)

    def test_gossip_goes_to_the_living_the_suspect_and_the_freshly_dead(self) -> None:
        """Never to those who left, and to the dead for 30 s only."""
        bench = Bench("bcde", SwimSettings(gossip_nodes=9, indirect_checks=0, tcp_pings=False))
        bench.hear(Dead(Incarnation(1), "b", "b"), Dead(Incarnation(1), "c", "x"), Suspect(Incarnation(1), "d", "x"))
        bench.sent()
        bench.wait(0.2)
        reached = {address for message, address in bench.sent() if not isinstance(message, Ping | Ack)}
        assert reached == {address_of(name) for name in "cde"}

    def test_the_living_get_gossip_however_long_they_are_known(self) -> None:
        """The dead until 30 s after their death, though they are remembered for longer."""
        settings = SwimSettings(gossip_nodes=9, probe_interval_s=1000.0)
        bench = Bench("bcde", settings)
        bench.hear(Dead(Incarnation(1), "b", "b"), Dead(Incarnation(1), "c", "x"), Suspect(Incarnation(1), "d", "x"))
        for incarnation, wait_s, names in ((2, 29.0, "cde"), (3, 2.0, "de")):
            bench.wait(wait_s)
            bench.sent()
            bench.hear(alive("e", incarnation))
            bench.wait(0.3)
            reached = {address for message, address in bench.sent() if isinstance(message, Alive)}
            assert reached == {address_of(name) for name in names}

    def test_silence_costs_nothing(self) -> None:
        """With empty queues no gossip is sent."""
        bench = Bench("b", SwimSettings(probe_interval_s=1000.0))
        bench.wait(5.0)
        bench.sent()
        bench.wait(60.0)
        assert bench.sent() == []


class HeardTests(SynchronousTestCase):
    """When any other member was heard of last."""

    def test_packets_of_members_count_and_those_of_strangers_do_not(self) -> None:
        """By the source, by the sender that a ping names, and by the answer to a probe."""
        bench = Bench("bc")
        assert bench.swim.last_heard is None
        bench.now = 1.0
        bench.hear(Ping(SequenceNumber(1), "a"), Ack(SequenceNumber(99)), alive("b"))
        assert bench.swim.last_heard is None
        bench.hear(Ack(SequenceNumber(99)), source=("::ffff:10.0.0.2", PORT))
        assert bench.swim.last_heard == 1.0
        bench.now = 2.0
        bench.hear(Ping(SequenceNumber(1), "a", addr_of("c"), PORT, "c"))
        assert bench.swim.last_heard == 2.0
        ping, _ = bench.wait_for(Ping)
        assert isinstance(ping, Ping)
        bench.now = 2.1
        bench.hear(Ack(ping.seq_no))
        assert bench.swim.last_heard == 2.1

    def test_bytes_without_meaning_do_not_count(self) -> None:
        """Not even from the address of a member."""
        bench = Bench("b")
        bench.swim.receive_datagram(b"\xfe nonsense", address_of("b"), 0.0)
        assert (bench.swim.last_heard, bench.swim.counters["malformed"]) == (None, 1)


class TimeTests(SynchronousTestCase):
    """A clock that misbehaves."""

    def test_a_clock_that_stands_still_or_steps_back_fires_nothing_twice(self) -> None:
        """After the largest time that was seen, the same and smaller times do nothing."""
        bench = Bench("b")
        bench.swim.handle_timer(10.0)
        bench.swim.datagrams_to_send()
        for now in (10.0, 9.0, 0.0, -5.0, 10.0):
            bench.swim.handle_timer(now)
            assert bench.swim.datagrams_to_send() == []
        deadline = bench.swim.next_deadline()
        assert deadline is not None
        assert deadline > 10.0
        bench.swim.receive_datagram(encode_message(alive("c")), STRANGER, 3.0)
        newcomer = bench.swim.member("c")
        assert newcomer is not None
        assert newcomer.changed == 10.0

    def test_after_a_leap_each_thing_is_done_once(self) -> None:
        """An hour missed is one probe and one round, not thousands; and an absurd time ends too."""
        bench = Bench("bc")
        bench.swim.handle_timer(3600.0)
        assert len(bench.swim.datagrams_to_send()) <= 5
        bench.swim.handle_timer(1e300)
        assert len(bench.swim.datagrams_to_send()) <= 9

    def test_nothing_is_taken_in_before_the_start_and_there_is_one_start(self) -> None:
        """A packet before it is dropped; a second start is a bug of the owner."""
        swim = make_swim("a", addr_of("a"))
        swim.receive_datagram(encode_message(alive("b")), STRANGER, 0.0)
        assert (len(swim.members()), swim.next_deadline(), swim.receive_stream(Ping(SequenceNumber(1), "a"), 0.0)) == (
            1,
            None,
            None,
        )
        swim.start(0.0)
        with pytest.raises(LocalProtocolError):
            swim.start(1.0)


def _members(bench: Bench) -> list[tuple[str, NodeStatus, int]]:
    return [(record.name, record.status, record.incarnation) for record in bench.swim.members()]


_NAMES = st.sampled_from(["", "a", "b", "c", "ö\udcff", "x" * 500])
_NUMBERS = st.sampled_from([0, 1, 2, 7, 2**31, 2**32 - 1])
_ADDRS = st.sampled_from([b"", addr_of("b"), addr_of("q"), bytes(16), bytes(10) + b"\xff\xff" + addr_of("b"), bytes(4)])
_PORTS = st.sampled_from([0, 1, PORT, 65535])
_VSNS = st.sampled_from([b"", VSN, bytes(6), bytes([5, 1, 0, 0, 0, 0])])
_MESSAGES = st.one_of(
    st.builds(Ping, _NUMBERS.map(SequenceNumber), _NAMES, _ADDRS, _PORTS, _NAMES),
    st.builds(Ack, _NUMBERS.map(SequenceNumber), st.none() | st.binary(max_size=9)),
    st.builds(Suspect, _NUMBERS.map(Incarnation), _NAMES, _NAMES),
    st.builds(Dead, _NUMBERS.map(Incarnation), _NAMES, _NAMES),
    st.builds(Alive, _NUMBERS.map(Incarnation), _NAMES, _ADDRS, _PORTS, st.binary(max_size=9), _VSNS),
    st.builds(User, st.binary(max_size=9)),
)


class NonsenseTests(SynchronousTestCase):
    """Any bytes at all."""

    @given(st.binary(max_size=300))
    def test_any_bytes_leave_the_members_unchanged(self, data: bytes) -> None:
        """Random bytes are no message that a member would send."""
        bench = Bench("bc")
        before = _members(bench)
        bench.swim.receive_datagram(data, STRANGER, 1.0)
        assert _members(bench) == before

    @given(st.lists(_MESSAGES, max_size=12), st.integers(0, 3))
    def test_any_messages_leave_a_node_that_runs_on(self, messages: list[Ping | Ack | Alive | User], seed: int) -> None:
        """Forged but well-formed messages of any content raise nothing, now or later, and this node stays alive."""
        bench = Bench("bc")
        for message in messages:
            bench.swim.receive_datagram(encode_message(message), STRANGER, bench.now)
            bench.wait(seed / 2)
        bench.wait(3.0)
        assert bench.swim.local.status is NodeStatus.ALIVE
        assert bench.swim.push_pull(address_of("b"), join=True, now=bench.now) > 0
        assert isinstance(decode_stream(bench.swim.streams_to_open()[-1].data), PushPull)

    @given(st.binary(max_size=80), st.integers(0, 200))
    def test_a_damaged_packet_is_taken_as_far_as_it_is_whole(self, noise: bytes, at: int) -> None:
        """Nothing is raised, and nobody is gone who was not named."""
        bench = Bench("bc")
        data = encode_packet([encode_message(alive("d")), encode_message(User(bytes(90)))], compress=False, crc=False)
        bench.swim.receive_datagram(data[:at] + noise + data[at + len(noise) :], STRANGER, 1.0)
        assert bench.events_of(MemberGone) == []

    def test_wrong_arguments_of_the_owner_are_refused(self) -> None:
        """Nothing is made of a member that could not be told to others."""
        for name, addr, meta, port in [
            ("", bytes(4), b"", 1),
            ("a", bytes(3), b"", 1),
            ("a", bytes(4), bytes(513), 1),
            ("a", bytes(4), b"", 0),
        ]:
            with pytest.raises(LocalProtocolError):
                make_swim(name, addr, meta=meta, port=port)
