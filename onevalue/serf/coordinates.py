"""Network coordinates: where this node and its peers stand in Vivaldi's space, so that round trips can be estimated.

Follows wire README 5.11, in the order of its steps. It must not know probes, packets, nor where a coordinate came from.

Whatever finite numbers a peer says, nothing here raises, and the own coordinate stays finite. So sums of squares are
written as products (`**` raises OverflowError), and `min` and `max` have the constant second, which lets NaN through to
the check at the end.
"""

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import add, mul, sub
from typing import Final

from onevalue.swim.members import MEMBERS_MAX
from onevalue.types import Rng
from onevalue.wire.coordinates import DIMENSIONS, Coordinate

ERROR_MAX: Final = 1.5
"""The error of a fresh coordinate; none is larger."""

ERROR_GAIN: Final = 0.25
"""`ce`: how far one update moves the error."""

FORCE_GAIN: Final = 0.25
"""`cc`: how far one update moves the coordinate."""

HEIGHT_MIN_S: Final = 1e-5

NEAR_ZERO: Final = 1e-6
"""No distance, round trip or sum of errors is divided by that is smaller."""

LATENCY_SAMPLES: Final = 3
"""Round trips of one peer whose median counts."""

ADJUSTMENT_SAMPLES: Final = 20

GRAVITY_RHO: Final = 150.0
"""Pulls all coordinates to the origin, so that they do not drift off together."""

RTT_MAX_S: Final = 10.0
"""Longer round trips are no measurements."""

ORIGIN: Final = Coordinate((0.0,) * DIMENSIONS, ERROR_MAX, 0.0, HEIGHT_MIN_S)
"""A fresh coordinate."""

_NS = 1e9

Vector = tuple[float, ...]


def distance_s(a: Coordinate, b: Coordinate) -> float:
    """The estimated round trip between two places, seconds, in whole nanoseconds; infinite where it overflows."""
    raw = _raw_s(a, b)
    adjusted = raw + a.adjustment + b.adjustment
    distance_ns = (adjusted if adjusted > 0 else raw) * _NS
    return int(distance_ns) / _NS if math.isfinite(distance_ns) else distance_ns


@dataclass(slots=True)
class _Peer:
    coordinate: Coordinate
    rtts_s: deque[float] = field(default_factory=lambda: deque(maxlen=LATENCY_SAMPLES))


