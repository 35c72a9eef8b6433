"""The msgpack dialect of gossip, one value at a time (wire README 1.1): strings and bytes both in the old raw family.

And what the agent RPC has otherwise (6): a sequence of objects without end, packed in the modern way.

The msgpack package reads and writes; this module holds what the package cannot:

- It makes room for the entries that an array claims, on each of 1024 levels, before they come: 5 KiB cost 80 MiB (1 GiB
  in older versions). So nothing is built that no schema asks for: heads are read by themselves, a value is built
  only if its first byte says that nothing is nested in it, and what is unknown is passed over.
- It has no bound for the entries of all maps and arrays together, so they are counted here.
- It looks at the size that a string claims when its bytes are there; `stream` bounds what is waited for.

It must not know any message.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgpack  # type: ignore[import-untyped]  # comes without types; this module is its typed face

from onevalue.errors import LocalProtocolError, RemoteProtocolError

ENTRIES_MAX = 256
"""Entries of maps and arrays in one object, nested ones together, unless the caller allows more."""

SCAN_BUFFER_SIZE = 4096
"""Bytes for which a scanner has room at first."""

SPLIT_SIZE = 4096
"""Bytes that a splitter looks at in one go."""

_NIL = 0xC0
_MAPS = frozenset([*range(0x80, 0x90), 0xDE, 0xDF])
_ARRAYS = frozenset([*range(0x90, 0xA0), 0xDC, 0xDD])
_CONTAINERS = _MAPS | _ARRAYS
_OTHER = object()  # stands for a value that no schema asks for


class TruncatedError(RemoteProtocolError):
    """What was to be read goes on after the last byte."""

    def __init__(self) -> None:
        super().__init__("the bytes end early")


class Reader:
    """Reads values from `data`, from `pos` on, one after the other.

    All methods raise RemoteProtocolError for a value of another type or out of range, and TruncatedError, one of
    these, when the data ends before the value does; the reader must not be used after either.
    """

    __slots__ = ("_data", "_entries_left", "_tell", "_unpack", "_unpacker")

    def __init__(self, data: bytes | bytearray, pos: int = 0, entries_max: int = ENTRIES_MAX) -> None:
        self._data = data[pos:]
        self._entries_left = entries_max
        self._unpacker = msgpack.Unpacker(read_size=max(1, len(self._data)), raw=True)
        self._unpacker.feed(self._data)
        self._tell: Callable[[], int] = self._unpacker.tell  # these two run for every value
        self._unpack: Callable[[], Any] = self._unpacker.unpack

    def rest(self) -> bytes:
        """The bytes after the last value that was read."""
        return bytes(self._data[self._tell() :])

    def raw(self, size_max: int) -> bytes:
        """The next string or byte string of at most `size_max` bytes, in any of its spellings; no bytes for nil."""
        value: bytes = self._scalar("a string", bytes) or b""
        if len(value) > size_max:
            raise RemoteProtocolError(f"must have at most {size_max} bytes, not {len(value)}")
        return value

    def integer(self, low: int, high: int) -> int:
        """The next integer, from `low` to `high`; 0 for nil."""
        value: int = self._scalar("an integer", int) or 0
        if not low <= value <= high:
            raise RemoteProtocolError(f"must be from {low} to {high}, not {value}")
        return value

    def boolean(self) -> bool:
        """The next boolean; 0 and 1 will do, as they do for real nodes; False for nil."""
        if self._lead() > 1:
            return bool(self._scalar("true or false", bool))
        return bool(self._unpack())

    def float64(self) -> float:
        """The next float of either width, perhaps not finite; 0.0 for nil."""
        value: float | None = self._scalar("a float", float)
        return 0.0 if value is None else value

    def nil(self) -> bool:
        """Whether nil comes next; if so, it is read."""
        if self._lead() != _NIL:
            return False
        self._unpacker.skip()
        return True

    def array_size(self) -> int:
        """How many entries follow; 0 for nil."""
        return self._size("an array", _ARRAYS, self._unpacker.read_array_header)

    def map_size(self) -> int:
        """How many pairs of key and value follow; 0 for nil."""
        return self._size("a map", _MAPS, self._unpacker.read_map_header)

    def fields_size(self) -> tuple[int, bool]:
        """How many fields of a struct follow, and whether each has its key before it; (0, True) for nil."""
        if self._lead() in _ARRAYS:
            return self.array_size(), False
        return self.map_size(), True

    def skip(self) -> None:
        """Leave out the next value of any type, and all that is in it; nothing is built."""
        _skip(self._unpacker)

    def _scalar(self, wanted: str, kind: type) -> Any:
        """The next value, of exactly this type (true is no integer), or None for nil."""
        try:
            lead = self._data[self._tell()]
            value = _OTHER if lead in _CONTAINERS else self._unpack()
        except (IndexError, msgpack.OutOfData):
            raise TruncatedError from None
        except ValueError:  # no type has this first byte, or an extension is odd
            value = _OTHER
        if value is None or type(value) is kind:
            return value
        raise _unlike(wanted, lead)

    def _size(self, wanted: str, leads: frozenset[int], read_head: Callable[[], int]) -> int:
        """How many entries the head that comes next claims, which may be one of `leads` or nil."""
        lead = self._lead()
        if lead not in leads:
            if self.nil():
                return 0
            raise _unlike(wanted, lead)
        try:
            size = read_head()
        except msgpack.OutOfData:
            raise TruncatedError from None
        except ValueError:  # above a bound that the package in pure Python has for heads, much higher than ours
            size = self._entries_left + 1
        self._entries_left -= size
        if self._entries_left < 0:
            raise RemoteProtocolError("has more entries than a message of its kind can need")
        return size

    def _lead(self) -> int:
        """The first byte of the next value, which tells its type."""
        try:
            return self._data[self._tell()]
        except IndexError:
            raise TruncatedError from None


class Scanner:
    """Finds where the objects end that follow each other in growing data, from `pos` on, and builds nothing.

    The data must not grow above `size_max` bytes. Of an object whose end has not come a copy is held.
    """

    def __init__(self, pos: int, size_max: int) -> None:
        self._start = self._fed = pos
        self._unpacker = msgpack.Unpacker(read_size=min(SCAN_BUFFER_SIZE, size_max), max_buffer_size=size_max)

    def end(self, data: bytearray) -> int | None:
        """The position behind the next object, None while it is not all there; `data` may grow between calls.

        No byte is looked at twice, in whatever pieces they come.

        Raises:
            RemoteProtocolError: no object begins like this; the scanner must not be used again.
        """
        if len(data) > self._fed:
            self._unpacker.feed(data[self._fed :])
            self._fed = len(data)
        try:
            _skip(self._unpacker)
        except TruncatedError:
            return None
        return self._start + int(self._unpacker.tell())


class Splitter:
    """Cuts a sequence of objects without end into the bytes of each, and builds nothing.

    It holds the bytes of the object whose end has not come, at most `size_max`, twice.
    """

    def __init__(self, size_max: int) -> None:
        self._data = bytearray()
        self._cut = 0  # how many bytes were cut off in all
        self._size_max = size_max
        self._unpacker = msgpack.Unpacker(read_size=min(SCAN_BUFFER_SIZE, size_max), max_buffer_size=size_max)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The objects that end in these bytes, each as the iterator comes to it.

        Raises:
            RemoteProtocolError: no object begins like this, or one is too large; it must not be fed again.
        """
        for start in range(0, len(data), SPLIT_SIZE):
            yield from self._objects(data[start : start + SPLIT_SIZE])

    def _objects(self, data: bytes) -> Iterator[bytes]:
        self._data += data
        try:
            self._unpacker.feed(data)
        except msgpack.BufferFull:
            raise RemoteProtocolError(f"an object of more than {self._size_max} bytes") from None
        begin = 0
        while True:
            try:
                _skip(self._unpacker)
            except TruncatedError:
                break
            end = int(self._unpacker.tell()) - self._cut
            yield bytes(self._data[begin:end])
            begin = end
        del self._data[:begin]
        self._cut += begin


