"""Real processes for end-to-end tests: our nodes, Serf agents, and what one does to them.

Every test gets addresses of its own in 127.0.0.0/8, so that tests can run side by side, on the usual ports. Waiting is
always for something that is asked for again and again, up to a bound; what ran is printed when a test fails.
"""

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest_twisted
import treq
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred, FirstError, gatherResults
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater
from twisted.internet.utils import getProcessOutputAndValue
from twisted.python.failure import Failure
from twisted.web.client import Agent, HTTPConnectionPool

from tools.drilling import nodes as drilling

reactor: Any = _reactor
T = TypeVar("T")
Test = TypeVar("Test", bound=Callable[..., Coroutine[Any, Any, None]])
ensure_deferred: Callable[[Test], Test] = pytest_twisted.ensureDeferred
"""pytest-twisted's decorator of asynchronous tests, with a type."""
HTTP_PORT = 8080
GOSSIP_PORT = 7946
RPC_PORT = 7373
POLL_S = 0.05
OUTPUT_SHOWN = 6000
TWISTD = str(Path(sys.executable).with_name("twistd"))
SERF = shutil.which("serf")


def free_address() -> str:
    """A loopback address on which nobody uses our ports, nor that of an agent's RPC."""
    return drilling.free_address(RPC_PORT)


async def pause(seconds: float) -> None:
    """Let the reactor run."""
    await deferLater(reactor, seconds, lambda: None)


async def eventually(check: Callable[[], Awaitable[T]], within_s: float, what: str) -> T:
    """The first true result of `check`, which is asked again and again; AssertionError after `within_s`."""
    deadline = time.monotonic() + within_s
    last: object = None
    while True:
        try:
            last = await check()
            if last:
                return last
        except (AssertionError, OSError, ValueError, KeyError) as error:
            last = error
        except Exception as error:  # noqa: BLE001  # a node that does not answer yet fails in many ways
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s:g} s: {what}; last: {last!r}")
        await pause(POLL_S)


def started(work: Coroutine[Any, Any, T]) -> "Deferred[T]":
    """The work begins now; several so begun run side by side."""
    return Deferred.fromCoroutine(work)


async def at_once(*work: Coroutine[Any, Any, Any]) -> list[Any]:
    """The results of coroutines that run side by side; the first failure is raised as itself."""
    try:
        return list(await gatherResults([started(each) for each in work], consumeErrors=True))
    except FirstError as error:
        error.subFailure.raiseException()
        raise


class Process(ProcessProtocol):
    """A running program, its output, and its end."""

    def __init__(self, name: str, command: Sequence[str], environ: dict[str, str], folder: Path) -> None:
        self.name = name
        self.output = ""
        self.status: int | None = None
        self._ended: list[Deferred[None]] = []
        self._transport = reactor.spawnProcess(self, command[0], list(command), env=environ, path=str(folder))

    @property
    def pid(self) -> int:
        """Of the program."""
        return int(self._transport.pid)

    @property
    def running(self) -> bool:
        """True until it has ended."""
        return self.status is None

    def outReceived(self, data: bytes) -> None:
        self.output += data.decode("utf-8", "replace")

    errReceived = outReceived

    def processEnded(self, reason: Failure) -> None:
        value: Any = reason.value
        self.status = value.exitCode if value.exitCode is not None else -value.signal
        waiting, self._ended = self._ended, []
        for each in waiting:
            each.callback(None)

    def signal(self, name: str) -> None:
        """KILL, TERM, STOP, CONT: nothing if it has ended."""
        if self.running:
            self._transport.signalProcess(getattr(signal, f"SIG{name}"))

    async def ended(self, within_s: float = 15.0) -> int:
        """The exit status, or minus the signal."""
        if self.running:
            waiting: Deferred[None] = Deferred()
            self._ended.append(waiting)
            await waiting.addTimeout(within_s, reactor)
        assert self.status is not None
        return self.status

    async def kill(self) -> None:
        """Ends it the hard way."""
        self.signal("KILL")
        await self.ended()


@dataclass
class Answer:
    """Of an HTTP request."""

    status: int
    body: bytes
    headers: Any

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    def header(self, name: str) -> str | None:
        """The first header of a name."""
        values = self.headers.getRawHeaders(name)
        return values[0] if values else None