class CoordinateClient:
    """The own coordinate, and the newest ones of at most MEMBERS_MAX peers, those of the latest updates."""

    def __init__(self, name: str, rng: Rng) -> None:
        self._name = name
        self._rng = rng
        self._own = ORIGIN
        self._peers: dict[str, _Peer] = {}  # by latest update
        self._samples_s = deque([0.0] * ADJUSTMENT_SAMPLES, ADJUSTMENT_SAMPLES)
        self.resets = 0

    @property
    def coordinate(self) -> Coordinate:
        """Where this node stands; all finite."""
        return self._own

    def update(self, peer: str, other: Coordinate, rtt_s: float) -> bool:
        """The own coordinate has moved by what one round trip to a peer at `other` says, which is remembered.

        False, and nothing has changed, for a round trip outside 0..RTT_MAX_S. Where a peer's numbers lead beyond all
        finite ones, the own coordinate is fresh again, which counts in `resets`.
        """
        if not 0 <= rtt_s <= RTT_MAX_S:
            return False
        filtered_s = self._remember(peer, other, rtt_s)
        moved = self._attract(self._adjust(self._follow(self._own, other, filtered_s), other, filtered_s))
        if _is_finite(moved):
            self._own = moved
        else:
            self._own = ORIGIN
            self._samples_s.extend([0.0] * ADJUSTMENT_SAMPLES)  # or they would break the next updates as well
            self.resets += 1
        return True

    def forget(self, peer: str) -> None:
        """Nothing of a peer is remembered; no error if nothing was."""
        self._peers.pop(peer, None)

    def of(self, name: str) -> Coordinate | None:
        """Where a node stands: this one, or a peer as of its latest update; None if that is not remembered."""
        if name == self._name:
            return self._own
        known = self._peers.get(name)
        return None if known is None else known.coordinate

    def rtt_s(self, a: str, b: str) -> float | None:
        """The estimated round trip between any two nodes, seconds, finite; None where it is not known."""
        place_a, place_b = self.of(a), self.of(b)
        estimate_s = distance_s(place_a, place_b) if place_a and place_b else math.nan
        return estimate_s if math.isfinite(estimate_s) else None

    def _remember(self, peer: str, other: Coordinate, rtt_s: float) -> float:
        """The median of the latest round trips to the peer, this one among them."""
        known = self._peers.pop(peer, None) or _Peer(other)
        if len(self._peers) >= MEMBERS_MAX:
            del self._peers[next(iter(self._peers))]
        self._peers[peer] = known
        known.coordinate = other
        known.rtts_s.append(rtt_s)
        return sorted(known.rtts_s)[len(known.rtts_s) // 2]

    def _follow(self, me: Coordinate, other: Coordinate, rtt_s: float) -> Coordinate:
        """Nearer to `other` if the round trip was shorter than estimated, else farther from it."""
        estimated_s = distance_s(me, other)
        rtt_s = max(rtt_s, NEAR_ZERO)
        wrong = abs(estimated_s - rtt_s) / rtt_s
        weight = me.error / max(me.error + other.error, NEAR_ZERO)
        error = min(ERROR_GAIN * weight * wrong + me.error * (1 - ERROR_GAIN * weight), ERROR_MAX)
        return self._push(replace(me, error=error), FORCE_GAIN * weight * (rtt_s - estimated_s), other)

    def _adjust(self, me: Coordinate, other: Coordinate, rtt_s: float) -> Coordinate:
        """With half the mean of what the latest estimates lacked."""
        self._samples_s.append(rtt_s - _raw_s(me, other))
        return replace(me, adjustment=_total(self._samples_s) / (2 * ADJUSTMENT_SAMPLES))

    def _attract(self, me: Coordinate) -> Coordinate:
        """Pulled to the origin, the harder the farther off it is."""
        pull = distance_s(ORIGIN, me) / GRAVITY_RHO
        return self._push(me, -(pull * pull), ORIGIN)

    def _push(self, me: Coordinate, force_s: float, other: Coordinate) -> Coordinate:
        """Pushed away from `other`; somewhere, if they stand in one place."""
        apart = _minus(me.vec, other.vec)
        magnitude = _magnitude(apart)
        if magnitude <= NEAR_ZERO:
            return replace(me, vec=_along(me.vec, self._somewhere(), force_s))
        height = max((me.height + other.height) * force_s / magnitude + me.height, HEIGHT_MIN_S)
        return replace(me, vec=_along(me.vec, _scaled(apart, 1 / magnitude), force_s), height=height)

    def _somewhere(self) -> Vector:
        """A random vector of length 1."""
        drawn = tuple(self._rng.random() - 0.5 for _ in range(DIMENSIONS))
        magnitude = _magnitude(drawn)
        return _scaled(drawn, 1 / magnitude) if magnitude > NEAR_ZERO else (1.0, *ORIGIN.vec[1:])


def _raw_s(a: Coordinate, b: Coordinate) -> float:
    return _magnitude(_minus(a.vec, b.vec)) + a.height + b.height


def _minus(a: Vector, b: Vector) -> Vector:
    return tuple(map(sub, a, b))


def _scaled(vec: Vector, factor: float) -> Vector:
    return tuple(part * factor for part in vec)


def _along(start: Vector, unit: Vector, length: float) -> Vector:
    return tuple(part + step * length for part, step in zip(start, unit, strict=True))


def _total(numbers: Iterable[float]) -> float:
    """One after the other, as Go adds: from Python 3.12 on `sum` makes up for what rounding loses."""
    return reduce(add, numbers, 0.0)


def _magnitude(vec: Vector) -> float:
    return math.sqrt(_total(map(mul, vec, vec)))


def _is_finite(coordinate: Coordinate) -> bool:
    return all(map(math.isfinite, (*coordinate.vec, coordinate.error, coordinate.adjustment, coordinate.height)))
