"""The whole node, built as twistd builds it, on the real reactor and loopback; when it has stopped, nothing is left."""

import shutil
import socket
import tempfile
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from twisted.application.service import IService, IServiceMaker
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred, gatherResults, inlineCallbacks
from twisted.internet.task import deferLater
from twisted.logger import capturedLogs, formatEvent
from twisted.plugin import IPlugin
from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase
from zope.interface.verify import verifyObject

from onevalue.addresses import Placement
from onevalue.assembly import _peer_targets, remembered
from onevalue.broadcaster import Broadcaster
from onevalue.errors import JournalError
from onevalue.gossip import GossipService
from onevalue.journal import Peer
from onevalue.membership import Status
from onevalue.options import NodeConfig, Options
from onevalue.reloading import Reloading
from onevalue.spread.exchanges import Exchange
from onevalue.store import Source
from onevalue.tap import build_node, exposure, makeService
from onevalue.web.service import WebService
from onevalue.wire.envelope import Envelope
from tests.fakes import make_member
from tests.unit.test_journal import Steps
from twisted.plugins.onevalue_plugin import onevalue as plugin

reactor: Any = _reactor
POLL_S = 0.02


def configured(*arguments: str, host: str) -> NodeConfig:
    """A node at this address, with ports of the system's choice for HTTP."""
    options = Options({})
    http = f"tcp{'6' if ':' in host else ''}:0:interface={host.replace(':', chr(92) + ':')}"
    shown = f"[{host}]" if ":" in host else host
    port = free_port(host)
    options.parseOptions([f"--bind={shown}:{port}", f"--http={http}", "--debug-interval=0", *arguments])  # type: ignore[no-untyped-call]  # Twisted's has no types
    config: NodeConfig = options["config"]
    return config


