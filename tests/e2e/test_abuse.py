"""What strangers send over HTTP: absurd states, nonsense, half a request. The value stays, and others are answered."""

import time
from typing import Any

from twisted.internet.defer import gatherResults

from onevalue.serf.event_ring import EVENTS_PER_SLOT_MAX
from onevalue.serf.lamport import LAMPORT_TIME_MAX
from onevalue.spread.core import PULL_PAUSE_S
from onevalue.spread.rumour import EVENT_NAME, encode_event
from onevalue.store import GENERATION_MAX, State
from onevalue.types import Generation, LamportTime
from onevalue.web.channel import BODY_SIZE_MAX, LINGER_TIME_MAX_S, REQUEST_TIME_MAX_S
from onevalue.web.server import SWEEP_INTERVAL_S
from onevalue.wire.codec import encode_message
from onevalue.wire.messages import User
from onevalue.wire.serf_codec import encode_serf
from onevalue.wire.serf_messages import JoinIntent, LeaveIntent, UserEventMessage
from tests.e2e.harness import GOSSIP_PORT, HTTP_PORT, House, Node, ensure_deferred, eventually, pause, started
from tests.e2e.raw import Raw, connect, exchange, send_datagrams

LEAP = 2**32
HALF_REQUESTS = 200
LIFE_OF_HALF_A_REQUEST_S = REQUEST_TIME_MAX_S + SWEEP_INTERVAL_S + LINGER_TIME_MAX_S + 4
"""With some slack: the machine may be busy."""

ANSWER_WITHIN_S = 2.0
DRIP_S = 0.4

QUIET = ["--members-to-notify", "0"]
"""No rounds of anti-entropy: what a node learns, it learns from the one thing under test."""


async def tag_of(node: Node) -> str | None:
    """The state tag."""
    return (await node.call("GET", "/v1/value")).header("ETag")


async def refused(node: Node) -> int:
    """How many states of others it has refused."""
    return int((await node.call("GET", "/v1/status")).json()["spread"]["states_refused"])


def value_event(state: State) -> bytes:
    """A datagram that carries the state, as an origin sends it."""
    message = UserEventMessage(LamportTime(1), EVENT_NAME, encode_event(state))
    return encode_message(User(encode_serf(message)))


@ensure_deferred
async def test_a_stranger_cannot_freeze_the_value(house: House) -> None:
    """Generations at the end of the range, and absurdly far ahead, change nothing on any way in; writes go on."""
    one, two = await house.cluster(2)
    await one.set(5)
    await two.holds(5)
    before = await tag_of(one)

    assert (await one.call("GET", f"/notify/666/{GENERATION_MAX}")).status == 400
    for generation in (GENERATION_MAX - 1, 2**62, 1 + LEAP + 1):
        answer = (await one.call("GET", f"/notify/666/{generation}?notifier=stranger")).json()
        assert (answer["changed"], answer["value"]) == (False, 5)
        assert "ahead of ours" in answer["refused"]
    state = {"value": 666, "generation": 2**62, "origin": "stranger", "time": 0.0}
    statement = {"name": "stranger", "learning": False, "state": state}
    answer = (await one.call("POST", "/notify", json=statement)).json()
    assert (answer["changed"], answer["state"]["value"]) == (False, 5)
    state["generation"] = GENERATION_MAX + 1
    assert (await one.call("POST", "/notify", json=statement)).status == 400

    so_far = await refused(one)
    await send_datagrams(one.host, [value_event(State(Generation(2**62), 666))])

    async def event_refused() -> bool:
        return await refused(one) > so_far

    await eventually(event_refused, 10, "the event has come and is refused")
    assert (await tag_of(one), await tag_of(two)) == (before, before)
    for generation, node in enumerate((one, two, one), start=2):
        answer = (await node.call("PUT", "/v1/value", data=b"%d" % generation)).json()
        assert answer["generation"] == generation
        await one.holds(generation)
        await two.holds(generation)


@ensure_deferred
async def test_states_far_ahead_are_learnt_when_they_are_pulled(house: House) -> None:
    """A fresh node learns a state 2**32 and more ahead when it joins, and later when a push that it refuses says so."""
    ahead = await house.node("ahead", options=QUIET).start()
    for step in (1, 2, 3):
        assert (await ahead.call("GET", f"/notify/{step}/{step * LEAP}")).json()["changed"]
    assert not (await ahead.call("GET", f"/notify/666/{4 * LEAP + 1}")).json()["changed"]

    fresh = await house.node("fresh", join=[ahead], options=QUIET).start()
    assert (await fresh.value())["generation"] == 3 * LEAP
    await fresh.set(4)
    await ahead.holds(4)
    assert (await ahead.value())["generation"] == 3 * LEAP + 1

    for step in (4, 5):
        assert (await ahead.call("GET", f"/notify/{step}0/{step * LEAP}")).json()["changed"]
    assert await fresh.get() == "4"  # nobody has told it
    await pause(PULL_PAUSE_S + 0.1)  # refused pushes, as that of the first exchange, make a node ask once in a while
    answer = (await fresh.call("GET", f"/notify/666/{2**62}")).json()
    assert (answer["changed"], answer["value"]) == (False, 4)
    await fresh.holds(50)
    assert (await fresh.value())["generation"] == 5 * LEAP

    for step in (6, 7):
        assert (await ahead.call("GET", f"/notify/{step}0/{step * LEAP}")).json()["changed"]
    await pause(PULL_PAUSE_S + 0.1)
    await ahead.set(8)  # its event is too far ahead for the other, which asks
    await fresh.holds(8)


