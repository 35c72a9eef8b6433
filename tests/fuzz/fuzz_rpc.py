"""Fuzz target: the bytes of an agent RPC, from either side.

An input is cut into its objects, as a whole and in small pieces; each is read as a header and as every body that there
is. What must hold: it means something or is refused; what means something can be sent, and means the same again.
"""

import json
from contextlib import suppress
from typing import Any

from onevalue.errors import RemoteProtocolError
from onevalue.wire.dialect import Splitter
from onevalue.wire.rpc_codec import (
    RECORDS,
    REPLIES,
    REQUEST_ENTRIES_MAX,
    REQUESTS,
    decode_body,
    decode_request_header,
    decode_response_header,
    encode_record,
    encode_reply,
    encode_request,
    encode_response,
)
from tests.fuzz import seeds
from tests.fuzz.targets import Target
from tests.unit.wire_vectors import DATA

SIZE_MAX = 1 << 12
PIECE_SIZE = 13


def objects(data: bytes, size: int) -> tuple[list[bytes], bool]:
    """The objects in pieces of this size, and whether all of it was taken."""
    splitter, found = Splitter(SIZE_MAX), list[bytes]()
    try:
        for start in range(0, len(data), size):
            found += splitter.feed(data[start : start + size])
    except RemoteProtocolError:
        return found, False
    return found, True


def run(data: bytes) -> None:
    """See Target."""
    whole, taken = objects(data, max(1, len(data)))
    assert (whole, taken) == objects(data, PIECE_SIZE)
    assert not taken or data.startswith(b"".join(whole))
    for item in whole:
        _look_at(item)


def _look_at(item: bytes) -> None:
    for command, struct in REQUESTS.items():
        if struct is not None and (body := _read(struct, item)) is not None:
            *_, again = objects(encode_request(command, 1, body), SIZE_MAX)[0]
            assert repr(_read(struct, again)) == repr(body), command
    for command, struct in REPLIES.items():
        if (body := _read(struct, item)) is not None:
            assert repr(_read(struct, encode_reply(command, body))) == repr(body), command
    for command, struct in RECORDS.items():
        if (body := _read(struct, item)) is not None:
            encode_record(body)
            assert command in {"monitor", "stream", "query"}
    with suppress(RemoteProtocolError):
        request = decode_request_header(item)
        assert decode_request_header(encode_request("members", request.seq)).seq == request.seq
    with suppress(RemoteProtocolError):
        response = decode_response_header(item)
        assert decode_response_header(encode_response(response.error, response.seq)) == response


def _read(struct: Any, item: bytes) -> Any:
    try:
        return decode_body(struct, item, REQUEST_ENTRIES_MAX)
    except RemoteProtocolError:
        return None


def _seeds() -> list[bytes]:
    """What was captured, whole and each object, and some edges."""
    captured = [bytes.fromhex(each["hex"]) for each in json.loads((DATA / "rpc.json").read_text())["vectors"]]
    single = [item for data in captured for item in objects(data, len(data))[0]]
    return list(dict.fromkeys(each for each in [*captured, *single, *seeds.edges()] if len(each) <= SIZE_MAX))


TARGET = Target(run, _seeds, SIZE_MAX)
