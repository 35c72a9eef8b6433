"""Packets: what is tolerated, what is an error of one part only, and what is bounded."""

import re
import tracemalloc
import zlib
from collections.abc import Mapping
from typing import Any

import msgpack  # type: ignore[import-untyped]  # has no types; an independent writer of what peers may send
import pytest
from twisted.trial.unittest import SynchronousTestCase

from onevalue.errors import LocalProtocolError
from onevalue.types import Incarnation, SequenceNumber
from onevalue.wire.codec import (
    COMPOUND_PARTS_MAX,
    CRC_HEADER_SIZE,
    PACKET_DECOMPRESSED_MAX,
    PACKET_DEPTH_MAX,
    PACKET_PARTS_MAX,
    decode_packet,
    encode_compressed,
    encode_message,
    encode_packet,
)
from onevalue.wire.dialect import ENTRIES_MAX, pack
from onevalue.wire.messages import Ack, Alive, Dead, Nack, PacketMessage, Ping, User
from onevalue.wire.schema import META_SIZE_MAX, NAME_LENGTH_MAX

MEMORY_MAX = 100_000
"""Bytes that reading a short message may take for a while; the package itself needs half of them."""

NACK = Nack(SequenceNumber(7))
ALIVE = Alive(Incarnation(3), "n1", b"\x7f\0\0\1", 7946, b"\xff\x80", b"\1\5\2\2\5\5")
ALIVE_FIELDS = {"Addr": ALIVE.addr, "Incarnation": 3, "Meta": ALIVE.meta, "Node": "n1", "Port": 7946, "Vsn": ALIVE.vsn}


def packed(message_id: int, fields: Mapping[str, Any], **options: Any) -> bytes:
    """A message as another library writes it."""
    return bytes([message_id]) + bytes(msgpack.packb(dict(fields), use_bin_type=False, **options))


def only(data: bytes) -> PacketMessage:
    """The one message of a packet that has no errors."""
    packet = decode_packet(data)
    assert packet.errors == []
    (message,) = packet.messages
    return message


def error_of(data: bytes) -> str:
    """The one error of a packet that has no messages."""
    packet = decode_packet(data)
    assert packet.messages == []
    (error,) = packet.errors
    return error


