"""How the parts of a node are built and wired: all that is the same with real sockets and in the simulator.

It decides nothing. It must not know sockets, files nor HTTP: whoever assembles a node brings its `World`.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from twisted.application.service import Service

from onevalue.addresses import Placement, host_port, http_tag, split_host_port
from onevalue.broadcaster import Broadcaster, ExchangeStates
from onevalue.config import GOSSIP_PORT_DEFAULT
from onevalue.gossip import LEAVE_TIME_MAX_S, GossipService
from onevalue.inquiries import Keep
from onevalue.isolation import Isolation
from onevalue.journal import CLOSE_TIMEOUT_S, IJournal, Peer
from onevalue.keeper import Keeper
from onevalue.listening import ListeningService
from onevalue.member import Member, Status
from onevalue.membership import IEngine
from onevalue.node import Node, Stop
from onevalue.options import NodeConfig
from onevalue.sdnotify import Notices
from onevalue.serf.core import Serf
from onevalue.serf.dialler import Dialler
from onevalue.serf.lamport import Clocks
from onevalue.serf.members import SerfMember, missing_member
from onevalue.spread import Spread
from onevalue.spread.contacts import HTTP_TAG, UNREACHABLE
from onevalue.spread.rumour import EVENT_NAME
from onevalue.store import State, Store
from onevalue.streams import Reactor
from onevalue.swim.address import to_bytes
from onevalue.transport import Transport
from onevalue.types import Address, Generation, LamportTime, Rng
from onevalue.wire.envelope import Envelope
from onevalue.writer import Writer

STOP_TIME_MAX_S = 1.0
"""How long the stop of a part may take beyond its own budget, before the next part stops all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What a node has of the world outside.

    Attributes:
        reactor: clock, delayed calls, resolver, threads.
        rng: picks members and delays; keys and nonces never come from it.
        wall_clock: seconds since 1970, for people.
        journal: the durable copy.
        exchange_states: makes an exchange of states with a member.
        envelope: label and keys.
    """

    reactor: Reactor
    rng: Rng
    wall_clock: Callable[[], float]
    journal: IJournal
    exchange_states: ExchangeStates
    envelope: Envelope


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """The embedded engine; `targets` are the addresses that it will dial."""

    targets: Sequence[str]
    serf: Serf
    service: GossipService


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The parts of one node, sharing one store, around its engine."""

    engine: IEngine
    store: Store
    spread: Spread
    writer: Writer
    broadcaster: Broadcaster
    keeper: Keeper
    isolation: Isolation


def embed(config: NodeConfig, world: World, transport: Transport, keep_keys: Keep | None = None) -> Embedded:
    """The embedded engine, not yet started.

    Args:
        config: of the node.
        world: of the node.
        transport: carries gossip.
        keep_keys: keeps a changed keyring; None if none is kept.
    """
    placement = config.placement
    peers = _peer_targets(config, world.journal.contents.peers)
    serf = _serf(config, world)
    service = GossipService(
        reactor=world.reactor,
        name=config.name,
        serf=serf,
        # In any order: of a cluster that starts anew, not all are to dial the same ones first.
        dialler=Dialler(
            config.join, config.serf, _own(placement), dict(world.rng.sample(list(peers.items()), len(peers)))
        ),
        transport=transport,
        envelope=world.envelope,
        keep_keys=keep_keys,
    )
    return Embedded(targets=[*config.join, *peers], serf=serf, service=service)


def assemble(
    config: NodeConfig, world: World, engine: IEngine, *, expects_others: bool, somebody_to_ask: bool
) -> Parts:
    """The parts of a node that begins with what its journal holds, not yet started.

    Args:
        config: of the node.
        world: of the node.
        engine: of the node.
        expects_others: it was told of other nodes.
        somebody_to_ask: there may be others, who are asked before the node takes writes.
    """
    reactor, journal = world.reactor, world.journal
    store = Store(journal.contents.state or State(Generation(0), config.initial))
    settings = replace(config.spread, originals=not world.envelope.encrypts)
    spread = Spread(name=config.name, store=store, settings=settings, rng=world.rng)
    writer = Writer(
        store=store,
        journal=journal,
        spread=spread,
        clock=reactor.seconds,
        wall_clock=world.wall_clock,
        soon=partial(reactor.callLater, 0),
    )
    return Parts(
        engine=engine,
        store=store,
        spread=spread,
        writer=writer,
        broadcaster=Broadcaster(
            reactor=reactor,
            exchange_states=world.exchange_states,
            store=store,
            spread=spread,
            membership=engine,
            writer=writer,
            interval_s=config.broadcast_interval_s,
            somebody_to_ask=somebody_to_ask,
        ),
        keeper=Keeper(reactor=reactor, store=store, membership=engine, journal=journal),
        isolation=Isolation(engine, spread, expects_others=expects_others),
    )


