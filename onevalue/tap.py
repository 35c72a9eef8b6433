"""What `twistd onevalue` calls: builds the parts of a node and wires them. It decides nothing.

The only module that knows all parts, and the only one that imports the reactor, inside `makeService`.
"""

import os
import random
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from twisted.application.service import IService
from twisted.internet.endpoints import (
    HostnameEndpoint,
    TCP4ServerEndpoint,
    TCP6ServerEndpoint,
    serverFromString,
)
from twisted.internet.error import ReactorNotRunning
from twisted.logger import Logger

from onevalue import __version__, process
from onevalue.addresses import Placement, host_port, http_tag
from onevalue.assembly import Parts, World, assemble, embed, make_node, remembered
from onevalue.broadcaster import EXCHANGE_TIME_MAX_S
from onevalue.collector import Collector
from onevalue.debugline import DebugLine
from onevalue.errors import ConfigError, JournalError
from onevalue.exchanging import exchange_states, quiet_client
from onevalue.inquiries import Keep
from onevalue.journal import IJournal, NullJournal, open_journal
from onevalue.keyfile import KeyFile, KeyringFile, choose_keys
from onevalue.lag import LagProbe
from onevalue.loglines import shown
from onevalue.membership import IEngine
from onevalue.node import Node
from onevalue.options import NodeConfig, Options
from onevalue.reloading import Reloading
from onevalue.rpcoptions import RpcAccess
from onevalue.sdnotify import Manager, Notices, take_manager
from onevalue.serf_side import SerfSide
from onevalue.signing import Signer
from onevalue.store import State
from onevalue.streams import Reactor
from onevalue.tokenfile import TokenFile, Tokens
from onevalue.transport import Sockets
from onevalue.valuefile import ValueFile
from onevalue.web.access import Access, http_exposure
from onevalue.web.context import Context
from onevalue.web.hosts import names_of_this_host
from onevalue.web.server import CONNECTIONS_MAX, FILES_RESERVED, connections_admitted
from onevalue.web.service import WebService
from onevalue.wire.envelope import Envelope
from onevalue.wire.key_text import fingerprint
from onevalue.wire.keyring import Keyring

if TYPE_CHECKING:
    from onevalue.rpc.service import RpcService

__all__ = ["Options", "makeService"]

TARGETS_SHOWN_MAX = 20
"""Addresses to join that are named in the first line of the log."""

KEYRING_NAME = "keyring.json"
"""The keyring that is kept in the data folder."""

_LOG = Logger(namespace="onevalue")


def makeService(options: Options) -> IService:
    """The node that the options describe, not yet started.

    Raises:
        SystemExit: the journal or the kept keyring cannot be used; one line says why, and the status is 1.
    """
    from twisted.internet import reactor  # noqa: PLC0415  # importing it installs it: only here, when it is wanted

    process.keep_time(reactor)
    process.allow_open_files(CONNECTIONS_MAX + FILES_RESERVED)
    try:
        node = build_node(options["config"], reactor, take_manager(os.environ))
    except (JournalError, ConfigError) as error:
        raise SystemExit(f"onevalue: {error}") from None
    process.prepare()
    return node


