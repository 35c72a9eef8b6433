"""The msgpack dialect of gossip, one value at a time (wire README 1.1): strings and bytes both in the old raw family.

Reading is by hand rather than with the msgpack package, for three reasons: nothing is built that no schema asks for,
so that a short message cannot claim much memory; reading stops with the number of bytes it lacks, so that streams need
no guessing; and `nil` becomes the zero value that the schema wants. It must not know any message.
"""

import struct

from onevalue.errors import LocalProtocolError, RemoteProtocolError

ENTRIES_MAX = 256
"""Entries of maps and arrays in one object, nested and unknown ones together, unless the caller allows more."""

RAW_SIZE_MAX = 8 * 1024 * 1024
"""Longest string or byte string that is waited for."""

NIL = b"\xc0"
_NIL = 0xC0
_RAW_HEADS = {0xD9: 1, 0xDA: 2, 0xDB: 4, 0xC4: 1, 0xC5: 2, 0xC6: 4}
_INT_SIZES = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8}
_EXT_HEADS = {0xC7: 1, 0xC8: 2, 0xC9: 4}
_FIXED_SIZES = {_NIL: 0, 0xC2: 0, 0xC3: 0, 0xCA: 4, 0xCB: 8, 0xD4: 2, 0xD5: 3, 0xD6: 5, 0xD7: 9, 0xD8: 17, **_INT_SIZES}
_SMALL = [bytes([value]) for value in range(128)]


class TruncatedError(RemoteProtocolError):
    """The object goes on after the last byte; `needed` is a length of data below which it cannot be complete."""

    def __init__(self, needed: int) -> None:
        super().__init__("the bytes end early")
        self.needed = needed


class Reader:
    """Reads values from `data` at `pos`, and leaves `pos` behind what it read.

    All methods raise RemoteProtocolError for a value of another type or out of range, and TruncatedError, one of
    these, when the data ends before the value does; `pos` means nothing after either.
    """

    __slots__ = ("_entries_left", "data", "pos")

    def __init__(self, data: bytes | bytearray, pos: int = 0, entries_max: int = ENTRIES_MAX) -> None:
        self.data = data
        self.pos = pos
        self._entries_left = entries_max

    def byte(self) -> int:
        """The next byte, whatever it is."""
        pos = self.pos
        if pos >= len(self.data):
            raise TruncatedError(pos + 1)
        self.pos = pos + 1
        return self.data[pos]

    def take(self, size: int) -> bytes:
        """The next `size` bytes, whatever they are."""
        start = self.pos
        end = start + size
        if end > len(self.data):
            raise TruncatedError(end)
        self.pos = end
        return bytes(self.data[start:end])

    def raw_or_nil(self, size_max: int = RAW_SIZE_MAX) -> bytes | None:
        """The next string or byte string of at most `size_max` bytes, in any of its spellings; None for nil."""
        lead = self.byte()
        if 0xA0 <= lead <= 0xBF:
            size = lead & 0x1F
        elif lead == _NIL:
            return None
        elif lead in _RAW_HEADS:
            size = self._number(_RAW_HEADS[lead])
        else:
            raise RemoteProtocolError(f"must be a string, not msgpack type {lead:#04x}")
        if size > size_max:
            raise RemoteProtocolError(f"must have at most {size_max} bytes, not {size}")
        return self.take(size)

    def raw(self, size_max: int = RAW_SIZE_MAX) -> bytes:
        """As `raw_or_nil`, with no bytes for nil."""
        return self.raw_or_nil(size_max) or b""

    def integer(self, low: int, high: int) -> int:
        """The next integer, from `low` to `high`; 0 for nil."""
        lead = self.byte()
        if lead <= 0x7F:
            value = lead
        elif lead >= 0xE0:
            value = lead - 0x100
        elif lead == _NIL:
            value = 0
        elif lead in _INT_SIZES:
            value = int.from_bytes(self.take(_INT_SIZES[lead]), "big", signed=lead >= 0xD0)
        else:
            raise RemoteProtocolError(f"must be an integer, not msgpack type {lead:#04x}")
        if not low <= value <= high:
            raise RemoteProtocolError(f"must be from {low} to {high}, not {value}")
        return value

    def boolean(self) -> bool:
        """The next boolean; 0 and 1 will do, as they do for real nodes; False for nil."""
        lead = self.byte()
        if lead not in {0x00, 0x01, _NIL, 0xC2, 0xC3}:
            raise RemoteProtocolError(f"must be true or false, not msgpack type {lead:#04x}")
        return lead in {0x01, 0xC3}

    def float64(self) -> float:
        """The next float of either width, perhaps not finite; 0.0 for nil."""
        lead = self.byte()
        if lead == 0xCB:
            return float(struct.unpack(">d", self.take(8))[0])
        if lead == 0xCA:
            return float(struct.unpack(">f", self.take(4))[0])
        if lead == _NIL:
            return 0.0
        raise RemoteProtocolError(f"must be a float, not msgpack type {lead:#04x}")

    def array_size(self) -> int:
        """How many entries follow; 0 for nil."""
        lead = self.byte()
        size = self._array_size(lead)
        if size is None:
            raise RemoteProtocolError(f"must be an array, not msgpack type {lead:#04x}")
        return self._charge(size)

    def map_size(self) -> int:
        """How many pairs of key and value follow; 0 for nil."""
        lead = self.byte()
        size = self._map_size(lead)
        if size is None:
            raise RemoteProtocolError(f"must be a map, not msgpack type {lead:#04x}")
        return self._charge(size)

    def fields_size(self) -> tuple[int, bool]:
        """How many fields of a struct follow, and whether each has its key before it; (0, True) for nil."""
        lead = self.byte()
        size = self._map_size(lead)
        if size is not None:
            return self._charge(size), True
        size = self._array_size(lead)
        if size is None:
            raise RemoteProtocolError(f"must be a map, not msgpack type {lead:#04x}")
        return self._charge(size), False

    def skip(self) -> None:
        """Leave out the next value of any type, and all that is in it."""
        left = 1
        while left:
            left += self._skip_head() - 1

    def _skip_head(self) -> int:
        """Leave out a value but for its entries; returns how many values follow as its entries."""
        lead = self.byte()
        if lead <= 0x7F or lead >= 0xE0:
            return 0
        size = self._array_size(lead)
        if size is not None:
            return self._charge(size)
        size = self._map_size(lead)
        if size is not None:
            return 2 * self._charge(size)
        if 0xA0 <= lead <= 0xBF:
            length = lead & 0x1F
        elif lead in _FIXED_SIZES:
            length = _FIXED_SIZES[lead]
        elif lead in _RAW_HEADS:
            length = self._number(_RAW_HEADS[lead])
        elif lead in _EXT_HEADS:
            length = self._number(_EXT_HEADS[lead]) + 1
        else:
            raise RemoteProtocolError(f"msgpack has no type {lead:#04x}")
        if length > RAW_SIZE_MAX:
            raise RemoteProtocolError(f"must have at most {RAW_SIZE_MAX} bytes, not {length}")
        self.take(length)
        return 0

    def _array_size(self, lead: int) -> int | None:
        if 0x90 <= lead <= 0x9F:
            return lead & 0x0F
        if lead in {0xDC, 0xDD}:
            return self._number(2 if lead == 0xDC else 4)
        return 0 if lead == _NIL else None

    def _map_size(self, lead: int) -> int | None:
        if 0x80 <= lead <= 0x8F:
            return lead & 0x0F
        if lead in {0xDE, 0xDF}:
            return self._number(2 if lead == 0xDE else 4)
        return 0 if lead == _NIL else None

    def _number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def _charge(self, entries: int) -> int:
        self._entries_left -= entries
        if self._entries_left < 0:
            raise RemoteProtocolError("has more entries than a message of its kind can need")
        return entries


