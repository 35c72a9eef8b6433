"""Network coordinates (wire README 5.11), against a run of Serf's client (tests/data/vivaldi.json)."""

import json
from dataclasses import astuple, replace
from math import dist, inf, isclose, isfinite, nan
from pathlib import Path
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from onevalue.serf.coordinates import (
    ERROR_MAX,
    HEIGHT_MIN_S,
    ORIGIN,
    RTT_MAX_S,
    CoordinateClient,
    distance_s,
)
from onevalue.swim.members import MEMBERS_MAX
from onevalue.wire.coordinates import DIMENSIONS, Coordinate
from tests.strategies import LAW

NS_PER_S = 1e9
HUGE = 1e308
_DATA = Path(__file__).parent.parent / "data" / "vivaldi.json"

numbers = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([0.0, HUGE, -HUGE, 1e154, 5e-324, -1e-9])
coordinates = st.builds(Coordinate, st.tuples(*[numbers] * DIMENSIONS), numbers, numbers, numbers)
rtts = st.floats(0, RTT_MAX_S) | st.floats()


def at(*vec: float, height: float = HEIGHT_MIN_S, adjustment: float = 0.0, error: float = ERROR_MAX) -> Coordinate:
    """A place whose other dimensions are 0."""
    return Coordinate((*vec, *ORIGIN.vec[len(vec) :]), error, adjustment, height)


def decoded(plain: dict[str, Any]) -> Coordinate:
    """A coordinate of the data."""
    return Coordinate(tuple(plain["Vec"]), plain["Error"], plain["Adjustment"], plain["Height"])


def all_numbers(coordinate: Coordinate) -> tuple[float, ...]:
    """Every number of a coordinate."""
    vec, *others = astuple(coordinate)
    return (*vec, *others)


def client(seed: int = 1) -> CoordinateClient:
    """One whose node is called `me`."""
    return CoordinateClient("me", Random(seed))


class RunTests(SynchronousTestCase):
    """The numbers are those of Serf."""

    def test_every_update_of_the_run_leads_where_serf_came(self) -> None:
        """The estimates are equal to the nanosecond."""
        run = json.loads(_DATA.read_text(encoding="utf-8"))["vivaldi"]
        assert len(run) == 60
        me = client()
        for number, step in enumerate(run):
            other = decoded(step["other"])
            assert me.update(step["peer"], other, step["rtt_ns"] / NS_PER_S)
            pairs = zip(all_numbers(me.coordinate), all_numbers(decoded(step["after"])), strict=True)
            assert all(isclose(ours, theirs, rel_tol=4e-15) for ours, theirs in pairs), number
            assert round(distance_s(me.coordinate, other) * NS_PER_S) == step["distance_ns"], number
        assert me.resets == 0


class DistanceTests(SynchronousTestCase):
    """The estimate between two places."""

    def test_a_distance_is_the_way_and_both_heights_and_adjustments(self) -> None:
        """Adjustments count only where the sum stays above 0."""
        a = at(0.03, height=0.001)
        for b, expected in [
            (at(0, 0.04, height=0.002), 0.053),
            (at(0, 0.04, height=0.002, adjustment=-0.003), 0.05),
            (at(0, 0.04, height=0.002, adjustment=-0.054), 0.053),
            (at(0, 0.04, height=0.002, adjustment=-0.052), 0.001),
        ]:
            assert isclose(distance_s(a, b), expected, abs_tol=1.5e-9), b
            assert distance_s(a, b) == distance_s(b, a)

    def test_a_distance_is_cut_to_whole_nanoseconds(self) -> None:
        """Not rounded."""
        assert distance_s(at(), at(1.9e-9, height=0.0)) == 10001 / NS_PER_S


