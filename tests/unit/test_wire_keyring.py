"""Encryption and labels: who can read what, and what is refused."""

from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from twisted.trial.unittest import SynchronousTestCase

from onevalue.errors import (
    ConfigError,
    KeyChangeError,
    LocalProtocolError,
    RemoteProtocolError,
    UndecipherableError,
)
from onevalue.wire.dialect import TruncatedError
from onevalue.wire.keyring import KEYS_MAX, NONCE_SIZE, OVERHEAD, STREAM_HEAD_SIZE, Keyring
from onevalue.wire.label import LABEL_SIZE_MAX, join_label, split_label

OLD, NEW = bytes(range(16)), bytes(range(100, 132))
NONCE = bytes(range(NONCE_SIZE))


def keyring(*keys: bytes) -> Keyring:
    """A ring that always takes the same nonce."""
    return Keyring(keys, lambda _: NONCE)


class KeyringTests(SynchronousTestCase):
    """Packets and streams under keys."""

    def test_any_key_of_the_ring_decrypts_and_the_first_encrypts(self) -> None:
        """So keys can be changed one node after the other."""
        sealed = keyring(OLD).encrypt(b"value", b"")
        assert len(sealed) == len(b"value") + OVERHEAD
        assert keyring(NEW, OLD).decrypt(sealed, b"") == b"value"
        with pytest.raises(RemoteProtocolError, match="no key"):
            keyring(OLD).decrypt(keyring(NEW, OLD).encrypt(b"value", b""), b"")

    def test_each_encryption_asks_for_its_own_nonce(self) -> None:
        """Twelve bytes, as they come from entropy."""
        nonces = [bytes(12), bytes([1] * 12)]
        ring = Keyring([OLD], lambda size: nonces.pop(0)[:size])
        assert ring.encrypt(b"value", b"")[1:13] == bytes(12)
        assert ring.encrypt(b"value", b"")[1:13] == bytes([1] * 12)
        with pytest.raises(LocalProtocolError, match="entropy"):
            Keyring([OLD], lambda _: b"short").encrypt(b"value", b"")

    def test_what_was_changed_does_not_decrypt(self) -> None:
        """Any byte of nonce, ciphertext and tag, and the authenticated data."""
        sealed = keyring(OLD).encrypt(b"value", b"blue")
        assert keyring(OLD).decrypt(sealed, b"blue") == b"value"
        for index in range(1, len(sealed)):
            changed = sealed[:index] + bytes([sealed[index] ^ 1]) + sealed[index + 1 :]
            with pytest.raises(RemoteProtocolError):
                keyring(OLD).decrypt(changed, b"blue")
        with pytest.raises(RemoteProtocolError):
            keyring(OLD).decrypt(sealed, b"red")

    def test_what_cannot_be_encrypted_data_is_refused(self) -> None:
        """Too short, or of a version that nobody knows."""
        for data in (b"", bytes(OVERHEAD - 1), b"\x02" + bytes(OVERHEAD), keyring(OLD).encrypt(b"x", b"")[:-1]):
            with pytest.raises(RemoteProtocolError):
                keyring(OLD).decrypt(data, b"")

    def test_padding_of_version_0(self) -> None:
        """It is taken off; padding that cannot be is refused."""
        cipher = AESGCM(OLD)
        for plain, meaning in [
            (b"value" + b"\x0b" * 11, b"value"),
            (b"\x10" * 16, b""),
            (b"x" * 15 + b"\x00", None),
            (b"x" * 15 + b"\x11", None),
            (b"x\x03", None),
            (b"", None),
        ]:
            data = b"\x00" + NONCE + cipher.encrypt(NONCE, plain, b"")
            if meaning is not None:
                assert keyring(OLD).decrypt(data, b"") == meaning
                continue
            with pytest.raises(RemoteProtocolError, match="padding"):
                keyring(OLD).decrypt(data, b"")

    def test_streams_authenticate_their_head_and_label(self) -> None:
        """With another label, or another length in front, they do not open."""
        ring = keyring(OLD)
        sealed = ring.seal_stream(b"value", b"blue")
        assert ring.open_stream(sealed, b"blue") == b"value"
        for data, label in [
            (sealed, b""),
            (sealed[:-1], b"blue"),
            (sealed + b"more", b"blue"),
            (sealed[STREAM_HEAD_SIZE:], b"blue"),
            (b"\x0a\x00\x00\x00\x00", b""),
            (b"", b""),
        ]:
            with pytest.raises(UndecipherableError):
                ring.open_stream(data, label)

    def test_a_changed_ring_is_another_ring(self) -> None:
        """Keys are added behind, moved to the front, and taken away; the ring itself stays as it is."""
        ring = keyring(OLD)
        both = ring.installed(NEW)
        assert (ring.keys, both.keys, both.installed(NEW).keys) == ((OLD,), (OLD, NEW), (OLD, NEW))
        turned = both.used(NEW)
        assert turned.keys == (NEW, OLD)
        assert keyring(NEW).decrypt(turned.encrypt(b"value", b""), b"") == b"value"
        assert turned.removed(OLD).keys == (NEW,)
        assert turned.removed(bytes(16)).keys == (NEW, OLD)  # nobody had it

    def test_changes_that_cannot_be(self) -> None:
        """An unknown key is not used, the primary not removed, and no ring has too many keys, nor wrong ones."""
        ring = keyring(OLD)
        full = keyring(*(bytes([index]) * 16 for index in range(KEYS_MAX)))
        changes: list[tuple[Callable[[bytes], Keyring], bytes]] = [
            (ring.used, NEW),
            (ring.removed, OLD),
            (full.installed, NEW),
            (ring.installed, b"secret"),
        ]
        for change, key in changes:
            with pytest.raises(KeyChangeError) as caught:
                change(key)
            assert "secret" not in str(caught.value)

    def test_derived_keys_are_good_for_one_purpose(self) -> None:
        """Each key of the ring has its own for each purpose, and all nodes derive the same."""
        ring = keyring(OLD, NEW)
        assert len({*ring.derived(b"a"), *ring.derived(b"b"), OLD, NEW}) == 6
        assert keyring(NEW, OLD).derived(b"a") == list(reversed(ring.derived(b"a")))

    def test_keys_must_be_keys(self) -> None:
        """At least one, each of 16, 24 or 32 bytes."""
        for keys in ([], [bytes(15)], [OLD, b""], [bytes(33)]):
            with pytest.raises(ConfigError):
                Keyring(keys, lambda _: NONCE)

    def test_keys_are_never_shown(self) -> None:
        """Neither by repr nor in an error."""
        assert repr(keyring(OLD, NEW)) == "<Keyring of 2 keys>"
        with pytest.raises(ConfigError) as caught:
            keyring(b"secret")
        assert "secret" not in str(caught.value)


class LabelTests(SynchronousTestCase):
    """Labels in front of packets and streams."""

    def test_labels_come_off_again(self) -> None:
        """An empty label adds nothing."""
        assert join_label(b"", b"data") == b"data"
        assert split_label(b"data") == (b"", b"data")
        assert join_label(b"blue", b"data") == b"\xf4\x04bluedata"
        longest = bytes(LABEL_SIZE_MAX)
        assert split_label(join_label(longest, b"data")) == (longest, b"data")
        with pytest.raises(LocalProtocolError):
            join_label(longest + b"x", b"data")

    def test_labels_that_are_none(self) -> None:
        """No bytes, or not all of them there yet."""
        with pytest.raises(RemoteProtocolError, match="at least one byte"):
            split_label(b"\xf4\x00data")
        for size in (1, 2, 5):
            with pytest.raises(TruncatedError):
                split_label(b"\xf4\x04blue"[:size])
