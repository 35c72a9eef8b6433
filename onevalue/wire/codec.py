"""Packets: messages to the bytes of one datagram and back (wire README 2).

A packet is built from the inside out: message or compound, compressed if that makes it smaller, checksum. It is read
in the opposite order; compound and compressed parts may be nested in each other, a checksum comes only outermost.
Labels and encryption are `envelope`'s, around what this module makes. It must not know what a message means, nor what
is in the body of a user message.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from onevalue.errors import LocalProtocolError, RemoteProtocolError
from onevalue.wire import lzw
from onevalue.wire.dialect import Reader
from onevalue.wire.memberlist_schema import (
    COMPRESSED,
    MESSAGE_IDS,
    NODE_STATE,
    PUSH_PULL_HEADER,
    STRUCTS,
    Compressed,
    PushPullHeader,
)
from onevalue.wire.message_ids import MessageId, message_name
from onevalue.wire.messages import PacketMessage, PushPull, StreamMessage, User
from onevalue.wire.serf_codec import encode_serf

COMPOUND_PARTS_MAX = 127
"""Parts of a compound that we build: the decoder of old agents misreads more."""

COMPOUND_PART_SIZE_MAX = (1 << 16) - 1

CRC_HEADER_SIZE = 5

PACKET_DECOMPRESSED_MAX = 64 * 1024
"""Bytes that the compressed parts of one packet may expand to, all together.

