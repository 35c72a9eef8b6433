"""Rumours: which states leave as value events, how fast, and which events travel on."""

import json
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from onevalue.config import SerfSettings, SpreadSettings
from onevalue.errors import RemoteProtocolError
from onevalue.member import Status, UserEvent
from onevalue.options import NAME_LENGTH_MAX
from onevalue.serf.lamport import LAMPORT_TIME_MAX
from onevalue.spread.admission import GENERATION_LEAP_MAX
from onevalue.spread.core import Spread
from onevalue.spread.outgoing import DIRECT_COPIES_BURST
from onevalue.spread.querying import QUERY_ANSWER_SIZE_MAX
from onevalue.spread.rumour import EVENT_NAME, EVENT_SIZE_MAX, TokenBucket, decode_event, encode_event
from onevalue.store import GENERATION_MAX, Source, State, Store
from onevalue.types import Generation
from onevalue.values import VALUE_MIN
from onevalue.wire.serf_codec import encode_serf
from onevalue.wire.serf_messages import UserEventMessage
from tests.spread_rig import Node, member, members, state
from tests.strategies import LAW, states

SETTINGS = SpreadSettings()
ALL_STRAIGHT = SpreadSettings(direct_members_max=1000)


def event(one: State, *, relay_wanted: bool = True, name: str = EVENT_NAME) -> UserEvent:
    """The value event of a state, as it comes by gossip."""
    payload = encode_event(one)
    return UserEvent(name, payload, b"raw" + payload, relay_wanted)


class EventTests(SynchronousTestCase):
    """The payload of a value event."""

    @LAW
    @given(states)
    def test_a_round_trip_keeps_all_fields(self, one: State) -> None:
        """Generation, value, origin and time."""
        heard = decode_event(encode_event(one))
        assert isinstance(heard, State)
        assert heard.to_json() == one.to_json()

    @LAW
    @given(st.binary(max_size=64))
    def test_any_bytes_are_a_state_or_refused(self, payload: bytes) -> None:
        """Nothing else is raised."""
        try:
            decode_event(payload)
        except RemoteProtocolError:
            return

    def test_with_a_value_it_is_a_state_whatever_else_it_says(self) -> None:
        """A later version may name the tag too."""
        told = {**state(7, 70).to_json(), "tag": state(7, 70).tag}
        assert decode_event(json.dumps(told).encode()) == state(7, 70)

    def test_a_payload_that_is_too_long_is_refused(self) -> None:
        """Even if it is JSON."""
        payload = encode_event(state(1))
        padded = payload.ljust(EVENT_SIZE_MAX)
        assert decode_event(padded) == state(1)
        with pytest.raises(RemoteProtocolError, match="at most 512 bytes"):
            decode_event(padded + b" ")

    def test_the_longest_own_event_fits(self) -> None:
        """The longest name, all of it escaped, and the largest numbers: within the limit of Serf's user events."""
        largest = State(GENERATION_MAX, VALUE_MIN, '"' * NAME_LENGTH_MAX, 1234567890.1234567)
        payload = encode_event(largest)
        message = encode_serf(UserEventMessage(LAMPORT_TIME_MAX, EVENT_NAME, payload))
        assert decode_event(payload) == largest
        assert len(message) <= SerfSettings().user_event_size_max

    def test_a_malformed_event_is_counted_and_changes_nothing(self) -> None:
        """And those that came with it still count."""
        node = Node()
        node.meet(member("b"))
        bad = UserEvent(EVENT_NAME, b"{", b"raw", relay_wanted=True)
        node.spread.receive_events([bad], node.now)
        assert (node.store.current, node.rumours) == (state(0, 42), [])
        node.spread.receive_events([bad, event(state(1, 1), relay_wanted=False)], node.now)
        assert node.store.current == state(1, 1)
        assert node.spread.counters["events_malformed"] == 2

    def test_those_of_one_push_pull_are_judged_one_by_one(self) -> None:
        """What is none of ours, malformed or too far ahead does not hide what comes behind it."""
        node = Node()
        bad = [
            event(state(9, 9), name="deploy"),
            UserEvent(EVENT_NAME, b"{", b"raw", relay_wanted=False),
            event(state(2**40, 5)),
        ]
        for odd in bad:
            held = node.store.current.generation
            node.spread.receive_events([odd, event(state(held + 1, 1))], node.now)
            assert node.store.current == state(held + 1, 1)
        assert (node.spread.counters["events_malformed"], node.spread.counters["states_refused"]) == (1, 1)

    def test_events_of_other_names_are_none_of_ours(self) -> None:
        """They change nothing and are not counted."""
        node = Node()
        node.spread.receive_events([event(state(1, 1), name="deploy")], node.now)
        node.turn()
        assert (node.store.current, node.rumours) == (state(0, 42), [])
        assert not any(node.spread.counters.values())