def free_port(host: str) -> int:
    """A port that nobody uses, for UDP and TCP, as far as that can be known."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((host, 0))
            return int(probe.getsockname()[1])
    except OSError as error:
        raise SkipTest(f"this machine has no {host}: {error}") from None


class WholeNodeTestCase(TestCase):
    """Trial itself sees to it that no port, connection or delayed call is left."""

    timeout = 60

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="onevalue-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.nodes: list[Any] = []

    def start(self, name: str, *arguments: str, host: str) -> Any:
        """A node that runs; its journal is in a folder of its own."""
        config = configured(f"--name={name}", f"--data-dir={self.folder / name}", *arguments, host=host)
        node: Any = build_node(config, reactor)
        assert verifyObject(IService, node)
        self.addCleanup(node.stopService)  # twice does no harm
        node.privilegedStartService()
        node.startService()
        return node

    def part(self, node: Any, kind: type[Any]) -> Any:
        """The part of this kind."""
        [part] = [each for each in node if isinstance(each, kind)]
        return part

    def address(self, node: Any) -> str:
        """Where it is joined."""
        [me] = [
            m for m in self.part(node, GossipService).members() if m.name == self.part(node, GossipService).local_name
        ]
        return f"[{me.address}]:{me.port}" if ":" in me.address else f"{me.address}:{me.port}"

    @inlineCallbacks
    def until(self, check: Any, what: str) -> Steps:
        """It has come true."""
        for _ in range(int(20 / POLL_S)):
            if check():
                return
            yield deferLater(reactor, POLL_S, lambda: None)
        self.fail(f"not in time: {what}")


class WholeNodeTests(WholeNodeTestCase):
    """Nodes that meet, write, stop and do not start."""

    @inlineCallbacks
    def join_and_write(self, host: str) -> Steps:
        """Two nodes meet, a write on one is on the other, and one sees the other leave."""
        first = self.start("first", host=host)
        second = self.start("second", f"--join={self.address(first)}", "--join-timeout=0.5", host=host)
        gossip = self.part(first, GossipService)
        one, other = (self.part(node, Broadcaster)._spread for node in (first, second))

        def seen(status: Status) -> bool:
            return any(m.name == "second" and m.status is status for m in gossip.members())

        yield self.until(lambda: seen(Status.ALIVE), "the second is a member")
        yield self.until(lambda: not other.learning, "the second takes writes")
        yield self.part(second, Broadcaster)._writer.write(7)
        yield self.until(lambda: one.statement().state.value == 7, "the value is on the first")
        yield second.stopService()
        yield self.until(lambda: seen(Status.LEFT), "the second has left")
        yield first.stopService()

    def test_variables_that_mean_nothing_are_told(self) -> None:
        """In one line, since a container may have many of somebody else's."""
        config = replace(configured("--no-journal", host="127.0.0.1"), ignored=("ONEVALUE_JOIM", "ONEVALUE_PORT"))
        with capturedLogs() as events:
            build_node(config, reactor)
        [told] = [text for event in events if "environment" in (text := str(formatEvent(event)))]
        assert told.endswith("counts for nothing: ONEVALUE_JOIM, ONEVALUE_PORT")

    def test_two_nodes_meet_and_part_by_ipv4(self) -> "Deferred[Any]":
        """And leave nothing behind."""
        return self.join_and_write("127.0.0.1")

    def test_two_nodes_meet_and_part_by_ipv6(self) -> "Deferred[Any]":
        """And leave nothing behind."""
        return self.join_and_write("::1")

    @inlineCallbacks
    def test_it_stops_while_it_joins(self) -> Steps:
        """Somebody accepts the connection and says nothing; a name is looked up; nobody is at a third address."""
        with socket.create_server(("127.0.0.1", 0)) as silent:
            port = silent.getsockname()[1]
            joins = f"127.0.0.1:{port},somewhere.invalid,127.0.0.1:{free_port('127.0.0.1')}"
            node = self.start("n", f"--join={joins}", host="127.0.0.1")
            yield deferLater(reactor, POLL_S, lambda: None)
            yield node.stopService()

    @inlineCallbacks
    def test_it_stops_while_it_exchanges(self) -> Steps:
        """With a member that answers, and with one that takes the connection and says nothing."""
        with socket.create_server(("127.0.0.1", 0)) as silent:
            nodes: list[Any] = []
            for name, port in [("a", free_port("127.0.0.1")), ("b", free_port("127.0.0.1"))]:
                joins = [f"--join={self.address(nodes[0])}"] if nodes else []
                http = f"--http=tcp:{port}:interface=127.0.0.1"
                nodes.append(self.start(name, http, "--broadcast-interval=0.02", *joins, host="127.0.0.1"))
            spread = self.part(nodes[0], Broadcaster)._spread
            yield self.until(lambda: spread.counters["exchanges"] > 3, "they exchange states")
            [contact] = spread._contacts.tagged()
            hanging = contact._replace(name="c", port=silent.getsockname()[1])
            self.part(nodes[0], Broadcaster)._start(Exchange(hanging, Source.ANTI_ENTROPY))
            yield deferLater(reactor, POLL_S, lambda: None)
            yield gatherResults([node.stopService() for node in nodes])

    @inlineCallbacks
    def test_it_stops_in_the_turn_in_which_it_started(self) -> Steps:
        """Before anything that it began has happened; and twice."""
        node = self.start("n", "--join=127.0.0.1:9", host="127.0.0.1")
        stops = [node.stopService(), node.stopService()]
        yield gatherResults(stops)

    @inlineCallbacks
    def test_no_thread_of_the_journal_is_left(self) -> Steps:
        """And its lock is free: the same folder serves again."""
        for _ in range(2):
            node = self.start("n", host="127.0.0.1")
            before = threading.active_count()
            gossip = self.part(node, GossipService)
            yield self.until(lambda gossip=gossip: gossip.members(), "it is a member of its own cluster")
            yield node.stopService()
            assert threading.active_count() <= before

    @inlineCallbacks
    def test_the_value_file_has_what_the_node_held_last(self) -> Steps:
        """It is there while the node runs, and what came just before the stop is in it."""
        path = self.folder / "value"
        node = self.start("n", f"--value-file={path}", host="127.0.0.1")
        yield self.until(lambda: path.exists() and path.read_text() == "42\n", "the value is in the file")
        writer = self.part(node, Broadcaster)._writer
        written = writer.write(7)
        yield node.stopService()
        yield written
        assert path.read_text() == "7\n"

    @inlineCallbacks
    def test_a_taken_port_can_be_stopped_after(self) -> Steps:
        """The parts that had started are stopped, and nothing is left."""
        node = self.start("first", host="127.0.0.1")
        port = self.address(node).rpartition(":")[2]
        options = Options({})
        options.parseOptions([f"--bind=127.0.0.1:{port}", "--http=tcp:0:interface=127.0.0.1", "--no-journal"])  # type: ignore[no-untyped-call]  # as above
        second: Any = build_node(options["config"], reactor)
        second.privilegedStartService()
        with pytest.raises(SystemExit):
            second.startService()
        yield second.stopService()
        yield node.stopService()

    @inlineCallbacks
    def test_tokens_are_read_again(self) -> Steps:
        """Good ones count from then on, and what they leave open is told; a broken file changes nothing."""
        path = self.folder / "tokens"
        path.write_text("write token-of-sixteen\nread token-of-seventeen\n")
        path.chmod(0o600)
        node = self.start("n", f"--token-file={path}", host="127.0.0.1")
        *_, access = self.part(node, WebService)._site.resource._checks
        before = access.tokens
        assert str(before) == "1 to write and 1 to read"
        path.write_text("write token-of-sixteen\nnonsense")
        self.part(node, Reloading).reload()
        assert access.tokens is before
        path.write_text("write another-of-sixteen\n")
        self.part(node, Reloading).reload()
        assert str(access.tokens) == "1 to write and 0 to read"
        yield node.stopService()

    @inlineCallbacks
    def test_a_locked_journal_stops_the_build(self) -> Steps:
        """Before anything else is there."""
        node = self.start("n", host="127.0.0.1")
        with pytest.raises(JournalError):
            build_node(configured("--name=n", f"--data-dir={self.folder / 'n'}", host="127.0.0.1"), reactor)
        yield node.stopService()


