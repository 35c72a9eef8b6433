"""How a dataclass becomes a msgpack map and back: kinds of fields, and structs made of them (wire README 1.1).

Maps are written with their keys in byte order and read in any order; unknown keys are left out, missing ones and nil
give the zero value. Where the wire spells one thing in two ways (nil or empty), the kind says which one is written.
It must not know any message: `fields` of each are declared where the message is encoded.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from onevalue.errors import LocalProtocolError, RemoteProtocolError
from onevalue.wire.dialect import (
    NIL,
    Reader,
    TruncatedError,
    pack_array_size,
    pack_boolean,
    pack_float64,
    pack_integer,
    pack_map_size,
    pack_raw,
    text_bytes,
)

NAME_LENGTH_MAX = 512
"""Bytes of the name of a node, which must fit a packet beside its meta.

DEPARTURE (name-length): memberlist has no bound unless told to check names, and then allows 128.
"""

META_SIZE_MAX = 512
"""Bytes of a node's meta. memberlist's MetaMaxSize."""

VSN_SIZE = 6

_T = TypeVar("_T")
_U = TypeVar("_U")


@dataclass(frozen=True, slots=True)
class Kind(Generic[_T]):
    """A kind of value: how it is read and written, and what stands for a missing one.

    `read` raises RemoteProtocolError for what is not of the kind, `pack` LocalProtocolError for what cannot be sent.
    """

    read: Callable[[Reader], _T]
    pack: Callable[[_T], bytes]
    zero: _T


@dataclass(frozen=True, slots=True)
class Field:
    """A field: its key on the wire, its attribute, its kind; `omit`: not written when zero; `required`: never zero."""

    key: str
    attribute: str
    kind: Kind[Any]
    omit: bool = False
    required: bool = False


class Struct(Generic[_T]):
    """A dataclass `make` as a map; `fields` come in the order in which Serf declares them, for those sent as arrays."""

    def __init__(self, make: Callable[..., _T], *fields: Field) -> None:
        self._make = make
        self._fields = fields
        self._by_key = {field.key.encode(): field for field in fields}
        self._required = [field for field in fields if field.required]
        self._zeros = {field.attribute: field.kind.zero for field in fields}
        self._sorted = [(pack_raw(key), self._by_key[key]) for key in sorted(self._by_key)]

    def read(self, reader: Reader) -> _T:
        """The object that comes next.

        Raises:
            RemoteProtocolError: it is none, or a field is wrong (named), or a required one is missing.
        """
        values = self._zeros.copy()
        size, keyed = reader.fields_size()
        for index in range(size):
            field = self._next_field(reader, index, keyed=keyed)
            if field is None:
                reader.skip()
                continue
            try:
                values[field.attribute] = field.kind.read(reader)
            except TruncatedError:
                raise
            except RemoteProtocolError as error:
                raise RemoteProtocolError(f"{field.key} {error}") from None
        for field in self._required:
            if not values[field.attribute]:
                raise RemoteProtocolError(f"{field.key} is missing")
        return self._make(**values)

    def pack(self, value: _T) -> bytes:
        """The bytes of the map.

        Raises:
            LocalProtocolError: a field (named) holds what its kind cannot carry.
        """
        parts = [b""]
        for key, field in self._sorted:
            content = getattr(value, field.attribute)
            if field.omit and not content:
                continue
            try:
                parts += (key, field.kind.pack(content))
            except LocalProtocolError as error:
                raise LocalProtocolError(f"{field.key} {error}") from None
        parts[0] = pack_map_size(len(parts) // 2)
        return b"".join(parts)

    def _next_field(self, reader: Reader, index: int, *, keyed: bool) -> Field | None:
        if keyed:
            return self._by_key.get(reader.raw())
        return self._fields[index] if index < len(self._fields) else None


def text(size_max: int) -> Kind[str]:
    """Text of at most `size_max` bytes; bytes that are not UTF-8 survive as surrogate escapes."""

    def read(reader: Reader) -> str:
        return reader.raw(size_max).decode("utf-8", "surrogateescape")

    def pack(value: str) -> bytes:
        return pack_raw(_sized(text_bytes(value), size_max))

    return Kind(read, pack, "")


def octets(size_max: int, *, empty: bytes = NIL) -> Kind[bytes]:
    """Bytes, at most `size_max`; none of them travel as `empty`, which is nil unless told otherwise."""

    def read(reader: Reader) -> bytes:
        return reader.raw(size_max)

    def pack(value: bytes) -> bytes:
        return pack_raw(_sized(value, size_max)) if value else empty

    return Kind(read, pack, b"")


def integer(low: int, high: int) -> Kind[int]:
    """An integer from `low` to `high`."""

    def read(reader: Reader) -> int:
        return reader.integer(low, high)

    def pack(value: int) -> bytes:
        if not low <= value <= high:
            raise LocalProtocolError(f"must be from {low} to {high}, not {value}")
        return pack_integer(value)

    return Kind(read, pack, 0)


def array(kind: Kind[_T], *, empty: bytes = NIL) -> Kind[tuple[_T, ...]]:
    """Any number of values of one kind; none of them travel as `empty`."""

    def read(reader: Reader) -> tuple[_T, ...]:
        return tuple(kind.read(reader) for _ in range(reader.array_size()))

    def pack(values: tuple[_T, ...]) -> bytes:
        return pack_array_size(len(values)) + b"".join(map(kind.pack, values)) if values else empty

    return Kind(read, pack, ())


def mapping(keys: Kind[_T], values: Kind[_U]) -> Kind[dict[_T, _U]]:
    """Pairs, in the order given."""

    def read(reader: Reader) -> dict[_T, _U]:
        return {keys.read(reader): values.read(reader) for _ in range(reader.map_size())}

    def pack(pairs: dict[_T, _U]) -> bytes:
        entries = [keys.pack(key) + values.pack(value) for key, value in pairs.items()]
        return pack_map_size(len(entries)) + b"".join(entries)

    return Kind(read, pack, {})


def optional(kind: Kind[_T]) -> Kind[_T | None]:
    """A value of the kind, or None, which travels as nil."""

    def read(reader: Reader) -> _T | None:
        if reader.byte() == NIL[0]:
            return None
        reader.pos -= 1
        return kind.read(reader)

    def pack(value: _T | None) -> bytes:
        return NIL if value is None else kind.pack(value)

    return Kind(read, pack, None)


def converted(kind: Kind[_T], decode: Callable[[_T], _U], encode: Callable[[_U], _T]) -> Kind[_U]:
    """A kind seen as another type; `decode` raises RemoteProtocolError for what it does not want."""

    def read(reader: Reader) -> _U:
        return decode(kind.read(reader))

    def pack(value: _U) -> bytes:
        return kind.pack(encode(value))

    return Kind(read, pack, decode(kind.zero))


def nested(struct: Struct[_T], zero: _T) -> Kind[_T]:
    """A struct as a field of another; `zero` stands for a missing one."""
    return Kind(struct.read, struct.pack, zero)


def _sized(value: bytes, size_max: int) -> bytes:
    if len(value) > size_max:
        raise LocalProtocolError(f"must have at most {size_max} bytes, not {len(value)}")
    return value


def _checked_address(value: bytes) -> bytes:
    """An address, or none. DEPARTURE (odd-entries): memberlist takes any bytes for an address."""
    if len(value) not in {0, 4, 16}:
        raise RemoteProtocolError(f"must be an address of 4 or 16 bytes, not {len(value)}")
    return value


def _sent_address(value: bytes) -> bytes:
    if len(value) not in {0, 4, 16}:
        raise LocalProtocolError(f"must be an address of 4 or 16 bytes, not {len(value)}")
    return value


def _checked_vsn(value: bytes) -> bytes:
    if 0 < len(value) < VSN_SIZE:
        raise RemoteProtocolError(f"must have {VSN_SIZE} bytes or none, not {len(value)}")
    return value[:VSN_SIZE]  # real nodes look at the first six only


def _sent_vsn(value: bytes) -> bytes:
    if len(value) not in {0, VSN_SIZE}:
        raise LocalProtocolError(f"must have {VSN_SIZE} bytes or none, not {len(value)}")
    return value


BOOLEAN = Kind(Reader.boolean, pack_boolean, zero=False)
FLOAT64 = Kind(Reader.float64, pack_float64, 0.0)
U8 = integer(0, (1 << 8) - 1)
U16 = integer(0, (1 << 16) - 1)
U32 = integer(0, (1 << 32) - 1)
U64 = integer(0, (1 << 64) - 1)
I64 = integer(-(1 << 63), (1 << 63) - 1)
NAME = text(NAME_LENGTH_MAX)
META = octets(META_SIZE_MAX)
ADDRESS = converted(octets(1 << 16), _checked_address, _sent_address)
VSN = converted(octets(1 << 8), _checked_vsn, _sent_vsn)