@ensure_deferred
async def test_a_clock_at_the_end_of_time_does_not_stop_the_value(house: House) -> None:
    """Forged intents and events fill the last slot of time, so that no event is taken any more: values arrive still."""
    one, two = await house.cluster(2)
    bodies = [
        encode_serf(JoinIntent(LAMPORT_TIME_MAX, "n2")),
        encode_serf(LeaveIntent(LAMPORT_TIME_MAX, "n1")),
        *(
            encode_serf(UserEventMessage(LAMPORT_TIME_MAX, f"deploy-{index}", b""))
            for index in range(EVENTS_PER_SLOT_MAX + 10)
        ),
    ]
    await send_datagrams(one.host, [encode_message(User(body)) for body in bodies])

    async def at_the_end() -> bool:
        engine = (await two.call("GET", "/v1/status")).json()["engine"]
        return bool(engine["clocks"]["event"] == LAMPORT_TIME_MAX)

    await eventually(at_the_end, 10, "the forged time has reached the other node")
    for value in range(1, 4):
        assert (await one.set(value)).status == 200
        await two.holds(value)  # by anti-entropy, if need be
        assert (await two.set(value * 10)).status == 200
        await one.holds(value * 10)
    await one.sees({"n1": "alive", "n2": "alive"})
    await two.sees({"n1": "alive", "n2": "alive"})
    assert "Traceback" not in one.output + two.output


def in_json(request: bytes, status: int) -> tuple[bytes, int, bytes]:
    """A bad request under /v1, which is answered with a problem document."""
    return request, status, b"application/problem+json"


def in_text(request: bytes, status: int = 400) -> tuple[bytes, int, bytes]:
    """A bad request elsewhere, which is answered with the reason as text."""
    return request, status, b"text/plain"


BAD_REQUESTS = [
    in_text(b"GET /set/abc"),
    in_text(b"GET /set/9223372036854775808"),
    in_text(b"GET /set/-9223372036854775809"),
    in_text(b"GET /set/1_000"),
    in_text(b"GET /set/%205"),
    in_text(b"GET /set/5%20"),
    in_text(b"GET /set/%2B%2B5"),
    in_text(b"GET /set/1.0"),
    in_text(b"GET /set/0x10"),
    in_text("GET /set/٤٢".encode()),
    in_text(b"GET /set/%D9%A4%D9%A2"),
    in_text(b"GET /set/" + b"9" * 5000),
    in_text(b"GET /notify/1/-5"),
    in_text(b"GET /notify/x/y"),
    in_text(b"GET /notify/1/9223372036854775807"),
    in_text(b"GET /notify/1/18446744073709551616"),
    in_text(b"GET /notify/9223372036854775808/1"),
    in_text(b"GET /set/%ff"),
    in_text(b"GET /set/", 404),
    in_text(b"POST /notify\r\nContent-Length: 3\r\n\r\nabc"),
    in_text(b'POST /notify\r\nContent-Length: 13\r\n\r\n{"state": {}}'),
    in_text(b"POST /notify\r\nContent-Length: %d\r\n\r\n%s" % (20_000, b"[" * 20_000)),
    in_text(b"POST /notify\r\nContent-Length: 99999999999\r\n\r\n", 413),
    in_text(
        b"POST /notify\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s" % (BODY_SIZE_MAX + 1, b"1" * (BODY_SIZE_MAX + 1)),
        413,
    ),
    in_text(b"GET /set/7\r\nSec-Fetch-Site: cross-site", 403),
    in_text(b"GET /set/7\r\nOrigin: http://elsewhere.example", 403),
    in_text(b"GET /notify/7/7\r\nOrigin: http://elsewhere.example", 403),
    in_text(b"GET /nowhere", 404),
    in_text(b"GET /set/7/8", 404),
    in_text(b"GET //set/7"),
    in_text(b"PUT /healthz", 405),
    in_text(b"GET /set/7\r\n" + b"A: b\r\n" * 200, 431),
    in_text(b"GET /" + b"x" * 9000, 414),
    in_text(b"GET /set/7\r\nHost: two", 400),
    in_text(b"GET /set/7\r\nContent-Length: -1", 400),
    in_json(b"PUT /v1/value\r\nContent-Length: 3\r\n\r\nabc", 400),
    in_json(b"PUT /v1/value\r\nContent-Length: 4\r\n\r\ntrux", 400),
    in_json(b"PUT /v1/value\r\nContent-Length: 5\r\n\r\n1e999", 400),
    in_json(b'PUT /v1/value\r\nContent-Length: 13\r\n\r\n{"a":1,"a":2}', 400),
    in_json(b'PUT /v1/value\r\nContent-Length: 8\r\n\r\n"\\ud800"', 400),
    in_json(b"PUT /v1/value?ack=0\r\nContent-Length: 1\r\n\r\n7", 400),
    in_json(b"PUT /v1/value?ack=2&timeout=99\r\nContent-Length: 1\r\n\r\n7", 400),
    in_json(b"PUT /v1/value\r\nContent-Length: 65537\r\n\r\n" + b'"%s"' % (b"x" * 65535), 413),
    in_json(b"PUT /v1/value\r\nContent-Length: 19\r\n\r\n9223372036854775808", 400),
    in_json(b"PUT /v1/value\r\nContent-Length: 0\r\n\r\n", 400),
    in_json(b"PUT /v1/value\r\nContent-Length: 2\r\n\r\n\xff\xfe", 400),
    in_json(b'PUT /v1/value\r\nIf-Match: "9-0"\r\nContent-Length: 1\r\n\r\n7', 412),
    in_json(b"PUT /v1/value\r\nIf-Match: 9\r\nContent-Length: 1\r\n\r\n7", 400),
    in_json(b"PUT /v1/value\r\nSec-Fetch-Site: cross-site\r\nContent-Length: 1\r\n\r\n7", 403),
    in_json(b"PUT /v1/value\r\nContent-Length: 99999999\r\n\r\n", 413),
    in_json(b"GET /v1/nowhere", 404),
    in_json(b"DELETE /v1/value", 405),
]


