"""The store: the order of states, their names, merging, and states as JSON."""

import hashlib
import json
import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from onevalue.errors import (
    RemoteProtocolError,
)
from onevalue.store import GENERATION_MAX, ORIGIN_LENGTH_MAX, Source, State, Store, state_from_json
from onevalue.types import Generation
from onevalue.values import VALUE_DEPTH_MAX, VALUE_MAX, VALUE_MIN, VALUE_SIZE_MAX, Value, canonical
from tests.strategies import LAW, any_states, states, values


def state(generation: int, value: Value = 0) -> State:
    """A state without origin and time."""
    return State(Generation(generation), value)


class OrderTests(SynchronousTestCase):
    """States are totally ordered, and named by their tags."""

    def test_the_order_of_all_kinds_of_values(self) -> None:
        """By generation; then integers by size, below all else; then by canonical text, bytewise."""
        ascending = [
            state(0, {"z": 1}),
            state(1, -(2**80)),
            state(1, VALUE_MIN),
            state(1, -1),
            state(1, 0),
            state(1, 9),
            state(1, 10),
            state(1, VALUE_MAX),
            state(1, 2**80),
            state(1, ""),
            state(1, "10"),
            state(1, "9"),
            state(1, "Z"),
            state(1, "a"),
            state(1, "\u00e9"),
            state(1, "\uffee"),
            state(1, "\U0001f600"),
            state(1, -0.0),
            state(1, 0.0),
            state(1, 1.0),
            state(1, [10]),
            state(1, [9]),
            state(1, []),
            state(1, False),
            state(1, None),
            state(1, True),
            state(1, {"a": 2, "b": 1}),
            state(1, {}),
            state(2, VALUE_MIN),
        ]
        for lower, upper in pairwise(ascending):
            assert lower < upper, f"{lower} < {upper}"
            assert not upper <= lower, f"{upper} <= {lower}"
        shuffled = random.Random(7).sample(ascending, len(ascending))
        assert [s.tag for s in sorted(shuffled)] == [s.tag for s in ascending]

    def test_a_boolean_is_not_an_integer(self) -> None:
        """True is not 1, nor 1.0, in the order, in equality and in the tag."""
        for one, other in ((True, 1), (False, 0), (True, 1.0), (1, 1.0)):
            assert state(1, one) != state(1, other)
            assert state(1, one).tag != state(1, other).tag

    def test_the_canonical_text(self) -> None:
        """Sorted keys, no white space, UTF-8, no escapes that JSON does not demand."""
        value: Value = {"b": [1, 2.5, None], "a": "\u00e9\n\U0001f600", "": True}
        assert canonical(value) == '{"":true,"a":"é\\n😀","b":[1,2.5,null]}'.encode()

    def test_origin_and_time_are_no_part_of_the_order(self) -> None:
        """States that differ in these alone are equal, hash equally and have one tag."""
        one, other = State(Generation(3), 7, "a", 1.0), State(Generation(3), 7, "b", 2.0)
        assert one == other
        assert hash(one) == hash(other)
        assert one.tag == other.tag
        assert not one < other
        assert not other < one

    def test_a_tag_is_generation_and_hash(self) -> None:
        """A generation, a dash and 16 hex digits of SHA-256 of the canonical value."""
        assert state(12, 42).tag == "12-" + hashlib.sha256(b"42").hexdigest()[:16]
        assert state(0, {"a": "é"}).tag == "0-" + hashlib.sha256(b'{"a":"\xc3\xa9"}').hexdigest()[:16]

    @LAW
    @given(any_states, any_states, any_states)
    def test_the_order_is_total(self, one: State, other: State, third: State) -> None:
        """Of two states exactly one holds: less, equal, greater; and less is transitive."""
        assert [one < other, one == other, other < one].count(True) == 1
        lowest, middle, highest = sorted([one, other, third])
        assert lowest <= middle <= highest
        assert lowest <= highest

    @LAW
    @given(any_states, any_states)
    def test_equal_states_have_equal_tags_and_others_have_others(self, one: State, other: State) -> None:
        """The tag names the state."""
        assert (one == other) == (one.tag == other.tag)

    @LAW
    @given(values)
    def test_the_canonical_text_means_the_value(self, value: Value) -> None:
        """Read back, it has the same canonical text."""
        assert canonical(json.loads(canonical(value))) == canonical(value)


