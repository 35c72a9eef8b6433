"""Encryption of packets and streams with the keys of a cluster (wire README 2.2 and 3).

AES-GCM; the first key encrypts, any key decrypts, tried in order. It must not know where keys are kept, nor when they
change. Keys appear in no text that it makes.
"""

from collections.abc import Callable, Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from onevalue.errors import ConfigError, KeyChangeError, LocalProtocolError, UndecipherableError
from onevalue.wire.message_ids import MessageId

KEY_SIZES = (16, 24, 32)
"""Bytes of a key: AES-128, AES-192 or AES-256."""

NONCE_SIZE = 12

OVERHEAD = 29
"""Bytes that encryption adds to a packet: version, nonce, tag."""

STREAM_HEAD_SIZE = 5
"""Bytes before the encrypted part of a stream: id and length."""

KEYS_MAX = 64
"""Keys of one ring: each packet that no key opens is tried with all of them.

DEPARTURE (keys-max): memberlist has no bound.
"""

DERIVED_SIZE = 32
"""Bytes of a key that is derived from one of the ring."""

_VERSION = 1
_VERSION_PADDED = 0  # of memberlist protocol 1: the same with PKCS#7 padding
_BLOCK_SIZE = 16


class Keyring:
    """Encrypts and decrypts with `keys`, the primary first; `entropy(n)` gives n bytes that never repeat.

    A ring never changes: with another key it is another ring.

    Raises:
        ConfigError: there is no key, there are more than KEYS_MAX, or one has not 16, 24 or 32 bytes.
    """

    def __init__(self, keys: Sequence[bytes], entropy: Callable[[int], bytes]) -> None:
        if not keys:
            raise ConfigError("a keyring needs a key")
        if len(keys) > KEYS_MAX:
            raise ConfigError(f"a keyring has at most {KEYS_MAX} keys, not {len(keys)}")
        for index, key in enumerate(keys):
            if len(key) not in KEY_SIZES:
                raise ConfigError(f"key {index + 1} must have 16, 24 or 32 bytes, not {len(key)}")
        self.keys = tuple(keys)
        self._ciphers = [AESGCM(key) for key in keys]
        self._entropy = entropy

    def __repr__(self) -> str:
        return f"<Keyring of {len(self._ciphers)} keys>"

    def installed(self, key: bytes) -> "Keyring":
        """The ring that has this key too, behind the others; this ring if it does already.

        Raises:
            KeyChangeError: a key of a wrong size, or one too many.
        """
        return self if key in self.keys else self._changed([*self.keys, key])

    def used(self, key: bytes) -> "Keyring":
        """The ring whose primary this key is.

        Raises:
            KeyChangeError: it is not in the ring.
        """
        if key not in self.keys:
            raise KeyChangeError("the key is not in the keyring: install it first")
        return self._changed([key, *(other for other in self.keys if other != key)])

    def removed(self, key: bytes) -> "Keyring":
        """The ring without this key.

        Raises:
            KeyChangeError: it is the primary.
        """
        if key == self.keys[0]:
            raise KeyChangeError("the key is the primary one: use another first")
        return self._changed([other for other in self.keys if other != key])

    def derived(self, purpose: bytes) -> list[bytes]:
        """For each key, the primary's first, one of DERIVED_SIZE bytes that is good for this purpose only (HKDF)."""
        return [HKDF(SHA256(), DERIVED_SIZE, salt=None, info=purpose).derive(key) for key in self.keys]

    def _changed(self, keys: Sequence[bytes]) -> "Keyring":
        try:
            return Keyring(keys, self._entropy)
        except ConfigError as error:
            raise KeyChangeError(str(error)) from None

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
            UndecipherableError: too short, of an unknown version, or encrypted with no key of ours or other `aad`.
        """
        if len(data) < OVERHEAD:
            raise UndecipherableError(f"encrypted data has at least {OVERHEAD} bytes, not {len(data)}")
        if data[0] not in {_VERSION, _VERSION_PADDED}:
            raise UndecipherableError(f"encryption version {data[0]} is unknown")
        nonce = data[1 : 1 + NONCE_SIZE]
        for cipher in self._ciphers:
            try:
                plain = cipher.decrypt(nonce, data[1 + NONCE_SIZE :], aad)
            except InvalidTag:
                continue
            return plain if data[0] == _VERSION else _unpadded(plain)
        raise UndecipherableError("no key of the ring decrypts it")

    def seal_stream(self, plain: bytes, label: bytes = b"") -> bytes:
        """All of one direction of a stream, encrypted; the label is authenticated, in replies too, which carry none."""
        head = bytes([MessageId.ENCRYPT]) + (len(plain) + OVERHEAD).to_bytes(4, "big")
        return head + self.encrypt(plain, head + label)

    def open_stream(self, data: bytes, label: bytes = b"") -> bytes:
        """What is inside one direction of a stream, head included, which is all there.

        Raises:
            UndecipherableError: as `decrypt`.
        """
        head = data[:STREAM_HEAD_SIZE]
        return self.decrypt(data[STREAM_HEAD_SIZE:], head + label)


def _unpadded(plain: bytes) -> bytes:
    count = plain[-1] if plain else 0
    if not 0 < count <= min(_BLOCK_SIZE, len(plain)):
        raise UndecipherableError("the padding of version 0 is wrong")
    return plain[:-count]
