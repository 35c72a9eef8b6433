"""One Serf node: what messages do to it and what it sends on, and what a push/pull carries."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from onevalue.errors import ConfigError, LocalProtocolError
from onevalue.serf import events
from onevalue.serf.core import Serf
from onevalue.serf.events import JoinDone, ReceivedEvent, UserEvents
from onevalue.serf.healing import COUNTER_NAMES as HEALING_NAMES
from onevalue.serf.intake import COUNTER_NAMES
from onevalue.serf.lamport import LAMPORT_TIME_MAX, Clocks
from onevalue.serf.members import MemberStatus
from onevalue.swim.gossip import URGENT_ROUND_PAUSE_S, URGENT_ROUNDS
from onevalue.types import Address
from onevalue.wire.codec import decode_packet, encode_message, encode_packet
from onevalue.wire.messages import Alive, PushPull, StreamMessage, User
from onevalue.wire.serf_codec import decode_serf, encode_serf
from onevalue.wire.serf_messages import (
    EventSlot,
    JoinIntent,
    LeaveIntent,
    Query,
    QueryResponse,
    Relay,
    SerfMessage,
    SerfState,
    UserEventMessage,
)
from onevalue.wire.stream import encode_stream
from tests.unit.serf_net import hear, hear_alive, make_serf, member, time_of, told
from tests.unit.swim_net import PORT, decode_stream

PEER: Address = ("10.0.0.2", PORT)


def _started(**options: object) -> Serf:
    """Node n1, with n2 alive beside it, and nothing left to tell."""
    serf = make_serf(1, **options)  # type: ignore[arg-type]  # the options of make_serf, passed through
    serf.start(0.0)
    hear_alive(serf, "n2", 2)
    told(serf)
    return serf


def _gossiped(serf: Serf) -> list[bytes]:
    """Bodies that Serf puts beside other messages, in order, each once."""
    return serf.broadcasts(3, 1300)


def _event(ltime: int, name: str = "deploy", payload: bytes = b"p") -> UserEventMessage:
    return UserEventMessage(time_of(ltime), name, payload)


def _query(ltime: int = 5, query_id: int = 7, flags: int = 0) -> Query:
    return Query(
        time_of(ltime), query_id, b"\x0a\x00\x00\x02", PORT, "n2", (b"\x00\x91\xa1x",), flags, 0, 10**9, "uptime", b""
    )


def _state(**fields: object) -> bytes:
    values: dict[str, object] = {
        "ltime": time_of(1),
        "status_ltimes": {},
        "left_members": (),
        "event_ltime": time_of(1),
        "events": (),
        "query_ltime": time_of(1),
    }
    return encode_serf(SerfState(**{**values, **fields}))  # type: ignore[arg-type]  # fields by name


def _exchange(serf: Serf, state: bytes, now: float = 1.0) -> SerfState:
    """A peer has a push/pull with the node, and gets this state."""
    message = decode_stream(serf.receive_stream(_push_pull(state), now))
    assert isinstance(message, PushPull)
    assert isinstance(message.user_state, SerfState)
    return message.user_state


def _push_pull(state: bytes) -> StreamMessage:
    """What a stream with this user state is found to hold."""
    return decode_stream(encode_stream(PushPull(join=False, nodes=(), user_state=state), compress=False))


class StartTests(SynchronousTestCase):
    """A node by itself."""

    def test_a_node_that_starts_is_an_alive_member_with_its_tags(self) -> None:
        """Of a cluster of its own."""
        serf = make_serf(1, tags={"role": "db"})
        serf.start(0.0)
        (own,) = serf.members()
        assert (own.name, own.status, own.tags, own.address) == (
            "n1",
            MemberStatus.ALIVE,
            {"role": "db"},
            ("10.0.0.1", PORT),
        )
        assert [type(event) for event in told(serf)] == [events.MemberJoin]

    def test_tags_that_are_too_long_are_refused_and_nothing_changes(self) -> None:
        """At the start and later."""
        too_long = {"a": "x" * 300, "b": "y" * 300}
        with pytest.raises(ConfigError):
            make_serf(1, tags=too_long)
        serf = _started()
        with pytest.raises(ConfigError):
            serf.update_tags(too_long, 1.0)
        assert serf.members()[0].tags == {"index": "1"}

    def test_new_tags_are_shown_and_gossiped(self) -> None:
        """With a new incarnation."""
        serf = _started()
        serf.update_tags({"role": "web"}, 1.0)
        assert serf.members()[0].tags == {"role": "web"}
        assert [type(event) for event in told(serf)] == [events.MemberUpdate]
        serf.handle_timer(2.0)
        sent = [message for data, _ in serf.datagrams_to_send() for message in decode_packet(data).messages]
        assert any(isinstance(message, Alive) and message.incarnation == 2 for message in sent)

    def test_clocks_go_on_from_where_they_stood(self) -> None:
        """And what was delivered before is too old now."""
        serf = _started(clocks=Clocks(time_of(10), time_of(20), time_of(30)))
        assert serf.clocks == Clocks(time_of(10), time_of(20), time_of(30))
        hear(serf, _event(19))
        assert told(serf) == []
        hear(serf, _event(20))
        assert len(told(serf)) == 1

    def test_time_that_steps_back_does_nothing_twice(self) -> None:
        """The largest time that was seen counts."""
        serf = _started()
        serf.handle_timer(50.0)
        deadline = serf.next_deadline()
        serf.handle_timer(10.0)
        assert serf.next_deadline() == deadline


class IntentTests(SynchronousTestCase):
    """Join and leave intents that come as gossip."""

    def test_news_is_applied_and_sent_on_as_the_same_bytes_once(self) -> None:
        """Unknown fields and all (pitfall 22)."""
        table: list[tuple[LeaveIntent | JoinIntent, MemberStatus]] = [
            (LeaveIntent(time_of(5), "n2"), MemberStatus.LEAVING),
            (JoinIntent(time_of(6), "n2"), MemberStatus.ALIVE),
        ]
        for intent, status in table:
            serf = _started()
            raw = encode_serf(intent) + b"and more"
            for _ in range(2):
                hear(serf, raw)
            known = member(serf, "n2")
            assert known is not None
            assert (known.status, known.status_ltime) == (status, intent.ltime)
            assert serf.clocks.member == intent.ltime + 1
            assert _gossiped(serf) == [raw]

    def test_an_intent_about_a_stranger_is_kept_and_sent_on(self) -> None:
        """Its member may come a moment later."""
        serf = _started()
        raw = hear(serf, LeaveIntent(time_of(5), "n3"))
        assert _gossiped(serf) == [raw]
        hear_alive(serf, "n3", 3)
        known = member(serf, "n3")
        assert known is not None
        assert known.status is MemberStatus.LEAVING

    def test_a_leave_intent_about_this_node_is_contradicted_and_not_sent_on(self) -> None:
        """With a time that is newer than that of the accusation."""
        serf = _started()
        hear(serf, LeaveIntent(time_of(5), "n1"))
        assert _gossiped(serf) == [encode_serf(JoinIntent(time_of(6), "n1"))]
        own = member(serf, "n1")
        assert own is not None
        assert (own.status, own.status_ltime) == (MemberStatus.ALIVE, 6)

    def test_forcing_this_node_to_leave_is_an_error(self) -> None:
        """It leaves by `leave`."""
        serf = _started()
        with pytest.raises(LocalProtocolError, match="n1"):
            serf.force_leave("n1", prune=False, now=1.0)
        assert serf.clocks.member == 1


class EventTests(SynchronousTestCase):
    """User events."""

    def test_a_new_event_is_told_and_sent_on_as_the_same_bytes_once(self) -> None:
        """A repetition is neither."""
        serf = _started()
        raw = encode_serf(_event(5)) + b"and more"
        for _ in range(2):
            hear(serf, raw)
        assert told(serf) == [UserEvents((ReceivedEvent("deploy", b"p", time_of(5), raw, relay_wanted=False),))]
        assert _gossiped(serf) == [raw]
        assert serf.counters["serf_user_events"] == serf.counters["serf_user_events_old"] == 1

    def test_an_event_whose_name_is_held_is_told_and_not_sent_on(self) -> None:
        """Who owns the name decides."""
        serf = _started(held_events=["onevalue"])
        raw = hear(serf, _event(5, "onevalue"))
        assert told(serf) == [UserEvents((ReceivedEvent("onevalue", b"p", time_of(5), raw, relay_wanted=True),))]
        assert _gossiped(serf) == []

    def test_an_own_event_is_gossiped_and_not_told(self) -> None:
        """Nor when it comes back."""
        serf = _started()
        raw = serf.user_event("deploy", b"p", coalesce=True, now=1.0)
        assert _gossiped(serf) == [raw]
        hear(serf, raw, 2.0)
        assert told(serf) == []

    def test_an_event_in_a_slot_is_sent_straight_and_in_the_slot_only(self) -> None:
        """A later one of the slot takes its place; straight copies carry nothing beside them."""
        serf = _started()
        serf.user_event("onevalue", b"1", coalesce=False, slot="onevalue", now=1.0)
        serf.datagrams_to_send()
        raw = serf.user_event("onevalue", b"2", coalesce=False, slot="onevalue", direct=[PEER], now=1.0)
        (data, address), _ = serf.datagrams_to_send()
        assert address == PEER
        assert decode_packet(data).messages == [User(raw)]
        assert _gossiped(serf) == []
        assert serf.urgent_broadcasts(3, 1300) == [raw]

    def test_an_event_in_a_slot_is_gossiped_once_at_once(self) -> None:
        """So that a member need not wait whose straight copy was lost; what is left to send waits for the intervals."""
        serf = _started()
        serf.datagrams_to_send()
        raw = serf.user_event("onevalue", b"1", coalesce=False, slot="onevalue", now=1.0)
        ((data, address),) = serf.datagrams_to_send()
        assert (decode_packet(data).messages[0], address) == (User(raw), ("10.0.0.2", PORT))
        assert serf.urgent_broadcasts(3, 1300) == [raw]

    def test_the_event_of_another_takes_the_slot_as_the_same_bytes(self) -> None:
        """And goes straight to whom it is meant for, and to random members without waiting for the interval."""
        serf = _started(held_events=["onevalue"])
        hear_alive(serf, "n2", 2)
        serf.datagrams_to_send()
        raw = hear(serf, _event(5, "onevalue"))
        serf.relay_event(raw, slot="onevalue", direct=[PEER], now=1.0)
        (straight, to), *gossip = serf.datagrams_to_send()
        assert (decode_packet(straight).messages, to) == ([User(raw)], PEER)
        assert [address for _, address in gossip] == [("10.0.0.2", PORT)] * URGENT_ROUNDS
        assert all(decode_packet(data).messages[0] == User(raw) for data, _ in gossip)
        assert serf.urgent_broadcasts(3, 1300) == [raw]

    def test_a_flood_of_events_of_others_makes_no_flood_of_gossip(self) -> None:
        """Rounds out of turn keep a pause; the event waits for the interval then."""
        serf = _started(held_events=["onevalue"])
        hear_alive(serf, "n2", 2)
        rounds = 0.0
        for number in range(100):
            now = 1.0 + number / 1000
            serf.datagrams_to_send()
            serf.relay_event(hear(serf, _event(5 + number, "onevalue"), now), slot="onevalue", now=now)
            rounds += len(serf.datagrams_to_send()) / URGENT_ROUNDS
        assert rounds == 0.1 / URGENT_ROUND_PAUSE_S


class QueryTests(SynchronousTestCase):
    """Queries, which this node passes on and does not answer."""

    def test_a_new_query_is_sent_on_as_the_same_bytes_once_whatever_its_filters(self) -> None:
        """Another id at the same time is another query."""
        serf = _started()
        raws = [hear(serf, _query()), hear(serf, _query()), hear(serf, _query(query_id=8))]
        assert sorted(_gossiped(serf)) == sorted(raws[1:])
        assert serf.clocks.query == 6

    def test_a_query_that_wants_not_to_be_sent_on_is_not(self) -> None:
        """Flag 2, alone or with others."""
        for flags, sent in [(0, 1), (1, 1), (2, 0), (3, 0)]:
            serf = _started()
            hear(serf, _query(flags=flags))
            assert len(_gossiped(serf)) == sent, flags

    def test_a_query_that_is_too_old_is_dropped(self) -> None:
        """More than 512 behind the clock."""
        serf = _started()
        hear(serf, _query(ltime=1000, flags=2))
        hear(serf, _query(ltime=400))
        assert _gossiped(serf) == []

    def test_the_answer_to_a_query_is_passed_on_to_its_destination(self) -> None:
        """Without the relay's header, alone in a packet."""
        serf = _started()
        serf.datagrams_to_send()
        inner = encode_serf(QueryResponse(time_of(5), 7, "n3", 0, b"up"))
        hear(serf, Relay(b"\x0a\x00\x00\x09", 7000, "n9", inner))
        ((data, address),) = serf.datagrams_to_send()
        assert address == ("10.0.0.9", 7000)
        assert decode_packet(data).messages == [User(inner)]
        assert serf.counters["serf_relayed"] == 1

    def test_nothing_else_is_passed_on(self) -> None:
        """Not for strangers who would like this node to send for them."""
        serf = _started()
        serf.datagrams_to_send()
        inner = encode_serf(QueryResponse(time_of(5), 7, "n3", 0, b"up"))
        for port, body in [(0, inner), (7000, encode_serf(_event(3))), (7000, b"junk")]:
            hear(serf, Relay(b"\x0a\x00\x00\x09", port, "n9", body))
        assert serf.datagrams_to_send() == []
        assert (serf.counters["serf_malformed"], serf.counters["serf_relayed"]) == (3, 0)


