"""Whatever one peer sends, the reactor of a node is not held up for long, nor does its memory grow beyond a bound.

A prober, which is a process of its own, asks the node, and at the same moments an idle one that nobody harms: the
control. Taken off what an answer took is what the control's took at the same moment, or, if that is more, how long the
node's threads were ready but had no processor: other tests may run on the machine. The figures are printed (`-s`).
"""

import sys
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pytest

from onevalue.exchange import Statement, encode_statement
from onevalue.store import State
from onevalue.swim.members import MEMBERS_MAX
from onevalue.types import Generation, Incarnation, LamportTime, SequenceNumber
from onevalue.values import VALUE_DEPTH_MAX, VALUE_SIZE_DEFAULT, VALUE_SIZE_MAX, Value, canonical
from onevalue.wire.codec import PACKET_PARTS_MAX, encode_compressed, encode_message, encode_packet
from onevalue.wire.internal_queries import TagFilter, encode_filter
from onevalue.wire.memberlist_schema import PUSH_PULL_HEADER, PushPullHeader
from onevalue.wire.message_ids import MessageId
from onevalue.wire.messages import (
    Alive,
    IndirectPing,
    NodeState,
    NodeStatus,
    PacketMessage,
    Ping,
    PushPull,
    Suspect,
    User,
)
from onevalue.wire.serf_codec import STATE_ENTRIES_MAX, encode_serf
from onevalue.wire.serf_messages import EventSlot, Query, SerfState, UserEventMessage
from onevalue.wire.stream import PUSH_PULL_NODES_MAX, STREAM_SIZE_MAX, encode_stream
from tests.e2e.harness import GOSSIP_PORT, House, Node, Process, at_once, ensure_deferred, eventually, pause
from tests.e2e.prober import HTTP, UDP, Sample, read_samples
from tests.e2e.raw import connect, resident_mb, send_datagrams

pytestmark = pytest.mark.alone

STALL_MAX_S = 0.1
RESIDENT_MAX_MB = 400.0
"""A node has 70 MB to begin with; 16,384 members cost 40, and what waits to be decoded, merged or sent the rest."""

SETTLE_S = 0.3
AT_REST_WITHIN_S = 40.0
STREAM_WITHIN_S = 60.0
BOMBS_PER_S = 60.0
HALF_STREAMS = 6
NOWHERE = b"\x7f\xfa"
VSN = bytes([1, 5, 2, 2, 5, 4])


def address(index: int) -> bytes:
    """Of a host that does not exist."""
    return NOWHERE + index.to_bytes(2, "big")


def forged(count: int, incarnation: int = 1, status: NodeStatus = NodeStatus.ALIVE) -> tuple[NodeState, ...]:
    """Members that do not exist."""
    number = Incarnation(incarnation)
    return tuple(NodeState(f"m-{i}", address(i), GOSSIP_PORT, number, status, b"", VSN) for i in range(count))


def push_pull(nodes: Sequence[NodeState], state: SerfState | bytes = b"") -> bytes:
    """The stream, however long."""
    return encode_message(PushPull(False, tuple(nodes), state))


def claims() -> list[bytes]:
    """Streams that announce far more than they bring."""
    header = bytes([MessageId.PUSH_PULL])
    return [
        header + PUSH_PULL_HEADER.pack(PushPullHeader(1_000_000, 0, False)) + bytes(1000),
        header + PUSH_PULL_HEADER.pack(PushPullHeader(0, 100_000_000, False)) + bytes(1000),
        bytes([MessageId.ENCRYPT]) + b"\xff\xff\xff\xff" + bytes(1000),
    ]


def half_stream() -> bytes:
    """As many members as are admitted, as short as can be, but for the last."""
    node = b"\x81\xa4Addr\xc4\x04" + address(1)
    header = bytes([MessageId.PUSH_PULL]) + PUSH_PULL_HEADER.pack(PushPullHeader(PUSH_PULL_NODES_MAX, 0, False))
    return header + node * (PUSH_PULL_NODES_MAX - 1)


def serf_state(**fields: Any) -> SerfState:
    """A state of Serf that holds nothing else."""
    nothing: dict[str, Any] = dict.fromkeys(("ltime", "event_ltime", "query_ltime"), LamportTime(1))
    return SerfState(**{**nothing, "status_ltimes": {}, "left_members": (), "events": (), **fields})