def spelt_out(request: bytes) -> bytes:
    """A whole request from its beginning; one that has a body brings its own end of the headers."""
    line, _, rest = request.partition(b"\r\n")
    head = line + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + rest
    return head if b"\r\n\r\n" in head else head + b"\r\n\r\n"


@ensure_deferred
async def test_bad_requests_are_answered_with_the_reason_and_change_nothing(house: House) -> None:
    """Each gets its status and the reason, in text or JSON, and the state tag stays; none is a fault in the log."""
    node = await house.node("n").start()
    await node.set(41)
    before = await tag_of(node)
    for request, status, content_type in BAD_REQUESTS:
        answer = await exchange(node.host, HTTP_PORT, spelt_out(request))
        head, _, reason = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 %d " % status), (request[:80], answer[:300])
        assert content_type in head, (request[:80], head)
        assert len(reason) > 10, (request[:80], answer)
        assert (b"\r\nAllow: " in head) == (status == 405), head
        assert await tag_of(node) == before, request[:80]
    assert b"400" in await exchange(node.host, HTTP_PORT, b"GET /set/7 HTTP/1.1\r\n\r\n")  # no Host
    assert await tag_of(node) == before
    assert "Traceback" not in node.output


async def drip(raw: Raw, data: bytes) -> None:
    """One byte after the other, for as long as the connection is open."""
    for byte in data:
        if raw.closed_at is not None:
            return
        raw.send(bytes([byte]))
        await pause(DRIP_S)


@ensure_deferred
async def test_half_sent_requests_are_closed_and_others_are_answered(house: House) -> None:
    """200 half-sent requests, others that drip in, and half streams of gossip all end in bounded time; /get goes on."""
    node = await house.node("n").start()
    halves = [
        b"GET /get HTTP/1.1\r\nHos",
        b"GET /g",
        b"PUT /v1/value HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n1",
    ]
    slow = [await connect(node.host, HTTP_PORT, halves[index % len(halves)]) for index in range(HALF_REQUESTS)]
    dripping = [await connect(node.host) for _ in range(5)]
    drips: list[Any] = [
        started(drip(raw, b"GET /get HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 20)) for raw in dripping
    ]
    slow += dripping
    slow += [await connect(node.host, GOSSIP_PORT, half) for half in (b"\x00", b"\x06\x83", b"\x09\x82\xa4Algo")]
    assert (await node.call("GET", "/v1/status")).json()["http"]["connections"] >= HALF_REQUESTS

    slowest, value = 0.0, 100
    while any(raw.closed_at is None for raw in slow):
        value += 1
        begun = time.monotonic()
        assert (await node.set(value)).status == 200
        assert await node.get() == str(value)
        slowest = max(slowest, time.monotonic() - begun)
        assert max(raw.life_s for raw in slow) < LIFE_OF_HALF_A_REQUEST_S
        await pause(0.1)
    await gatherResults(drips)
    assert slowest < ANSWER_WITHIN_S, slowest
    requests = [raw for raw in slow if raw.received.startswith(b"HTTP/1.1 408 ")]
    assert len(requests) == HALF_REQUESTS + 5
    status = (await node.call("GET", "/v1/status")).json()
    assert (status["http"]["connections"], status["http"]["requests_expired"]) == (1, len(requests))
    assert status["engine"]["inbound_streams"] == 0