DEPARTURE (packet-bounds): memberlist allows 40 MiB for each, any depth, and any number of parts.
"""

PACKET_DEPTH_MAX = 8
"""How deep compounds and compressed parts of one packet may be nested; real nodes nest two."""

PACKET_PARTS_MAX = 256
"""Parts of one packet that are looked at, in all its compounds; new agents send at most 255."""

_HINTS: dict[int, str] = {
    MessageId.PUSH_PULL: "belongs on a stream",
    MessageId.ENCRYPT: "belongs on a stream",
    MessageId.ERR: "belongs on a stream",
    MessageId.CRC: "must come first, and have four bytes of checksum",
}
_ENCRYPTION_VERSIONS = (0, 1)  # first byte of an encrypted packet; ids of ping and indirect ping too
_PACKET_STRUCTS = {int(key): struct for key, struct in STRUCTS.items() if key != MessageId.ERR}


@dataclass(frozen=True, slots=True)
class Packet:
    """What a datagram held: the messages in their order, and what was wrong with the rest, in a sentence each."""

    messages: list[PacketMessage] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def encode_message(message: PacketMessage | StreamMessage) -> bytes:
    """The message from its id byte on, as real nodes write it; a user message in its form for packets.

    Raises:
        LocalProtocolError: a field is out of the range that the wire can carry.
    """
    if isinstance(message, User):
        return bytes([MessageId.USER]) + message.body
    if isinstance(message, PushPull):
        return _encode_push_pull(message)
    message_id = MESSAGE_IDS[type(message)]
    return bytes([message_id]) + STRUCTS[message_id].pack(message)


def encode_compressed(plain: bytes) -> bytes:
    """A compress message with `plain` in it, larger or smaller than that."""
    return bytes([MessageId.COMPRESS]) + COMPRESSED.pack(Compressed(0, lzw.compress(plain)))


def encode_packet(parts: Sequence[bytes], *, compress: bool, crc: bool) -> bytes:
    """One datagram with these encoded messages; `compress` is done only if it makes the datagram smaller.

    Args:
        parts: 1 to COMPOUND_PARTS_MAX messages, each from its id byte on; one goes bare, more as a compound.
        compress: try to compress.
        crc: put a checksum in front, which costs CRC_HEADER_SIZE bytes.

    Raises:
        LocalProtocolError: no part, too many, or one that is empty or too long for a compound.
    """
    packet = parts[0] if len(parts) == 1 else _encode_compound(parts)
    if not packet:
        raise LocalProtocolError("a packet has at least one message, and a message at least one byte")
    if compress:
        packet = min(packet, encode_compressed(packet), key=len)
    if crc:
        packet = bytes([MessageId.CRC]) + zlib.crc32(packet).to_bytes(4, "big") + packet
    return packet


def decode_packet(data: bytes) -> Packet:
    """What a datagram means; never raises, whatever the bytes are. An empty datagram holds nothing."""
    packet = Packet()
    if not data:
        return packet
    decoding = _PacketDecoding(packet)
    try:
        decoding.decode(_checked(data), depth=0)
    except RemoteProtocolError as error:
        packet.errors.append(str(error))
    return packet


def decompress_message(reader: Reader, size_max: int) -> bytes:
    """The message inside a compress message whose id byte was read; never empty.

    Raises:
        RemoteProtocolError: another algorithm than LZW, bad data, nothing in it, or more than `size_max` bytes.
    """
    compressed = COMPRESSED.read(reader)
    if compressed.algorithm != 0:
        raise RemoteProtocolError(f"Algo must be 0 (LZW), not {compressed.algorithm}")
    plain = lzw.decompress(compressed.buffer, size_max)
    if not plain:
        raise RemoteProtocolError("Buf is an empty message")
    return plain


def _encode_push_pull(message: PushPull) -> bytes:
    state = message.user_state if isinstance(message.user_state, bytes) else encode_serf(message.user_state)
    header = PUSH_PULL_HEADER.pack(PushPullHeader(len(message.nodes), len(state), message.join))
    nodes = b"".join(map(NODE_STATE.pack, message.nodes))
    return bytes([MessageId.PUSH_PULL]) + header + nodes + state


def _encode_compound(parts: Sequence[bytes]) -> bytes:
    if not 1 < len(parts) <= COMPOUND_PARTS_MAX:
        raise LocalProtocolError(f"a packet has from 1 to {COMPOUND_PARTS_MAX} messages, not {len(parts)}")
    for part in parts:
        if not 0 < len(part) <= COMPOUND_PART_SIZE_MAX:
            raise LocalProtocolError(
                f"a message in a compound has 1 to {COMPOUND_PART_SIZE_MAX} bytes, not {len(part)}"
            )
    sizes = b"".join(len(part).to_bytes(2, "big") for part in parts)
    return bytes([MessageId.COMPOUND, len(parts)]) + sizes + b"".join(parts)


def _checked(data: bytes) -> bytes:
    """What is inside the checksum, if there is one."""
    if data[0] != MessageId.CRC or len(data) < CRC_HEADER_SIZE:
        return data
    content = data[CRC_HEADER_SIZE:]
    if zlib.crc32(content) != int.from_bytes(data[1:CRC_HEADER_SIZE], "big"):
        raise RemoteProtocolError("the checksum does not match")
    return content


class _PacketDecoding:
    """The walk through one packet; what is left of its bounds."""

    def __init__(self, packet: Packet) -> None:
        self._packet = packet
        self._decompressed_left = PACKET_DECOMPRESSED_MAX
        self._parts_left = PACKET_PARTS_MAX

    def decode(self, data: bytes, depth: int) -> None:
        """Append the messages of one part to the packet; an error in it leaves the parts before it."""
        if not data:
            raise RemoteProtocolError("a message of no bytes")
        if depth > PACKET_DEPTH_MAX:
            raise RemoteProtocolError(f"messages are nested deeper than {PACKET_DEPTH_MAX}")
        message_id = data[0]
        if message_id == MessageId.COMPOUND:
            self._decode_compound(data, depth + 1)
        elif message_id == MessageId.COMPRESS:
            self.decode(self._decompress(data), depth + 1)
        elif message_id == MessageId.USER:
            self._packet.messages.append(User(data[1:]))
        else:
            self._packet.messages.append(_decode_message(data))

    def _decode_compound(self, data: bytes, depth: int) -> None:
        count = data[1] if len(data) > 1 else 0
        pos = 2 + 2 * count
        if len(data) < pos:
            raise RemoteProtocolError("the table of a compound ends early")
        if count == 0:
            raise RemoteProtocolError("a compound of no messages")
        self._parts_left -= count
        if self._parts_left < 0:
            raise RemoteProtocolError(f"a packet of more than {PACKET_PARTS_MAX} messages")
        for index in range(count):
            size = int.from_bytes(data[2 + 2 * index : 4 + 2 * index], "big")
            if pos + size > len(data):
                raise RemoteProtocolError(f"a compound ends early, after {index} of {count} messages")
            try:
                self.decode(data[pos : pos + size], depth)
            except RemoteProtocolError as error:
                self._packet.errors.append(str(error))
            pos += size

    def _decompress(self, data: bytes) -> bytes:
        try:
            plain = decompress_message(Reader(data, 1), self._decompressed_left)
        except RemoteProtocolError as error:
            raise RemoteProtocolError(f"{message_name(data[0])}: {error}") from None
        self._decompressed_left -= len(plain)
        return plain


def _decode_message(data: bytes) -> PacketMessage:
    struct = _PACKET_STRUCTS.get(data[0])
    if struct is None:
        raise RemoteProtocolError(f"{message_name(data[0])} {_HINTS.get(data[0], 'is no message')}")
    try:
        message: PacketMessage = struct.read(Reader(data, 1))
    except RemoteProtocolError as error:
        hint = " (encrypted? this node has no key)" if data[0] in _ENCRYPTION_VERSIONS else ""
        raise RemoteProtocolError(f"{message_name(data[0])}: {error}{hint}") from None
    return message
