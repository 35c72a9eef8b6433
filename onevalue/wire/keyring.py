"""Encryption of packets and streams with the keys of a cluster (wire README 2.2 and 3).

AES-GCM; the first key encrypts, any key decrypts, tried in order. It must not know where keys are kept, nor when they
change. Keys appear in no text that it makes.
"""

from collections.abc import Callable, Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from onevalue.errors import ConfigError, LocalProtocolError, RemoteProtocolError
from onevalue.wire.dialect import TruncatedError
from onevalue.wire.message_ids import MessageId

KEY_SIZES = (16, 24, 32)
"""Bytes of a key: AES-128, AES-192 or AES-256."""

NONCE_SIZE = 12

OVERHEAD = 29
"""Bytes that encryption adds to a packet: version, nonce, tag."""

STREAM_HEAD_SIZE = 5
"""Bytes before the encrypted part of a stream: id and length."""

_VERSION = 1
_VERSION_PADDED = 0  # of memberlist protocol 1: the same with PKCS#7 padding
_BLOCK_SIZE = 16


class Keyring:
    """Encrypts and decrypts with `keys`, the primary first; `entropy(n)` gives n bytes that never repeat.

    Raises:
        ConfigError: there is no key, or one that has not 16, 24 or 32 bytes.
    """

    def __init__(self, keys: Sequence[bytes], entropy: Callable[[int], bytes]) -> None:
        if not keys:
            raise ConfigError("a keyring needs a key")
        for index, key in enumerate(keys):
            if len(key) not in KEY_SIZES:
                raise ConfigError(f"key {index + 1} must have 16, 24 or 32 bytes, not {len(key)}")
        self._ciphers = [AESGCM(key) for key in keys]
        self._entropy = entropy

    def __repr__(self) -> str:
        return f"<Keyring of {len(self._ciphers)} keys>"

    def encrypt(self, plain: bytes, aad: bytes) -> bytes:
        """Version, nonce, ciphertext and tag: OVERHEAD bytes more than `plain`.

        `aad` is authenticated with it; of a packet, it is the label.
        """
        nonce = self._entropy(NONCE_SIZE)
        if len(nonce) != NONCE_SIZE:
            raise LocalProtocolError(f"entropy must give {NONCE_SIZE} bytes, not {len(nonce)}")
        return bytes([_VERSION]) + nonce + self._ciphers[0].encrypt(nonce, plain, aad)

    def decrypt(self, data: bytes, aad: bytes) -> bytes:
        """The plain bytes.

        Raises:
            RemoteProtocolError: too short, of an unknown version, or encrypted with no key of ours or other `aad`.
        """
        if len(data) < OVERHEAD:
            raise RemoteProtocolError(f"encrypted data has at least {OVERHEAD} bytes, not {len(data)}")
        if data[0] not in {_VERSION, _VERSION_PADDED}:
            raise RemoteProtocolError(f"encryption version {data[0]} is unknown")
        nonce = data[1 : 1 + NONCE_SIZE]
        for cipher in self._ciphers:
            try:
                plain = cipher.decrypt(nonce, data[1 + NONCE_SIZE :], aad)
            except InvalidTag:
                continue
            return plain if data[0] == _VERSION else _unpadded(plain)
        raise RemoteProtocolError("no key of the ring decrypts it")

    def seal_stream(self, plain: bytes, label: bytes = b"") -> bytes:
        """All of one direction of a stream, encrypted; the label is authenticated, in replies too, which carry none."""
        head = bytes([MessageId.ENCRYPT]) + (len(plain) + OVERHEAD).to_bytes(4, "big")
        return head + self.encrypt(plain, head + label)

    def open_stream(self, data: bytes, size_max: int, label: bytes = b"") -> bytes:
        """What is inside one direction of a stream; bytes after it are ignored.

        Raises:
            RemoteProtocolError: as `decrypt`, or it is not encrypted, or claims more than `size_max` bytes, or is not
                all there (TruncatedError).
        """
        if data[:1] not in {b"", bytes([MessageId.ENCRYPT])}:
            raise RemoteProtocolError("the stream is not encrypted, and this node has a key")
        if len(data) < STREAM_HEAD_SIZE:
            raise TruncatedError
        head = data[:STREAM_HEAD_SIZE]
        end = STREAM_HEAD_SIZE + int.from_bytes(head[1:], "big")
        if end > size_max:
            raise RemoteProtocolError(f"a stream of more than {size_max} bytes")
        if len(data) < end:
            raise TruncatedError
        return self.decrypt(data[STREAM_HEAD_SIZE:end], head + label)


def _unpadded(plain: bytes) -> bytes:
    count = plain[-1] if plain else 0
    if not 0 < count <= min(_BLOCK_SIZE, len(plain)):
        raise RemoteProtocolError("the padding of version 0 is wrong")
    return plain[:-count]