def pack_modern(value: Any) -> bytes:
    """As `pack` in modern msgpack: text in the family of strings, bytes in that of bytes.

    Surrogate escapes become the bytes that they stand for.

    Raises:
        LocalProtocolError: a text has other surrogates.
    """
    try:
        data: bytes = msgpack.packb(value, use_bin_type=True, unicode_errors="surrogateescape")
    except UnicodeEncodeError as error:
        raise LocalProtocolError(f"{error.object!r} is no text that can be sent: {error.reason}") from None
    return data


def pack_array(items: Sequence[bytes]) -> bytes:
    """An array of what is packed already; both dialects have the same."""
    return bytes(msgpack.Packer().pack_array_header(len(items))) + b"".join(items)


def pack(value: Any) -> bytes:
    """The bytes of None, booleans, integers of 64 bits, floats, and of bytes, sequences and dicts of them, in order.

    Each takes the shortest form, floats eight bytes, and bytes the old raw family.
    """
    data: bytes = msgpack.packb(value, use_bin_type=False)
    return data


def text_bytes(value: str) -> bytes:
    """A text as UTF-8; surrogate escapes become the bytes that they stand for.

    Raises:
        LocalProtocolError: it has other surrogates.
    """
    try:
        return value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise LocalProtocolError(f"{value!r} is no text that can be sent: {error.reason}") from None


def _skip(unpacker: Any) -> None:
    try:
        unpacker.skip()
    except msgpack.OutOfData:
        raise TruncatedError from None
    except (ValueError, RecursionError):  # the latter from older packages in pure Python
        raise RemoteProtocolError("has what is no msgpack, or is nested too deep") from None


def _unlike(wanted: str, lead: int) -> RemoteProtocolError:
    return RemoteProtocolError(f"must be {wanted}, not msgpack type {lead:#04x}")