class PushPullTests(SynchronousTestCase):
    """The user state of a push/pull."""

    def test_the_own_state_tells_clocks_members_and_events(self) -> None:
        """As it was before the exchange."""
        serf = _started()
        hear(serf, JoinIntent(time_of(5), "n2"))
        hear(serf, _event(8))
        hear(serf, _query(ltime=3))
        answer = _exchange(serf, _state(ltime=time_of(100)))
        assert (answer.ltime, answer.event_ltime, answer.query_ltime) == (6, 9, 4)
        assert answer.status_ltimes == {"n1": 0, "n2": 5}
        assert answer.left_members == ()
        assert len(answer.events) == 512
        assert answer.events[8] == EventSlot(time_of(8), (("deploy", b"p"),))

    def test_the_clocks_are_not_behind_the_peers(self) -> None:
        """A time of 0 is none."""
        serf = _started()
        _exchange(serf, _state(ltime=time_of(100), event_ltime=time_of(0), query_ltime=time_of(7)))
        assert serf.clocks == Clocks(time_of(100), time_of(1), time_of(7))

    def test_members_that_left_at_the_peer_are_leaving_or_left_here_and_others_take_their_time(self) -> None:
        """The time of a leave is one after the peer's; only a member that is present hears of its own."""
        serf = _started()
        hear_alive(serf, "n3", 3)
        _exchange(serf, _state(status_ltimes={"n2": time_of(5), "n3": time_of(6)}, left_members=("n2",)))
        times = {each.name: (each.status, each.status_ltime) for each in serf.members()}
        assert times["n2"] == (MemberStatus.LEAVING, 6)
        assert times["n3"] == (MemberStatus.ALIVE, 6)
        (raw,) = _gossiped(serf)
        assert decode_serf(raw) == LeaveIntent(time_of(6), "n2")

    def test_a_node_that_a_peer_thinks_has_left_contradicts(self) -> None:
        """It has come back."""
        serf = _started()
        _exchange(serf, _state(ltime=time_of(9), status_ltimes={"n1": time_of(8)}, left_members=("n1",)))
        (raw,) = _gossiped(serf)
        assert decode_serf(raw) == JoinIntent(time_of(10), "n1")

    def test_the_new_events_of_one_push_pull_are_told_together_oldest_first(self) -> None:
        """They are not relayed, held or not, and those that were known are left out."""
        serf = _started(held_events=["onevalue"])
        hear(serf, _event(3, "known"))
        told(serf)
        _gossiped(serf)
        slots = (
            EventSlot(time_of(9), (("onevalue", b"9"),)),
            None,
            EventSlot(time_of(3), (("known", b"p"), ("deploy", b"3"))),
        )
        _exchange(serf, _state(events=slots, event_ltime=time_of(10)))
        (event,) = told(serf)
        assert isinstance(event, UserEvents)
        assert [(each.name, each.payload, each.relay_wanted) for each in event.events] == [
            ("deploy", b"3", False),
            ("onevalue", b"9", False),
        ]

    def test_a_state_that_makes_no_sense_is_counted_and_changes_nothing(self) -> None:
        """Another message, no message, or a time out of range anywhere in it."""
        beyond = time_of(LAMPORT_TIME_MAX + 1)
        junk = [
            encode_serf(JoinIntent(time_of(50), "n2")),
            b"\x02junk",
            _state(ltime=beyond, event_ltime=time_of(50)),
            _state(status_ltimes={"n2": beyond}, ltime=time_of(50)),
            _state(events=(EventSlot(beyond, (("a", b""),)),), ltime=time_of(50)),
        ]
        serf = _started()
        before = (serf.clocks, serf.members())
        for state in junk:
            _exchange(serf, state)
        assert (serf.clocks, serf.members()) == before
        assert serf.counters["serf_malformed"] == len(junk)


