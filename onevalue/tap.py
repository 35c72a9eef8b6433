"""What `twistd onevalue` calls: builds the parts of a node and wires them. It decides nothing.

The only module that knows all parts, and the only one that imports the reactor, inside `makeService`.
"""

import random
import secrets
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from twisted.application.service import IService
from twisted.internet.endpoints import serverFromString
from twisted.logger import Logger

from onevalue import __version__, process
from onevalue.addresses import Placement, host_port, http_open_to_others, http_tag, split_host_port
from onevalue.broadcaster import EXCHANGE_TIME_MAX_S, Broadcaster, quiet_client
from onevalue.config import GOSSIP_PORT_DEFAULT
from onevalue.debugline import DebugLine
from onevalue.errors import ConfigError, JournalError
from onevalue.gossip import LEAVE_TIME_MAX_S, GossipService
from onevalue.inquiries import Keep
from onevalue.journal import CLOSE_TIMEOUT_S, IJournal, NullJournal, Peer, open_journal
from onevalue.keeper import Keeper
from onevalue.keyfile import KeyringFile, choose_keys
from onevalue.node import Node, Stop
from onevalue.options import NodeConfig, Options
from onevalue.serf.core import Serf
from onevalue.serf.dialler import Dialler
from onevalue.serf.lamport import Clocks
from onevalue.serf.members import SerfMember, missing_member
from onevalue.signing import Signer
from onevalue.spread import Spread
from onevalue.spread.contacts import HTTP_TAG
from onevalue.spread.rumour import EVENT_NAME
from onevalue.store import State, Store
from onevalue.streams import Reactor
from onevalue.swim.address import to_bytes
from onevalue.types import Address, Generation, LamportTime
from onevalue.web.context import Context
from onevalue.web.service import STOP_GRACE_S, WebService
from onevalue.wire.envelope import Envelope
from onevalue.wire.keyring import Keyring
from onevalue.writer import Writer

__all__ = ["Options", "makeService"]

TARGETS_SHOWN_MAX = 20
"""Addresses to join that are named in the first line of the log."""

KEYRING_NAME = "keyring.json"
"""The keyring that is kept in the data folder."""

_LOG = Logger(namespace="onevalue")

STOP_TIME_MAX_S = 1.0
"""How long the stop of a part may take beyond its own budget, before the next part stops all the same."""


def makeService(options: Options) -> IService:
    """The node that the options describe, not yet started.

    Raises:
        SystemExit: the journal or the kept keyring cannot be used; one line says why, and the status is 1.
    """
    from twisted.internet import reactor  # noqa: PLC0415  # importing it installs it: only here, when it is wanted

    try:
        node = build_node(options["config"], reactor)
    except (JournalError, ConfigError) as error:
        raise SystemExit(f"onevalue: {error}") from None
    process.prepare()
    return node


def build_node(config: NodeConfig, reactor: Reactor) -> Node:
    """All parts of a node, sharing one store.

    Raises:
        JournalError: the journal is damaged, locked or unreadable; nothing was changed.
        ConfigError: the kept keyring cannot be used; nothing was changed.
    """
    envelope, keep_keys = _envelope(config)
    exposed = exposure(config.placement, config.http, envelope)
    for sentence in exposed:
        _LOG.warn("{sentence}", sentence=sentence)
    journal: IJournal = NullJournal() if config.data_dir is None else open_journal(config.data_dir, reactor)
    store = Store(journal.contents.state or State(Generation(0), config.initial))
    rng = random.Random()  # noqa: S311  # picks members and delays; keys and nonces never come from here
    peers = journal.contents.peers
    targets = [*config.join, *_peer_targets(config, peers)]
    signer = Signer(envelope, secrets.token_bytes)
    settings = replace(config.spread, originals=not envelope.encrypts)
    spread = Spread(name=config.name, store=store, settings=settings, rng=rng)
    gossip = _gossip(config, journal, envelope, keep_keys, reactor, rng)
    writer = Writer(store=store, journal=journal, spread=spread, clock=reactor.seconds, wall_clock=time.time)
    web = WebService(
        reactor,
        serverFromString(reactor, config.http),
        Context(
            store=store,
            writer=writer,
            spread=spread,
            membership=gossip,
            journal=journal,
            signer=signer,
            clock=reactor,
            wall_clock=time.time,
            name=config.name,
            version=__version__,
            started_s=reactor.seconds(),
            exposure=exposed,
        ),
    )
    broadcaster = Broadcaster(
        reactor=reactor,
        client=quiet_client(reactor, EXCHANGE_TIME_MAX_S),
        signer=signer,
        spread=spread,
        membership=gossip,
        writer=writer,
        interval_s=config.broadcast_interval_s,
        somebody_to_ask=bool(targets),
    )
    keeper = Keeper(reactor=reactor, store=store, membership=gossip, journal=journal)
    debug = DebugLine(reactor=reactor, store=store, membership=gossip, interval_s=config.debug_interval_s)
    _say_who(config, targets, store.current)
    return Node(
        reactor,
        [broadcaster, keeper, debug, web, gossip],
        [
            Stop(writer.close, STOP_TIME_MAX_S),  # before this node leaves, see there
            Stop(debug.stopService, STOP_TIME_MAX_S),
            Stop(keeper.stopService, STOP_TIME_MAX_S),  # likewise
            # First of those that others see: they should know before they miss us. It has its own budget.
            Stop(gossip.stopService, LEAVE_TIME_MAX_S + STOP_TIME_MAX_S),
            Stop(broadcaster.stopService, STOP_TIME_MAX_S),
            Stop(web.stopService, STOP_GRACE_S + STOP_TIME_MAX_S),
            Stop(writer.when_idle, STOP_TIME_MAX_S),  # a disk that hangs never lets it be idle
            # Last: until here a write may still be on its way to it.
            Stop(journal.close, CLOSE_TIMEOUT_S + STOP_TIME_MAX_S),
        ],
    )