async def request(method: str, url: str, *, timeout_s: float = 5.0, **keywords: Any) -> Answer:
    """One HTTP request on a connection of its own."""
    agent = Agent(reactor, pool=HTTPConnectionPool(reactor, persistent=False), connectTimeout=timeout_s)
    response = await treq.request(method, url, agent=agent, timeout=timeout_s, allow_redirects=False, **keywords)
    return Answer(response.code, await treq.content(response), response.headers)


@dataclass
class Node:
    """One of our nodes, on an address of its own; `start` again after it has ended."""

    name: str
    host: str
    folder: Path
    join: Sequence[str] = ()
    options: Sequence[str] = ()
    environ: dict[str, str] = field(default_factory=dict)
    keep: bool = True
    prefix: Sequence[str] = ()
    process: Process | None = None
    earlier_output: str = ""

    @property
    def url(self) -> str:
        """Of its HTTP service."""
        return f"http://{self.host}:{HTTP_PORT}"

    @property
    def output(self) -> str:
        """Of all its runs."""
        return self.earlier_output + (self.process.output if self.process else "")

    def command(self) -> list[str]:
        """As a user types it."""
        journal = ["--data-dir", str(self.folder / self.name)] if self.keep else ["--no-journal"]
        join = ["--join", ",".join(self.join)] if self.join else []
        node = ["onevalue", "--name", self.name, "--advertise", self.host, *journal, *join, *self.options]
        return [*self.prefix, TWISTD, "--nodaemon", "--pidfile=", *node]

    def spawn(self) -> Process:
        """The process runs; it may not answer yet."""
        self.earlier_output = self.output
        tree = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}  # the one under test
        environ = {**tree, "HOME": str(self.folder), **self.environ}
        self.process = Process(self.name, self.command(), environ, self.folder)
        return self.process

    async def start(self, *, ready: bool = True) -> "Node":
        """It answers, and takes writes."""
        self.spawn()
        await eventually(self.is_ready if ready else self.is_up, 20, f"{self.name} is up")
        return self

    async def is_up(self) -> bool:
        """It answers."""
        assert self.process is not None
        assert self.process.running, f"{self.name} has ended: {self.process.output[-OUTPUT_SHOWN:]}"
        return (await self.call("GET", "/healthz")).status == 200

    async def is_ready(self) -> bool:
        """It takes writes."""
        return await self.is_up() and (await self.call("GET", "/readyz")).status == 200

    async def kill(self) -> None:
        """As a crash."""
        assert self.process is not None
        await self.process.kill()

    async def stop(self, within_s: float = 15.0) -> int:
        """As systemd stops it; the exit status."""
        assert self.process is not None
        self.process.signal("TERM")
        return await self.process.ended(within_s)

    async def call(self, method: str, path: str, **keywords: Any) -> Answer:
        """One HTTP request."""
        return await request(method, self.url + path, **keywords)

    async def get(self) -> str:
        """What /get says."""
        return (await self.call("GET", "/get")).text

    async def set(self, value: int) -> Answer:
        """What /set says."""
        return await self.call("GET", f"/set/{value}")

    async def value(self) -> Any:
        """What /v1/value says."""
        return (await self.call("GET", "/v1/value")).json()

    async def members(self) -> dict[str, Any]:
        """The members by name."""
        return {m["name"]: m for m in (await self.call("GET", "/v1/members")).json()["members"]}

    async def holds(self, value: int, within_s: float = 10.0) -> None:
        """/get says `value`, in time."""

        async def check() -> bool:
            return await self.get() == str(value)

        await eventually(check, within_s, f"{self.name} holds {value}")

    async def sees(self, wanted: Mapping[str, str], within_s: float = 15.0) -> None:
        """The members have these statuses, in time."""

        async def check() -> bool:
            members = await self.members()
            seen = {name: members.get(name, {}).get("status") for name in wanted}
            assert seen == wanted, seen
            return True

        await eventually(check, within_s, f"{self.name} sees {wanted}")


async def serf(host: str, command: str, *arguments: str, prefix: Sequence[str] = ()) -> tuple[str, int]:
    """Output and exit status of `serf COMMAND` at the RPC of a host."""
    assert SERF is not None
    words = [*prefix, SERF, command, f"-rpc-addr={host}:{RPC_PORT}", *arguments]
    out, err, code = await getProcessOutputAndValue(words[0], words[1:], env={"PATH": os.environ["PATH"]})
    return (out + err).decode("utf-8", "replace"), code


