"""A client that watches never goes back, whatever nodes tell it, and comes back with patience."""

import json
import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from onevalue.errors import RemoteProtocolError
from onevalue.following import RETRY_MAX_S, RETRY_MIN_S, Backoff, Following
from onevalue.store import State
from onevalue.types import Generation
from onevalue.values import Value
from tests.strategies import LAW, any_states


def event(state: State) -> bytes:
    """As a node tells it."""
    return f"id: {state.tag}\ndata: {json.dumps({**state.to_json(), 'tag': state.tag})}\n\n".encode()


def state(generation: int, value: Value) -> State:
    """A state."""
    return State(Generation(generation), value, "n1", 12.5)


class FollowingTests(SynchronousTestCase):
    """States over streams."""

    def test_newer_states_are_given_and_others_are_not(self) -> None:
        """By generation, then as nodes order values."""
        following = Following()
        told = [state(2, 1), state(1, 9), state(2, 1), state(2, 0), state(2, "text"), state(3, 0)]
        heard = following.receive(b"".join(map(event, told)))
        assert [(each.generation, each.value) for each in heard] == [(2, 1), (2, "text"), (3, 0)]
        assert following.reading is heard[-1]
        assert (heard[0].tag, heard[0].state.origin, heard[0].state.time) == (told[0].tag, "n1", 12.5)

    def test_the_next_stream_begins_with_what_is_known(self) -> None:
        """Last-Event-ID is the tag; a node that is behind changes nothing."""
        following = Following()
        assert "Last-Event-ID" not in following.begin()
        following.receive(event(state(5, 1)) + b"data: {")
        assert following.begin()["Last-Event-ID"] == state(5, 1).tag
        assert following.receive(event(state(4, 1))) == []
        assert [each.generation for each in following.receive(event(state(6, 1)))] == [6]

    def test_other_kinds_and_heartbeats_are_nothing(self) -> None:
        """They are for others, and for the clock."""
        assert Following().receive(b": beat\n\nevent: other\ndata: nonsense\n\n") == []

    def test_the_pause_that_a_node_asks_for_is_known(self) -> None:
        """In seconds."""
        following = Following()
        following.receive(b"retry: 1500\n")
        assert following.retry_s == 1.5

    def test_what_is_no_state_is_an_error(self) -> None:
        """The message says what is wrong; what was known stays."""
        good: dict[str, object] = {"value": 1, "generation": 3, "origin": "n1", "time": 1.0, "tag": "3-x"}
        wrong: list[dict[str, object]] = [
            {"generation": "3"},
            {"generation": -1},
            {"generation": 2**63},
            {"generation": True},
            {"origin": 5},
        ]
        wrong += [{"time": "now"}, {"tag": ""}, {"tag": 7}, {"tag": "x" * 65}, {"tag": "\x1b"}, {"value": "\ud800"}]
        bodies = [json.dumps({**good, **each}) for each in wrong] + ["[]", "{}", "4", "x", '{"value": NaN}', "[" * 9999]
        for body in bodies:
            following = Following()
            following.receive(event(state(2, 1)))
            with pytest.raises(RemoteProtocolError):
                following.receive(f"data: {body}\n\n".encode())
            assert following.reading is not None
            assert following.reading.generation == 2

    @LAW
    @given(st.lists(any_states, max_size=10))
    def test_it_never_goes_back(self, told: list[State]) -> None:
        """Of any states, what is given goes up, and ends with the largest."""
        following = Following()
        heard = [reading.state for each in told for reading in following.receive(event(each))]
        assert all(one < other for one, other in pairwise(heard))
        assert heard[-1:] == ([max(told)] if told else [])


class BackoffTests(SynchronousTestCase):
    """Pauses."""

    def test_pauses_double_up_to_a_bound(self) -> None:
        """Each is from a half to all of its longest; one success, and they are short again."""
        backoff = Backoff(random.Random(1))
        longest = [min(RETRY_MIN_S * 2**number, RETRY_MAX_S) for number in range(10)]
        for each in longest:
            assert each / 2 <= backoff.next_s() <= each
        backoff.reset()
        assert backoff.next_s() <= RETRY_MIN_S

    def test_a_node_may_ask_for_longer_ones(self) -> None:
        """But not for more than the longest of all."""
        backoff = Backoff(random.Random(1))
        assert (backoff.next_s(3.0), backoff.next_s(1e6)) == (3.0, RETRY_MAX_S)