def build_node(config: NodeConfig, reactor: Reactor, manager: Manager | None = None) -> Node:
    """All parts of a node, sharing one store; `manager` is told how it is.

    Raises:
        JournalError: the journal is damaged, locked or unreadable; nothing was changed.
        ConfigError: the kept keyring cannot be used; nothing was changed.
    """
    envelope, keep_keys = _envelope(config)
    access = Access(config.access.tokens)
    signer = Signer(envelope, secrets.token_bytes)
    world = World(
        reactor=reactor,
        rng=random.Random(),  # noqa: S311  # picks members and delays; keys and nonces never come from here
        wall_clock=time.time,
        journal=_journal(config, reactor),
        envelope=envelope,
        exchange_states=partial(
            exchange_states, quiet_client(reactor, EXCHANGE_TIME_MAX_S, config.access.authorities), signer
        ),
    )
    engine, side, targets = _engine(config, world, keep_keys)

    def exposed() -> list[str]:
        of_rpc = [] if config.rpc is None else config.rpc.exposure
        return [*exposure(config.placement, config.http_at, envelope, access.tokens), *of_rpc, *engine.exposure()]

    _warn(exposed())
    if config.ignored:
        _warn([f"in the environment, and no option, so it counts for nothing: {', '.join(config.ignored)}"])
    expects_others = bool(targets) and config.agent is None  # an agent may well be alone
    parts = assemble(config, world, engine, expects_others=expects_others, somebody_to_ask=bool(targets))
    value_file = (
        None if config.value_file is None else ValueFile(reactor=reactor, store=parts.store, path=config.value_file)
    )
    lag = LagProbe(reactor)
    notices = None if manager is None else _notices(manager, parts, world)
    reloading = Reloading(reactor) if notices is None else Reloading(reactor, notices.reloading)
    rpc = None if config.rpc is None or side is None else _rpc(config.rpc, reactor, side, envelope, reloading)
    web = WebService(
        reactor,
        serverFromString(reactor, config.http),
        Context(
            store=parts.store,
            writer=parts.writer,
            spread=parts.spread,
            membership=engine,
            journal=world.journal,
            signer=signer,
            clock=reactor,
            wall_clock=time.time,
            name=config.name,
            version=__version__,
            started_s=reactor.seconds(),
            exposure=exposed,
            value_size_max=config.value_size_max,
            cluster_size=config.cluster_size,
            access=access,
            host_names=[*names_of_this_host(), *config.access.host_names],
            expects_others=expects_others,
            value_file=None if value_file is None else value_file.status,
            rpc=None if rpc is None else rpc.figures,
            lag=lag.figures,
            isolated=parts.isolation.why,
        ),
        connections_admitted(process.open_files_max()),
    )
    debug = DebugLine(reactor=reactor, store=parts.store, membership=engine, interval_s=config.debug_interval_s)
    _say_who(config, targets, parts.store.current)
    if config.access.token_file is not None:
        reloading.observe_reload(partial(_reload_tokens, config.access.token_file, access, exposed))
        reloading.observe_reload(web.tokens_changed)
    if config.agent is not None and config.key_file is not None:
        reloading.observe_reload(partial(_reload_keys, config.key_file, envelope))
    return make_node(
        parts,
        world,
        web=web,
        rpc=rpc,
        debug=debug,
        reloading=reloading,
        value_file=value_file,
        onlookers=[lag, Collector(reactor)],
        notices=notices,
    )


def _rpc(access: RpcAccess, reactor: Reactor, side: SerfSide, envelope: Envelope, reloading: Reloading) -> "RpcService":
    """Serf's tools have a node to speak with. A client that has it leave has the whole process end."""
    from onevalue.rpc.service import RpcService  # noqa: PLC0415  # few nodes have it
    from onevalue.rpc.stats import sections  # noqa: PLC0415  # likewise

    kind = TCP6ServerEndpoint if ":" in access.host else TCP4ServerEndpoint

    def leave() -> None:
        with suppress(ReactorNotRunning):  # it stops already
            reactor.stop()

    service = RpcService(
        reactor=reactor,
        endpoint=kind(reactor, access.port, interface=access.host),
        side=side,
        stats=lambda: sections(side, encrypted=envelope.keyring is not None, version=__version__),
        leave=leave,
        key=access.key,
    )
    file = access.auth_file
    if file is not None:
        reloading.observe_reload(lambda: service.change_key(file.read()))
    return service


def _notices(manager: Manager, parts: Parts, world: World) -> Notices:
    return Notices(
        reactor=world.reactor,
        manager=manager,
        store=parts.store,
        writer=parts.writer,
        membership=parts.engine,
        journal=world.journal,
        isolated=parts.isolation.why,
    )


