"""Any bytes at the three ports leave a node running and its value as it was: nonsense, mutations, floods.

What is sent names members that do not exist, and a node that believes in them writes to their addresses: those of the
captured packets are moved to where nobody is, as far as they stand there uncompressed.
"""

import random
import time
from collections.abc import Callable

import pytest
from hypothesis import strategies as st

from onevalue.types import Incarnation, LamportTime, SequenceNumber
from onevalue.wire.codec import encode_compressed, encode_message, encode_packet
from onevalue.wire.message_ids import MessageId
from onevalue.wire.messages import Alive, IndirectPing, NodeState, NodeStatus, Ping, PushPull, User
from onevalue.wire.serf_codec import KEY_QUERIES, encode_serf
from onevalue.wire.serf_messages import JoinIntent, LeaveIntent, Query, UserEventMessage
from onevalue.wire.stream import encode_stream
from tests.e2e.harness import GOSSIP_PORT, HTTP_PORT, House, Node, ensure_deferred, eventually, pause
from tests.e2e.raw import connect, drawn, exchange, mutated, resident_mb, send_datagrams
from tests.unit.wire_vectors import vectors

DATAGRAMS = 2000
STREAMS = 150
REQUESTS = 200
FLOOD = 20_000
ANSWER_WITHIN_S = 2.0
GROWTH_MAX_MB = 40.0
"""Memory that a flood may cost: members who are forged are remembered, up to a bound."""

NOWHERE = b"\x7f\xfa\xfa"
"""The first bytes of loopback addresses that the tests give to nobody."""

VSN = bytes([1, 5, 2, 2, 5, 4])


def moved(data: bytes) -> bytes:
    """With its members elsewhere."""
    return data.replace(b"\x7f\x00\x00", NOWHERE)


def forged(index: int) -> Alive:
    """A member that does not exist."""
    return Alive(Incarnation(1), f"forged-{index}", NOWHERE + bytes([index % 250 + 1]), 7946, b"", VSN)


class Watched:
    """A node, and what must stay as it was."""

    def __init__(self, node: Node, tag: str | None) -> None:
        self.node = node
        self._tag = tag

    async def is_as_before(self) -> None:
        """It runs, answers in time, and holds the same state; nothing was a fault."""
        begun = time.monotonic()
        answer = await self.node.call("GET", "/v1/value")
        assert time.monotonic() - begun < ANSWER_WITHIN_S
        assert answer.header("ETag") == self._tag
        assert "Traceback" not in self.node.output
        assert "Unhandled" not in self.node.output

    async def counters(self) -> dict[str, int]:
        """What the engine has counted."""
        engine = (await self.node.call("GET", "/v1/status")).json()["engine"]
        return {**engine["swim"]["counters"], "serf_malformed": engine["counters"]["serf_malformed"]}

    async def malformed(self) -> int:
        """How many packets, streams and messages it could not read."""
        counters = await self.counters()
        return counters["malformed"] + counters["serf_malformed"]


async def watched(house: House, *, members: int = 1) -> Watched:
    """A node that holds a value, alone or with others."""
    node = (await house.cluster(members))[0] if members > 1 else await house.node("n1").start()
    await node.set(41)
    return Watched(node, (await node.call("GET", "/v1/value")).header("ETag"))


def query(name: str, payload: bytes, filters: tuple[bytes, ...] = ()) -> bytes:
    """The body of a user message."""
    time_ns = 10**9
    fields = (LamportTime(5), 77, NOWHERE + b"\x01", 7946, "stranger", filters, 0, 0, time_ns, name, payload)
    return encode_serf(Query(*fields))


def crashing_packets() -> list[bytes]:
    """What crashes a real agent of Serf 0.9.4 when it comes in a packet; each is one fault."""
    empty_part = bytes([MessageId.COMPOUND, 2, 0, 9, 0, 0]) + encode_message(User(b"\x63" * 8))
    short = [encode_message(forged(0)).replace(b"\xa6" + VSN, bytes([0xA0 + n]) + VSN[:n]) for n in range(1, 6)]
    key_queries = [query(name, b"") for name in KEY_QUERIES[:3]]
    # The encoder refuses an empty filter, so it takes the place of another.
    empty_filter = query("deploy", b"x", (b"\x00\x90",)).replace(b"\xa2\x00\x90", b"\xa0")
    bodies = [*key_queries, empty_filter]
    return [empty_part, encode_compressed(b""), *short, *(encode_message(User(body)) for body in bodies)]


