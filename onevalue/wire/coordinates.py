"""The network coordinate that an ack of a direct ping carries as its payload (wire README 5.11)."""

import math
from dataclasses import dataclass

from onevalue.errors import RemoteProtocolError
from onevalue.wire import schema
from onevalue.wire.dialect import Reader
from onevalue.wire.schema import Field, Struct

DIMENSIONS = 8

_VERSION = 1


@dataclass(frozen=True, slots=True)
class Coordinate:
    """A place in Vivaldi's space; all in seconds, `error` without unit."""

    vec: tuple[float, ...]
    error: float
    adjustment: float
    height: float


_COORDINATE = Struct(
    Coordinate,
    Field("Vec", "vec", schema.array(schema.FLOAT64)),
    Field("Error", "error", schema.FLOAT64),
    Field("Adjustment", "adjustment", schema.FLOAT64),
    Field("Height", "height", schema.FLOAT64),
)


def encode_coordinate(coordinate: Coordinate) -> bytes:
    """The payload of an ack."""
    return bytes([_VERSION]) + _COORDINATE.pack(coordinate)


def decode_coordinate(payload: bytes) -> Coordinate:
    """The coordinate in the payload of an ack.

    Raises:
        RemoteProtocolError: another version or number of dimensions, or not all finite; a caller ignores it.
    """
    if payload[:1] != bytes([_VERSION]):
        raise RemoteProtocolError(f"a coordinate must be of version {_VERSION}")
    coordinate = _COORDINATE.read(Reader(payload, 1))
    if len(coordinate.vec) != DIMENSIONS:
        raise RemoteProtocolError(f"a coordinate must have {DIMENSIONS} dimensions, not {len(coordinate.vec)}")
    numbers = (*coordinate.vec, coordinate.error, coordinate.adjustment, coordinate.height)
    if not all(map(math.isfinite, numbers)):
        raise RemoteProtocolError("a coordinate must be of finite numbers")
    return coordinate
