"""A network in memory and in virtual time, for engines of Swim's shape: packets and streams with delays, cuts and loss.

One seed gives one run. The engines see only bytes, addresses and `now`; streams are framed and read as real ones.
"""

import heapq
import random
from collections.abc import Callable
from typing import Protocol

from onevalue.config import LAN, SwimSettings
from onevalue.errors import RemoteProtocolError
from onevalue.swim.core import StreamRequest, Swim
from onevalue.swim.members import MemberRecord
from onevalue.types import Address
from onevalue.wire.envelope import Envelope
from onevalue.wire.messages import NodeStatus, StreamMessage
from onevalue.wire.stream import Outgoing, StreamDecoder

PORT = 7946
VSN = bytes([1, 5, 2, 2, 5, 5])
IP_AND_UDP_HEADERS = 28


class Engine(Protocol):
    """What a node of the network is: Swim, or Serf on top of it."""

    def start(self, now: float) -> None: ...
    def receive_datagram(self, data: bytes, source: Address, now: float) -> None: ...
    def receive_stream(self, message: StreamMessage, now: float) -> Outgoing | None: ...
    def handle_timer(self, now: float) -> None: ...
    def next_deadline(self) -> float | None: ...
    def datagrams_to_send(self) -> list[tuple[bytes, Address]]: ...
    def streams_to_open(self) -> list[StreamRequest]: ...
    def stream_answered(self, request_id: int, message: StreamMessage, now: float) -> None: ...
    def stream_failed(self, request_id: int, reason: str, now: float, *, refused: bool = False) -> None: ...
    def next_event(self) -> object | None: ...


class Node:
    """An engine at an address, with all that it told and what it sent."""

    def __init__(self, name: str, engine: Engine, address: Address, envelope: Envelope) -> None:
        self.name = name
        self.envelope = envelope
        self.engine = engine
        self.address = address
        self.up = True
        self.paused_until = 0.0
        self.events: list[object] = []
        self.packets_sent = 0
        self.bytes_sent = 0

    def read(self, data: Outgoing, *, is_request: bool) -> StreamMessage | None:
        """What the node finds on a stream; None if it refuses it."""
        try:
            message = StreamDecoder(self.envelope, is_request=is_request).feed(data.encode())
        except RemoteProtocolError:
            return None
        assert message is not None, "a whole message"
        return message


class Net:
    """The network: engines by name, and a heap of what happens when."""

    def __init__(self, seed: int = 1, delay_max_s: float = 0.002, loss: float = 0.0) -> None:
        self.rng = random.Random(seed)
        self.now = 100.0
        self.loss = loss
        self.delay_max_s = delay_max_s
        self.nodes: dict[str, Node] = {}
        self._by_address: dict[Address, Node] = {}
        self._cut: set[tuple[str, str]] = set()
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def add(self, name: str, engine: Engine, address: Address, envelope: Envelope | None = None) -> Node:
        """The engine, which has this envelope, is started as a node of the network."""
        node = Node(name, engine, address, envelope or Envelope())
        self.nodes[name] = self._by_address[address] = node
        engine.start(self.now)
        self.drain(node)
        return node

    def crash(self, name: str) -> None:
        """The node is gone from the network without a word."""
        self.nodes[name].up = False

    def pause(self, name: str, seconds: float) -> None:
        """The node does nothing for so long, and then finds what came meanwhile."""
        self.nodes[name].paused_until = self.now + seconds

    def cut(self, left: list[str], right: list[str]) -> None:
        """Nothing passes between the two sides, in either direction."""
        self._cut |= {(a, b) for a in left for b in right} | {(b, a) for a in left for b in right}

    def heal(self) -> None:
        """All cuts are mended."""
        self._cut = set()

    def call(self, name: str, action: Callable[[Engine, float], object]) -> None:
        """`action(engine, now)` has been done on a node, and what came of it is on its way."""
        action(self.nodes[name].engine, self.now)
        self.drain(self.nodes[name])

    def drain(self, node: Node) -> None:
        """What the engine has to send is under way, and its events are noted."""
        for data, address in node.engine.datagrams_to_send():
            node.packets_sent += 1
            node.bytes_sent += len(data) + IP_AND_UDP_HEADERS
            self._send(node, data, address)
        for request in node.engine.streams_to_open():
            self._connect(node, request)
        while (event := node.engine.next_event()) is not None:
            node.events.append(event)

    def run(self, seconds: float) -> None:
        """So much virtual time has passed."""
        end = self.now + seconds
        while (step := self._next_step()) is not None and step[0] <= end:
            at, action = step
            self.now = max(self.now, at)
            action()
        self.now = end

    def run_until(self, holds: Callable[[], bool], seconds: float) -> bool:
        """Time has passed until it holds, or `seconds` at most; whether it holds."""
        end = self.now + seconds
        while not holds() and self.now < end:
            self.run(min(0.1, end - self.now))
        return holds()

    def _next_step(self) -> tuple[float, Callable[[], None]] | None:
        best = (self._heap[0][0], self._deliver_next) if self._heap else None
        for node in self.nodes.values():
            deadline = node.engine.next_deadline() if node.up else None
            if deadline is None:
                continue
            at = max(deadline, node.paused_until, self.now)
            if best is None or at < best[0]:
                best = (at, self._timer_of(node))
        return best

    def _timer_of(self, node: Node) -> Callable[[], None]:
        def fire() -> None:
            node.engine.handle_timer(self.now)
            self.drain(node)

        return fire

    def _deliver_next(self) -> None:
        _, _, action = heapq.heappop(self._heap)
        action()

    def _later(self, at: float, action: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._heap, (at, self._count, action))

    def _delay_s(self) -> float:
        return self.rng.uniform(0.0001, self.delay_max_s)

    def _reaches(self, a: Node, b: Node | None) -> bool:
        return b is not None and a.up and b.up and (a.name, b.name) not in self._cut

    def _send(self, sender: Node, data: bytes, address: Address) -> None:
        receiver = self._by_address.get(address)
        if receiver is None or not self._reaches(sender, receiver) or self.rng.random() < self.loss:
            return

        def arrive() -> None:
            if receiver.paused_until > self.now:
                self._later(receiver.paused_until, arrive)
            elif receiver.up:
                receiver.engine.receive_datagram(data, sender.address, self.now)
                self.drain(receiver)

        self._later(self.now + self._delay_s(), arrive)

    def _connect(self, sender: Node, request: StreamRequest) -> None:
        receiver = self._by_address.get(request.address)

        def fail(reason: str) -> None:
            if sender.up:
                sender.engine.stream_failed(request.request_id, reason, self.now)
                self.drain(sender)

        def arrive() -> None:
            if receiver is None or not receiver.up:
                fail("connection refused")
            elif not self._reaches(sender, receiver) or receiver.paused_until > request.deadline:
                self._later(request.deadline, lambda: fail("no answer in time"))
            elif receiver.paused_until > self.now:
                self._later(receiver.paused_until, arrive)
            else:
                message = receiver.read(request.data, is_request=True)
                answer = None if message is None else receiver.engine.receive_stream(message, self.now)
                self.drain(receiver)
                self._later(self.now + self._delay_s(), lambda: reply(answer))

        def reply(answer: Outgoing | None) -> None:
            message = None if answer is None else sender.read(answer, is_request=False)
            if message is None:
                fail("closed without an answer")
            elif sender.up:
                sender.engine.stream_answered(request.request_id, message, self.now)
                self.drain(sender)

        self._later(self.now + self._delay_s(), arrive)