def _gossip(
    config: NodeConfig,
    journal: IJournal,
    envelope: Envelope,
    keep_keys: Keep | None,
    reactor: Reactor,
    rng: random.Random,
) -> GossipService:
    placement = config.placement
    peers = _peer_targets(config, journal.contents.peers)
    kept = journal.contents.clocks
    times = None if kept is None else (kept.member, kept.event, kept.query)
    clocks = None if times is None else Clocks(*map(LamportTime, times))
    serf = Serf(
        name=config.name,
        addr=to_bytes(placement.advertise_host),
        port=placement.advertise_port,
        tags={**config.tags, HTTP_TAG: http_tag(config.http, placement.advertise_host)},
        swim_settings=config.swim,
        settings=config.serf,
        rng=rng,
        clocks=clocks,
        held_events=[EVENT_NAME],
        envelope=envelope,
        lost=_lost(journal.contents.peers),
    )
    return GossipService(
        reactor=reactor,
        name=config.name,
        serf=serf,
        # In any order: of a cluster that starts anew, not all are to dial the same ones first.
        dialler=Dialler(config.join, config.serf, _own(placement), dict(rng.sample(list(peers.items()), len(peers)))),
        bind=(placement.bind_host, placement.bind_port),
        stream_time_max_s=config.swim.stream_timeout_s,
        envelope=envelope,
        keep_keys=keep_keys,
    )


def _envelope(config: NodeConfig) -> tuple[Envelope, Keep | None]:
    """Label and keys as the node starts with them, and how a changed keyring is kept.

    Raises:
        ConfigError: the kept keyring cannot be used.
    """
    kept = None if config.data_dir is None else KeyringFile(config.data_dir / KEYRING_NAME)
    keys, warning = choose_keys(config.keys, None if kept is None else kept.load())
    if warning is not None:
        _LOG.warn("{warning}", warning=warning)
    ring = Keyring(keys, secrets.token_bytes) if keys else None
    envelope = Envelope(config.label, ring, config.verify_incoming, config.verify_outgoing)
    return envelope, None if kept is None else kept.save


def _say_who(config: NodeConfig, targets: Sequence[str], state: State) -> None:
    """The first line of the log that is ours: all that this node goes by."""
    placement = config.placement
    _LOG.info(
        "OneValue {version}: {name}, reached at {at}, holds {value} at generation {generation}, "
        "keeps it {where}, and joins {join}",
        version=__version__,
        name=config.name,
        at=host_port(placement.advertise_host, placement.advertise_port),
        value=state.value,
        generation=state.generation,
        where="nowhere (--no-journal)" if config.data_dir is None else f"in {config.data_dir.absolute()}",
        join=", ".join(targets[:TARGETS_SHOWN_MAX]) or "nobody",
    )


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


def exposure(placement: Placement, http: str, envelope: Envelope) -> list[str]:
    """A sentence for each thing that is open to other hosts, unencrypted and unauthenticated."""
    where = host_port(placement.bind_host, placement.bind_port)
    sentences = []
    if placement.open_to_others and envelope.keyring is None:
        sentences.append(
            f"gossip on {where} (UDP and TCP) is neither encrypted nor authenticated: whoever reaches it can join"
        )
    elif placement.open_to_others and not envelope.demands_keys:
        sentences.append(f"gossip on {where} takes what is not encrypted too, until --verify-incoming is yes")
    elif placement.open_to_others and not envelope.encrypts:
        sentences.append(f"gossip on {where} is sent unencrypted, until --verify-outgoing is yes")
    if http_open_to_others(http):
        sentences.append(f"HTTP on {http} is open: whoever reaches it can read and write the value")
    return sentences