class JoinTests(SynchronousTestCase):
    """Joining an address."""

    def test_a_join_that_nobody_answers_ends_with_a_reason_and_no_intent(self) -> None:
        """The shell reports the failure."""
        serf = make_serf(1)
        serf.start(0.0)
        told(serf)
        request_id = serf.join(PEER, 0.0)
        serf.stream_failed(request_id, "connection refused", 1.0)
        (done,) = told(serf)
        assert isinstance(done, JoinDone)
        assert (done.request_id, done.address) == (request_id, PEER)
        assert "refused" in (done.error or "")
        assert _gossiped(serf) == []

    def test_a_join_that_was_answered_ends_with_one_join_intent_above_the_peers_time(self) -> None:
        """Applied here and gossiped (README 5.4, pitfall 6)."""
        serf, peer = make_serf(1), make_serf(2, clocks=Clocks(time_of(40), time_of(1), time_of(1)))
        for each in (serf, peer):
            each.start(0.0)
        request_id = serf.join(PEER, 0.0)
        (request,) = serf.streams_to_open()
        reply = peer.receive_stream(decode_stream(request.data), 0.1)
        assert reply is not None
        serf.stream_answered(request_id, decode_stream(reply), 0.2)
        assert JoinDone(request_id, PEER, None) in told(serf)
        assert [decode_serf(raw) for raw in _gossiped(serf)] == [JoinIntent(time_of(40), "n1")]
        own = member(serf, "n1")
        assert own is not None
        assert own.status_ltime == 40


