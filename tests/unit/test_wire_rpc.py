"""The agent RPC: what real agents and clients sent decodes to what it says, and encodes to the same bytes."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from onevalue.errors import LocalProtocolError, RemoteProtocolError
from onevalue.wire import rpc_messages as rpc
from onevalue.wire.dialect import Splitter
from onevalue.wire.rpc_codec import (
    RECORDS,
    REPLIES,
    REQUEST_ENTRIES_MAX,
    REQUESTS,
    RESPONSE_ENTRIES_MAX,
    decode_body,
    decode_request_header,
    decode_response_header,
    encode_member,
    encode_members,
    encode_record,
    encode_reply,
    encode_request,
    encode_response,
)
from tests.unit.wire_vectors import DATA

SIZE_MAX = 1 << 20

AGENT_VECTORS = {
    "rpc auth, errors, join, members, stats, query and more, agent to client": {
        6: "join",
        7: "members",
        8: "stats",
        9: "query",
    },
}
"""What was asked with which seq, where the name of the vector does not say."""


def vectors() -> list[dict[str, Any]]:
    """What was captured of both sides of connections."""
    found: list[dict[str, Any]] = json.loads((DATA / "rpc.json").read_text())["vectors"]
    return found


def objects(vector: dict[str, Any], size: int = SIZE_MAX) -> list[bytes]:
    """The objects of a vector, fed in pieces of this size."""
    data, splitter = bytes.fromhex(vector["hex"]), Splitter(SIZE_MAX)
    return [each for start in range(0, len(data), size) for each in splitter.feed(data[start : start + size])]


def requests(items: list[bytes]) -> Iterator[tuple[bytes, bytes | None]]:
    """Header and body of each request."""
    left = iter(items)
    for header in left:
        yield header, None if REQUESTS[decode_request_header(header).command] is None else next(left)


class VectorTests(SynchronousTestCase):
    """Every captured connection."""

    def test_connections_are_cut_into_their_objects_whatever_the_pieces(self) -> None:
        """As many objects as the vector tells, also byte by byte."""
        assert len(vectors()) == 28
        for vector in vectors():
            whole = objects(vector)
            assert len(whole) == len(vector["decoded"]["objects"]), vector["name"]
            assert objects(vector, 1) == whole == objects(vector, 7), vector["name"]

    def test_requests_mean_what_they_say_and_come_out_the_same(self) -> None:
        """Each request of a real client, decoded and encoded, has the same bytes."""
        count = 0
        for vector in vectors():
            if not vector["name"].endswith("client to agent"):
                continue
            for header, body in requests(objects(vector)):
                command, seq = decode_request_header(header).command, decode_request_header(header).seq
                struct = REQUESTS[command]
                decoded = None if struct is None or body is None else decode_body(struct, body, REQUEST_ENTRIES_MAX)
                assert encode_request(command, seq, decoded) == header + (body or b""), vector["name"]
                count += 1
        assert count == 25

    def test_replies_mean_what_they_say_and_come_out_the_same(self) -> None:
        """Each reply of a real agent, decoded and encoded, has the same bytes, but for the order of its maps."""
        kinds = []
        for vector in vectors():
            name = vector["name"].removeprefix("rpc ").partition(",")[0]
            if not vector["name"].endswith("agent to client") or name not in REPLIES:
                continue
            items, told = objects(vector), vector["decoded"]["objects"]
            for position, (item, meaning) in enumerate(zip(items, told, strict=True)):
                if "Error" in meaning and "Seq" in meaning:
                    header = decode_response_header(item)
                    assert header == rpc.ResponseHeader(meaning["Error"], meaning["Seq"])
                    assert encode_response(header.error, header.seq) == item
                else:
                    decoded = decode_body(REPLIES[name], item, RESPONSE_ENTRIES_MAX)
                    assert sorted(encode_reply(name, decoded)) == sorted(item), (vector["name"], position)
                    kinds.append(name)
        assert sorted(set(kinds)) == [
            *("get-coordinate", "install-key", "list-keys", "members-filtered", "remove-key", "stats", "use-key"),
        ]

    def test_records_mean_what_they_say_and_come_out_the_same(self) -> None:
        """Records of queries, streams and monitors."""
        found = []
        for vector in vectors():
            for item, meaning in zip(objects(vector), vector["decoded"]["objects"], strict=True):
                kind = next((kind for key, kind in _RECORD_KEYS.items() if key in meaning), None)
                if kind is None or "client to agent" in vector["name"]:
                    continue
                record = decode_body(RECORDS[kind], item, RESPONSE_ENTRIES_MAX)
                assert encode_record(record) == item, vector["name"]
                found.append(record)
        assert rpc.LogRecord("2026/11/23 05:48:46 [INFO] agent: Serf agent starting") in found
        assert rpc.StreamRecord(rpc.USER, ltime=1, name="deploy", payload=b"\0\xffbin") in found
        assert rpc.QueryRecord("a1", b"up 5 days\n", rpc.RESPONSE) in found
        assert {each.event for each in found if isinstance(each, rpc.StreamRecord)} >= {"member-update", "query"}

    def test_a_member_has_all_its_fields(self) -> None:
        """None is mixed up with another."""
        vector = next(each for each in vectors() if each["name"] == "rpc members-filtered, agent to client")
        members = decode_body(REPLIES["members-filtered"], objects(vector)[-1], RESPONSE_ENTRIES_MAX).members
        assert encode_members(list(map(encode_member, members))) == encode_reply("members", rpc.Members(members))
        assert members[0] == rpc.RpcMember(
            "a4", bytes([127, 0, 0, 5]), 7946, {"role": "web"}, "alive", 1, 5, 2, 2, 5, 5
        )


_RECORD_KEYS = {"Log": "monitor", "Event": "stream", "Type": "query"}


class SplitterTests(SynchronousTestCase):
    """What cuts the objects apart."""

    def test_an_object_that_is_too_large_is_refused(self) -> None:
        """Before all of it has come."""
        splitter = Splitter(100)
        with pytest.raises(RemoteProtocolError):
            list(splitter.feed(b"\xc5\xff\xff" + bytes(200)))

    def test_no_msgpack_is_refused(self) -> None:
        """A byte that begins nothing."""
        with pytest.raises(RemoteProtocolError):
            list(Splitter(100).feed(b"\xc1"))

    def test_many_objects_need_no_more_room_than_one(self) -> None:
        """The bound is of one object, not of the connection."""
        splitter = Splitter(100)
        assert sum(len(list(splitter.feed(b"\xa3abc" * 20))) for _ in range(1000)) == 20_000

    def test_more_small_objects_than_the_bound_may_come_at_once(self) -> None:
        """The bound is of one object, not of one read."""
        assert len(list(Splitter(1 << 16).feed(b"\xa3abc" * 100_000))) == 100_000

    @given(st.binary(max_size=300))
    def test_any_bytes_do_no_harm(self, data: bytes) -> None:
        """They are objects, or refused."""
        with contextlib.suppress(RemoteProtocolError):
            assert b"".join(Splitter(1000).feed(data)) == data[: sum(map(len, Splitter(1000).feed(data)))]

    def test_text_that_is_no_utf_8_survives(self) -> None:
        """As the bytes that it was; a lone surrogate cannot be sent."""
        body = rpc.ForceLeave(b"\xff\xfe".decode("utf-8", "surrogateescape"), prune=False)
        data = encode_request("force-leave", 1, body)
        _, item = Splitter(1000).feed(data)
        struct = REQUESTS["force-leave"]
        assert struct is not None
        assert decode_body(struct, item, 100) == body
        with pytest.raises(LocalProtocolError):
            encode_request("force-leave", 1, rpc.ForceLeave("\ud800", prune=False))