@dataclass
class SerfAgent:
    """A real Serf agent, on an address of its own."""

    name: str
    host: str
    folder: Path
    options: Sequence[str] = ()
    prefix: Sequence[str] = ()
    process: Process | None = None
    earlier_output: str = ""
    auth: str = ""

    @property
    def output(self) -> str:
        """Of all its runs: its log."""
        return self.earlier_output + (self.process.output if self.process else "")

    async def start(self) -> "SerfAgent":
        """It runs, and its RPC answers."""
        assert SERF is not None
        self.earlier_output = self.output
        command = [*self.prefix, SERF, "agent", f"-node={self.name}", f"-bind={self.host}:{GOSSIP_PORT}"]
        command += [f"-rpc-addr={self.host}:{RPC_PORT}", "-log-level=debug", *self.options]
        self.process = Process(self.name, command, {"PATH": os.environ["PATH"]}, self.folder)
        await eventually(self._answers, 15, f"agent {self.name} is up")
        return self

    async def _answers(self) -> bool:
        return (await self.run("info"))[1] == 0

    async def run(self, command: str, *arguments: str) -> tuple[str, int]:
        """Output and exit status of `serf COMMAND` at this agent."""
        auth = [f"-rpc-auth={self.auth}"] if self.auth else []
        return await serf(self.host, command, *auth, *arguments, prefix=self.prefix)

    async def kill(self) -> None:
        """As a crash."""
        assert self.process is not None
        await self.process.kill()

    async def members(self) -> dict[str, Any]:
        """The members by name, as `serf members -format=json` tells them."""
        text, code = await self.run("members", "-format=json")
        assert code == 0, text
        return {m["name"]: m for m in json.loads(text)["members"] or []}

    async def sees(self, wanted: Mapping[str, str], within_s: float = 15.0) -> None:
        """The members have these statuses, in time."""

        async def check() -> bool:
            members = await self.members()
            seen = {name: members.get(name, {}).get("status") for name in wanted}
            assert seen == wanted, seen
            return True

        await eventually(check, within_s, f"agent {self.name} sees {wanted}")

    async def join(self, host: str) -> None:
        """It joins the member at `host`."""
        text, code = await self.run("join", f"{host}:{GOSSIP_PORT}")
        assert code == 0, text


class House:
    """All processes of one test; at its end they are killed, and shown if the test failed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.nodes: list[Node] = []
        self.agents: list[SerfAgent] = []

    def node(self, name: str, *, join: Sequence["Node | SerfAgent | str"] = (), **keywords: Any) -> Node:
        """A node that is not started yet, on a new address unless `host` is given."""
        addresses = [each if isinstance(each, str) else each.host for each in join]
        keywords.setdefault("host", free_address())
        node = Node(name, folder=self.folder, join=addresses, **keywords)
        self.nodes.append(node)
        return node

    def agent(self, name: str, *options: str, host: str | None = None) -> SerfAgent:
        """A Serf agent that is not started yet."""
        agent = SerfAgent(name, host or free_address(), self.folder, options)
        self.agents.append(agent)
        return agent

    async def cluster(self, count: int, **keywords: Any) -> list[Node]:
        """`count` ready nodes n1, n2, ... that know each other."""
        hosts = [free_address() for _ in range(count)]
        nodes = [self.node(f"n{i + 1}", host=host, join=hosts, **keywords) for i, host in enumerate(hosts)]
        for node in nodes:
            node.spawn()
        for node in nodes:
            await eventually(node.is_ready, 20, f"{node.name} is ready")
        for node in nodes:
            await node.sees({each.name: "alive" for each in nodes})
        return nodes

    @property
    def _all(self) -> list[Node | SerfAgent]:
        return [*self.nodes, *self.agents]

    async def close(self) -> None:
        """Everything is killed."""
        for each in self._all:
            if each.process is not None:
                await each.process.kill()

    def report(self) -> str:
        """The end of what each process printed."""
        parts = [f"--- {each.name} ({each.host})\n{each.output[-OUTPUT_SHOWN:]}" for each in self._all]
        return "\n".join(parts)
