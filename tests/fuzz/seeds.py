"""What the fuzzers begin with: the captured datagrams and streams, the layers inside them, and some edges.

It must not know how a target spells its inputs.
"""

import re
from functools import cache

from onevalue.wire.codec import CRC_HEADER_SIZE, PACKET_DEPTH_MAX, decompress_message
from onevalue.wire.dialect import Reader
from onevalue.wire.envelope import Envelope
from onevalue.wire.keyring import STREAM_HEAD_SIZE, Keyring
from onevalue.wire.label import split_label
from onevalue.wire.message_ids import MessageId, SerfMessageId
from onevalue.wire.serf_codec import encode_serf
from onevalue.wire.serf_messages import Relay
from tests.unit.wire_vectors import Vector, vectors

LABEL = b"blue"
"""The label of the vectors that have one."""

PLAIN_SIZE_MAX = 1 << 16

_SHORT_TEXT_LEAD = 0xA0
_SHORT_TEXT = re.compile(rb"[\xa1-\xb5][A-Za-z_-]{1,20}")
_EDGES = [
    bytes([lead]) for lead in (0x00, 0x07, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xC3, 0xFF)
]
_EDGES += [bytes([lead]) + b"\xff" * 8 for lead in (0xC4, 0xC6, 0xC7, 0xCA, 0xCB, 0xCD, 0xCF, 0xD3, 0xDB, 0xDD, 0xDF)]


@cache
def keys() -> tuple[bytes, ...]:
    """All keys of the vectors."""
    found = [vector.key for transport in ("udp", "tcp") for vector in vectors(transport) if vector.key is not None]
    return tuple(dict.fromkeys(found))


def keyring() -> Keyring:
    """All keys of the vectors; what it encrypts is the same each time."""
    return Keyring(keys(), bytes)


def raw(transport: str) -> list[bytes]:
    """Every datagram ("udp") or stream ("tcp") as it was captured."""
    return [vector.data for vector in vectors(transport)]


def plain(transport: str) -> list[bytes]:
    """What is inside label and encryption, with and without checksum and compression."""
    found: list[bytes] = []
    for vector in vectors(transport):
        layer: bytes | None = _opened(vector, transport)
        while layer is not None:
            found.append(layer)
            layer = _inner(layer)
    return list(dict.fromkeys(found))


def edges() -> list[bytes]:
    """Messages that are as small as they can be, each by itself and nested as deep as it may be; one deeper."""
    bodies = [bytes([message_id]) + body for message_id in range(14) for body in (b"", b"\x80", b"\x90")]
    bodies += [bytes([MessageId.USER, kind]) + body for kind in range(10) for body in (b"", b"\x80", b"\x90")]
    relay = encode_serf(Relay(bytes(4), 1, "", bytes([SerfMessageId.QUERY_RESPONSE, 0x80])))
    bodies.append(bytes([MessageId.USER]) + relay)
    deeper = _nested(bodies[-1], PACKET_DEPTH_MAX + 1)
    return [*bodies, *(_nested(body, PACKET_DEPTH_MAX) for body in bodies), deeper]


def _nested(body: bytes, depth: int) -> bytes:
    for _ in range(depth):
        body = bytes([MessageId.COMPOUND, 1]) + len(body).to_bytes(2, "big") + body
    return body


def words() -> list[bytes]:
    """What a fuzzer may put in anywhere: keys and names of the vectors as they are spelled, and edges of msgpack."""
    found = {word for transport in ("udp", "tcp") for data in plain(transport) for word in _SHORT_TEXT.findall(data)}
    return sorted(word for word in found if len(word) == word[0] - _SHORT_TEXT_LEAD + 1) + _EDGES


def _opened(vector: Vector, transport: str) -> bytes:
    label, data = split_label(vector.data)
    label = label or str(vector.decoded.get("label_authenticated", "")).encode()
    if vector.key is None:
        return data
    envelope = Envelope(label=label, keyring=keyring())
    if transport == "udp":
        return envelope.open_packet(vector.data)
    assert data[0] == MessageId.ENCRYPT
    assert len(data) > STREAM_HEAD_SIZE
    return envelope.open_stream(data)


def _inner(data: bytes) -> bytes | None:
    if data[0] == MessageId.CRC:
        return data[CRC_HEADER_SIZE:]
    if data[0] == MessageId.COMPRESS:
        return decompress_message(Reader(data, 1), PLAIN_SIZE_MAX)
    return None