class OwnEventTests(SynchronousTestCase):
    """Only the newest own state leaves, and at a bounded rate."""

    def test_a_write_leaves_at_once_to_all(self) -> None:
        """In the turn in which it is durable, as an event to the value slot and straight to each member."""
        node = Node()
        node.meet(member("b"), member("c"))
        node.write(7)
        assert node.wakes
        node.turn()
        [(at, rumour)] = node.rumours
        assert at == node.now
        assert rumour.payload is not None
        assert rumour.raw is None
        heard = decode_event(rumour.payload)
        assert isinstance(heard, State)
        assert heard.to_json() == node.store.current.to_json()
        assert sorted(one.name for one in rumour.direct) == ["b", "c"]

    def test_alone_the_event_still_goes_into_the_slot(self) -> None:
        """Members that appear soon get it by gossip."""
        node = Node()
        node.write(7)
        node.turn()
        assert [(rumour.payload is not None, rumour.direct) for _, rumour in node.rumours] == [(True, ())]

    def test_1000_writes_in_a_second_leave_burst_and_rate_events(self) -> None:
        """And the last one carries the newest state."""
        node = Node()
        node.meet(member("b"))
        begun = node.now
        for value in range(1000):
            node.write(value)
            node.turn()
            node.run(0.001)
        node.run(1.0)
        sent = [(at, decode_event(rumour.payload)) for at, rumour in node.rumours if rumour.payload]
        in_time = [one for at, one in sent if at <= begun + 1.0]
        assert SETTINGS.events_burst < len(in_time) <= SETTINGS.events_burst + SETTINGS.events_per_s
        assert sent[-1][1] == node.store.current == state(1000, 999)
        assert node.spread.counters["events_sent"] == len(sent)
        assert node.spread.next_deadline() is None

    def test_an_own_state_that_was_overtaken_makes_no_event(self) -> None:
        """Its winner's origin tells the others."""
        node = Node()
        node.meet(member("b"))
        node.write(7)
        node.spread.receive_events([event(state(1, 8), relay_wanted=False)], node.now)
        node.turn()
        assert node.rumours == []

    def test_overtaken_while_it_waits_for_its_turn(self) -> None:
        """An event that the bound holds back is not sent when it no longer is the newest."""
        node = Node()
        node.meet(member("b"))
        for value in range(SETTINGS.events_burst + 1):
            node.write(value)
            node.turn()
        assert len(node.rumours) == SETTINGS.events_burst
        assert node.spread.next_deadline() is not None
        node.spread.receive_events([event(state(100, 1), relay_wanted=False)], node.now)
        node.run(5.0)
        assert len(node.rumours) == SETTINGS.events_burst
        assert node.spread.next_deadline() is None

    def test_a_learnt_state_makes_no_own_event(self) -> None:
        """Whichever way it came: events are made by the origin only."""
        node = Node()
        node.meet(member("b"))
        node.spread.receive_original(state(1, 1), node.now)
        node.answer("b", state(2, 2))
        node.spread.receive_events([event(state(3, 3), relay_wanted=False)], node.now)
        node.run(5.0)
        assert (node.store.current, node.rumours) == (state(3, 3), [])


