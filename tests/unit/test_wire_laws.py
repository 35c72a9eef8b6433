"""Laws of the wire: messages survive the way there and back, and any bytes give a result or RemoteProtocolError."""

import contextlib  # not "suppress" itself: trial reads a list of that name from a module

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from onevalue.errors import RemoteProtocolError
from onevalue.types import Incarnation, LamportTime, SequenceNumber
from onevalue.wire.codec import COMPOUND_PARTS_MAX, decode_packet, encode_compressed, encode_message, encode_packet
from onevalue.wire.coordinates import Coordinate, decode_coordinate, encode_coordinate
from onevalue.wire.internal_queries import (
    ConflictMember,
    KeyRequest,
    KeyResponse,
    decode_conflict_answer,
    decode_filter,
    decode_key_request,
    decode_key_response,
    encode_conflict_answer,
    encode_key_request,
    encode_key_response,
)
from onevalue.wire.keyring import Keyring
from onevalue.wire.label import split_label
from onevalue.wire.messages import (
    Ack,
    Alive,
    Dead,
    Err,
    IndirectPing,
    Nack,
    NodeState,
    NodeStatus,
    PacketMessage,
    Ping,
    PushPull,
    StreamMessage,
    Suspect,
    User,
)
from onevalue.wire.serf_codec import decode_serf, decode_tags, encode_serf, encode_tags
from onevalue.wire.serf_messages import (
    EventSlot,
    JoinIntent,
    LeaveIntent,
    Query,
    QueryResponse,
    Relay,
    SerfMessage,
    SerfState,
    UserEventMessage,
)
from onevalue.wire.stream import StreamDecoder, encode_stream
from tests.strategies import LAW

blobs = st.binary(max_size=40)
names = blobs.map(lambda name: name.decode("utf-8", "surrogateescape"))
addresses = st.binary(min_size=4, max_size=4) | st.binary(min_size=16, max_size=16)
sources = st.just(b"") | addresses
ports = st.integers(0, (1 << 16) - 1)
u8 = st.integers(0, 255)
u32 = st.integers(0, (1 << 32) - 1)
u64 = st.integers(0, (1 << 64) - 1)
i64 = st.integers(-(1 << 63), (1 << 63) - 1)
floats = st.floats(allow_nan=False, allow_infinity=False)
incarnations = u32.map(Incarnation)
numbers = u32.map(SequenceNumber)
times = u64.map(LamportTime)
versions = st.just(b"") | st.binary(min_size=6, max_size=6)

pings = st.builds(Ping, numbers, names, sources, ports, names)
acks = st.builds(Ack, numbers, st.none() | blobs)
users = st.builds(User, blobs)
packet_messages: st.SearchStrategy[PacketMessage] = st.one_of(
    pings,
    acks,
    users,
    st.builds(IndirectPing, numbers, addresses, ports, names, st.booleans(), sources, ports, names),
    st.builds(Nack, numbers),
    st.builds(Suspect, incarnations, names, names),
    st.builds(Alive, incarnations, names, addresses, ports, blobs, versions),
    st.builds(Dead, incarnations, names, names),
)
node_states = st.builds(NodeState, names, addresses, ports, incarnations, st.sampled_from(NodeStatus), blobs, versions)
stream_messages: st.SearchStrategy[StreamMessage] = st.one_of(
    pings,
    acks,
    users,
    st.builds(Err, names),
    st.builds(PushPull, st.booleans(), st.lists(node_states, max_size=5).map(tuple), blobs),
)
slots = st.builds(EventSlot, times, st.lists(st.tuples(names, blobs), max_size=3).map(tuple))
filters = st.lists(st.binary(min_size=1, max_size=9), max_size=3).map(tuple)
serf_messages: st.SearchStrategy[SerfMessage] = st.one_of(
    st.builds(LeaveIntent, times, names, st.booleans()),
    st.builds(JoinIntent, times, names),
    st.builds(UserEventMessage, times, names, blobs, st.booleans()),
    st.builds(
        SerfState,
        times,
        st.dictionaries(names, times, max_size=20),
        st.lists(names, max_size=20).map(tuple),
        times,
        st.lists(st.none() | slots, max_size=20).map(tuple),
        times,
    ),
    st.builds(Query, times, u32, addresses, ports, names, filters, u32, u8, i64, names, blobs),
    st.builds(QueryResponse, times, u32, names, u32, blobs),
    st.builds(Relay, addresses, ports, names, st.binary(min_size=1, max_size=40), names),
)
tags = st.dictionaries(st.text(max_size=4), st.text(max_size=10), max_size=6)
conflict_members = st.builds(ConflictMember, names, sources, ports, tags, i64, u8, u8, u8, u8, u8, u8)