def make_node(
    parts: Parts,
    world: World,
    *,
    web: ListeningService | None = None,
    rpc: ListeningService | None = None,
    debug: Service | None = None,
    reloading: Service | None = None,
    value_file: Service | None = None,
    onlookers: Sequence[Service] = (),
    notices: Notices | None = None,
) -> Node:
    """One service of all parts, started and stopped in the order in which nothing is lost.

    Args:
        parts: of the node.
        world: of the node.
        web: serves clients; None: nobody does.
        rpc: serves Serf's tools; None: nobody does.
        debug: looks on.
        reloading: hears that what can change while the node runs is to be read again.
        value_file: keeps the value in a file.
        onlookers: see to the process, from when all else runs until all else has stopped.
        notices: tell who has started the node how it is, from when all else runs until all else has stopped.
    """
    first = [value_file, parts.broadcaster, parts.keeper, debug, web]
    then = [parts.engine, rpc, reloading, *onlookers, notices]
    children = [child for child in (*first, *then) if child is not None]
    stops = [
        *([] if notices is None else [Stop(notices.stopping, STOP_TIME_MAX_S)]),
        Stop(parts.writer.close, STOP_TIME_MAX_S),  # before this node leaves, see there
        *([] if reloading is None else [Stop(reloading.stopService, STOP_TIME_MAX_S)]),
        *([] if debug is None else [Stop(debug.stopService, STOP_TIME_MAX_S)]),
        Stop(parts.keeper.stopService, STOP_TIME_MAX_S),  # likewise
        # First of those that others see: they should know before they miss us. It has its own budget.
        Stop(parts.engine.stopService, LEAVE_TIME_MAX_S + STOP_TIME_MAX_S),
        Stop(parts.keeper.keep_clocks, STOP_TIME_MAX_S),  # with the time of the leave intent
        # After that: who had this node leave waits to hear that it has.
        *([] if rpc is None else [Stop(rpc.stopService, rpc.stop_time_s + STOP_TIME_MAX_S)]),
        Stop(parts.broadcaster.stopService, STOP_TIME_MAX_S),
        *([] if web is None else [Stop(web.stopService, web.stop_time_s + STOP_TIME_MAX_S)]),
        Stop(parts.writer.when_idle, STOP_TIME_MAX_S),  # a disk that hangs never lets it be idle
        # When nothing changes the value any more: what the node held last is in the file.
        *([] if value_file is None else [Stop(value_file.stopService, STOP_TIME_MAX_S)]),
        # Last of the parts: until here a write may still be on its way to it.
        Stop(world.journal.close, CLOSE_TIMEOUT_S + STOP_TIME_MAX_S),
        *(Stop(each.stopService, STOP_TIME_MAX_S) for each in onlookers),
        # The watchdog is fed until here: a stop that takes its time is no stall.
        *([] if notices is None else [Stop(notices.stopService, STOP_TIME_MAX_S)]),
    ]
    return Node(world.reactor, children, stops)


def _serf(config: NodeConfig, world: World) -> Serf:
    kept, placement = world.journal.contents, config.placement
    times = None if kept.clocks is None else (kept.clocks.member, kept.clocks.event, kept.clocks.query)
    return Serf(
        name=config.name,
        addr=to_bytes(placement.advertise_host),
        port=placement.advertise_port,
        tags={**config.tags, HTTP_TAG: http_tag(config.http_at, placement.advertise_host)},
        swim_settings=config.swim,
        settings=config.serf,
        rng=world.rng,
        clocks=None if times is None else Clocks(*map(LamportTime, times)),
        held_events=[EVENT_NAME],
        envelope=world.envelope,
        lost=_lost(kept.peers),
    )


def remembered(peers: Sequence[Peer]) -> list[Member]:
    """The peers of the last run as members, as if all were there; without any whose address somebody has spoilt.

    Who has not told where it serves HTTP cannot be asked.
    """
    found = []
    for peer in peers:
        with suppress(ValueError):
            to_bytes(peer.address)
            tags = {HTTP_TAG: peer.http or UNREACHABLE}
            found.append(Member(peer.name, peer.address, peer.port, Status.ALIVE, suspect=False, tags=tags))
    return found


def _own(placement: Placement) -> list[Address]:
    return [
        (placement.advertise_host, placement.advertise_port),
        (placement.bind_host, placement.bind_port),
    ]


def _peer_targets(config: NodeConfig, peers: Sequence[Peer]) -> dict[str, Address]:
    """The peers of the last run whom no join address names, as the dialler wants them."""
    joined = {host_port(*split_host_port(text, GOSSIP_PORT_DEFAULT)) for text in config.join}
    known = {f"{peer.name}/{host_port(peer.address, peer.port)}": (peer.address, peer.port) for peer in peers}
    return {text: address for text, address in known.items() if host_port(*address) not in joined}


def _lost(peers: Sequence[Peer]) -> list[SerfMember]:
    """The peers of the last run as the core wants them; without any whose address somebody has spoilt."""
    found = []
    for peer in peers:
        with suppress(ValueError):
            found.append(missing_member(peer.name, (peer.address, peer.port)))
    return found
