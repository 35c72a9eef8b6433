"""What abuses a node: bytes over TCP and UDP as they are, and examples that hypothesis has drawn.

Nothing here knows what the bytes mean. Waiting never blocks the reactor, so that what the processes print is read.
"""

import random
import resource
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from tests.e2e.harness import GOSSIP_PORT, HTTP_PORT, pause, reactor

T = TypeVar("T")
CONNECT_TIME_MAX_S = 10.0
BATCH = 50
"""Datagrams that leave between two turns of the reactor."""


class Raw(Protocol):
    """A connection that sends what it is told, and keeps what comes."""

    def __init__(self) -> None:
        self.received = b""
        self.opened_at = 0.0
        self.closed_at: float | None = None
        self._waiting: list[tuple[Callable[[], bool], Deferred[None]]] = []

    def connectionMade(self) -> None:
        self.opened_at = time.monotonic()

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        self._look()

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002  # closed is closed
        self.closed_at = time.monotonic()
        self._look()

    def send(self, data: bytes) -> None:
        """The bytes are on their way, if the connection is open."""
        if self.closed_at is None and self.transport is not None:
            self.transport.write(data)

    def abort(self) -> None:
        """The connection ends now."""
        transport: Any = self.transport
        transport.abortConnection()

    @property
    def life_s(self) -> float:
        """How long it was open, up to now if it still is."""
        return (self.closed_at or time.monotonic()) - self.opened_at

    async def until(self, check: Callable[["Raw"], bool], within_s: float) -> None:
        """The check holds, in time; TimeoutError else. It is asked when something came."""
        if not check(self):
            waiter: Deferred[None] = Deferred()
            self._waiting.append((lambda: check(self), waiter))
            await waiter.addTimeout(within_s, reactor)

    async def closed(self, within_s: float) -> None:
        """The other side has closed it, in time."""
        await self.until(lambda raw: raw.closed_at is not None, within_s)

    def _look(self) -> None:
        due = [waiter for check, waiter in self._waiting if check()]
        self._waiting = [pair for pair in self._waiting if pair[1] not in due]
        for waiter in due:
            waiter.callback(None)


async def connect(host: str, port: int = HTTP_PORT, data: bytes = b"") -> Raw:
    """A connection on which `data` has been sent."""
    raw: Raw = await connectProtocol(TCP4ClientEndpoint(reactor, host, port, CONNECT_TIME_MAX_S), Raw())
    raw.send(data)
    return raw


async def exchange(host: str, port: int, data: bytes, within_s: float = 15.0) -> bytes:
    """Sends the bytes; what came back when the other side had closed."""
    raw = await connect(host, port, data)
    await raw.closed(within_s)
    return raw.received


async def send_datagrams(host: str, datagrams: Sequence[bytes], per_s: float = 10_000.0) -> None:
    """All datagrams went to the gossip port, at this rate at most; the system may have lost some."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        for start in range(0, len(datagrams), BATCH):
            for datagram in datagrams[start : start + BATCH]:
                try:
                    sender.sendto(datagram, (host, GOSSIP_PORT))
                except BlockingIOError:
                    continue
            await pause(BATCH / per_s)


def drawn(strategy: SearchStrategy[T], count: int) -> list[T]:
    """`count` examples or some less, the same ones in each run."""
    examples: list[T] = []

    @seed(1)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def draw(example: T) -> None:
        examples.append(example)

    draw()
    return examples


def mutated(data: bytes, rng: random.Random) -> bytes:
    """The bytes with a few of them changed, missing, repeated or cut off."""
    result = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(result) + 1)
        length = rng.choice([1, 1, 2, 8, 64])
        match rng.randrange(6):
            case 0:
                result[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                result[at : at + length] = b""
            case 2:
                result[at:at] = result[at : at + length]
            case 3:
                result[at : at + length] = rng.choice([b"\xff", b"\x00", b"\x80"]) * length
            case 4:
                result[at:at] = rng.randbytes(length)
            case _:
                del result[at:]
    return bytes(result)


def resident_mb(pid: int) -> float:
    """Memory of a process that is really there."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6
