"""The whole node beside a Serf agent that is not there: it starts, takes writes, and reads its keys again."""

import shutil
import tempfile
from base64 import b64encode
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import inlineCallbacks
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from onevalue.agent import AgentEngine
from onevalue.broadcaster import Broadcaster
from onevalue.options import NodeConfig, Options
from onevalue.reloading import Reloading
from onevalue.tap import KEYRING_NAME, build_node
from tests.unit.test_tap import free_port

reactor: Any = _reactor
OLD, NEW = bytes(range(16)), bytes(range(32))


class NodeBesideAgentTests(TestCase):
    """Trial itself sees to it that no port, connection or delayed call is left."""

    timeout = 60

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="onevalue-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.file = self.folder / "cluster.key"
        self.put(OLD)

    def put(self, *keys: bytes) -> None:
        """The key file has these."""
        self.file.write_text("".join(f"{b64encode(key).decode()}\n" for key in keys))
        self.file.chmod(0o600)

    def start(self) -> Any:
        """A node whose agent does not answer."""
        options = Options({})
        nobody = f"127.0.0.1:{free_port('127.0.0.1')}"
        told = ["--engine", "agent", "--agent", nobody, "--name", "n1", "--http", "tcp:0:interface=127.0.0.1"]
        told += ["--key-file", str(self.file), "--data-dir", str(self.folder / "n1"), "--join-timeout", "0.05"]
        options.parseOptions([*told, "--debug-interval", "0"])  # type: ignore[no-untyped-call]  # Twisted's has no types
        config: NodeConfig = options["config"]
        node = build_node(config, reactor)
        self.addCleanup(node.stopService)
        node.privilegedStartService()
        node.startService()
        return node

    @staticmethod
    def part(node: Any, kind: type) -> Any:
        """The part of this kind."""
        [found] = [each for each in node if isinstance(each, kind)]
        return found

    def keys(self, node: Any) -> tuple[bytes, ...]:
        """By which it signs."""
        keys: tuple[bytes, ...] = self.part(node, Broadcaster)._exchange_states.args[1]._envelope.keyring.keys
        return keys

    @inlineCallbacks
    def test_it_starts_and_takes_writes_without_its_agent(self) -> Any:
        """After the join timeout; it says that the agent is away."""
        node = self.start()
        writer = self.part(node, Broadcaster)._writer
        while writer.not_ready is not None:
            yield deferLater(reactor, 0.02, lambda: None)
        state = yield writer.write(7)
        assert state.value == 7
        assert "is away" in self.part(node, AgentEngine).trouble()

    def test_its_keys_are_those_of_the_file_and_read_again_at_sighup(self) -> None:
        """Whatever it kept when it was a member itself; a broken file changes nothing."""
        (self.folder / "n1").mkdir(mode=0o700)
        kept = self.folder / "n1" / KEYRING_NAME
        kept.write_text(f'["{b64encode(NEW).decode()}"]')
        kept.chmod(0o600)
        node = self.start()
        assert self.keys(node) == (OLD,)
        reloading = self.part(node, Reloading)
        self.put(OLD, NEW)
        reloading.reload()
        assert self.keys(node) == (OLD, NEW)
        self.file.write_text("nonsense")
        reloading.reload()
        assert self.keys(node) == (OLD, NEW)