class RelayTests(SynchronousTestCase):
    """Events of others travel on as the same bytes, the newest only."""

    def test_a_new_event_is_merged_and_travels_on(self) -> None:
        """Into the slot, with the bytes as they came; in a small cluster straight to nobody."""
        node = Node()
        node.meet(member("b"), member("c"))
        one = event(State(state(1).generation, 1, "b", 5.0))
        node.spread.receive_events([one], node.now)
        node.turn()
        assert [(r.payload, r.raw, r.direct) for _, r in node.rumours] == [(None, one.raw, ())]
        assert node.store.current == state(1, 1)
        assert node.sources == [Source.EVENT]

    def test_a_state_that_is_held_already_travels_on(self) -> None:
        """Anti-entropy was faster here, but others may not have it yet."""
        node = Node()
        node.spread.receive_original(state(1, 1), node.now)
        node.spread.receive_events([event(state(1, 1))], node.now)
        node.turn()
        assert len(node.rumours) == 1

    def test_an_event_that_was_overtaken_is_dropped(self) -> None:
        """Only the newest state travels."""
        node = Node(initial=state(3, 30))
        for old in (state(2, 99), state(3, 29)):
            node.spread.receive_events([event(old)], node.now)
            node.turn()
        assert (node.rumours, node.store.current) == ([], state(3, 30))

    def test_of_two_events_in_one_turn_the_newer_travels(self) -> None:
        """Whichever came first."""
        for order in ((state(1, 1), state(2, 2)), (state(2, 2), state(1, 1))):
            node = Node()
            for one in order:
                node.spread.receive_events([event(one)], node.now)
            node.turn()
            assert [rumour.raw for _, rumour in node.rumours] == [event(state(2, 2)).raw]

    def test_an_event_that_is_not_admitted_does_not_travel(self) -> None:
        """One more than GENERATION_LEAP_MAX ahead is refused like any push, and counted."""
        node = Node()
        node.spread.receive_events([event(state(GENERATION_LEAP_MAX + 1))], node.now)
        node.turn()
        assert (node.store.current, node.rumours) == (state(0, 42), [])
        assert node.spread.counters["states_refused"] == 1

    def test_the_events_of_a_push_pull_are_one_maximum_and_do_not_travel(self) -> None:
        """One change, however many events; those that are not admitted do not hide the others."""
        node = Node()
        seen = [state(2, 2), state(5, 50), state(5, 49), state(GENERATION_LEAP_MAX * 2), state(1, 1)]
        node.spread.receive_events([event(one, relay_wanted=False) for one in seen], node.now)
        node.turn()
        assert (node.store.current, node.sources, node.rumours) == (state(5, 50), [Source.EVENT], [])


class CopyTests(SynchronousTestCase):
    """Direct copies leave at a bounded rate, in slices."""

    def test_copies_are_bounded_and_reach_each_member_once(self) -> None:
        """At most a burst and the rate, in any stretch of time; the slot's event itself does not wait."""
        node = Node(settings=ALL_STRAIGHT)
        others = members(1000)
        node.meet(*others)
        node.write(7)
        node.turn()
        assert len(node.rumours[0][1].direct) == DIRECT_COPIES_BURST
        node.run(2.0)
        sent = [(at, len(rumour.direct)) for at, rumour in node.rumours]
        for index, (begun, _) in enumerate(sent):
            for end in range(index, len(sent), 50):
                copies = sum(count for _, count in sent[index : end + 1])
                bound = DIRECT_COPIES_BURST + SETTINGS.direct_copies_per_s * (sent[end][0] - begun)
                assert copies <= bound + 1
        assert [rumour.payload is not None for _, rumour in node.rumours].count(True) == 1
        reached = [one.name for _, rumour in node.rumours for one in rumour.direct]
        assert sorted(reached) == [one.name for one in others]
        assert sent[-1][0] - sent[0][0] < 1000 / SETTINGS.direct_copies_per_s
        assert len(sent) < 200, "a wake-up costs more than a copy: several leave together"
        assert node.spread.next_deadline() is None

    def test_a_newer_event_ends_the_copies_of_the_one_before(self) -> None:
        """What is left of the bound goes to the newest state, and it begins anywhere."""
        first = []
        for seed in range(4):
            node = Node(seed=seed, settings=ALL_STRAIGHT)
            node.meet(*members(500))
            node.write(7)
            node.turn()
            first.append(node.rumours[0][1].direct[0].name)
            node.write(8)
            node.run(2.0)
            newer = [rumour for _, rumour in node.rumours[1:]]
            assert newer[0].payload is not None
            assert decode_event(newer[0].payload) == state(2, 8)
            assert sum(len(rumour.direct) for rumour in newer) == 500
        assert len(dict.fromkeys(first)) > 1, "always the same would be starved by many writes"

    def test_copies_go_on_while_the_next_event_has_to_wait(self) -> None:
        """Its time is later than that of the next copies."""
        node = Node(settings=ALL_STRAIGHT)
        node.meet(*members(900))
        for value in range(SETTINGS.events_burst + 1):
            node.write(value)
            node.turn()
        copies = sum(len(rumour.direct) for _, rumour in node.rumours)
        node.run(0.1)
        more = sum(len(rumour.direct) for _, rumour in node.rumours) - copies
        assert 0.08 * SETTINGS.direct_copies_per_s < more <= 0.1 * SETTINGS.direct_copies_per_s + 1

    def test_those_who_are_gone_get_no_copy(self) -> None:
        """Failed and left members get none; those that are leaving still do."""
        node = Node()
        node.meet(
            member("alive"),
            member("failed", status=Status.FAILED),
            member("leaving", status=Status.LEAVING),
            member("left", status=Status.LEFT),
            member("plain", None),
        )
        node.write(7)
        node.turn()
        assert sorted(one.name for one in node.rumours[0][1].direct) == ["alive", "leaving", "plain"]