class ClientTests(SynchronousTestCase):
    """One node's view."""

    def test_a_client_starts_at_the_origin_and_knows_only_itself(self) -> None:
        """As fresh as can be."""
        me = client()
        assert me.coordinate == me.of("me") == Coordinate((0.0,) * 8, 1.5, 0.0, 1e-5)
        assert me.of("peer") is None
        assert me.rtt_s("me", "peer") is None

    def test_a_round_trip_outside_the_bounds_changes_nothing(self) -> None:
        """The bounds themselves are inside."""
        me = client()
        for rtt_s in (-1e-9, RTT_MAX_S + 1e-9, inf, -inf, nan):
            assert not me.update("peer", at(1.0), rtt_s), rtt_s
        assert (me.coordinate, me.of("peer"), me.resets) == (ORIGIN, None, 0)
        assert me.update("peer", at(1.0), 0.0)
        assert me.update("peer", at(1.0), RTT_MAX_S)

    def test_the_median_of_three_round_trips_counts(self) -> None:
        """One slow packet moves nothing: it is as if the round trip had been as ever."""
        me, steady = client(), client()
        for rtt_s in (0.01, 0.01, 9.0, 0.01):
            me.update("peer", at(0.01), rtt_s)
            steady.update("peer", at(0.01), 0.01)
        assert me.coordinate == steady.coordinate

    def test_a_forgotten_peer_is_as_new(self) -> None:
        """Its round trips no longer count, and it has no place."""
        me = client()
        me.update("peer", at(0.01), 0.01)
        me.update("peer", at(0.01), 0.01)
        me.forget("peer")
        me.forget("never known")
        assert me.of("peer") is None
        before = me.coordinate
        me.update("peer", at(0.01), 9.0)
        assert dist(me.coordinate.vec, at(0.01).vec) > dist(before.vec, at(0.01).vec) + 0.1

    def test_estimates_are_between_any_two_known_nodes(self) -> None:
        """By the newest coordinate of each."""
        me = client()
        me.update("a", at(0.9), 0.01)
        me.update("a", at(0.03), 0.01)
        me.update("b", at(0, 0.04), 0.01)
        assert me.of("a") == at(0.03)
        assert me.rtt_s("a", "b") == distance_s(at(0.03), at(0, 0.04))
        assert me.rtt_s("me", "a") == me.rtt_s("a", "me") == distance_s(me.coordinate, at(0.03))
        assert me.rtt_s("a", "unknown") is None

    def test_the_peer_that_was_silent_longest_makes_room(self) -> None:
        """MEMBERS_MAX are remembered."""
        me = client()
        for number in range(MEMBERS_MAX):
            me.update(str(number), at(0.01), 0.01)
        me.update("0", at(0.01), 0.01)
        me.update("new", at(0.01), 0.01)
        assert [me.of(name) is not None for name in ("0", "1", "2", "new")] == [True, False, True, True]

    def test_nodes_in_one_place_are_pushed_apart(self) -> None:
        """In a random direction, even if chance says nothing."""
        for rng in (Random(1), StuckRng()):
            me = CoordinateClient("me", rng)
            me.update("peer", ORIGIN, 0.1)
            assert isclose(dist(me.coordinate.vec, ORIGIN.vec), 0.25 * 0.5 * (0.1 - 2e-5), rel_tol=1e-3)

    def test_two_clients_converge_to_the_true_round_trip(self) -> None:
        """Within a hundred exchanges, to a few per cent."""
        for rtt_s in (0.0002, 0.03, 0.4):
            a, b = client(1), CoordinateClient("b", Random(2))
            for _ in range(100):
                a.update("b", b.coordinate, rtt_s)
                b.update("me", a.coordinate, rtt_s)
            estimate_s = a.rtt_s("me", "b")
            assert estimate_s is not None
            assert isclose(estimate_s, rtt_s, rel_tol=0.05), (rtt_s, estimate_s)


class HostileTests(SynchronousTestCase):
    """Peers may say what they like."""

    @LAW
    @given(st.lists(st.tuples(st.sampled_from("abc"), coordinates, rtts), max_size=30))
    def test_the_own_coordinate_stays_finite_and_nothing_raises(
        self, updates: list[tuple[str, Coordinate, float]]
    ) -> None:
        """Whatever finite coordinates and whatever round trips come; and so do all estimates."""
        me = client()
        for peer, other, rtt_s in updates:
            assert me.update(peer, other, rtt_s) is (0 <= rtt_s <= RTT_MAX_S)
            assert all(map(isfinite, all_numbers(me.coordinate)))
            estimate_s = me.rtt_s("me", peer)
            assert estimate_s is None or isfinite(estimate_s)

    def test_what_leads_to_infinity_starts_afresh_and_is_counted(self) -> None:
        """The samples go too: the next update is as that of a new client."""
        me = client()
        assert me.update("evil", at(HUGE), 0.01)
        assert (me.coordinate, me.resets) == (ORIGIN, 1)
        new = client()
        for each in (me, new):
            each.update("peer", at(0.01), 0.02)
        assert me.coordinate == new.coordinate
        assert me.resets == 1

    def test_lies_are_outlived(self) -> None:
        """After a hundred honest updates the estimate is near the truth again, whatever one peer said once.

        Gravity either brings the own coordinate back, or throws it to infinity, and so to the origin.
        """
        for lie in (
            at(1e3),
            at(1e9),
            at(height=-1e6),
            at(error=-1.0),
            at(adjustment=1e9),
            at(1e200, height=HUGE),
            at(error=HUGE),
        ):
            me, peer = client(), replace(at(0.02), error=0.1)
            me.update("evil", lie, 0.01)
            for _ in range(100):
                me.update("peer", peer, 0.03)
            estimate_s = me.rtt_s("me", "peer")
            assert estimate_s is not None
            assert isclose(estimate_s, 0.03, rel_tol=0.05), (lie, estimate_s)


class StuckRng(Random):
    """Chance that always says the middle."""

    def random(self) -> float:
        """A half."""
        return 0.5
