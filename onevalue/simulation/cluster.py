"""The hosts of one simulated cluster, and the nodes that run on them: started, crashed, stopped, moved.

It builds each node with `assembly`, as `tap` does, on a simulated transport and disk. It decides nothing about when;
and it judges nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random

from twisted.internet.defer import Deferred, succeed

from onevalue.addresses import Placement
from onevalue.assembly import Embedded, Parts, World, assemble, embed, make_node
from onevalue.broadcaster import EXCHANGE_TIME_MAX_S
from onevalue.config import GOSSIP_PORT_DEFAULT, HTTP_PORT_DEFAULT, LAN, SerfSettings, SpreadSettings, SwimSettings
from onevalue.errors import RemoteProtocolError, UndecipherableError
from onevalue.exchange import Statement, encode_statement
from onevalue.exchanging import answer_statement, understand_answer
from onevalue.journal import IJournal, NullJournal
from onevalue.node import Node
from onevalue.options import NodeConfig
from onevalue.serf.core import VSN
from onevalue.serf.members import SerfMember
from onevalue.serf.roster import Roster
from onevalue.signing import NONCE_HEADER, SIGNATURE_HEADER, Signer
from onevalue.simulation.clock import Clock, NodeClock
from onevalue.simulation.disk import Disk
from onevalue.simulation.network import Endpoint, Link, Network
from onevalue.spread.contacts import HTTP_TAG
from onevalue.spread.exchanges import Exchange
from onevalue.store import State
from onevalue.swim.address import to_bytes
from onevalue.swim.members import Acquaintances, MemberRecord
from onevalue.types import Incarnation
from onevalue.values import VALUE_SIZE_DEFAULT
from onevalue.wire.envelope import Envelope
from onevalue.wire.keyring import Keyring
from onevalue.wire.messages import NodeStatus
from onevalue.wire.serf_codec import encode_tags

Known = tuple[Acquaintances, Mapping[str, SerfMember]]
"""Members that a node knows from the start, for SWIM and for Serf."""

ADDRESSES_PER_HOST = 1 << 16
"""A host that moves has its next address so much further on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What all nodes of a cluster are told.

    Attributes:
        swim, serf, spread: of the core.
        keys: of the cluster; none: nothing is encrypted.
        with_journal: nodes keep what they know on their disks.
        broadcast_interval_s: between two rounds of anti-entropy.
    """

    swim: SwimSettings = LAN
    serf: SerfSettings = field(default_factory=SerfSettings)
    spread: SpreadSettings = field(default_factory=SpreadSettings)
    keys: tuple[bytes, ...] = ()
    with_journal: bool = True
    broadcast_interval_s: float = 2.0


@dataclass(eq=False)
class SimNode:
    """One run of one node, from its start to its end."""

    name: str
    clock: NodeClock
    endpoint: Endpoint
    parts: Parts
    embedded: Embedded
    service: Node
    started_at: float

    @property
    def current(self) -> State:
        """What its readers see."""
        return self.parts.store.current


@dataclass(eq=False)
class Host:
    """A machine with a disk; `node` is what runs there now, if anything.

    Attributes:
        index: from 0.
        disk: its disk.
        moves: how often it has got another address.
        runs: how many nodes have run on it.
        wall_offset_s: by how much its clock is wrong.
    """

    index: int
    disk: Disk
    node: SimNode | None = None
    moves: int = 0
    runs: int = 0
    wall_offset_s: float = 0.0

    @property
    def name(self) -> str:
        """Of its node: the same for ever."""
        return f"n{self.index:05}"

    @property
    def address(self) -> str:
        """Numeric."""
        number = self.index + 1 + self.moves * ADDRESSES_PER_HOST
        return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


class Cluster:
    """Hosts on one network.

    Args:
        seed: sets all chance in it.
        size: how many hosts; none runs a node yet.
        link: between any two of them.
        settings: of all nodes.
        on_start: is shown each node that is about to start.
    """

    def __init__(
        self,
        seed: int,
        size: int,
        link: Link,
        settings: Settings,
        on_start: Callable[[SimNode, Host], None] | None = None,
    ) -> None:
        self.seed = seed
        self.settings = settings
        self.clock = Clock()
        self.network = Network(self.clock, Random(f"{seed} network"), link)
        self.hosts = [Host(index, Disk(Random(f"{seed} disk {index}"))) for index in range(size)]
        self._on_start = on_start

    @property
    def nodes(self) -> list[SimNode]:
        """Those that run."""
        return [host.node for host in self.hosts if host.node is not None]

    def start(
        self,
        host: Host,
        join: Sequence[str] = (),
        known: Known | None = None,
    ) -> SimNode:
        """A node starts on the host, with what its disk holds, and has these addresses to join.

        Args:
            host: where none runs.
            join: addresses, as on the command line.
            known: members that it knows from the start.
        """
        assert host.node is None, "one node on a host"
        host.runs += 1
        clock = NodeClock(self.clock)
        clock.wall_offset_s = host.wall_offset_s
        rng = Random(f"{self.seed} {host.name} {host.runs}")
        entropy = Random(f"{self.seed} {host.name} {host.runs} entropy").randbytes
        keyring = Keyring(self.settings.keys, entropy) if self.settings.keys else None
        envelope = Envelope(b"", keyring)
        endpoint = Endpoint(self.network, (host.address, GOSSIP_PORT_DEFAULT), clock, envelope)
        signer = Signer(envelope, entropy)
        journal: IJournal = host.disk.open(clock) if self.settings.with_journal else NullJournal()
        world = World(
            reactor=clock,
            rng=rng,
            wall_clock=clock.wall_clock,
            journal=journal,
            envelope=envelope,
            exchange_states=partial(_exchange_states, endpoint, signer),
        )
        config = self._config(host, join)
        embedded = embed(config, world, endpoint)
        told = bool(embedded.targets)
        parts = assemble(config, world, embedded.service, expects_others=told, somebody_to_ask=told)
        endpoint.http = partial(_notify, parts, signer, journal, clock)
        service = make_node(parts, world)
        node = SimNode(host.name, clock, endpoint, parts, embedded, service, self.clock.now)
        host.node = node
        if known is not None:
            embedded.serf.meet(*known)
        if self._on_start is not None:
            self._on_start(node, host)
        node.service.startService()
        return node

    def crash(self, host: Host, *, power: bool = False) -> None:
        """The node of the host has ended without a word; with `power` the host too, so that nobody refuses calls."""
        node = host.node
        if node is None:
            return
        node.clock.is_dead = True
        self.network.detach(node.endpoint)
        if power:
            self.network.gone[host.address] = None
        host.node = None

    def power_on(self, host: Host) -> None:
        """The host is there, whether a node runs on it or not."""
        self.network.gone.pop(host.address, None)

    def stop(self, host: Host) -> "Deferred[None]":
        """The node of the host leaves; fires when it has stopped."""
        node = host.node
        assert node is not None, "a node runs there"

        def stopped(_: None) -> None:
            if host.node is node:
                node.clock.is_dead = True
                host.node = None

        return node.service.stopService().addCallback(stopped)

    def _config(self, host: Host, join: Sequence[str]) -> NodeConfig:
        address, settings = host.address, self.settings
        placement = Placement(address, GOSSIP_PORT_DEFAULT, address, GOSSIP_PORT_DEFAULT)
        return NodeConfig(
            name=host.name,
            placement=placement,
            http=placement.http_description(HTTP_PORT_DEFAULT),
            http_at=placement.http_description(HTTP_PORT_DEFAULT),
            join=tuple(join),
            tags={},
            initial=42,
            value_size_max=VALUE_SIZE_DEFAULT,
            cluster_size=None,
            data_dir=None,
            keys=settings.keys,
            label=b"",
            verify_incoming=True,
            verify_outgoing=True,
            swim=settings.swim,
            serf=settings.serf,
            spread=settings.spread,
            broadcast_interval_s=settings.broadcast_interval_s,
            debug_interval_s=0.0,
        )


def _exchange_states(
    endpoint: Endpoint, signer: Signer, exchange: Exchange, statement: Statement
) -> "Deferred[Statement | None]":
    """As `exchanging.exchange_states` does over HTTP."""
    body = encode_statement(statement)
    signed = signer.request(body)

    def answered(answer: tuple[int, dict[str, str], bytes]) -> Statement | None:
        code, headers, told = answer
        if code != 200:
            raise RemoteProtocolError(f"the answer has status {code}")
        return understand_answer(told, signed, headers.get(SIGNATURE_HEADER), exchange.contact, signer)

    posted = endpoint.network.post(endpoint, exchange.contact.host, signed, body, EXCHANGE_TIME_MAX_S)
    return posted.addCallback(answered)


def _notify(
    parts: Parts, signer: Signer, journal: IJournal, clock: NodeClock, headers: dict[str, str], body: bytes
) -> "Deferred[tuple[int, dict[str, str], bytes]]":
    """As `web.original` answers POST /notify."""
    nonce, signature = headers.get(NONCE_HEADER), headers.get(SIGNATURE_HEADER)
    try:
        answering = answer_statement(parts.spread, signer, journal, nonce, signature, body, clock.seconds())
    except UndecipherableError:
        return succeed((403, {}, b""))
    return answering.addCallback(lambda answer: (200, answer[1], answer[0]))


def known_to_all(hosts: Sequence[Host]) -> Known:
    """What nodes know of these hosts that have known each other for long; shared by all of them."""
    records = [
        MemberRecord(
            host.name,
            to_bytes(host.address),
            GOSSIP_PORT_DEFAULT,
            encode_tags({HTTP_TAG: f"http:{HTTP_PORT_DEFAULT}"}),
            VSN,
            Incarnation(1),
            NodeStatus.ALIVE,
            0.0,
        )
        for host in hosts
    ]
    found = Roster(SerfSettings())
    members = {record.name: found.joined(record, 0.0) for record in records}
    return Acquaintances.of(records), members