class RoundTripTests(SynchronousTestCase):
    """Every message survives."""

    @LAW
    @given(st.lists(packet_messages, min_size=1, max_size=COMPOUND_PARTS_MAX), st.booleans(), st.booleans())
    def test_packets(self, messages: list[PacketMessage], compress: bool, crc: bool) -> None:
        """Any messages, in their order, however they are wrapped."""
        packet = decode_packet(encode_packet([encode_message(each) for each in messages], compress=compress, crc=crc))
        assert packet.errors == []
        assert packet.messages == messages

    @LAW
    @given(stream_messages, st.booleans(), st.integers(1, 50))
    def test_streams(self, message: StreamMessage, compress: bool, piece: int) -> None:
        """Any message, in pieces of any size."""
        data = encode_stream(message, compress=compress)
        decoder = StreamDecoder()
        answers = [decoder.feed(data[start : start + piece]) for start in range(0, len(data), piece)]
        assert answers[:-1] == [None] * (len(answers) - 1)
        assert answers[-1] == message

    @LAW
    @given(serf_messages)
    def test_serf_messages(self, message: SerfMessage) -> None:
        """Any of Serf's."""
        assert decode_serf(encode_serf(message)) == message

    @LAW
    @given(tags)
    def test_tags(self, wanted: dict[str, str]) -> None:
        """Any that fit."""
        assert decode_tags(encode_tags(wanted)) == wanted

    @LAW
    @given(
        st.builds(KeyRequest, st.binary(max_size=32)),
        st.builds(KeyResponse, st.booleans(), names, st.lists(names, max_size=3).map(tuple), names),
        st.none() | conflict_members,
    )
    def test_internal_payloads(self, request: KeyRequest, response: KeyResponse, member: ConflictMember | None) -> None:
        """Requests and answers."""
        assert decode_key_request(encode_key_request(request)) == request
        assert decode_key_response(encode_key_response(response)) == response
        assert decode_conflict_answer(encode_conflict_answer(member)) == member

    @LAW
    @given(st.builds(Coordinate, st.tuples(*[floats] * 8), floats, floats, floats))
    def test_coordinates(self, coordinate: Coordinate) -> None:
        """Any finite one, to the last bit."""
        assert decode_coordinate(encode_coordinate(coordinate)) == coordinate


msgpack_leads = st.sampled_from([*range(0x80, 0xA8), *range(0xC0, 0xE0)])
words = st.sampled_from([b"SeqNo", b"Node", b"Addr", b"Vsn", b"Nodes", b"Buf", b"Events", b"Filters", b"LTime"])
crooked = st.lists(
    msgpack_leads.map(lambda lead: bytes([lead])) | words.map(lambda word: bytes([0xA0 | len(word)]) + word) | blobs,
    max_size=30,
).map(b"".join)
"""Bytes that look like msgpack here and there, so that readers get further than one byte."""

junk = st.binary(max_size=200) | crooked
junk_messages = st.builds(lambda lead, rest: bytes([lead]) + rest, st.integers(0, 14) | u8, junk)


def mutated(data: bytes, cut: int, position: int, byte: int) -> bytes:
    """Data with its end cut off and one byte changed."""
    data = data[: len(data) - cut] if cut else data
    position %= max(1, len(data))
    return data[:position] + bytes([byte]) + data[position + 1 :]


class AnyBytesTests(SynchronousTestCase):
    """Nothing but RemoteProtocolError is ever raised."""

    @LAW
    @given(junk_messages)
    def test_packets(self, data: bytes) -> None:
        """A packet is always something; nothing is raised at all."""
        for each in (data, encode_compressed(data), encode_packet([data, data], compress=True, crc=True)):
            packet = decode_packet(each)
            assert packet.messages or packet.errors

    @LAW
    @given(packet_messages, st.integers(0, 9), st.integers(0, 999), u8)
    def test_packets_that_were_changed_on_the_way(self, message: PacketMessage, cut: int, at: int, byte: int) -> None:
        """Bytes cut off or changed: still something."""
        packet = decode_packet(
            mutated(encode_packet([encode_message(message)] * 2, compress=False, crc=False), cut, at, byte)
        )
        assert packet.messages or packet.errors

    @LAW
    @given(junk_messages, stream_messages, st.integers(0, 9), st.integers(0, 999), u8)
    def test_streams(self, data: bytes, message: StreamMessage, cut: int, at: int, byte: int) -> None:
        """A message, more bytes wanted, or the error."""
        for each in (data, mutated(encode_stream(message, compress=False), cut, at, byte), encode_compressed(data)):
            with contextlib.suppress(RemoteProtocolError):
                StreamDecoder().feed(each)

    @LAW
    @given(junk_messages, serf_messages, st.integers(0, 9), st.integers(0, 999), u8)
    def test_serf_messages(self, data: bytes, message: SerfMessage, cut: int, at: int, byte: int) -> None:
        """A message or the error; what is decoded can be encoded."""
        for each in (data, mutated(encode_serf(message), cut, at, byte)):
            with contextlib.suppress(RemoteProtocolError):
                assert encode_serf(decode_serf(each))

    @LAW
    @given(junk)
    def test_payloads_and_tags(self, data: bytes) -> None:
        """A result or the error; tags are never an error."""
        assert isinstance(decode_tags(b"\xff" + data), dict)
        assert isinstance(decode_tags(data), dict)
        decoders = (decode_key_request, decode_key_response, decode_conflict_answer, decode_filter, decode_coordinate)
        for lead in (0, 1, 6, 7, 8):
            for decode in decoders:
                with contextlib.suppress(RemoteProtocolError):
                    decode(bytes([lead]) + data)

    @LAW
    @given(junk)
    def test_encryption_and_labels(self, data: bytes) -> None:
        """Nothing decrypts by chance."""
        ring = Keyring([bytes(16)], bytes)
        with contextlib.suppress(RemoteProtocolError):
            raise AssertionError(ring.decrypt(b"\x01" + data, b""))
        with contextlib.suppress(RemoteProtocolError):
            raise AssertionError(ring.open_stream(b"\x0a" + data))
        with contextlib.suppress(RemoteProtocolError):
            split_label(b"\xf4" + data)
