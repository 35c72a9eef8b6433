"""Fuzz target: one direction of a stream, fed to the decoder in pieces.

The first byte of an input says what stands around its message and who sends it, the next four the sizes of the pieces.
What must hold: only RemoteProtocolError is raised, the decoder never holds more than its bounds, the pieces make no
difference, and what is decoded and encoded again decodes to the same.
"""

from itertools import cycle

from onevalue.errors import RemoteProtocolError
from onevalue.wire.codec import encode_compressed
from onevalue.wire.envelope import ENVELOPE_SIZE_MAX, Envelope
from onevalue.wire.messages import StreamMessage
from onevalue.wire.stream import PUSH_PULL_NODES_MAX, StreamDecoder, encode_stream
from tests.fuzz import seeds
from tests.fuzz.targets import Target

SIZE_MAX = 1 << 13
"""Of a stream here: large ones take long, which is why the shell decodes them in a thread."""

SMALL_SIZE_MAX = 1 << 6
"""Likewise, so that an input can be too large."""

HEAD_SIZE = 5

_ENVELOPES = [
    Envelope(),
    Envelope(label=seeds.LABEL),
    Envelope(keyring=seeds.keyring()),
    Envelope(label=seeds.LABEL, keyring=seeds.keyring()),
]
_REQUEST, _SEALED, _COMPRESSED, _SMALL = 4, 8, 16, 32


def run(data: bytes) -> None:
    """What follows the head is a stream, or is put into one."""
    if len(data) < HEAD_SIZE:
        return
    way, sizes, stream = data[0], data[1:HEAD_SIZE], data[HEAD_SIZE:]
    envelope, is_request = _ENVELOPES[way % len(_ENVELOPES)], bool(way & _REQUEST)
    if way & _COMPRESSED:
        stream = encode_compressed(stream)
    if way & _SEALED:
        stream = envelope.seal_request(stream) if is_request else envelope.seal_reply(stream)
    size_max = SMALL_SIZE_MAX if way & _SMALL else SIZE_MAX
    whole, pieces = (
        _decode(StreamDecoder(envelope, is_request=is_request, size_max=size_max), each, size_max)
        for each in ([stream], _cut(stream, sizes))
    )
    assert whole == pieces, "the pieces make a difference"
    if isinstance(whole, StreamMessage):
        assert StreamDecoder().feed(encode_stream(whole, compress=bool(way & _COMPRESSED))) == whole


def _cut(stream: bytes, sizes: bytes) -> list[bytes]:
    pieces: list[bytes] = []
    start = 0
    for size in cycle(sizes):
        if start >= len(stream):
            return pieces
        pieces.append(stream[start : start + 1 + size])
        start += 1 + size
    return pieces


def _decode(
    decoder: StreamDecoder, pieces: list[bytes], size_max: int
) -> StreamMessage | type[RemoteProtocolError] | None:
    """The message, the kind of the error, or None where more is awaited."""
    for piece in pieces:
        try:
            message = decoder.feed(piece)
        except RemoteProtocolError as error:
            return type(error)
        finally:
            assert len(decoder._data) <= size_max + ENVELOPE_SIZE_MAX
        if message is not None:
            assert decoder.feed(b"more") is message
            assert len(getattr(message, "nodes", ())) <= PUSH_PULL_NODES_MAX
            return message
    return None


def _seeds() -> list[bytes]:
    sizes = bytes([0, 6, 255, 40])
    found = [bytes([way]) + sizes + data for way in range(_SEALED) for data in seeds.raw("tcp")]
    for way in (_REQUEST, _SEALED | 1, _SEALED | _REQUEST | 2, _SEALED | 3, _COMPRESSED | _REQUEST, _COMPRESSED | 11):
        found += [bytes([way | small]) + sizes + data for data in seeds.plain("tcp") for small in (0, _SMALL)]
    return found + [bytes([_REQUEST]) + sizes + data for data in seeds.edges()]


TARGET = Target(run=run, seeds=_seeds, size_max=4096)
