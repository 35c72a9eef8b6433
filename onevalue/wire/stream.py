"""Streams: the one message of each direction of a TCP connection, to bytes and back (wire README 3).

There is no length in front; objects follow each other and end by themselves, so that the decoder is fed as bytes come.
Labels and encryption are `keyring`'s, around what this module makes. It must not know what a message means.
"""

from collections.abc import Callable, Generator
from typing import TypeAlias, TypeVar

from onevalue.errors import LocalProtocolError, RemoteProtocolError
from onevalue.wire.codec import decompress_message, encode_compressed, encode_message
from onevalue.wire.dialect import Reader, Scanner
from onevalue.wire.memberlist_schema import NODE_STATE, PUSH_PULL_HEADER, STRUCTS, USER_HEADER, UserHeader
from onevalue.wire.message_ids import MessageId, message_name
from onevalue.wire.messages import NodeState, PushPull, StreamMessage, User

STREAM_SIZE_MAX = 8 * 1024 * 1024
"""Bytes of one stream, as it comes and decompressed.

DEPARTURE (stream-bounds): memberlist allows 20 MiB, and 40 MiB decompressed.
"""

PUSH_PULL_NODES_MAX = 1 << 16
"""Node states in one push/pull.

DEPARTURE (stream-bounds): new memberlist allows 2**20.
"""

_PLAIN_IDS = (MessageId.PING, MessageId.ACK, MessageId.ERR)
_REFUSED: dict[int, str] = {
    MessageId.ENCRYPT: "the stream is encrypted, and this node has no key",
    MessageId.LABEL: "the stream has a label, and this node has none",
}

_T = TypeVar("_T")
_Steps: TypeAlias = Generator[None, None, _T]


def encode_stream(message: StreamMessage, *, compress: bool) -> bytes:
    """All bytes of one direction of a stream; compressed, if so wanted, even where that makes them more.

    Raises:
        LocalProtocolError: a field is out of the range that the wire can carry, or the stream is too long to be read.
    """
    if isinstance(message, User):
        plain = bytes([MessageId.USER]) + USER_HEADER.pack(UserHeader(len(message.body))) + message.body
    else:
        plain = encode_message(message)
    if len(plain) > STREAM_SIZE_MAX:
        raise LocalProtocolError(f"a stream has at most {STREAM_SIZE_MAX} bytes, not {len(plain)}")
    return encode_compressed(plain) if compress else plain


class StreamDecoder:
    """Takes the bytes of one direction of a stream as they come, until its message is whole.

    It takes no more than `size_max` bytes, and holds those of an object that is still coming twice. After an
    error it must not be fed again. A call may take long when a large stream ends (it is decompressed then), and may
    be made in any thread.
    """

    def __init__(self, size_max: int = STREAM_SIZE_MAX) -> None:
        self._size_max = size_max
        self._data = bytearray()
        self._pos = 1
        self._scanner = Scanner(self._pos, size_max)
        self._steps = self._read_message(size_max)
        self._message: StreamMessage | None = None

    def feed(self, data: bytes) -> StreamMessage | None:
        """The message, if it is whole with these bytes; what comes after it is ignored.

        Raises:
            RemoteProtocolError: the bytes are no message for a stream, or make one that is too large.
        """
        if self._message is not None:
            return self._message
        room = self._size_max - len(self._data)
        self._data += data[:room]
        try:
            if self._data:
                next(self._steps)
        except StopIteration as stop:
            self._message = stop.value
            self._data.clear()
            return self._message
        if len(data) > room:
            raise self._too_large()
        return None

    def _read_message(self, size_max: int) -> _Steps[StreamMessage]:
        """Reads on with each step; the data has at least its first byte when the first is made."""
        message_id = self._data[0]
        name = message_name(message_id)
        if message_id == MessageId.COMPRESS:
            plain = yield from self._object(name, lambda reader: decompress_message(reader, size_max))
            return _decode_decompressed(plain, size_max)
        if message_id == MessageId.PUSH_PULL:
            return (yield from self._read_push_pull(name, size_max))
        if message_id == MessageId.USER:
            header = yield from self._object(name, USER_HEADER.read)
            _check_count(name, "UserMsgLen", header.size, size_max)
            return User((yield from self._take(header.size)))
        if message_id not in _PLAIN_IDS:
            raise RemoteProtocolError(_REFUSED.get(message_id, f"{name} does not travel on streams"))
        message: StreamMessage = yield from self._object(name, STRUCTS[MessageId(message_id)].read)
        return message

    def _read_push_pull(self, name: str, size_max: int) -> _Steps[PushPull]:
        header = yield from self._object(name, PUSH_PULL_HEADER.read)
        _check_count(name, "Nodes", header.nodes, PUSH_PULL_NODES_MAX)
        _check_count(name, "UserStateLen", header.user_state_size, size_max)
        nodes: list[NodeState] = []
        while len(nodes) < header.nodes:
            node = yield from self._object(f"{name} node {len(nodes)}", NODE_STATE.read)
            nodes.append(node)
        user_state = yield from self._take(header.user_state_size)
        return PushPull(header.join, tuple(nodes), user_state)

    def _object(self, name: str, read: Callable[[Reader], _T]) -> _Steps[_T]:
        """What `read` makes of the next object, when it is all there."""
        try:
            while (end := self._scanner.end(self._data)) is None:
                yield
            value = read(Reader(bytes(self._data[self._pos : end])))
        except RemoteProtocolError as error:
            raise RemoteProtocolError(f"{name}: {error}") from None
        self._pos = end
        return value

    def _take(self, size: int) -> _Steps[bytes]:
        """The next `size` bytes, when they are all there; a claim above the bound is refused before they come."""
        end = self._pos + size
        if end > self._size_max:
            raise self._too_large()
        while len(self._data) < end:
            yield
        return bytes(self._data[self._pos : end])

    def _too_large(self) -> RemoteProtocolError:
        return RemoteProtocolError(f"a stream of more than {self._size_max} bytes")


def _check_count(name: str, field: str, count: int, count_max: int) -> None:
    if not 0 <= count <= count_max:
        raise RemoteProtocolError(f"{name}: {field} must be from 0 to {count_max}, not {count}")


def _decode_decompressed(plain: bytes, size_max: int) -> StreamMessage:
    if plain[0] == MessageId.COMPRESS:
        raise RemoteProtocolError("a stream is compressed twice")
    message = StreamDecoder(size_max).feed(plain)
    if message is None:
        raise RemoteProtocolError("the message in a compressed stream ends early")
    return message
