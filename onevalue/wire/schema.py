"""How a dataclass becomes a msgpack map and back: kinds of fields, and structs made of them (wire README 1.1).

Maps are written with their keys in byte order and read in any order; unknown keys are left out, missing ones and nil
give the zero value. Where the wire spells one thing in two ways (nil or empty), the kind says which one is written.
It must not know any message: `fields` of each are declared where the message is encoded.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from onevalue.errors import LocalProtocolError, RemoteProtocolError
from onevalue.wire.dialect import Reader, TruncatedError, pack, text_bytes

NAME_LENGTH_MAX = 512
"""Bytes of the name of a node, which must fit a packet beside its meta.

DEPARTURE (name-length): memberlist has no bound unless told to check names, and then allows 128.
"""

META_SIZE_MAX = 512
"""Bytes of a node's meta. memberlist's MetaMaxSize."""

VSN_SIZE = 6

FIELD_KEY_SIZE_MAX = 1 << 16
"""Bytes of the key of a field; real ones have 14 at most."""

_T = TypeVar("_T")
_U = TypeVar("_U")


@dataclass(frozen=True, slots=True)
class Kind(Generic[_T]):
    """A kind of value: how it is read, what `dialect.pack` takes for it, and what stands for a missing one.

    `read` raises RemoteProtocolError for what is not of the kind, `plain` LocalProtocolError for what cannot be sent.
    """

    read: Callable[[Reader], _T]
    plain: Callable[[_T], Any]
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
        self._by_index = dict(enumerate(fields))
        self._by_key = {field.key.encode(): field for field in fields}
        self._required = [field for field in fields if field.required]
        self._zeros = {field.attribute: field.kind.zero for field in fields}
        self._sorted = sorted(self._by_key.items())

    def read(self, reader: Reader) -> _T:
        """The object that comes next.

        Raises:
            RemoteProtocolError: it is none, or a field is wrong (named), or a required one is missing.
        """
        values = self._zeros.copy()
        size, keyed = reader.fields_size()
        for index in range(size):
            field = self._by_key.get(reader.raw(FIELD_KEY_SIZE_MAX)) if keyed else self._by_index.get(index)
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
        return pack(self.plain(value))

    def plain(self, value: _T) -> dict[bytes, Any]:
        """The map, its keys in byte order; raises as `pack`."""
        fields: dict[bytes, Any] = {}
        for key, field in self._sorted:
            content = getattr(value, field.attribute)
            if field.omit and not content:
                continue
            try:
                fields[key] = field.kind.plain(content)
            except LocalProtocolError as error:
                raise LocalProtocolError(f"{field.key} {error}") from None
        return fields


def text(size_max: int) -> Kind[str]:
    """Text of at most `size_max` bytes; bytes that are not UTF-8 survive as surrogate escapes."""

    def read(reader: Reader) -> str:
        return reader.raw(size_max).decode("utf-8", "surrogateescape")

    def plain(value: str) -> bytes:
        return _sized(text_bytes(value), size_max)

    return Kind(read, plain, "")


def octets(size_max: int, *, empty: bytes | None = None) -> Kind[bytes]:
    """Bytes, at most `size_max`; none of them travel as `empty`, which is nil unless told otherwise."""

    def read(reader: Reader) -> bytes:
        return reader.raw(size_max)

    def plain(value: bytes) -> bytes | None:
        return _sized(value, size_max) if value else empty

    return Kind(read, plain, b"")


def integer(low: int, high: int) -> Kind[int]:
    """An integer from `low` to `high`, which must be of 64 bits."""

    def read(reader: Reader) -> int:
        return reader.integer(low, high)

    def plain(value: int) -> int:
        if not low <= value <= high:
            raise LocalProtocolError(f"must be from {low} to {high}, not {value}")
        return int(value)  # a boolean would travel as one

    return Kind(read, plain, 0)


def array(kind: Kind[_T], *, empty: tuple[()] | None = None) -> Kind[tuple[_T, ...]]:
    """Any number of values of one kind; none of them travel as `empty`, which is nil unless told otherwise."""

    def read(reader: Reader) -> tuple[_T, ...]:
        return tuple([kind.read(reader) for _ in range(reader.array_size())])

    def plain(values: tuple[_T, ...]) -> list[Any] | tuple[()] | None:
        return [kind.plain(value) for value in values] if values else empty

    return Kind(read, plain, ())


def mapping(keys: Kind[_T], values: Kind[_U]) -> Kind[dict[_T, _U]]:
    """Pairs, in the order given."""

    def read(reader: Reader) -> dict[_T, _U]:
        return {keys.read(reader): values.read(reader) for _ in range(reader.map_size())}

    def plain(pairs: dict[_T, _U]) -> dict[Any, Any]:
        return {keys.plain(key): values.plain(value) for key, value in pairs.items()}

    return Kind(read, plain, {})


def optional(kind: Kind[_T]) -> Kind[_T | None]:
    """A value of the kind, or None, which travels as nil."""

    def read(reader: Reader) -> _T | None:
        return None if reader.nil() else kind.read(reader)

    def plain(value: _T | None) -> Any:
        return None if value is None else kind.plain(value)

    return Kind(read, plain, None)


def converted(kind: Kind[_T], decode: Callable[[_T], _U], encode: Callable[[_U], _T]) -> Kind[_U]:
    """A kind seen as another type; `decode` raises RemoteProtocolError for what it does not want."""

    def read(reader: Reader) -> _U:
        return decode(kind.read(reader))

    def plain(value: _U) -> Any:
        return kind.plain(encode(value))

    return Kind(read, plain, decode(kind.zero))


def nested(struct: Struct[_T], zero: _T) -> Kind[_T]:
    """A struct as a field of another; `zero` stands for a missing one."""
    return Kind(struct.read, struct.plain, zero)


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


BOOLEAN = Kind(Reader.boolean, bool, zero=False)
FLOAT64 = Kind(Reader.float64, float, 0.0)
U8 = integer(0, (1 << 8) - 1)
U16 = integer(0, (1 << 16) - 1)
U32 = integer(0, (1 << 32) - 1)
U64 = integer(0, (1 << 64) - 1)
I64 = integer(-(1 << 63), (1 << 63) - 1)
NAME = text(NAME_LENGTH_MAX)
META = octets(META_SIZE_MAX)
TAGS = mapping(text(META_SIZE_MAX), text(META_SIZE_MAX))
ADDRESS = converted(octets(1 << 16), _checked_address, _sent_address)
VSN = converted(octets(1 << 8), _checked_vsn, _sent_vsn)
