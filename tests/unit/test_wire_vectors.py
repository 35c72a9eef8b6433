"""What real agents sent decodes to what it says, and encodes to the same bytes."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from onevalue.wire.codec import decode_packet, encode_message, encode_packet
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
from onevalue.wire.keyring import NONCE_SIZE, STREAM_HEAD_SIZE, Keyring
from onevalue.wire.label import join_label, split_label
from onevalue.wire.messages import Ack, Alive, NodeState, PushPull, User
from onevalue.wire.serf_codec import decode_serf, decode_tags, encode_serf, encode_tags
from onevalue.wire.serf_messages import Query, QueryResponse, Relay
from onevalue.wire.stream import StreamDecoder, encode_stream
from tests.unit.wire_vectors import Vector, expected, expected_coordinate, expected_filter, leaves, octets, vectors
from tests.unit.wire_vectors import wrappers as wrappers_of

_PAYLOADS: dict[str, tuple[Callable[[bytes], Any], Callable[[Any], bytes]]] = {
    "keyRequest": (decode_key_request, encode_key_request),
    "keyResponse": (decode_key_response, encode_key_response),
    "conflictResponse": (decode_conflict_answer, encode_conflict_answer),
}


def _keyring(vector: Vector, nonce: bytes = b"") -> Keyring:
    assert vector.key is not None
    return Keyring([vector.key], lambda _: nonce)


class PacketVectorTests(SynchronousTestCase):
    """Every captured datagram."""

    def test_there_are_all_datagrams(self) -> None:
        """58 datagrams were captured, 17 of them encrypted and 4 with a label."""
        items = vectors("udp")
        assert len(items) == 58
        assert sum(item.key is not None for item in items) == 17
        assert sum("label" in item.decoded for item in items) == 4

    def test_datagrams_mean_what_they_say(self) -> None:
        """Each field of each message, the layers around it, and each opaque field that is understood, are as told."""
        for vector in vectors("udp"):
            packet = decode_packet(self._plain(vector))
            assert packet.errors == [], vector.name
            told = list(leaves(vector.decoded["message"]))
            assert len(told) == len(packet.messages), vector.name
            for decoded, message in zip(told, packet.messages, strict=True):
                _check_message(vector.name, decoded, message)

    def test_datagrams_are_built_from_their_messages(self) -> None:
        """Encoding what was decoded, with the same wrappers and nonce, gives the same bytes."""
        for vector in vectors("udp"):
            plain = self._plain(vector)
            parts = [encode_message(message) for message in decode_packet(plain).messages]
            kinds = [wrapper["msg"] for wrapper in wrappers_of(vector.decoded["message"])]
            packet = encode_packet(parts, compress="compress" in kinds, crc="hasCrc" in kinds)
            assert plain == packet, vector.name
            label, rest = split_label(vector.data)
            if vector.decoded.get("encryption_version") == 1:
                packet = _keyring(vector, rest[1 : 1 + NONCE_SIZE]).encrypt(packet, label)
            if vector.decoded.get("encryption_version") != 0:
                assert vector.data == join_label(label, packet), vector.name

    def _plain(self, vector: Vector) -> bytes:
        label, data = split_label(vector.data)
        assert vector.decoded.get("label", "") == label.decode()
        if vector.key is None:
            return data
        plain = _keyring(vector).decrypt(data, label)
        assert octets(vector.decoded["plain"]) == plain, vector.name
        return plain


class StreamVectorTests(SynchronousTestCase):
    """Every captured stream."""

    def test_streams_mean_what_they_say(self) -> None:
        """Each field of the message, of each node, and of the user state, is as told."""
        items = vectors("tcp")
        assert len(items) == 20
        for vector in items:
            message = StreamDecoder().feed(self._plain(vector))
            decoded = vector.decoded["message"]
            if isinstance(message, PushPull):
                self._check_push_pull(vector.name, decoded, message)
            else:
                _check_message(vector.name, decoded, message)

    def test_streams_are_built_from_their_messages(self) -> None:
        """Encoding what was decoded, with the same wrappers and nonce, gives the same bytes."""
        for vector in vectors("tcp"):
            plain = self._plain(vector)
            message = StreamDecoder().feed(plain)
            assert message is not None
            stream = encode_stream(message, compress="compress" in vector.decoded)
            assert plain == stream, vector.name
            label, rest = split_label(vector.data)
            if vector.decoded.get("encryption_version") == 1:
                nonce = rest[STREAM_HEAD_SIZE + 1 : STREAM_HEAD_SIZE + 1 + NONCE_SIZE]
                stream = _keyring(vector, nonce).seal_stream(stream, self._label(vector))
            if vector.decoded.get("encryption_version") != 0:
                assert vector.data == join_label(label, stream), vector.name

    def test_streams_are_read_with_their_envelope(self) -> None:
        """A decoder that knows label and key reads what came as it came, in any pieces, and tells the same."""
        for vector in vectors("tcp"):
            ring = None if vector.key is None else _keyring(vector)
            envelope = Envelope(label=self._label(vector), keyring=ring)
            request = "label_authenticated" not in vector.decoded
            plain = StreamDecoder().feed(self._plain(vector))
            for size in (1, 7, len(vector.data)):
                decoder = StreamDecoder(envelope, is_request=request)
                pieces = [vector.data[start : start + size] for start in range(0, len(vector.data), size)]
                assert [decoder.feed(piece) for piece in pieces] == [*([None] * (len(pieces) - 1)), plain], vector.name

    def test_streams_may_come_a_byte_at_a_time(self) -> None:
        """The message is whole with its last byte and not before."""
        for vector in vectors("tcp"):
            plain = self._plain(vector)
            decoder = StreamDecoder()
            for byte in plain[:-1]:
                assert decoder.feed(bytes([byte])) is None, vector.name
            assert StreamDecoder().feed(plain) == decoder.feed(plain[-1:]), vector.name

    def _label(self, vector: Vector) -> bytes:
        decoded = vector.decoded
        return str(decoded.get("label", decoded.get("label_authenticated", ""))).encode()

    def _plain(self, vector: Vector) -> bytes:
        label, data = split_label(vector.data)
        assert vector.decoded.get("label", "") == label.decode()
        if vector.key is None:
            return data
        plain = _keyring(vector).open_stream(data, self._label(vector))
        if "plain" in vector.decoded:
            assert octets(vector.decoded["plain"]) == plain, vector.name
        return plain

    def _check_push_pull(self, name: str, decoded: dict[str, Any], message: PushPull) -> None:
        assert expected(decoded) == replace(message, user_state=b""), name
        for node, state in zip(decoded["nodes"], message.nodes, strict=True):
            _check_tags(name, node, state)
        user_state = message.user_state
        if isinstance(user_state, bytes):
            assert octets(decoded["user_state"]["opaque"]) == user_state, name
        else:
            assert expected(decoded["user_state"]) == user_state, name
            user_state = encode_serf(user_state)
        assert decoded["header"]["UserStateLen"] == len(user_state), name


def _check_message(name: str, decoded: dict[str, Any], message: Any) -> None:
    if not isinstance(message, User):
        assert expected(decoded) == message, name
        if isinstance(message, Alive):
            _check_tags(name, decoded["fields"], message)
        if isinstance(message, Ack):
            _check_coordinate(name, decoded, message)
    elif "serf" in decoded["body"]:
        _check_serf(name, decoded["body"], message.body)
    else:
        assert octets(decoded["body"].get("opaque", decoded["body"])) == message.body, name


def _check_serf(name: str, decoded: dict[str, Any], body: bytes) -> None:
    message = decode_serf(body)
    assert body == encode_serf(message), name
    if isinstance(message, Relay):
        assert expected(decoded) == replace(message, inner=b""), name
        _check_serf(name, decoded["inner"], message.inner)
        return
    assert expected(decoded) == message, name
    if isinstance(message, Query):
        filters = [decode_filter(entry) for entry in message.filters]
        assert [expected_filter(entry) for entry in decoded.get("_filters", [])] == filters, name
        assert message.filters == tuple(map(encode_filter, filters)), name
    if "_payload" in decoded and isinstance(message, Query | QueryResponse):
        decode, encode = _PAYLOADS[decoded["_payload"]["serf"]]
        payload = decode(message.payload)
        assert expected(decoded["_payload"]) == payload, name
        assert message.payload == encode(payload), name


def _check_tags(name: str, decoded: dict[str, Any], node: Alive | NodeState) -> None:
    if decoded.get("_tags") is not None and node.meta[:1] == b"\xff":
        tags = decode_tags(node.meta)
        assert decoded["_tags"] == tags, name
        assert node.meta == encode_tags(tags), name


def _check_coordinate(name: str, decoded: dict[str, Any], ack: Ack) -> None:
    if ack.payload is not None:
        coordinate = decode_coordinate(ack.payload)
        assert expected_coordinate(decoded["fields"]["_payload"]) == coordinate, name
        assert ack.payload == encode_coordinate(coordinate), name
