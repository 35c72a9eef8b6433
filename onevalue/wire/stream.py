"""Streams: the one message of each direction of a TCP connection, to bytes and back (wire README 3).

Unless it is encrypted there is no length in front; objects follow each other and end by themselves, so that the decoder
is fed as bytes come. What stands around a message is `envelope`'s. It must not know what a message means.
"""

from array import array
from collections.abc import Callable, Generator
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias, TypeVar

from onevalue.errors import LocalProtocolError, MislabelledError, RemoteProtocolError
from onevalue.wire.codec import decompress_message, encode_compressed, encode_message
from onevalue.wire.dialect import Reader, Scanner, TruncatedError
from onevalue.wire.envelope import ENVELOPE_SIZE_MAX, Envelope
from onevalue.wire.keyring import STREAM_HEAD_SIZE
from onevalue.wire.label import split_label
from onevalue.wire.memberlist_schema import NODE_STATE, PUSH_PULL_HEADER, STRUCTS, USER_HEADER, UserHeader
from onevalue.wire.message_ids import MessageId, message_name
from onevalue.wire.messages import PushPull, StreamMessage, User, UserState
from onevalue.wire.serf_codec import decode_serf
from onevalue.wire.serf_messages import SerfState

STREAM_SIZE_MAX = 8 * 1024 * 1024
"""Bytes of one stream, as it comes, without its envelope, and decompressed.

DEPARTURE (stream-bounds): memberlist allows 20 MiB, and 40 MiB decompressed.
"""

PUSH_PULL_NODES_MAX = 1 << 16
"""Node states in one push/pull.

DEPARTURE (stream-bounds): new memberlist allows 2**20.
"""

COMPRESSED_MAX = 1 << 16
"""Bytes of a message above which we do not compress it: it would take seconds."""

_PLAIN_IDS = (MessageId.PING, MessageId.ACK, MessageId.ERR)

_T = TypeVar("_T")
_Steps: TypeAlias = Generator[None, None, _T]