class ToleranceTests(SynchronousTestCase):
    """What real nodes accept, ours accept (wire README 1.1)."""

    def test_keys_in_any_order_and_unknown_keys(self) -> None:
        """Fields are found by their keys; values of any type under other keys are left out."""
        unknown = {"Zz": [1, {"a": [None, 1.5, "x" * 300]}], "": b"", "A": msgpack.ExtType(5, b"123"), "B": -70000}
        fields = {**unknown, **dict(reversed(ALIVE_FIELDS.items())), "C": {"nested": {"deep": [[[]]]}}}
        assert only(packed(4, fields)) == ALIVE

    def test_missing_keys_and_nil_are_zero_values(self) -> None:
        """A field that is not told, or nil, is empty."""
        assert only(packed(0, {})) == Ping(SequenceNumber(0), "")
        assert only(packed(0, dict.fromkeys(["SeqNo", "Node", "SourceAddr", "SourcePort"]))) == only(packed(0, {}))
        assert only(b"\x00\xc0") == only(packed(0, {}))

    def test_str8_and_bin(self) -> None:
        """Both are read where strings or bytes are due."""
        packed_modern = bytes([4]) + msgpack.packb({**ALIVE_FIELDS, "Node": "n" * 40}, use_bin_type=True)
        assert b"\xd9\x28" in packed_modern
        assert only(packed_modern).node == "n" * 40  # type: ignore[union-attr]  # an Alive has a node

    def test_structs_as_arrays(self) -> None:
        """Fields may come without keys in the order of memberlist's declaration; more or fewer than expected too."""
        values = [3, "n1", ALIVE.addr, 7946, ALIVE.meta, ALIVE.vsn]
        for extra in ([], ["more"]):
            assert only(bytes([4]) + msgpack.packb(values + extra, use_bin_type=False)) == ALIVE
        assert only(bytes([5]) + msgpack.packb([3, "n1"], use_bin_type=False)) == Dead(Incarnation(3), "n1", "")

    def test_numbers_in_other_spellings(self) -> None:
        """Positive numbers in signed form, and longer forms than needed, are numbers; 0 and 1 are booleans."""
        for spelling in (b"\xd0\x07", b"\xd1\x00\x07", b"\xd2\0\0\0\x07", b"\xd3" + bytes(7) + b"\x07", b"\xcd\0\x07"):
            assert only(b"\x0b\x81" + pack(b"SeqNo") + spelling) == NACK
        indirect = {"Target": ALIVE.addr, "Nack": 1}
        assert only(packed(1, indirect)).nack is True  # type: ignore[union-attr]  # an IndirectPing has a nack

    def test_bytes_after_the_object_are_ignored(self) -> None:
        """A message is one object."""
        assert only(encode_message(NACK) + b"whatever") == NACK

    def test_names_that_are_not_utf8_survive(self) -> None:
        """They decode to surrogate escapes, and encode to the bytes that came."""
        data = b"\x05\x83" + b"".join(map(pack, (b"From", b"a\xff", b"Incarnation"))) + b"\x01"
        data += pack(b"Node") + pack(b"\xfe\x80")
        message = only(data)
        assert message == Dead(Incarnation(1), "\udcfe\udc80", "a\udcff")
        assert encode_message(message) == data

    def test_versions_longer_than_six_bytes_are_cut(self) -> None:
        """Real nodes look at six."""
        assert only(packed(4, {**ALIVE_FIELDS, "Vsn": ALIVE.vsn + b"\x09\x09"})) == ALIVE

    def test_a_payload_of_nothing_is_not_no_payload(self) -> None:
        """An ack keeps the difference."""
        assert only(packed(2, {"SeqNo": 1, "Payload": b""})) == Ack(SequenceNumber(1), b"")
        assert only(packed(2, {"SeqNo": 1, "Payload": None})) == Ack(SequenceNumber(1), None)


class RefusalTests(SynchronousTestCase):
    """A message with a wrong field is an error that names it, and nothing else."""

    def test_wrong_fields_are_named(self) -> None:
        """Each wrong value of a field is refused with the name of message and field."""
        for field, value in [
            ("SeqNo", 1.0),
            ("SeqNo", -1),
            ("SeqNo", 1 << 32),
            ("SeqNo", True),
            ("SeqNo", "7"),
            ("SourcePort", 1 << 16),
            ("Node", 5),
            ("Node", ["n1"]),
            ("Node", "n" * (NAME_LENGTH_MAX + 1)),
            ("SourceAddr", b"\1\2\3"),
            ("SourceAddr", bytes(17)),
        ]:
            error = error_of(packed(0, {field: value}))
            assert error.startswith(f"message 0 (ping): {field} "), error

    def test_an_alive_message_has_an_address_a_bounded_meta_and_whole_versions(self) -> None:
        """Versions of 1 to 5 bytes crash old agents; here they are an error like the others."""
        wrong: list[tuple[str, Any]] = [("Vsn", bytes(size)) for size in range(1, 6)]
        wrong += [("Addr", bytes(3)), ("Addr", b""), ("Addr", None), ("Meta", bytes(META_SIZE_MAX + 1))]
        for field, value in wrong:
            error = error_of(packed(4, {**ALIVE_FIELDS, field: value}))
            assert error.startswith(f"message 4 (alive): {field} "), error
        assert only(packed(4, {**ALIVE_FIELDS, "Vsn": None, "Meta": bytes(META_SIZE_MAX)}))

    def test_what_does_not_belong_in_a_packet(self) -> None:
        """Streams' messages, labels, unknown ids and what looks encrypted are errors that say so."""
        for data, word in [
            (encode_message(NACK)[:1] + b"\xc1", "must be a map"),
            (b"\x06", "stream"),
            (b"\x0a" + bytes(40), "stream"),
            (b"\x0d\x81\xa5Error\xa1x", "stream"),
            (b"\xf4\x04blue" + encode_message(NACK), "label"),
            (b"\x0e", "no message"),
            (b"\xff", "no message"),
            (b"\x01" + bytes(range(200, 240)), "encrypted?"),
            (b"\x00\x01\x02", "encrypted?"),
            (b"\x0c\x00", "checksum"),
            (b"\x0b\x81", "end early"),
        ]:
            assert word in error_of(data), data

    def test_an_empty_datagram_is_nothing(self) -> None:
        """Not even an error."""
        packet = decode_packet(b"")
        assert (packet.messages, packet.errors) == ([], [])


