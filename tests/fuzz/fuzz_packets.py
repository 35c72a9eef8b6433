"""Fuzz target: a datagram, from the bytes on the wire to Serf's messages and what is opaque in them.

The first byte of an input says what stands around the rest. What must hold: only the documented errors are raised, what
is decoded stays within the bounds that are documented, and encoded again it decodes to the same.
"""

from collections.abc import Callable
from typing import Any

from onevalue.errors import ConfigError, MislabelledError, RemoteProtocolError, UndecipherableError
from onevalue.wire.codec import (
    PACKET_DECOMPRESSED_MAX,
    PACKET_PARTS_MAX,
    decode_packet,
    encode_compressed,
    encode_message,
    encode_packet,
)
from onevalue.wire.coordinates import decode_coordinate, encode_coordinate
from onevalue.wire.envelope import Envelope
from onevalue.wire.internal_queries import (
    decode_conflict_answer,
    decode_filter,
    decode_key_request,
    decode_key_response,
    encode_conflict_answer,
    encode_filter,
    encode_key_request,
    encode_key_response,
)
from onevalue.wire.messages import Ack, Alive, PacketMessage, User
from onevalue.wire.serf_codec import decode_serf, decode_tags, encode_serf, encode_tags
from onevalue.wire.serf_messages import Query, QueryResponse, Relay
from tests.fuzz import seeds
from tests.fuzz.targets import Target

_PLAIN = Envelope()
_LABELLED = Envelope(label=seeds.LABEL)
_KEYED = Envelope(keyring=seeds.keyring())
_BOTH = Envelope(label=seeds.LABEL, keyring=seeds.keyring())
_LENIENT = Envelope(keyring=seeds.keyring(), verify_incoming=False)

_Way = tuple[Envelope, Callable[[bytes], bytes]]
_RAW: list[_Way] = [(envelope, bytes) for envelope in (_PLAIN, _LABELLED, _KEYED, _BOTH, _LENIENT)]
_MADE: list[_Way] = [
    (_PLAIN, lambda data: encode_packet([data or b"\0"], compress=False, crc=True)),
    (_PLAIN, encode_compressed),
    (_KEYED, _KEYED.seal_packet),
    (_BOTH, _BOTH.seal_packet),
]
_WAYS = _RAW + _MADE

_PAYLOADS: list[tuple[Callable[[bytes], Any], Callable[[Any], bytes]]] = [
    (decode_key_request, encode_key_request),
    (decode_key_response, encode_key_response),
    (decode_conflict_answer, encode_conflict_answer),
]


def run(data: bytes) -> None:
    """The rest of the input is a datagram, or is put into one."""
    if not data:
        return
    envelope, wrap = _WAYS[data[0] % len(_WAYS)]
    datagram = wrap(data[1:])
    try:
        plain = envelope.open_packet(datagram)
    except (MislabelledError, UndecipherableError):
        assert wrap is bytes, "what we seal can be opened"
        return
    packet = decode_packet(plain)
    assert packet.messages or packet.errors or not plain
    assert len(packet.messages) <= PACKET_PARTS_MAX
    assert len(packet.errors) <= PACKET_PARTS_MAX + 1
    bodies = sum(len(message.body) for message in packet.messages if isinstance(message, User))
    assert bodies <= len(plain) + PACKET_DECOMPRESSED_MAX
    for message in packet.messages:
        _check_message(message)


def _check_message(message: PacketMessage) -> None:
    again = decode_packet(encode_packet([encode_message(message)], compress=False, crc=False))
    if not isinstance(message, User):  # whose body may be any bytes, and is looked at below
        assert again.errors == []
        assert again.messages == [message]
    match message:
        case User(body):
            assert again.messages == [message]
            _check_serf(body)
        case Ack(_, bytes(payload)):
            _check_opaque(payload, decode_coordinate, encode_coordinate)
        case Alive():
            _check_tags(message.meta)
        case _:
            pass


def _check_serf(body: bytes) -> None:
    try:
        message = decode_serf(body)
    except RemoteProtocolError:
        return
    assert decode_serf(encode_serf(message)) == message
    match message:
        case Relay():
            _check_serf(message.inner)
        case Query():
            for each in message.filters:
                _check_opaque(each, decode_filter, encode_filter)
        case _:
            pass
    if isinstance(message, Query | QueryResponse):
        for decode, encode in _PAYLOADS:
            _check_opaque(message.payload, decode, encode)


def _check_tags(meta: bytes) -> None:
    tags = decode_tags(meta)
    try:
        again = encode_tags(tags)
    except ConfigError:  # another spelling than ours may be shorter
        return
    assert decode_tags(again) == tags


def _check_opaque(data: bytes, decode: Callable[[bytes], Any], encode: Callable[[Any], bytes]) -> None:
    try:
        meant = decode(data)
    except RemoteProtocolError:
        return
    assert decode(encode(meant)) == meant


def _seeds() -> list[bytes]:
    found = [bytes([way]) + data for way in range(len(_RAW)) for data in seeds.raw("udp")]
    for way in (0, *range(len(_RAW), len(_WAYS))):
        found += [bytes([way]) + data for data in seeds.plain("udp")]
    return found + [bytes([0]) + data for data in seeds.edges()]


TARGET = Target(run=run, seeds=_seeds, size_max=4096)