def pack_raw(value: bytes) -> bytes:
    """A string or byte string, in the shortest form of the raw family."""
    size = len(value)
    if size < 32:
        return bytes([0xA0 | size]) + value
    if size < 1 << 16:
        return struct.pack(">BH", 0xDA, size) + value
    return struct.pack(">BI", 0xDB, size) + value


def text_bytes(value: str) -> bytes:
    """A text as UTF-8; surrogate escapes become the bytes that they stand for."""
    try:
        return value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise LocalProtocolError(f"{value!r} is no text that can be sent: {error.reason}") from None


def pack_integer(value: int) -> bytes:
    """An integer of at most 64 bits: unsigned in the shortest form if it is not negative, else signed likewise."""
    if 0 <= value < 128:
        return _SMALL[value]
    if value >= 0:
        size, lead = _width(value.bit_length()), {1: 0xCC, 2: 0xCD, 4: 0xCE, 8: 0xCF}
    elif value >= -32:
        return bytes([0x100 + value])
    else:
        size, lead = _width((-value - 1).bit_length() + 1), {1: 0xD0, 2: 0xD1, 4: 0xD2, 8: 0xD3}
    return bytes([lead[size]]) + value.to_bytes(size, "big", signed=value < 0)


def pack_boolean(value: bool) -> bytes:
    """True or false."""
    return b"\xc3" if value else b"\xc2"


def pack_float64(value: float) -> bytes:
    """A float, always with eight bytes."""
    return struct.pack(">Bd", 0xCB, value)


def pack_array_size(size: int) -> bytes:
    """The head of an array of `size` entries."""
    return _head(size, 0x90, 0xDC)


def pack_map_size(size: int) -> bytes:
    """The head of a map of `size` pairs."""
    return _head(size, 0x80, 0xDE)


def _head(size: int, fix: int, lead16: int) -> bytes:
    if size < 16:
        return bytes([fix | size])
    if size < 1 << 16:
        return struct.pack(">BH", lead16, size)
    return struct.pack(">BI", lead16 + 1, size)


def _width(bits: int) -> int:
    for size in (1, 2, 4, 8):
        if bits <= 8 * size:
            return size
    raise LocalProtocolError("an integer on the wire has at most 64 bits")