class WrapperTests(SynchronousTestCase):
    """Checksum, compound and compression, in each other."""

    def test_a_wrong_checksum_drops_the_packet(self) -> None:
        """One bit is enough."""
        data = bytearray(encode_packet([encode_message(NACK)], compress=False, crc=True))
        assert only(bytes(data)) == NACK
        data[-1] ^= 1
        assert error_of(bytes(data)) == "the checksum does not match"

    def test_a_checksum_comes_only_outermost(self) -> None:
        """Inside of anything it is an error."""
        inner = encode_packet([encode_message(NACK)], compress=False, crc=True)
        assert "must come first" in error_of(encode_compressed(inner))
        packet = decode_packet(encode_packet([inner, encode_message(NACK)], compress=False, crc=True))
        assert packet.messages == [NACK]
        assert "must come first" in packet.errors[0]

    def test_nesting_is_accepted_up_to_its_bound(self) -> None:
        """Compress in compress in compound in compound; deeper than any sender goes is an error."""
        data = encode_message(NACK)
        for _ in range(PACKET_DEPTH_MAX // 2):
            data = encode_compressed(encode_packet([data, encode_message(ALIVE)], compress=False, crc=False))
        packet = decode_packet(data)
        assert packet.errors == []
        assert packet.messages == [NACK] + [ALIVE] * (PACKET_DEPTH_MAX // 2)
        assert "nested deeper" in error_of(_deep())

    def test_a_truncated_compound_keeps_its_earlier_parts(self) -> None:
        """What was whole is there; the rest is one error."""
        data = encode_packet([encode_message(NACK), encode_message(ALIVE)], compress=False, crc=False)
        packet = decode_packet(data[:-1])
        assert packet.messages == [NACK]
        assert packet.errors == ["a compound ends early, after 1 of 2 messages"]

    def test_a_table_longer_than_the_packet_drops_all(self) -> None:
        """No part can be found."""
        for data in (b"\x07", b"\x07\x02\x00\x01\x00", b"\x07\xff" + bytes(100)):
            assert "table" in error_of(data)
        assert error_of(b"\x07\x00") == "a compound of no messages"

    def test_a_bad_part_does_not_spoil_its_neighbours(self) -> None:
        """Parts before and after it are there."""
        parts = [encode_message(NACK), b"\x04\x80", encode_message(ALIVE)]
        packet = decode_packet(encode_packet(parts, compress=False, crc=False))
        assert packet.messages == [NACK, ALIVE]
        assert packet.errors == ["message 4 (alive): Addr is missing"]

    def test_empty_parts_and_empty_compressed_messages_are_errors(self) -> None:
        """They crash old agents."""
        assert error_of(b"\x07\x01\x00\x00") == "a message of no bytes"
        assert "empty message" in error_of(encode_compressed(b""))

    def test_only_lzw_is_compression(self) -> None:
        """Another algorithm is an error."""
        assert "Algo" in error_of(packed(9, {"Algo": 1, "Buf": b"x"}))


class BoundTests(SynchronousTestCase):
    """A packet cannot cost more than its bounds."""

    def test_decompressed_bytes_of_all_parts_together(self) -> None:
        """Two parts that fit alone do not fit together."""
        part = encode_compressed(b"\x08" + bytes(PACKET_DECOMPRESSED_MAX // 2))
        packet = decode_packet(encode_packet([part, part], compress=False, crc=False))
        assert packet.messages == [User(bytes(PACKET_DECOMPRESSED_MAX // 2))]
        assert len(packet.errors) == 1
        assert "LZW data of more than" in packet.errors[0]

    def test_the_number_of_parts(self) -> None:
        """Compounds of compounds of nothing give a bounded number of errors."""
        inner = b"\x07\xff" + bytes(510)
        data = b"\x07\x64" + len(inner).to_bytes(2, "big") * 100 + inner * 100
        packet = decode_packet(data)
        assert packet.messages == []
        assert len(packet.errors) <= PACKET_PARTS_MAX

    def test_the_number_of_entries_in_a_message(self) -> None:
        """Heads that claim many entries are refused before any is read."""
        for head in (b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\x81\xa1x" + b"\xdc\xff\xff" * 20):
            assert re.search("entries|end early", error_of(b"\x0b" + head))
        keys = {str(index): index for index in range(ENTRIES_MAX)}
        assert only(packed(11, keys)) == Nack(SequenceNumber(0))
        assert "entries" in error_of(packed(11, {**keys, "x": 1}))

    def test_claims_of_entries_in_entries_take_no_memory(self) -> None:
        """Heads of arrays in arrays, wherever a value or a key is due, are refused or passed over, but not built."""
        claims = b"\xdd\x00\x01\xff\xff" * 1000
        for start in (b"\x0b", b"\x0b\x81", b"\x0b\x81\xa5SeqNo", b"\x0b\x81\xa1x", b"\x0b\x91", b"\x05\x81\xa4Node"):
            self.addCleanup(tracemalloc.stop)
            tracemalloc.start()
            assert re.search("must be|entries|end early|too deep", error_of(start + claims)), start
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert peak < MEMORY_MAX, start

    def test_the_depth_of_a_value_that_nobody_asked_for(self) -> None:
        """It is passed over, unless it is deeper than the reader goes."""
        for head in (b"\x91", b"\x81\xa0"):
            assert only(b"\x0b\x81\xa1x" + head * 100 + b"\xc0") == Nack(SequenceNumber(0))
            assert "nested too deep" in error_of(b"\x0b\x81\xa1x" + head * 5000 + b"\xc0")


class ExtensionTests(SynchronousTestCase):
    """Extensions and timestamps, which no message has."""

    EXTENSIONS = (
        b"\xd4\x05x",  # of one byte
        b"\xc7\x03\x80abc",  # of a negative type
        b"\xc7\x00\x05",  # of none
        b"\xd6\xff\0\0\0\1",  # a timestamp
        b"\xd4\xffx",  # a timestamp of a wrong size
        b"\xc7\x0c\xff\xff\xff\xff\xff" + bytes(8),  # one of too many nanoseconds
    )

    def test_under_unknown_keys_they_are_left_out(self) -> None:
        """Valid or not."""
        for extension in self.EXTENSIONS:
            assert only(b"\x0b\x82\xa1x" + extension + b"\xa5SeqNo\x07") == NACK

    def test_elsewhere_they_are_refused(self) -> None:
        """As the value of a field, as a key, as the message; the one that claims the most bytes too."""
        for extension in (*self.EXTENSIONS, b"\xc9\xff\xff\xff\xff\x05x"):
            assert "SeqNo must be an integer" in error_of(b"\x0b\x81\xa5SeqNo" + extension)
            assert "must be a string" in error_of(b"\x0b\x81" + extension + b"\x07")
            assert "must be a map" in error_of(b"\x0b" + extension)


class EncodingTests(SynchronousTestCase):
    """What leaves is exact, or refused as a bug of ours."""

    def test_the_bytes_are_those_of_an_independent_writer(self) -> None:
        """Sorted keys, old raw family, shortest integers."""
        assert encode_message(ALIVE) == packed(4, ALIVE_FIELDS)
        assert encode_message(NACK) == packed(11, {"SeqNo": 7})
        assert encode_message(Ping(SequenceNumber(300), "n" * 40)) == packed(0, {"Node": "n" * 40, "SeqNo": 300})

    def test_one_part_goes_bare_and_several_as_a_compound(self) -> None:
        """The checksum costs five bytes and covers all behind it."""
        part = encode_message(NACK)
        assert encode_packet([part], compress=False, crc=False) == part
        compound = b"\x07\x02\x00\x09\x00\x09" + part + part
        assert encode_packet([part, part], compress=False, crc=False) == compound
        data = encode_packet([part, part], compress=False, crc=True)
        assert data[CRC_HEADER_SIZE:] == compound
        assert data[:CRC_HEADER_SIZE] == b"\x0c" + zlib.crc32(compound).to_bytes(4, "big")

    def test_compression_is_used_only_where_it_helps(self) -> None:
        """A short message stays plain, a repetitive one shrinks."""
        part = encode_message(NACK)
        assert encode_packet([part], compress=True, crc=False) == part
        long = encode_message(User(b"value" * 100))
        data = encode_packet([long], compress=True, crc=False)
        assert data == encode_compressed(long)
        assert len(data) < len(long)

    def test_packets_that_no_receiver_reads_are_refused(self) -> None:
        """No parts, too many, empty ones, and ones too long for the table."""
        part = encode_message(NACK)
        assert len(decode_packet(encode_packet([part] * COMPOUND_PARTS_MAX, compress=True, crc=True)).messages) == 127
        for parts in ([], [b""], [part, b""], [part] * (COMPOUND_PARTS_MAX + 1), [part, bytes(1 << 16)]):
            with pytest.raises(LocalProtocolError):
                encode_packet(parts, compress=False, crc=False)

    def test_fields_that_the_wire_cannot_carry_are_refused(self) -> None:
        """The error names the field."""
        wrong: list[tuple[PacketMessage, str]] = [
            (Nack(SequenceNumber(-1)), "SeqNo"),
            (Nack(SequenceNumber(1 << 32)), "SeqNo"),
            (Ping(SequenceNumber(1), "\ud800"), "Node"),
            (Ping(SequenceNumber(1), "n" * (NAME_LENGTH_MAX + 1)), "Node"),
            (Ping(SequenceNumber(1), "n", b"\1\2\3"), "SourceAddr"),
            (Alive(Incarnation(1), "n", bytes(4), 1, bytes(META_SIZE_MAX + 1), b""), "Meta"),
            (Alive(Incarnation(1), "n", bytes(4), 1, b"", b"\1\5\2"), "Vsn"),
        ]
        for message, field in wrong:
            with pytest.raises(LocalProtocolError, match=f"^{field} "):
                encode_message(message)

    def test_values_take_their_shortest_forms(self) -> None:
        """Integers, strings and heads at the edges of their forms; never the younger forms of strings (README 1.1)."""
        for value, head in [
            (127, "7f"),
            (128, "cc80"),
            (255, "ccff"),
            (256, "cd0100"),
            (65535, "cdffff"),
            (65536, "ce00010000"),
            (1 << 32, "cf0000000100000000"),
            ((1 << 64) - 1, "cfffffffffffffffff"),
            (-32, "e0"),
            (-33, "d0df"),
            (-129, "d1ff7f"),
            (-32769, "d2ffff7fff"),
            (-(1 << 63), "d38000000000000000"),
            (bytes(31), "bf00"),
            (bytes(32), "da002000"),
            (bytes(65535), "daffff00"),
            (bytes(65536), "db0001000000"),
            (0.0, "cb0000000000000000"),
            ([None] * 15, "9fc0"),
            ([None] * 16, "dc0010c0"),
            ([None] * 65536, "dd00010000c0"),
            (dict.fromkeys(range(16)), "de001000c0"),
        ]:
            assert pack(value).startswith(bytes.fromhex(head)), head


def _deep() -> bytes:
    data = encode_message(NACK)
    for _ in range(PACKET_DEPTH_MAX + 1):
        data = encode_compressed(data)
    return data
