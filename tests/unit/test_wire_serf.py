"""Serf's messages, tags, filters, internal queries and coordinates: tolerance, refusals and bounds."""

import tracemalloc
from typing import Any

import msgpack  # type: ignore[import-untyped]  # has no types; an independent writer of what peers may send
import pytest
from twisted.trial.unittest import SynchronousTestCase

from onevalue.errors import ConfigError, LocalProtocolError, RemoteProtocolError
from onevalue.types import LamportTime
from onevalue.wire.coordinates import Coordinate, decode_coordinate, encode_coordinate
from onevalue.wire.internal_queries import (
    KeyRequest,
    KeyResponse,
    NodeFilter,
    TagFilter,
    decode_conflict_answer,
    decode_filter,
    decode_key_request,
    decode_key_response,
    encode_conflict_answer,
    encode_filter,
    encode_key_request,
)
from onevalue.wire.schema import META_SIZE_MAX
from onevalue.wire.serf_codec import (
    KEY_QUERIES,
    STATE_ENTRIES_MAX,
    decode_serf,
    decode_tags,
    encode_serf,
    encode_tags,
)
from onevalue.wire.serf_messages import (
    EventSlot,
    JoinIntent,
    LeaveIntent,
    Query,
    Relay,
    SerfState,
    UserEventMessage,
)

MEMORY_MAX = 100_000
"""Bytes that reading a short message may take for a while; the package itself needs half of them."""

T0, T1, T9 = LamportTime(0), LamportTime(1), LamportTime(9)


def packed(message_id: int, fields: Any) -> bytes:
    """A message as another library writes it."""
    return bytes([message_id]) + bytes(msgpack.packb(fields, use_bin_type=False))


class SerfMessageTests(SynchronousTestCase):
    """Bodies of user messages, and the user state."""

    def test_missing_fields_are_zero_values(self) -> None:
        """Of each message, and of nil."""
        assert decode_serf(packed(0, {})) == LeaveIntent(T0, "")
        assert decode_serf(packed(1, None)) == JoinIntent(T0, "")
        assert decode_serf(packed(2, {})) == SerfState(T0, {}, (), T0, (), T0)
        assert decode_serf(packed(3, {"Payload": None})) == UserEventMessage(T0, "", b"")

    def test_events_of_a_state_may_be_missing_short_or_full_of_holes(self) -> None:
        """Holes are None; slots and events may lack fields."""
        slot = EventSlot(T9, (("deploy", b"x"), ("", b"")))
        fields = [None, {"LTime": 9, "Events": [{"Name": "deploy", "Payload": b"x"}, {}]}, {}, None]
        state = decode_serf(packed(2, {"Events": fields}))
        assert state == SerfState(T0, {}, (), T0, (None, slot, EventSlot(T0, ()), None), T0)
        assert decode_serf(encode_serf(state)) == state

    def test_a_query_with_an_empty_filter_is_refused(self) -> None:
        """It crashes old agents."""
        fields = {"Addr": bytes(4), "Filters": [b"\x00\x90"]}
        assert isinstance(decode_serf(packed(4, fields)), Query)
        for empty in (b"", None):
            with pytest.raises(RemoteProtocolError, match="Filters must not have an empty entry"):
                decode_serf(packed(4, {**fields, "Filters": [b"\x00\x90", empty]}))

    def test_a_query_about_keys_needs_a_payload(self) -> None:
        """Without one it crashes old agents, to whom a node that took it would send it on."""
        for name in KEY_QUERIES:
            fields = {"Addr": bytes(4), "Name": name, "Payload": b"\x07\x80"}
            assert isinstance(decode_serf(packed(4, fields)), Query)
            for empty in (b"", None):
                with pytest.raises(RemoteProtocolError, match=f"Payload of {name} must not be empty"):
                    decode_serf(packed(4, {**fields, "Payload": empty}))
        assert isinstance(decode_serf(packed(4, {"Addr": bytes(4), "Name": "_serf_ping"})), Query)

    def test_a_relay_needs_a_destination_and_a_message(self) -> None:
        """Its message is all that follows the header, untouched."""
        relay = Relay(bytes(4), 7946, "n1", b"\x05\x80\xff", "zone")
        assert decode_serf(encode_serf(relay)) == relay
        for data in (encode_serf(relay)[:-3], packed(9, {}) + b"\x05\x80"):
            with pytest.raises(RemoteProtocolError, match="relay"):
                decode_serf(data)

    def test_what_is_no_message_is_refused(self) -> None:
        """Nothing, an unknown id, a payload's id, bytes cut short, a wrong field."""
        for data, words in [
            (b"", "no bytes"),
            (b"\x0a\x80", "message 10 does not travel"),
            (b"\x07\x80", "key_request"),
            (b"\x01", "end early"),
            (packed(1, {"LTime": -1}), "LTime"),
            (packed(1, {"Node": 1}), "Node"),
            (packed(4, {"Addr": bytes(5)}), "Addr"),
            (packed(2, {"Events": [5]}), "Events"),
        ]:
            with pytest.raises(RemoteProtocolError, match=words):
                decode_serf(data)

    def test_the_entries_of_a_state_are_bounded(self) -> None:
        """A short message that claims many is refused before they are read."""
        head = b"\xdd" + (STATE_ENTRIES_MAX + 1).to_bytes(4, "big")
        with pytest.raises(RemoteProtocolError, match="entries"):
            decode_serf(b"\x02\x81\xabLeftMembers" + head)

    def test_claims_of_a_state_take_no_memory(self) -> None:
        """Heads that claim as many entries as a state may have, each in the one before, are refused unbuilt."""
        claims = (b"\xdd" + STATE_ENTRIES_MAX.to_bytes(4, "big")) * 1000
        for start in (b"\xabLeftMembers", b"\xa6Events", b"\xacStatusLTimes", b"\xa5LTime", b"\xa1x"):
            self.addCleanup(tracemalloc.stop)
            tracemalloc.start()
            with pytest.raises(RemoteProtocolError):
                decode_serf(b"\x02\x81" + start + claims)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert peak < MEMORY_MAX, start

    def test_the_bytes_are_those_of_an_independent_writer(self) -> None:
        """An empty payload and no events are nil, no left members are an empty array."""
        event = {"CC": False, "LTime": 1, "Name": "restart", "Payload": None}
        assert encode_serf(UserEventMessage(T1, "restart", b"")) == packed(3, event)
        state: dict[str, Any] = {"EventLTime": 1, "Events": None, "LTime": 1, "LeftMembers": [], "QueryLTime": 1}
        assert encode_serf(SerfState(T1, {}, (), T1, (), T1)) == packed(2, {**state, "StatusLTimes": {}})

    def test_times_that_the_wire_cannot_carry_are_refused(self) -> None:
        """The error names the field."""
        with pytest.raises(LocalProtocolError, match="LTime must be from 0"):
            encode_serf(JoinIntent(LamportTime(1 << 64), "n1"))