class WiringTests(SynchronousTestCase):
    """What tap hands on."""

    def test_the_plugin_makes_a_node(self) -> None:
        """It is how twistd finds options and service."""
        assert verifyObject(IServiceMaker, plugin)
        assert verifyObject(IPlugin, plugin)
        assert plugin.tapname == "onevalue"
        assert isinstance(plugin.options(), Options)

    def test_a_journal_that_cannot_be_used_ends_the_process(self) -> None:
        """With one line that names the folder."""
        options = Options({})
        options.parseOptions(["--data-dir=/dev/null/x"])  # type: ignore[no-untyped-call]  # as above
        with pytest.raises(SystemExit, match=r"^onevalue: .*/dev/null/x"):
            makeService(options)

    def test_a_peer_that_is_a_join_address_is_dialled_once(self) -> None:
        """With and without its port, the default one."""
        config = configured("--no-journal", "--join=127.0.0.2,[::1]:7946", host="127.0.0.1")
        peers = [Peer("n2", "127.0.0.2", 7946), Peer("n3", "::1", 7946), Peer("n4", "127.0.0.2", 7947)]
        assert _peer_targets(config, peers) == {"n4/127.0.0.2:7947": ("127.0.0.2", 7947)}

    def test_peers_of_the_last_run_are_members_that_may_be_asked(self) -> None:
        """Where they have told how; an address that somebody has spoilt is left out."""
        peers = [Peer("n2", "127.0.0.2", 1, "http:80"), Peer("n3", "::1", 2), Peer("n4", "nowhere", 3, "http:80")]
        assert remembered(peers) == [
            make_member("n2", "127.0.0.2", http="http:80", port=1),
            make_member("n3", "::1", http="-", port=2),
        ]

    def test_what_is_open_is_said(self) -> None:
        """Gossip and HTTP each for itself."""
        closed, opened = Placement("127.0.0.1", 1, "127.0.0.1", 1), Placement("0.0.0.0", 1, "192.0.2.1", 1)
        for placement, http, words in [
            (closed, "tcp:80:interface=127.0.0.1", []),
            (closed, "tcp:80", ["HTTP"]),
            (opened, "tcp:80:interface=127.0.0.1", ["gossip"]),
            (opened, "tcp:80", ["gossip", "HTTP"]),
        ]:
            assert [sentence.split()[0] for sentence in exposure(placement, http, Envelope(), None)] == words