class NonsenseTests(SynchronousTestCase):
    """What makes no sense."""

    def test_the_status_shows_what_was_counted_of_each_layer(self) -> None:
        """Serf's own counters beside SWIM's: a query with an empty filter means nothing to Serf only."""
        serf = _started()
        raw = encode_serf(_query()).replace(b"\x91\xa4\x00\x91\xa1x", b"\x91\xa0")
        serf.receive_datagram(encode_packet([encode_message(User(raw))], compress=False, crc=False), PEER, 1.0)
        status = serf.status()
        assert status["counters"] == {name: serf.counters[name] for name in (*COUNTER_NAMES, *HEALING_NAMES)}
        assert serf.counters["serf_malformed"] == 1

    def test_a_message_with_a_time_out_of_range_is_counted_and_changes_nothing(self) -> None:
        """Of each kind."""
        beyond = LAMPORT_TIME_MAX + 1
        messages: list[SerfMessage] = [
            JoinIntent(time_of(beyond), "n2"),
            LeaveIntent(time_of(beyond), "n2"),
            _event(beyond),
            _query(beyond),
        ]
        serf = _started()
        before = (serf.clocks, serf.members())
        for message in messages:
            hear(serf, message)
        assert (serf.clocks, serf.members()) == before
        assert serf.counters["serf_malformed"] == len(messages)
        assert told(serf) == []
        assert _gossiped(serf) == []

    @given(st.lists(st.binary(max_size=80), max_size=5), st.integers(0, 2**32))
    def test_any_bytes_in_a_user_message_or_a_state_leave_the_members_as_they_are(
        self, bodies: list[bytes], seed: int
    ) -> None:
        """They are junk, or messages about others; never an error here."""
        serf = _started()
        real = [encode_serf(_query()), encode_serf(_event(5)), encode_serf(JoinIntent(time_of(5), "n9")), _state()]
        damaged = [_damaged(raw, random.Random(seed)) for raw in real]
        before = [(each.name, each.status) for each in serf.members()]
        for body in [*bodies, *damaged]:
            serf.receive_datagram(encode_packet([encode_message(User(body))], compress=False, crc=False), PEER, 1.0)
            serf.receive_stream(_push_pull(body), 1.0)
        assert [(each.name, each.status) for each in serf.members()] == before


def _damaged(raw: bytes, rng: random.Random) -> bytes:
    data = bytearray(raw)
    data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)