class BucketTests(SynchronousTestCase):
    """The token bucket behind both bounds."""

    @LAW
    @given(
        st.floats(0.5, 5000.0),
        st.integers(1, 100),
        st.lists(st.tuples(st.floats(-2.0, 2.0), st.integers(0, 300)), min_size=1, max_size=30),
    )
    def test_it_never_gives_more_than_burst_and_rate(
        self, rate: float, burst: int, course: list[tuple[float, int]]
    ) -> None:
        """Whatever is asked, also when the clock stands still or steps back: a step back gives nothing."""
        bucket, now, elapsed, taken = TokenBucket(rate, burst), 1.7e9, 0.0, 0
        for step, most in course:
            now += step
            elapsed += max(0.0, step)
            got = bucket.take(most, now)
            assert 0 <= got <= most
            taken += got
            assert taken <= burst + rate * elapsed + 0.01

    @LAW
    @given(st.floats(0.5, 5000.0), st.integers(1, 100), st.floats(0.0, 3.0))
    def test_when_it_is_empty_the_next_one_comes_later_and_does_come(
        self, rate: float, burst: int, later: float
    ) -> None:
        """The time it names is after now, and few turns at such times give a token: nobody spins."""
        bucket, now = TokenBucket(rate, burst), 1.7e9
        bucket.take(burst, now)
        now += later / rate
        bucket.take(burst, now)
        for _ in range(3):
            at = bucket.next_token()
            assert now < at < now + 1.0 / rate + 0.02
            now = at
            if bucket.take(1, now):
                return
        raise AssertionError("no token came")

    def test_after_a_rest_there_is_one_burst_and_no_more(self) -> None:
        """What was not used is not saved."""
        bucket, now = TokenBucket(5.0, 5), 1.7e9
        for _ in range(3):
            assert bucket.take(1000, now) == 5
            now += 3600.0

    def test_the_rate_is_reached(self) -> None:
        """Over a minute of asking at the times that it names."""
        for rate, burst in ((0.5, 1), (3.0, 1), (5.0, 5), (2000.0, 100)):
            bucket, now, taken = TokenBucket(rate, burst), 1.7e9, 0
            begun = now
            while now < begun + 60.0:
                taken += bucket.take(1000, now)
                now = bucket.next_token()
            assert math.isclose(taken, burst + 60.0 * rate, rel_tol=0.001, abs_tol=1.0)


class QueryTests(SynchronousTestCase):
    """What a node says to the query `onevalue`."""

    def test_the_answer_tells_the_state(self) -> None:
        """With its tag, by which people see who holds the same."""
        store = Store(State(Generation(3), 7, "n2", 1.5))
        spread = Spread(name="n1", store=store, settings=SpreadSettings(), rng=random.Random(1))
        assert json.loads(spread.answer_query(1.23456)) == {
            "generation": 3,
            "held_s": 1.2346,
            "learning": False,
            "origin": "n2",
            "tag": store.current.tag,
            "time": 1.5,
            "value": 7,
        }

    def test_what_does_not_fit_is_left_out(self) -> None:
        """The tag never is."""
        store = Store(State(Generation(3), 7, "€" * 256, 1.5))
        spread = Spread(name="n1", store=store, settings=SpreadSettings(), rng=random.Random(1))
        answer = spread.answer_query(0.0)
        assert len(answer) <= QUERY_ANSWER_SIZE_MAX
        assert sorted(json.loads(answer)) == ["generation", "held_s", "learning", "tag", "value"]
