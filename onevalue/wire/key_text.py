"""Keys as text: base64, in which Serf writes them, and fingerprints, by which people tell them apart.

It must not know where keys come from. The errors that it raises never show what was no key: it may be almost one.
"""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from hashlib import sha256

from onevalue.wire.keyring import KEY_SIZES

FINGERPRINT_SIZE = 8
"""Bytes of a fingerprint, each two hex digits: enough to tell the keys of a ring apart, useless to find one."""

_FINGERPRINT_SALT = b"onevalue key"


def decode_key(text: str) -> bytes:
    """The 16, 24 or 32 bytes of a key, from standard base64 with its padding and nothing else around it.

    Raises:
        ValueError: it is not that; the sentence says why, without the text.
    """
    try:
        key = b64decode(text, validate=True)
    except ValueError:
        raise ValueError("a key is base64 of 16, 24 or 32 bytes, and this is not base64") from None
    if len(key) not in KEY_SIZES:
        raise ValueError(f"a key is base64 of 16, 24 or 32 bytes, not of {len(key)}")
    return key


def encode_key(key: bytes) -> str:
    """The text from which `decode_key` makes `key`: as secret as the key."""
    return b64encode(key).decode("ascii")


def fingerprint(key: bytes) -> str:
    """16 hex digits that may be shown to anybody: the start of SHA-256 of "onevalue key" and the key."""
    return sha256(_FINGERPRINT_SALT + key).digest()[:FINGERPRINT_SIZE].hex()


def by_fingerprint(counts: Mapping[str, int]) -> dict[str, int]:
    """The same counts by fingerprints of keys in base64; what is none counts as "no key"."""
    found: dict[str, int] = {}
    for text, count in counts.items():
        try:
            name = fingerprint(decode_key(text))
        except ValueError:
            name = "no key"
        found[name] = found.get(name, 0) + count
    return found
