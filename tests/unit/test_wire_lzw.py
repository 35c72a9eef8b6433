"""LZW gives the reference encoder's bytes, reads what any encoder may write, and holds its bounds."""

import contextlib  # not "suppress" itself: trial reads a list of that name from the module
import json
import random
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from onevalue.errors import RemoteProtocolError
from onevalue.wire.lzw import compress, decompress
from tests.strategies import LAW
from tests.unit.wire_vectors import DATA

CLEAR, EOF = 256, 257


def pack(codes: Iterable[tuple[int, int]]) -> bytes:
    """Codes with their widths, least significant bit first."""
    bits = position = 0
    for code, width in codes:
        bits |= code << position
        position += width
    return bits.to_bytes((position + 7) // 8, "little")


class LzwTests(SynchronousTestCase):
    """Pairs of the reference encoder, and streams that it would not write."""

    def test_the_pairs_of_the_reference_encoder_hold_both_ways(self) -> None:
        """Width changes and table resets fall on the same codes as in Go's encoder."""
        pairs = json.loads((DATA / "lzw.json").read_text())["lzw"]
        assert len(pairs) == 29
        for pair in pairs:
            plain, compressed = bytes.fromhex(pair["plain"]), bytes.fromhex(pair["compressed"])
            assert compress(plain) == compressed, pair["name"]
            assert decompress(compressed, len(plain)) == plain, pair["name"]

    def test_the_table_may_be_reset_by_the_very_last_code(self) -> None:
        """The code before the end counts too: 3838 codes without a hit are followed by a clear, fewer are not."""
        plain = bytes(start * step % 256 for step in range(1, 32, 2) for start in range(256))  # no pair comes twice
        for size in (3836, 3837, 3838):
            codes = [(CLEAR, 9)] + [(byte, (EOF + index).bit_length()) for index, byte in enumerate(plain[:size])]
            codes += [(CLEAR, 12), (EOF, 9)] if size == 3838 else [(EOF, 12)]
            assert compress(plain[:size]) == pack(codes)
            assert decompress(pack(codes), size) == plain[:size]

    def test_a_full_table_stays_until_a_clear(self) -> None:
        """An encoder may go on with codes of 12 bits when all 4096 codes are used; a clear starts afresh."""
        plain = bytes(index * 7 % 251 for index in range(5000))
        codes, high, width = [(CLEAR, 9)], EOF, 9
        for byte in plain:
            codes.append((byte, width))
            high = min(high + 1, 4095)
            width = min(max(9, high.bit_length()), 12)
        codes += [(CLEAR, 12), (plain[0], 9), (EOF, 9)]
        assert decompress(pack(codes), 6000) == plain + plain[:1]

    def test_bytes_after_the_end_are_ignored(self) -> None:
        """The stream ends with its end code."""
        assert decompress(compress(b"value") + b"\xff\xff", 5) == b"value"

    def test_output_is_bounded(self) -> None:
        """One byte more than allowed is refused, however small the input."""
        data = compress(bytes(100_000))
        assert len(data) < 1000
        assert decompress(data, 100_000) == bytes(100_000)
        with pytest.raises(RemoteProtocolError, match="more than 99999 bytes"):
            decompress(data, 99_999)

    def test_nonsense_is_refused(self) -> None:
        """No end, or a code that has no entry yet."""
        for name, data in {
            "nothing": b"",
            "no end": pack([(CLEAR, 9), (65, 9)]),
            "first code has no entry": pack([(CLEAR, 9), (258, 9), (EOF, 9)]),
            "code above the next entry": pack([(CLEAR, 9), (65, 9), (259, 9), (EOF, 9)]),
        }.items():
            with pytest.raises(RemoteProtocolError):
                raise AssertionError(f"{name}: {decompress(data, 1000)!r}")

    def test_the_entry_that_a_code_completes_itself(self) -> None:
        """A code equal to the next entry is the last expansion and its first byte."""
        assert decompress(pack([(CLEAR, 9), (65, 9), (258, 9), (EOF, 9)]), 10) == b"AAA"


class LzwLawTests(SynchronousTestCase):
    """Laws over all inputs."""

    @LAW
    @given(st.binary(max_size=300), st.integers(1, 60))
    def test_what_is_compressed_comes_back(self, piece: bytes, times: int) -> None:
        """Any bytes, repeated or not, survive."""
        plain = piece * times
        assert decompress(compress(plain), len(plain)) == plain

    @LAW
    @given(st.integers(0), st.integers(3500, 9000), st.integers(2, 256))
    def test_long_inputs_with_resets_come_back(self, seed: int, size: int, letters: int) -> None:
        """Inputs that fill the table, with few or many different bytes, survive."""
        rng = random.Random(seed)
        plain = bytes(rng.randrange(letters) for _ in range(size))
        assert decompress(compress(plain), size) == plain

    @LAW
    @given(st.binary(max_size=300))
    def test_any_bytes_are_data_or_an_error(self, data: bytes) -> None:
        """Nothing else is raised, and the bound holds."""
        with contextlib.suppress(RemoteProtocolError):
            assert len(decompress(data, 1000)) <= 1000