def crashing_streams() -> list[bytes]:
    """Likewise on a stream: a negative number of nodes, and the others as they may come there; each is one fault."""
    negative = bytes([MessageId.PUSH_PULL]) + b"\x83\xa4Join\xc3\xa5Nodes\xff\xacUserStateLen\x00"
    node = NodeState("forged", NOWHERE + b"\x01", 7946, Incarnation(1), NodeStatus.ALIVE, b"", VSN)
    short_vsn = encode_stream(PushPull(True, (node,), b""), compress=False).replace(b"\xa6" + VSN, b"\xa3" + VSN[:3])
    user = [encode_stream(User(query(name, b"")), compress=False) for name in KEY_QUERIES[:3]]
    return [negative, encode_compressed(negative), encode_compressed(b""), short_vsn, *user, b"\x07\x01\x00\x00"]


@ensure_deferred
async def test_what_crashes_a_real_agent_does_nothing(house: House) -> None:
    """The six inputs, as packets and as streams, are counted as malformed, and nothing else happens."""
    node = await watched(house)
    packets, streams = crashing_packets(), crashing_streams()
    expected = len(packets) + 1  # the message beside the empty part of the compound is none of Serf's
    await send_datagrams(node.node.host, packets)

    async def all_counted() -> bool:
        return await node.malformed() >= expected

    await eventually(all_counted, 10, "each packet is counted as malformed")
    for stream in streams:
        await exchange(node.node.host, GOSSIP_PORT, stream)
    assert await node.malformed() == expected + len(streams)
    assert (await node.counters())["push_pulls"] == 0
    assert list(await node.node.members()) == ["n1"]
    await node.is_as_before()


@ensure_deferred
async def test_any_bytes_at_the_udp_port_do_nothing(house: House) -> None:
    """Random datagrams, mutated captured ones, and large ones: the node answers, and is alive for the other."""
    node = await watched(house, members=2)
    rng = random.Random(1)
    captured = [moved(vector.data) for vector in vectors("udp") if vector.key is None]
    random_bytes = drawn(st.binary(max_size=300), 300)
    with_id = [bytes([rng.randrange(14), *data]) for data in random_bytes]
    large = [rng.randbytes(size) for size in (1400, 9000, 65_000)]
    mutations = [mutated(rng.choice(captured), rng) for _ in range(DATAGRAMS)]
    await send_datagrams(node.node.host, [*random_bytes, *with_id, *large, *mutations], per_s=3000)
    await node.is_as_before()
    assert await node.malformed() > len(mutations) / 10
    other = house.nodes[1]
    await other.sees({"n1": "alive"})
    await node.node.sees({"n2": "alive"})
    await other.set(42)
    await node.node.holds(42)


@ensure_deferred
async def test_any_bytes_at_the_tcp_gossip_port_do_nothing(house: House) -> None:
    """Random streams and mutated captured ones, whole and cut off: the node answers."""
    node = await watched(house)
    rng = random.Random(2)
    captured = [moved(vector.data) for vector in vectors("tcp") if vector.key is None]
    streams = [*drawn(st.binary(max_size=400), STREAMS), *(mutated(rng.choice(captured), rng) for _ in range(STREAMS))]
    for start in range(0, len(streams), 20):
        raws = [await connect(node.node.host, GOSSIP_PORT, data) for data in streams[start : start + 20]]
        await pause(0.02)
        for raw in raws:
            raw.abort()
    await node.is_as_before()
    assert await node.malformed() > STREAMS / 2
    # A captured one as it was is taken as ever.
    answered = await exchange(node.node.host, GOSSIP_PORT, moved(vectors("tcp")[0].data))
    assert answered
    await node.is_as_before()


