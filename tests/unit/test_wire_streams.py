"""Streams: they are read as bytes come, and cannot claim more than their bounds."""

from dataclasses import replace
from typing import Any

import msgpack  # type: ignore[import-untyped]  # has no types; an independent writer of what peers may send
import pytest
from twisted.trial.unittest import SynchronousTestCase

from onevalue.errors import LocalProtocolError, RemoteProtocolError
from onevalue.types import Incarnation, SequenceNumber
from onevalue.wire import stream
from onevalue.wire.codec import encode_compressed, encode_message
from onevalue.wire.dialect import Reader
from onevalue.wire.messages import Ack, Err, Nack, NodeState, NodeStatus, Ping, PushPull, StreamMessage, User
from onevalue.wire.stream import PUSH_PULL_NODES_MAX, STREAM_SIZE_MAX, StreamDecoder, encode_stream

NODE = NodeState("n1", b"\x7f\0\0\1", 7946, Incarnation(1), NodeStatus.ALIVE, b"\xff\x80", b"\1\5\2\2\5\5")
PUSH_PULL = PushPull(
    join=True, nodes=(NODE, replace(NODE, name="n2", status=NodeStatus.LEFT)), user_state=b"\2 no state"
)
NODE_FIELDS = {
    "Addr": NODE.addr,
    "Incarnation": 1,
    "Meta": NODE.meta,
    "Name": "n1",
    "Port": 7946,
    "State": 0,
    "Vsn": NODE.vsn,
}


def objects(message_id: int, *fields: dict[str, Any]) -> bytes:
    """A message of several maps, as another library writes it."""
    return bytes([message_id]) + b"".join(msgpack.packb(each, use_bin_type=False) for each in fields)


def push_pull(*nodes: dict[str, Any], count: int | None = None, user_state_size: int = 0) -> bytes:
    """A push/pull of any node states."""
    header = {"Join": False, "Nodes": len(nodes) if count is None else count, "UserStateLen": user_state_size}
    return objects(6, header, *nodes)


def feed_in_pieces(data: bytes, size: int) -> StreamMessage | None:
    """What a decoder says in the end to data that comes in pieces of this size."""
    decoder = StreamDecoder()
    answers = [decoder.feed(data[start : start + size]) for start in range(0, len(data), size)]
    return answers[-1]


class StreamTests(SynchronousTestCase):
    """Messages on streams."""

    def test_messages_come_back(self) -> None:
        """Plain and compressed, whole and followed by other bytes."""
        messages: list[StreamMessage] = [
            PUSH_PULL,
            PushPull(join=False, nodes=()),
            Ping(SequenceNumber(1), "n1"),
            Ack(SequenceNumber(1)),
            User(b"body"),
            User(b""),
            Err("no"),
        ]
        for message in messages:
            for compress in (False, True):
                data = encode_stream(message, compress=compress)
                assert data.startswith(b"\x09") is compress
                assert StreamDecoder().feed(data) == message
                assert StreamDecoder().feed(data + b"\x06more") == message

    def test_a_message_may_come_in_any_pieces(self) -> None:
        """It is there with its last byte, and stays."""
        for compress in (False, True):
            data = encode_stream(PUSH_PULL, compress=compress)
            for cut in range(1, len(data)):
                decoder = StreamDecoder()
                assert decoder.feed(data[:cut]) is None
                assert decoder.feed(b"") is None
                assert decoder.feed(data[cut:]) == PUSH_PULL
                assert decoder.feed(b"more") == PUSH_PULL

    def test_a_long_message_is_not_read_again_with_each_byte(self) -> None:
        """It is read when it is whole, and what is in it is only once."""
        for compress in (False, True):
            read = self._sizes_read()
            data = encode_stream(User(bytes(range(256)) * 40), compress=compress)
            message = feed_in_pieces(data, 7)
            assert message == User(bytes(range(256)) * 40)
            assert len(read) == 1 + compress

    def test_node_states_are_read_once(self) -> None:
        """What was read of a push/pull is not read again when more comes."""
        read = self._sizes_read()
        data = encode_stream(PushPull(join=False, nodes=(NODE,) * 100), compress=False)
        assert feed_in_pieces(data, 7) == PushPull(join=False, nodes=(NODE,) * 100)
        assert sum(read) == len(data) - 1

    def _sizes_read(self) -> list[int]:
        """Gets the size of each piece of data that a decoder reads from now on."""
        sizes: list[int] = []

        class NotedReader(Reader):
            def __init__(self, data: bytes | bytearray, pos: int = 0) -> None:
                sizes.append(len(data))
                super().__init__(data, pos)

        self.patch(stream, "Reader", NotedReader)  # type: ignore[no-untyped-call]  # Twisted has no types here
        return sizes

    def test_structs_of_a_push_pull_may_be_arrays(self) -> None:
        """In the order of memberlist's declaration."""
        node = [NODE.name, NODE.addr, NODE.port, NODE.meta, 1, 0, NODE.vsn]
        data = b"\x06" + msgpack.packb([1, 0, True]) + msgpack.packb(node, use_bin_type=False)
        assert StreamDecoder().feed(data) == PushPull(join=True, nodes=(NODE,))