def large_states() -> dict[str, SerfState]:
    """About as many entries of each kind as are admitted."""
    count = STATE_ENTRIES_MAX - 10
    names = [f"m-{index}" for index in range(count)]
    half = names[: count // 2]
    slots = tuple(EventSlot(LamportTime(index), (("e", b"x"),)) for index in range(1, count // 7))
    crowd = tuple((f"e{index}", b"") for index in range(250))
    crowded = tuple(EventSlot(LamportTime(20_000 + index), crowd) for index in range(150))
    return {
        "times of members": serf_state(status_ltimes=dict.fromkeys(names, LamportTime(5))),
        "members who left": serf_state(left_members=tuple(names)),
        "both": serf_state(status_ltimes=dict.fromkeys(half, LamportTime(9)), left_members=tuple(half)),
        "empty slots": serf_state(events=(None,) * count),
        "slots of one event": serf_state(events=slots),
        "slots of many events": serf_state(events=crowded),
    }


def stream_bomb() -> bytes:
    """A few kilobytes that expand to as much as is admitted, and are then no message."""
    return encode_compressed(bytes([MessageId.USER]) * (STREAM_SIZE_MAX - 1))


def packet(messages: Sequence[PacketMessage]) -> bytes:
    """A datagram with all of them: a compound of compounds, compressed."""
    parts = [encode_message(message) for message in messages]
    half = len(parts) // 2
    inner = [
        encode_packet(some[i : i + 100], compress=False, crc=False)
        for some in (parts[:half], parts[half:])
        for i in range(0, len(some), 100)
    ]
    return encode_packet(inner, compress=True, crc=False)


def query(number: int, filters: tuple[bytes, ...]) -> User:
    """One that wants an ack."""
    fields = (LamportTime(7), number, address(1), GOSSIP_PORT, "m-1", filters, 1, 0, 10**9, "q", b"")
    return User(encode_serf(Query(*fields)))


def packet_bombs(count: int) -> list[bytes]:
    """Datagrams of a few kilobytes at most that mean as much work as is admitted, of all kinds by turns."""
    numbers = range(PACKET_PARTS_MAX - 10)
    costly = (encode_filter(TagFilter("http", "(x*){300}x")),) * 8
    bombs: list[bytes] = []
    for turn in range(count // 7 + 1):
        first = turn * len(numbers) % MEMBERS_MAX
        bombs += [
            packet([Ping(SequenceNumber(i), "") for i in numbers]),
            packet([IndirectPing(SequenceNumber(i), address(i), GOSSIP_PORT, f"m-{i}", True) for i in numbers]),
            packet(
                [
                    Alive(Incarnation(turn + 2), f"m-{first + i}", address(first + i), GOSSIP_PORT, b"", VSN)
                    for i in numbers
                ]
            ),
            packet([Suspect(Incarnation(turn + 2), f"m-{first + i}", "m-1") for i in numbers]),
            packet([query(1000 * turn + i, ()) for i in numbers]),
            packet([query(1000 * turn + 500 + i, costly) for i in numbers[:100]]),
            packet([User(encode_serf(UserEventMessage(LamportTime(turn + 1), f"e{i}", b""))) for i in numbers]),
        ]
    return bombs[:count]


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured in one step."""

    step: str
    took_s: float
    worst_s: float
    over_s: float
    control_s: float
    resident_mb: float

    def __str__(self) -> str:
        times = (self.worst_s, self.over_s, self.control_s)
        worst, over, control = (f"{1000 * each:6.1f} ms" for each in times)
        figures = f"worst {worst}, own {over}, control {control}, {self.resident_mb:4.0f} MB"
        return f"{self.step:28} {self.took_s:4.1f} s, {figures}"


def own_share_s(sample: Sample, control: Sequence[Sample]) -> float:
    """What the answer took beyond the machine's share; see above."""
    meanwhile = [each.took_s for each in control if each.sent < sample.came and each.came > sample.sent]
    return sample.took_s - max(sample.queued_s, *meanwhile, 0.0)


class Watch:
    """A node that is harmed, its control, and what both answered when."""

    def __init__(self, house: House) -> None:
        self.node = house.node("node", options=["--debug-interval", "1"])
        self.figures: list[Figures] = []
        self._control = house.node("control")
        self._folder = house.folder
        self._path = house.folder / "samples"
        self._prober: Process | None = None

    async def __aenter__(self) -> Self:
        """Both nodes run, and are measured."""
        await at_once(self.node.start(), self._control.start())
        hosts = [f"{node.host}={_pid(node)}" for node in (self.node, self._control)]
        command = [sys.executable, "-m", "tests.e2e.prober", str(self._path), *hosts]
        self._prober = Process("prober", command, {"PYTHONPATH": str(Path(__file__).parents[2])}, self._folder)

        async def measured() -> bool:
            return len(read_samples(self._path)) > 100

        await eventually(measured, 10, "the prober measures")
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._prober is not None:
            await self._prober.kill()

    async def during(self, step: str, harm: Coroutine[Any, Any, object], ways: Sequence[str] = (UDP, HTTP)) -> None:
        """The step was done, and measured until the node was at rest again."""
        begun = time.monotonic()
        await harm
        await eventually(self._at_rest, AT_REST_WITHIN_S, f"{step}: the node is at rest again")
        await pause(SETTLE_S)
        samples = [each for each in read_samples(self._path) if each.came > begun and each.way in ways]
        node = [each for each in samples if each.host == self.node.host]
        control = [each for each in samples if each.host != self.node.host]
        figures = Figures(
            step,
            time.monotonic() - begun,
            max(each.took_s for each in node),
            max(own_share_s(each, control) for each in node),
            max(each.took_s for each in control),
            resident_mb(_pid(self.node)),
        )
        print(figures)  # noqa: T201  # they are what this test is for
        self.figures.append(figures)

    async def was_never_held_up(self) -> None:
        """The bounds held in all steps, and the node is well."""
        assert [each for each in self.figures if each.over_s > STALL_MAX_S] == []
        assert [each for each in self.figures if each.resident_mb > RESIDENT_MAX_MB] == []
        assert await self.node.get() == "42"
        assert (await self.node.set(43)).status == 200
        assert "Traceback" not in self.node.output

    async def counters(self) -> dict[str, int]:
        """All that the engine has counted."""
        engine = await self._engine()
        return {**engine["counters"], **engine["swim"]["counters"]}

    async def _engine(self) -> Any:
        return (await self.node.call("GET", "/v1/status", timeout_s=20)).json()["engine"]

    async def _at_rest(self) -> bool:
        engine = await self._engine()
        return bool(engine["unmerged"] == engine["swim"]["unmerged"] == engine["inbound_streams"] == 0)

    async def send(self, *streams: bytes) -> None:
        """All at once; the node has closed each."""

        async def send_one(data: bytes) -> None:
            raw = await connect(self.node.host, GOSSIP_PORT, data)
            await raw.closed(STREAM_WITHIN_S)

        await at_once(*(send_one(data) for data in streams))


def _pid(node: Node) -> int:
    assert node.process is not None
    return node.process.pid


@ensure_deferred
async def test_false_claims_and_bombs_on_streams(house: House) -> None:
    """Claims of members, bytes and keys, half streams, bombs, and user messages of 8 MiB: refused, and counted."""
    async with Watch(house) as watch:
        await watch.during("nothing", pause(1.0))
        await watch.during("false claims", watch.send(*claims()))

        async def half_streams() -> None:
            raws = [await connect(watch.node.host, GOSSIP_PORT, half_stream()) for _ in range(HALF_STREAMS)]
            await pause(3.0)
            for raw in raws:
                raw.abort()

        await watch.during("half streams", half_streams())
        await watch.during("bombs", watch.send(*[stream_bomb()] * 6))
        user = encode_stream(User(bytes(STREAM_SIZE_MAX - 100)), compress=False)
        await watch.during("user messages of 8 MiB", watch.send(*[user] * 4))
        long_state = encode_serf(serf_state(events=(None,) * (STATE_ENTRIES_MAX - 10)))
        await watch.during("a state as a user message", watch.send(encode_stream(User(long_state), compress=False)))
        counters = await watch.counters()
        assert counters["malformed"] >= 2 + HALF_STREAMS + 6
        assert (counters["undecipherable"], counters["streams_refused"], counters["push_pulls"]) == (1, 5, 0)
        await watch.was_never_held_up()


@ensure_deferred
async def test_forged_members_and_long_states(house: House) -> None:
    """As many as are admitted, plain and compressed, in a row and at once; then all kinds of states."""
    async with Watch(house) as watch:
        few = push_pull(forged(16_000))
        await watch.during("16000 members", watch.send(few))
        most = push_pull(forged(PUSH_PULL_NODES_MAX, 2))
        await watch.during("65536 members", watch.send(most))
        await watch.during("65536 members, compressed", watch.send(encode_compressed(most)))
        await watch.during("65536 members, 3 at once", watch.send(*[most] * 3))
        await watch.during("all are suspected", watch.send(push_pull(forged(16_000, 3, NodeStatus.DEAD))))
        await watch.during("GET /v1/members", watch.node.call("GET", "/v1/members", timeout_s=20))
        for what, state in large_states().items():
            await watch.during(f"state: {what}", watch.send(push_pull((), state)))
        state = serf_state(status_ltimes=dict.fromkeys((f"x-{index}" for index in range(10_000)), LamportTime(5)))
        await watch.during("20 states at once", watch.send(*[push_pull((), state)] * 20))
        counters = await watch.counters()
        assert counters["members_refused"] > PUSH_PULL_NODES_MAX
        assert counters["push_pulls_refused"] > 0
        await watch.was_never_held_up()


@ensure_deferred
async def test_packets_that_mean_much_work(house: House) -> None:
    """Of all kinds, more than the node can take. Pings queue behind them, so that only HTTP is measured meanwhile."""
    async with Watch(house) as watch:
        await watch.during("8000 members", watch.send(push_pull(forged(8000))))
        bombs = packet_bombs(70) * 3
        assert max(map(len, bombs)) < 10_000
        await watch.during("packets", send_datagrams_slowly(watch.node.host, bombs), [HTTP])
        await watch.during("empty packets", send_datagrams(watch.node.host, [b""] * 40_000, per_s=40_000), [HTTP])
        await watch.during("nothing", pause(1.0))
        counters = await watch.counters()
        assert counters["pings_refused"] > 0
        assert counters["serf_queries_unread"] > 0
        await watch.was_never_held_up()


@ensure_deferred
async def test_large_values(house: House) -> None:
    """Statements and writes whose values take long to read, many at once; and many who read a large value."""
    deep: Value = []
    for _ in range(VALUE_DEPTH_MAX - 2):
        deep = [deep]
    nasty: dict[str, Value] = {
        "deep": [deep] * (VALUE_SIZE_MAX // (2 * VALUE_DEPTH_MAX) - 100),
        "floats": [index / 7 for index in range(6_000)],
        "keys": {f"key-{index}": index for index in range(6_000)},
    }
    async with Watch(house) as watch:
        node = watch.node

        async def push(value: Value, generation: int) -> None:
            state = State(Generation(generation), value, "n2", 1.0)
            body = encode_statement(Statement("n2", learning=False, state=state))
            answer = await node.call("POST", "/notify", data=body, timeout_s=60)
            assert answer.status == 200, answer.text[:200]

        async def write(value: Value) -> None:
            assert (await node.call("PUT", "/v1/value", data=canonical(value), timeout_s=60)).status == 200

        for what, value in nasty.items():
            await watch.during(f"30 statements: {what}", at_once(*(push(value, 10 + each) for each in range(30))))
        await watch.during("60 readers", at_once(*(node.call("GET", "/v1/value", timeout_s=60) for _ in range(60))))
        small = [deep] * (VALUE_SIZE_DEFAULT // (2 * VALUE_DEPTH_MAX) - 100)
        await watch.during("60 writes", at_once(*(write(small) for _ in range(60))))
        assert (await node.set(42)).status == 200
        await watch.was_never_held_up()


async def send_datagrams_slowly(host: str, datagrams: Sequence[bytes]) -> None:
    """Evenly, at BOMBS_PER_S."""
    for datagram in datagrams:
        await send_datagrams(host, [datagram], per_s=50 * BOMBS_PER_S)
