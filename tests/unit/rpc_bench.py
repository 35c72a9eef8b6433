"""A node whose agent RPC is spoken with in memory: the whole engine on a reactor of the test, and clients of it."""

import os
import random
from collections.abc import Mapping
from typing import Any

import msgpack  # type: ignore[import-untyped]  # comes without types
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from onevalue.config import LAN, SerfSettings
from onevalue.gossip import GossipService
from onevalue.rpc.connection import RpcConnection
from onevalue.rpc.service import RpcService
from onevalue.rpc.stats import sections
from onevalue.serf.core import Serf
from onevalue.serf.dialler import Dialler
from onevalue.transport import Sockets
from onevalue.types import Address, Incarnation
from onevalue.wire import rpc_messages as rpc
from onevalue.wire.codec import encode_message
from onevalue.wire.envelope import Envelope
from onevalue.wire.keyring import Keyring
from onevalue.wire.messages import Alive
from onevalue.wire.rpc_codec import encode_request
from onevalue.wire.serf_codec import encode_tags
from tests.unit.gossip_bench import GossipReactor, Names
from tests.unit.swim_net import VSN

OWN: Address = ("10.0.0.1", 7946)
OTHER: Address = ("10.0.0.2", 7946)
TAGS = {"http": "http:8080", "role": "web"}


class Client:
    """One client, and what came back to it."""

    def __init__(self, bench: "RpcTestCase") -> None:
        protocol = bench.rpc.buildProtocol(None)
        assert isinstance(protocol, RpcConnection)
        self.protocol = protocol
        self.transport = StringTransport(lenient=True)
        self.objects: list[Any] = []
        self._bench = bench
        self._unpacker = msgpack.Unpacker(strict_map_key=False, unicode_errors="surrogateescape")
        protocol.makeConnection(self.transport)  # type: ignore[no-untyped-call]  # Twisted's has no types

    @property
    def is_closed(self) -> bool:
        """The node has closed the connection."""
        return bool(self.transport.disconnecting)

    @property
    def is_cut_off(self) -> bool:
        """At once."""
        return bool(self.transport.disconnected)

    def send(self, data: bytes) -> list[Any]:
        """What comes back to these bytes in the next turns, one object after the other."""
        self.protocol.dataReceived(data)
        return self.more()

    def ask(self, command: str, seq: int, body: object | None = None) -> list[Any]:
        """What comes back to this request in the next turns, but for its header if that tells of no error."""
        found = self.send(encode_request(command, seq, body))
        return found[1:] if found[:1] == [{"Error": "", "Seq": seq}] else found

    def more(self) -> list[Any]:
        """What comes in the next turns."""
        self._bench.turn()
        self._unpacker.feed(self.transport.value())
        self.transport.clear()
        return list(self._unpacker)

    def greet(self) -> "Client":
        """It has done its handshake."""
        assert self.send(encode_request("handshake", 0, rpc.Handshake())) == [{"Error": "", "Seq": 0}]
        return self

    def lose(self) -> None:
        """The connection has ended."""
        self.protocol.connectionLost(Failure(ConnectionError()))


class RpcTestCase(SynchronousTestCase):
    """A node n1 at 10.0.0.1 that runs, with its RPC."""

    key = ""
    keys: tuple[bytes, ...] = ()

    def setUp(self) -> None:
        self.reactor = GossipReactor()
        self.names = Names()
        self.reactor.nameResolver = self.names  # type: ignore[assignment]  # as much of it as is used
        self.envelope = Envelope(keyring=Keyring(self.keys, os.urandom)) if self.keys else Envelope()
        self.serf = Serf(
            name="n1",
            addr=bytes([10, 0, 0, 1]),
            port=OWN[1],
            tags=TAGS,
            swim_settings=LAN,
            settings=SerfSettings(),
            rng=random.Random(1),
            envelope=self.envelope,
            held_events=["onevalue"],
        )
        self.gossip = GossipService(
            reactor=self.reactor,
            name="n1",
            serf=self.serf,
            dialler=Dialler([], SerfSettings(), [OWN]),
            transport=Sockets(
                reactor=self.reactor, bind=OWN, envelope=self.envelope, stream_time_max_s=LAN.stream_timeout_s
            ),
            envelope=self.envelope,
        )
        self.leaves = 0
        self.rpc = RpcService(
            reactor=self.reactor,
            endpoint=TCP4ServerEndpoint(self.reactor, 7373),
            side=self.gossip.serf_side,
            stats=self.stats,
            leave=self.leave,
            key=self.key,
        )
        self.gossip.startService()
        self.rpc.startService()
        self.addCleanup(self.rpc.stopService)

    def leave(self) -> None:
        """In place of the end of the process."""
        self.leaves += 1

    def stats(self) -> Mapping[str, Mapping[str, str]]:
        """As `tap` has it."""
        return sections(self.gossip.serf_side, encrypted=bool(self.keys), version="1")

    def client(self) -> Client:
        """One that has done its handshake."""
        return Client(self).greet()

    def turn(self) -> None:
        """Some turns of the reactor; packets of the node to itself arrive in each."""
        for _ in range(5):
            self.reactor.advance(0)
            self.deliver()

    def deliver(self) -> list[bytes]:
        """The packets of the node to itself have arrived; those to others are returned."""
        [port] = self.reactor.udp_ports
        written, port.written = port.written, []
        for data, address in written:
            if address == OWN:
                self.receive(data, OWN)
        return [data for data, address in written if address != OWN]

    def receive(self, data: bytes, source: Address = OTHER) -> None:
        """A packet arrives."""
        self.reactor.udp_ports[0].protocol.datagramReceived(data, source)

    def hear_of(self, name: str, last: int = 2, **tags: str) -> None:
        """A packet says that a member is alive at 10.0.0.`last`."""
        meta = encode_tags(tags)
        alive = Alive(Incarnation(1), name, bytes([10, 0, 0, last]), OTHER[1], meta, VSN)
        self.receive(self.envelope.seal_packet(encode_message(alive)))

    def wait(self, seconds: float) -> None:
        """Time passes."""
        for _ in range(int(seconds * 10)):
            self.reactor.advance(0.1)
            self.deliver()

    def own_tags(self) -> Mapping[str, str]:
        """Of the node."""
        return self.gossip.serf_side.tags