class StreamRefusalTests(SynchronousTestCase):
    """Nonsense is refused at once, and absurd claims before anything is waited for."""

    def refused(self, data: bytes, words: str) -> None:
        """These bytes are an error that matches the words; compressed too, if they are a plain message."""
        with pytest.raises(RemoteProtocolError, match=words):
            StreamDecoder().feed(data)

    def test_absurd_counts(self) -> None:
        """Negative ones crash old agents; large ones would have us wait for them or worse."""
        for count in (-1, PUSH_PULL_NODES_MAX + 1, 1_000_000, (1 << 63) - 1):
            self.refused(push_pull(count=count), "Nodes must be from 0 to")
        for size in (-1, STREAM_SIZE_MAX + 1, 100_000_000):
            self.refused(push_pull(user_state_size=size), "UserStateLen must be from 0 to")
            self.refused(objects(8, {"UserMsgLen": size}), "UserMsgLen must be from 0 to")
        self.refused(push_pull(count=(1 << 64) - 1), "Nodes must be from")

    def test_a_push_pull_with_a_bad_node_is_refused_whole(self) -> None:
        """The error tells which node and which field."""
        wrong: list[tuple[str, Any]] = [("Vsn", bytes(size)) for size in range(1, 6)]
        wrong += [("Addr", bytes(3)), ("Addr", b""), ("State", 4), ("State", -1), ("Meta", bytes(513)), ("Port", 1.5)]
        for field, value in wrong:
            data = push_pull(NODE_FIELDS, {**NODE_FIELDS, field: value})
            self.refused(data, f"node 1: {field} ")
            self.refused(encode_compressed(data), f"node 1: {field} ")

    def test_streams_for_others(self) -> None:
        """Encrypted ones, labelled ones, and messages that belong in packets."""
        self.refused(b"\x0a\x00\x00\x00\x40", "no key")
        self.refused(b"\xf4\x04blue", "label")
        for data in (encode_message(Nack(SequenceNumber(1))), b"\x07\x00", b"\x0c\0\0\0\0", b"\xff"):
            self.refused(data, "does not travel on streams")

    def test_compressed_nonsense(self) -> None:
        """Empty, cut short, compressed twice, or by another algorithm."""
        ping = encode_message(Ping(SequenceNumber(1), "n1"))
        self.refused(encode_compressed(b""), "empty message")
        self.refused(encode_compressed(ping[:-1]), "ends early")
        self.refused(encode_compressed(encode_compressed(ping)), "twice")
        self.refused(objects(9, {"Algo": 2, "Buf": b"x"}), "Algo must be 0")
        self.refused(objects(9, {"Algo": 0, "Buf": b"\xff\xff"}), "LZW")

    def test_sizes_are_bounded(self) -> None:
        """What comes and what it expands to; nothing is kept above the bound, whatever is claimed."""
        data = encode_stream(User(bytes(2000)), compress=True)
        assert StreamDecoder(size_max=2100).feed(data) == User(bytes(2000))
        with pytest.raises(RemoteProtocolError, match="LZW data of more than 1999 bytes"):
            StreamDecoder(size_max=1999).feed(data)
        for claim in (
            b"\x09\x82\xa4Algo\x00\xa3Buf\xda\xff\xff",
            b"\x09\x82\xa4Algo\x00\xa3Buf\xdb\xff\xff\xff\xff",
            b"\x00\x81\xa4Node\xdb\xff\xff\xff\xff",
            b"\x00\x81\xa1x\xdd\xff\xff\xff\xff",
        ):
            decoder = StreamDecoder(size_max=100)
            with pytest.raises(RemoteProtocolError):
                decoder.feed(claim + bytes(100))
            assert len(decoder._data) == 100
        for start in (objects(8, {"UserMsgLen": 99}), push_pull(user_state_size=99)):
            with pytest.raises(RemoteProtocolError, match="more than 100 bytes"):
                StreamDecoder(size_max=100).feed(start)
        with pytest.raises(RemoteProtocolError, match="more than 100 bytes"):
            StreamDecoder(size_max=100).feed(b"\x00\x81\xa4Node\xda\xff\xff" + bytes(100))
        self.refused(b"\x00\x81\xa4Node\xda\x02\x01" + bytes(0x201), "Node must have at most")

    def test_streams_that_nobody_reads_are_not_built(self) -> None:
        """A bug of ours."""
        with pytest.raises(LocalProtocolError):
            encode_stream(User(bytes(STREAM_SIZE_MAX)), compress=False)