def decode_stream(data: bytes | Outgoing | None) -> StreamMessage:
    """The one message that these bytes are."""
    assert data is not None, "there is a message"
    message = StreamDecoder().feed(data if isinstance(data, bytes) else data.encode())
    assert message is not None, "a whole message"
    return message


class QuietDelegate:
    """An owner that has nothing to say, or what a test puts into its lists."""

    def __init__(self) -> None:
        self.urgent: list[bytes] = []
        self.other: list[bytes] = []
        self.state = b""
        self.payload: bytes | None = None

    def broadcasts(self, overhead: int, space: int) -> list[bytes]:
        return _fitting(self.other, overhead, space)

    def urgent_broadcasts(self, overhead: int, space: int) -> list[bytes]:
        return _fitting(self.urgent, overhead, space)

    def ack_payload(self) -> bytes | None:
        return self.payload

    def user_state(self, join: bool) -> bytes:
        return self.state + (b" join" if join and self.state else b"")


def _fitting(bodies: list[bytes], overhead: int, space: int) -> list[bytes]:
    taken = []
    for body in bodies:
        if len(body) + overhead <= space:
            taken.append(body)
            space -= len(body) + overhead
    return taken


def make_swim(
    name: str,
    addr: bytes,
    settings: SwimSettings = LAN,
    *,
    seed: int = 1,
    meta: bytes = b"",
    port: int = PORT,
    delegate: QuietDelegate | None = None,
) -> Swim:
    """A Swim that nobody has started."""
    return Swim(
        name=name,
        addr=addr,
        port=port,
        meta=meta,
        vsn=VSN,
        settings=settings,
        rng=random.Random(f"{seed} {name}"),
        delegate=delegate or QuietDelegate(),
    )


class SwimNet(Net):
    """A network whose nodes are Swims, named n1, n2 and so on at 10.0.0.1, 10.0.0.2 and so on."""

    def __init__(self, size: int, settings: SwimSettings = LAN, seed: int = 1, loss: float = 0.0) -> None:
        super().__init__(seed, loss=loss)
        self.swims: dict[str, Swim] = {}
        self.names = [f"n{index}" for index in range(1, size + 1)]
        for index, name in enumerate(self.names, 1):
            swim = make_swim(name, bytes([10, 0, 0, index]), settings, seed=seed)
            self.swims[name] = swim
            self.add(name, swim, (f"10.0.0.{index}", PORT))

    def join(self, name: str, other: str) -> None:
        """A node begins to join another."""
        address = self.nodes[other].address
        self.call(name, lambda _, now: self.swims[name].push_pull(address, join=True, now=now))

    def join_all(self) -> None:
        """All nodes have joined the first, and know each other."""
        for name in self.names[1:]:
            self.join(name, self.names[0])
        assert self.run_until(self.all_alive, 40.0), "all nodes find each other"

    def record(self, at: str, name: str) -> MemberRecord | None:
        """What the node `at` knows of a name."""
        return self.swims[at].member(name)

    def status(self, at: str, name: str) -> NodeStatus | None:
        """The state of a name, as seen at a node."""
        record = self.record(at, name)
        return None if record is None else record.status

    def all_see(self, status: NodeStatus, names: list[str]) -> bool:
        """Every node that is up sees all these names in this state."""
        return all(self.status(node.name, name) is status for node in self.nodes.values() if node.up for name in names)

    def all_alive(self) -> bool:
        """Every node that is up sees all nodes of the start alive."""
        return self.all_see(NodeStatus.ALIVE, self.names)

    def told(self, kind: type) -> list[tuple[str, object]]:
        """All events of one kind that the nodes told, with the name of the node."""
        return [(node.name, event) for node in self.nodes.values() for event in node.events if isinstance(event, kind)]