def _engine(config: NodeConfig, world: World, keep_keys: Keep | None) -> tuple[IEngine, SerfSide | None, Sequence[str]]:
    """The engine, what of it is for Serf's tools, and where it looks for others."""
    if config.agent is None:
        transport = Sockets(
            reactor=world.reactor,
            bind=(config.placement.bind_host, config.placement.bind_port),
            envelope=world.envelope,
            stream_time_max_s=config.swim.stream_timeout_s,
        )
        embedded = embed(config, world, transport, keep_keys)
        return embedded.service, embedded.service.serf_side, embedded.targets
    from onevalue.agent import AgentEngine  # noqa: PLC0415  # few nodes have it

    kept = world.journal.contents.clocks
    engine = AgentEngine(
        reactor=world.reactor,
        name=config.name,
        endpoint=HostnameEndpoint(world.reactor, config.agent.host, config.agent.port),
        at=str(config.agent),
        auth_file=config.agent.auth_file,
        rng=world.rng,
        http_tag=partial(http_tag, config.http_at),
        peers=remembered(world.journal.contents.peers),
        clocks=(0, 0, 0) if kept is None else (kept.member, kept.event, kept.query),
    )
    return engine, None, [str(config.agent)]


def _reload_keys(file: KeyFile, envelope: Envelope) -> None:
    """The keys that count are those in the file now. Raises ConfigError; then they are those from before."""
    keys = file.read()
    envelope.keyring = Keyring(keys, secrets.token_bytes)
    _LOG.info("keys that count from now on, the primary first: {keys}", keys=", ".join(map(fingerprint, keys)))


def _reload_tokens(file: TokenFile, access: Access, exposed: Callable[[], list[str]]) -> None:
    """The tokens that count are those in the file now. Raises ConfigError; then they are those from before."""
    before = exposed()
    access.tokens = file.read()
    _LOG.info("tokens that count from now on: {tokens}", tokens=str(access.tokens))
    _warn([sentence for sentence in exposed() if sentence not in before])


def _warn(sentences: Sequence[str]) -> None:
    for sentence in sentences:
        _LOG.warn("{sentence}", sentence=sentence)


def _journal(config: NodeConfig, reactor: Reactor) -> IJournal:
    if config.data_dir is None:
        return NullJournal()
    return open_journal(config.data_dir, reactor, config.history_max)


def _envelope(config: NodeConfig) -> tuple[Envelope, Keep | None]:
    """Label and keys as the node starts with them, and how a changed keyring is kept.

    Beside an agent no keyring is kept: of changed keys only the agent hears, so the key file is what counts.

    Raises:
        ConfigError: the kept keyring cannot be used.
    """
    kept = None
    if config.data_dir is not None and config.agent is None:
        kept = KeyringFile(config.data_dir / KEYRING_NAME)
    keys, warning = choose_keys(config.keys, None if kept is None else kept.load())
    if warning is not None:
        _LOG.warn("{warning}", warning=warning)
    ring = Keyring(keys, secrets.token_bytes) if keys else None
    envelope = Envelope(config.label, ring, config.verify_incoming, config.verify_outgoing)
    return envelope, None if kept is None else kept.save


def _say_who(config: NodeConfig, targets: Sequence[str], state: State) -> None:
    """The first line of the log that is ours: all that this node goes by."""
    placement = config.placement
    at = host_port(placement.advertise_host, placement.advertise_port)
    _LOG.info(
        "OneValue {version}: {name}, {member}, holds {value} at generation {generation}, keeps it {where}{joins}",
        version=__version__,
        name=config.name,
        member=f"reached at {at}" if config.agent is None else f"a member by the Serf agent at {config.agent}",
        value=shown(state.text.decode()),
        generation=state.generation,
        where="nowhere (--no-journal)" if config.data_dir is None else f"in {config.data_dir.absolute()}",
        joins="" if config.agent else f", and joins {', '.join(targets[:TARGETS_SHOWN_MAX]) or 'nobody'}",
    )


def exposure(placement: Placement, http: str, envelope: Envelope, tokens: Tokens | None) -> list[str]:
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
    return [*sentences, *http_exposure(http, tokens, nodes_sign=envelope.demands_keys)]