class MergeTests(SynchronousTestCase):
    """Merging is a join: commutative, associative, idempotent."""

    @LAW
    @given(st.lists(any_states, min_size=1, max_size=6), st.randoms(use_true_random=False))
    def test_any_order_and_repeats_give_one_winner(self, seen: list[State], chance: random.Random) -> None:
        """Nodes that saw the same states hold the same value, whatever was repeated or reordered."""
        again = seen + chance.choices(seen, k=5)
        chance.shuffle(again)
        for order in (seen, again):
            store = Store(state(0, VALUE_MIN))
            for one in order:
                store.merge(one, Source.NOTIFY)
            assert store.current == max([*seen, state(0, VALUE_MIN)])

    @LAW
    @given(any_states, any_states, any_states)
    def test_groups_do_not_matter(self, one: State, other: State, third: State) -> None:
        """(a with b) with c is a with (b with c)."""

        def joined(left: State, right: State) -> State:
            store = Store(left)
            store.merge(right, Source.NOTIFY)
            return store.current

        assert joined(joined(one, other), third) == joined(one, joined(other, third))

    def test_merge_tells_whether_it_changed_anything(self) -> None:
        """True for a larger state only; the one that is held keeps its origin and time."""
        store = Store(State(Generation(3), 5, "here", 1.0))
        for other, changed in ((state(2, 9), False), (state(3, 4), False), (state(3, 5), False), (state(3, 6), True)):
            assert store.merge(other, Source.NOTIFY) is changed
            if not changed:
                assert store.current.origin == "here"
        assert store.current == state(3, 6)


class JsonTests(SynchronousTestCase):
    """States of other nodes are read strictly."""

    @LAW
    @given(states)
    def test_a_round_trip_keeps_all_fields(self, one: State) -> None:
        """Through JSON text, all four fields come back."""
        back = state_from_json(json.loads(canonical(one.to_json())))
        assert (back.generation, back.value, back.origin, back.time) == (
            one.generation,
            one.value,
            one.origin,
            one.time,
        )

    def test_the_edges_are_states(self) -> None:
        """The smallest and the largest of each field; origin and time may be missing; what is unknown is ignored."""
        for obj in (
            {"generation": 0, "value": VALUE_MIN},
            {"generation": GENERATION_MAX, "value": VALUE_MAX, "origin": "x" * ORIGIN_LENGTH_MAX, "time": 2**53 - 1},
            {"generation": 1, "value": 1, "origin": "\u00e9", "time": 0, "else": [1]},
            {"generation": 1, "value": "x" * (VALUE_SIZE_MAX - 2)},
            {"generation": 1, "value": json.loads("[" * VALUE_DEPTH_MAX + "]" * VALUE_DEPTH_MAX)},
        ):
            read = state_from_json(obj)
            assert (read.generation, read.value) == (obj["generation"], obj["value"])
            assert (read.origin, read.time) == (obj.get("origin", ""), obj.get("time", 0.0))

    def test_anything_odd_is_refused(self) -> None:
        """A missing field, a wrong type, a number out of range, text that UTF-8 cannot express."""
        good: dict[str, object] = {"generation": 1, "value": 1, "origin": "a", "time": 1.0}
        bad: dict[str, list[object]] = {
            "generation": [True, -1, GENERATION_MAX + 1, 10**400, 1.0, "1", None, [1]],
            "value": ["x" * VALUE_SIZE_MAX, json.loads("[" * 65 + "]" * 65)],
            "origin": [None, 1, b"a", "x" * (ORIGIN_LENGTH_MAX + 1), "\ud800", "a\udcff"],
            "time": [None, True, "1", -1, -0.5, float("nan"), float("inf"), float("-inf"), 2**53, 10**400],
        }
        odd: list[object] = [None, [], "1", 1, {}, {"generation": 1}, {"value": 1}]
        odd += [{**good, name: one} for name, several in bad.items() for one in several]
        state_from_json(good)
        for obj in odd:
            with pytest.raises(RemoteProtocolError):
                state_from_json(obj)