class TagsTests(SynchronousTestCase):
    """Tags are a member's meta."""

    def test_tags_come_back(self) -> None:
        """In their order, with bytes that are not UTF-8."""
        for tags in ({}, {"role": "web", "http": "p:8080"}, {"b": "\udcff", "a": "é"}):
            assert list(decode_tags(encode_tags(tags)).items()) == list(tags.items())
        assert encode_tags({}) == b"\xff\x80"

    def test_tags_that_do_not_fit_are_refused(self) -> None:
        """The error says how many bytes they need."""
        exact = {"k": "v" * (META_SIZE_MAX - 7)}
        assert len(encode_tags(exact)) == META_SIZE_MAX
        with pytest.raises(ConfigError, match=f"tags need {META_SIZE_MAX + 1} bytes"):
            encode_tags({"k": exact["k"] + "v"})

    def test_meta_of_protocol_2_is_a_role(self) -> None:
        """So is no meta."""
        assert decode_tags(b"web") == {"role": "web"}
        assert decode_tags(b"") == {"role": ""}

    def test_nonsense_is_no_tags(self) -> None:
        """Never an error."""
        for meta in (b"\xff", b"\xff\xc1", b"\xff\x81\xa1k", b"\xff\x81\xa1k\x05", b"\xff\xdf\xff\xff\xff\xff"):
            assert decode_tags(meta) == {}


class PayloadTests(SynchronousTestCase):
    """Internal queries, filters and coordinates."""

    def test_a_key_request_without_payload_is_refused(self) -> None:
        """It crashes old agents."""
        assert decode_key_request(encode_key_request(KeyRequest())) == KeyRequest()
        for payload in (b"", b"\x08\x80", b"\x07", packed(7, {"Key": bytes(33)})):
            with pytest.raises(RemoteProtocolError):
                decode_key_request(payload)

    def test_answers_with_missing_fields(self) -> None:
        """Are zero values; an unknown member is None."""
        assert decode_key_response(packed(8, {})) == KeyResponse(result=False)
        assert decode_conflict_answer(b"\x06\xc0") is None
        assert encode_conflict_answer(None) == b"\x06\xc0"
        member = decode_conflict_answer(packed(6, {"Name": "n1"}))
        assert member is not None
        assert member.name == "n1"

    def test_filters(self) -> None:
        """Both kinds come back; others are refused."""
        for wanted in (NodeFilter(()), NodeFilter(("n1", "n2")), TagFilter("role", "^web")):
            assert decode_filter(encode_filter(wanted)) == wanted
        assert encode_filter(NodeFilter(("a2", "a3"))) == packed(0, ["a2", "a3"])
        for data in (b"", b"\x02\x80", b"\x00\x80", b"\x01\x05"):
            with pytest.raises(RemoteProtocolError):
                decode_filter(data)

    def test_floats_of_four_bytes_and_nil_are_floats(self) -> None:
        """A float may be short, or missing; a text is none."""
        payload = b"\x01" + msgpack.packb({"Vec": [0.5] * 8, "Height": None}, use_single_float=True)
        assert decode_coordinate(payload) == Coordinate((0.5,) * 8, 0.0, 0.0, 0.0)
        with pytest.raises(RemoteProtocolError, match="Error must be a float"):
            decode_coordinate(packed(1, {"Error": "1.5"}))

    def test_coordinates_that_are_ignored(self) -> None:
        """Other versions, other dimensions, numbers that are none."""
        coordinate = Coordinate((0.0,) * 8, 1.5, 0.0, 1e-5)
        payload = encode_coordinate(coordinate)
        assert decode_coordinate(payload) == coordinate
        wrong = [b"", b"\x02" + payload[1:], encode_coordinate(Coordinate((0.0,) * 7, 1.5, 0.0, 1e-5))]
        for number in (float("nan"), float("inf")):
            wrong.append(encode_coordinate(Coordinate((0.0,) * 8, number, 0.0, 1e-5)))
            wrong.append(encode_coordinate(Coordinate((*coordinate.vec[:7], number), 1.5, 0.0, 1e-5)))
        for data in wrong:
            with pytest.raises(RemoteProtocolError):
                decode_coordinate(data)