def http_requests(rng: random.Random) -> list[bytes]:
    """Requests of which none writes: random bytes, random parts in their place, and mutations."""
    tokens = st.sampled_from([b"GET", b"POST", b"PUT", b"BREW", b"", b"\x00", b"get"])
    paths = st.sampled_from([b"/", b"/get", b"/v1/value", b"/v1/status", b"/notify", b"*", b"/%00", b"/%", b"//", b""])
    versions = st.sampled_from([b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/9", b"", b"\xff"])
    names = st.sampled_from([b"Host", b"Content-Length", b"Transfer-Encoding", b"Connection", b"If-None-Match", b"X"])
    any_header = st.builds(lambda name, value: name + b": " + value + b"\r\n", names, st.binary(max_size=20))
    header = st.one_of(st.just(b"Host: localhost\r\n"), any_header)  # else few would come past the Host check
    request = st.builds(
        lambda token, path, version, headers, body: (
            b"%s %s %s\r\n%s\r\n%s" % (token, path, version, b"".join(headers), body)
        ),
        tokens,
        paths,
        versions,
        st.lists(header, max_size=4),
        st.binary(max_size=30),
    )
    sound = b'PUT /v1/value HTTP/1.1\r\nHost: localhost\r\nIf-Match: "x"\r\nContent-Length: 7\r\n\r\n[1,2,,3'
    mutations = [mutated(sound, rng) for _ in range(REQUESTS)]
    return [*drawn(st.binary(max_size=200), REQUESTS), *drawn(request, REQUESTS), *mutations]


@ensure_deferred
async def test_any_bytes_at_the_http_port_do_nothing(house: House) -> None:
    """Random bytes, malformed requests and mutations: each connection gets an answer or an end, and the value stays."""
    node = await watched(house)
    requests = http_requests(random.Random(3))
    for start in range(0, len(requests), 20):
        raws = [await connect(node.node.host, HTTP_PORT, data) for data in requests[start : start + 20]]
        await pause(0.05)
        for raw in raws:
            assert raw.received.startswith(b"HTTP/1.") or not raw.received, raw.received[:100]
            raw.abort()
    await node.is_as_before()
    assert (await node.node.call("GET", "/v1/status")).json()["http"]["errors"] == 0


def flood(rng: random.Random) -> list[bytes]:
    """Pings for nobody and for us, forged members, intents, events, indirect pings, and nonsense; many parts in one."""
    kinds: list[Callable[[int], bytes]] = [
        lambda _: rng.randbytes(200),
        lambda i: encode_message(Ping(SequenceNumber(i), rng.choice(["n1", "elsewhere"]))),
        lambda i: encode_message(forged(i % 3000)),
        lambda i: encode_message(IndirectPing(SequenceNumber(i), NOWHERE + b"\x01", 7946, "elsewhere", nack=True)),
        lambda i: encode_message(User(encode_serf(JoinIntent(LamportTime(i), f"forged-{i}")))),
        lambda i: encode_message(User(encode_serf(LeaveIntent(LamportTime(i), rng.choice(["n1", "n2", "forged-1"]))))),
        lambda i: encode_message(User(encode_serf(UserEventMessage(LamportTime(i), f"event-{i}", rng.randbytes(200))))),
        lambda i: encode_message(User(query(f"query-{i}", rng.randbytes(100)))),
        lambda _: encode_packet([b"\x63"] * 100, compress=True, crc=True),
    ]
    return [kinds[i % len(kinds)](i) for i in range(FLOOD)]


@pytest.mark.alone
@ensure_deferred
async def test_a_flood_of_packets_leaves_the_node_answering(house: House) -> None:
    """20,000 packets of every kind in some seconds: /get is answered in time throughout, and memory stays bounded."""
    node = await watched(house, members=2)
    process = node.node.process
    assert process is not None
    before = resident_mb(process.pid)
    packets = flood(random.Random(4))
    slowest = 0.0
    for start in range(0, FLOOD, 1000):
        await send_datagrams(node.node.host, packets[start : start + 1000], per_s=5000)
        begun = time.monotonic()
        assert await node.node.get() == "41"
        slowest = max(slowest, time.monotonic() - begun)
    assert slowest < ANSWER_WITHIN_S, slowest
    await node.is_as_before()
    assert (await node.counters())["packets_in"] > FLOOD / 4  # the system drops what no buffer holds
    assert resident_mb(process.pid) - before < GROWTH_MAX_MB
    assert (await node.node.set(42)).status == 200
    await house.nodes[1].holds(42, within_s=20)
    await house.nodes[1].sees({"n1": "alive"})
