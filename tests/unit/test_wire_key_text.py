"""Keys as text: what is one, and by what people tell them apart."""

import string
import traceback

import pytest
from twisted.trial.unittest import SynchronousTestCase

from onevalue.wire.key_text import decode_key, encode_key, fingerprint
from onevalue.wire.keyring import KEY_SIZES

KEY = bytes(range(200, 232))


class KeyTextTests(SynchronousTestCase):
    """Base64 and fingerprints."""

    def test_a_key_comes_back_from_its_text(self) -> None:
        """Of each size, of all bytes, in standard base64."""
        for size in KEY_SIZES:
            for byte in range(256):
                assert decode_key(encode_key(bytes([byte] * size))) == bytes([byte] * size)
        assert encode_key(b"\xfb\xff" * 8) == "+//7//v/+//7//v/+//7/w=="

    def test_what_is_no_base64_is_refused(self) -> None:
        """One letter too few, too many or of another alphabet, and space around it, too."""
        text = encode_key(KEY)
        for wrong in (
            *(text[:-1], text[1:], text + "=", text + text, "=" + text, f"{text[:9]}={text[9:]}"),
            *(text + "\n", " " + text, text[:9] + "\n" + text[9:], "\ufeff" + text, text + "\0"),
            *(text.replace(text[3], "-"), text.replace(text[3], "\u00e4"), text.replace(text[3], "\udcff")),
        ):
            with pytest.raises(ValueError, match="this is not base64"):
                decode_key(wrong)

    def test_other_sizes_are_refused(self) -> None:
        """A key has 16, 24 or 32 bytes; the sentence says how many these are."""
        for size in (0, 1, 15, 17, 23, 25, 31, 33, 64):
            with pytest.raises(ValueError, match=f"not of {size}$"):
                decode_key(encode_key(bytes(size)))

    def test_no_error_shows_what_was_no_key(self) -> None:
        """Neither its text nor what led to it."""
        text = encode_key(KEY)
        for wrong in (text[:-1], text + "\n", text + "\u00e4", encode_key(KEY[:-1])):
            with pytest.raises(ValueError, match="a key is") as caught:
                decode_key(wrong)
            assert text[:8] not in "".join(traceback.format_exception(caught.value)) + repr(caught.value)

    def test_a_fingerprint_tells_keys_apart_and_no_more(self) -> None:
        """It is 16 hex digits, never changes, differs for each key, and is not SHA-256 of the key alone."""
        prints = [fingerprint(bytes([byte] * size)) for byte in range(256) for size in KEY_SIZES]
        assert len(set(prints)) == len(prints)
        assert all(len(each) == 16 and set(each) <= set(string.hexdigits.lower()) for each in prints)
        # printf 'onevalue key\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0' | sha256sum
        assert fingerprint(bytes(16)) == "d5f11b96e1a096b3"