_BARE = Envelope()


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One direction of a stream, still to be encoded: a pure computation that may be made in any thread.

    Attributes:
        make: gives the message, of values that do not change any more.
        seal: puts it into its envelope.
        compress: as for `encode_stream`.
        is_long: it takes long.
    """

    make: Callable[[], StreamMessage]
    seal: Callable[[bytes], bytes]
    compress: bool
    is_long: bool = False

    def encode(self) -> bytes:
        """All bytes to send. Raises LocalProtocolError as `encode_stream` does."""
        return self.seal(encode_stream(self.make(), compress=self.compress))


def encode_stream(message: StreamMessage, *, compress: bool) -> bytes:
    """All bytes of one direction of a stream, without its envelope.

    Compressed, if so wanted, even where that makes them more, but only up to COMPRESSED_MAX bytes.

    Raises:
        LocalProtocolError: a field is out of the range that the wire can carry, or the stream is too long to be read.
    """
    if isinstance(message, User):
        plain = bytes([MessageId.USER]) + USER_HEADER.pack(UserHeader(len(message.body))) + message.body
    else:
        plain = encode_message(message)
    if len(plain) > STREAM_SIZE_MAX:
        raise LocalProtocolError(f"a stream has at most {STREAM_SIZE_MAX} bytes, not {len(plain)}")
    return encode_compressed(plain) if compress and len(plain) <= COMPRESSED_MAX else plain


class StreamDecoder:
    """Takes the bytes of one direction of a stream as they come, until its message is whole.

    It takes no more than `size_max` bytes and their envelope, and holds those of an object that is still coming twice.
    After an error it must not be fed again. A call may take long when a large stream ends (it is decompressed then),
    and may be made in any thread.

    Args:
        envelope: what must stand around the message.
        is_request: this is what the side sends which opened the stream: only there stands the label.
        size_max: bytes.
    """

    def __init__(self, envelope: Envelope = _BARE, *, is_request: bool = True, size_max: int = STREAM_SIZE_MAX) -> None:
        self._envelope = envelope
        self._is_request = is_request
        self._size_max = size_max if envelope.is_empty else size_max + ENVELOPE_SIZE_MAX
        self._data = bytearray()
        self._pos = 0
        self._scanner: Scanner
        self._steps = self._read_stream(size_max)
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

    def _read_stream(self, size_max: int) -> _Steps[StreamMessage]:
        """Reads on with each step; the data has at least its first byte when the first is made."""
        if self._is_request:
            yield from self._read_label()
        first = self._data[self._pos]
        self._envelope.check_stream(first)
        if first != MessageId.ENCRYPT:
            return (yield from self._read_message(size_max))
        return _decode_whole((yield from self._open()), size_max)

    def _read_label(self) -> _Steps[None]:
        """What stands in front, if anything does, is our label; then comes at least one byte more."""
        while True:
            try:
                label, rest = split_label(bytes(self._data[:ENVELOPE_SIZE_MAX]))
            except TruncatedError:
                pass
            except RemoteProtocolError as error:
                raise MislabelledError(str(error)) from None
            else:
                self._envelope.check_label(label)
                if rest:
                    self._pos = 2 + len(label) if label else 0
                    return
            yield

    def _open(self) -> _Steps[bytes]:
        """What is in an encrypted stream, when it is all there."""
        while len(self._data) < self._pos + STREAM_HEAD_SIZE:
            yield
        claimed = int.from_bytes(self._data[self._pos + 1 : self._pos + STREAM_HEAD_SIZE], "big")
        data = yield from self._take(STREAM_HEAD_SIZE + claimed)
        return self._envelope.open_stream(data)

    def _read_message(self, size_max: int) -> _Steps[StreamMessage]:
        message_id = self._data[self._pos]
        self._pos += 1
        self._scanner = Scanner(self._pos, self._size_max)
        name = message_name(message_id)
        if message_id == MessageId.COMPRESS:
            plain = yield from self._object(name, lambda reader: decompress_message(reader, size_max))
            if plain[0] == MessageId.COMPRESS:
                raise RemoteProtocolError("a stream is compressed twice")
            return _decode_whole(plain, size_max)
        if message_id == MessageId.PUSH_PULL:
            return (yield from self._read_push_pull(name, size_max))
        if message_id == MessageId.USER:
            header = yield from self._object(name, USER_HEADER.read)
            _check_count(name, "UserMsgLen", header.size, size_max)
            return User((yield from self._take(header.size)))
        if message_id not in _PLAIN_IDS:
            raise RemoteProtocolError(f"{name} does not travel on streams")
        message: StreamMessage = yield from self._object(name, STRUCTS[MessageId(message_id)].read)
        return message

    def _read_push_pull(self, name: str, size_max: int) -> _Steps[PushPull]:
        header = yield from self._object(name, PUSH_PULL_HEADER.read)
        _check_count(name, "Nodes", header.nodes, PUSH_PULL_NODES_MAX)
        _check_count(name, "UserStateLen", header.user_state_size, size_max)
        ends = array("L", [self._pos])
        while len(ends) <= header.nodes:
            yield from self._skip(f"{name} node {len(ends) - 1}")
            ends.append(self._pos)
        user_state = yield from self._take(header.user_state_size)
        # Read when all is there: else half streams would hold ten times their bytes.
        nodes = tuple(
            self._read(f"{name} node {index}", NODE_STATE.read, start, end)
            for index, (start, end) in enumerate(pairwise(ends))
        )
        return PushPull(header.join, nodes, _decode_user_state(user_state))

    def _object(self, name: str, read: Callable[[Reader], _T]) -> _Steps[_T]:
        """What `read` makes of the next object, when it is all there."""
        start = self._pos
        yield from self._skip(name)
        return self._read(name, read, start, self._pos)

    def _skip(self, name: str) -> _Steps[None]:
        """The next object is all there, and passed."""
        try:
            while (end := self._scanner.end(self._data)) is None:
                yield
        except RemoteProtocolError as error:
            raise RemoteProtocolError(f"{name}: {error}") from None
        self._pos = end

    def _read(self, name: str, read: Callable[[Reader], _T], start: int, end: int) -> _T:
        try:
            return read(Reader(bytes(self._data[start:end])))
        except RemoteProtocolError as error:
            raise RemoteProtocolError(f"{name}: {error}") from None

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


def _decode_user_state(data: bytes) -> UserState:
    """Serf's state, if it is one."""
    try:
        state = decode_serf(data)
    except RemoteProtocolError:
        return data
    return state if isinstance(state, SerfState) else data


def _decode_whole(plain: bytes, size_max: int) -> StreamMessage:
    """The message that stood in an inner layer of a stream."""
    message = StreamDecoder(size_max=size_max).feed(plain)
    if message is None:
        raise RemoteProtocolError("the message in a compressed or encrypted stream ends early")
    return message
