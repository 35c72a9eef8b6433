"""Measures, in a process of its own, how long nodes take to answer: `python -m tests.e2e.prober FILE HOST=PID...`.

Each host gets a ping by UDP every PING_PERIOD_S, whether it has answered the last or not, and on one connection a
`GET /get` every GET_PERIOD_S, unless it still owes an answer. FILE gets a line for each answer; the times are those of
the monotonic clock, which all processes share.
"""

import os
import selectors
import socket
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from onevalue.types import SequenceNumber
from onevalue.wire.codec import decode_packet, encode_message
from onevalue.wire.messages import Ack, Ping
from tests.e2e.harness import GOSSIP_PORT, HTTP_PORT

PING_PERIOD_S = 0.01
GET_PERIOD_S = 0.02
FLUSH_S = 0.1
LOOK_PERIOD_S = 0.5
RECEIVE_BUFFER = 65536
STOLEN_FIELD = 8
"""Of the first line of /proc/stat (proc(5))."""

UDP, HTTP = "udp", "http"


@dataclass(frozen=True, slots=True)
class Sample:
    """One question that was answered.

    Attributes:
        host: whom.
        way: UDP or HTTP.
        sent: when it left.
        came: when the answer came.
        queued_s: how long threads of the process were ready meanwhile, but had no processor, or one that the host of
            this machine had taken away.
    """

    host: str
    way: str
    sent: float
    came: float
    queued_s: float

    @property
    def took_s(self) -> float:
        """From the question to the answer."""
        return self.came - self.sent


def read_samples(path: Path) -> list[Sample]:
    """All that the file holds up to now."""
    text = path.read_text(encoding="ascii") if path.exists() else ""
    lines = text[: text.rfind("\n") + 1].splitlines()
    split = (line.split() for line in lines)
    return [Sample(host, way, float(sent), float(came), float(queued)) for host, way, sent, came, queued in split]


class RunQueue:
    """How long all threads of a process together were ready, but had no processor, as the system counts it.

    With what the host of a virtual machine took from its processors, whoever ran there: in steps of 10 ms, mostly.
    """

    def __init__(self, pid: int) -> None:
        self._folder = Path(f"/proc/{pid}/task")
        self._files: dict[str, int] = {}
        self._processors = os.open("/proc/stat", os.O_RDONLY)
        self._ticks_per_s = os.sysconf("SC_CLK_TCK")

    def look(self) -> None:
        """Threads that have begun since the last look count from now on."""
        for thread in self._folder.iterdir():
            if thread.name not in self._files:
                with suppress(OSError):  # it has ended already, or the system does not count
                    self._files[thread.name] = os.open(thread / "schedstat", os.O_RDONLY)

    def total_s(self) -> float:
        """Seconds, since some time."""
        total_ns = 0
        for file in self._files.values():
            with suppress(OSError):  # the thread has ended
                total_ns += int(os.pread(file, 80, 0).split()[1])
        stolen = int(os.pread(self._processors, 200, 0).split()[STOLEN_FIELD])
        return total_ns / 1e9 + stolen / self._ticks_per_s


@dataclass
class Host:
    """One host under measurement; `asked` has when each question left, and how long its threads had waited by then."""

    name: str
    udp: socket.socket
    http: socket.socket
    queue: RunQueue
    asked: dict[int, tuple[float, float]] = field(default_factory=dict)
    get_asked: tuple[float, float] | None = None

    @classmethod
    def connected(cls, name: str, pid: int) -> "Host":
        """Both sockets lead there."""
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.connect((name, GOSSIP_PORT))
        http = socket.create_connection((name, HTTP_PORT))
        udp.setblocking(False)
        http.setblocking(False)
        return cls(name, udp, http, RunQueue(pid))

    def ping(self, number: int) -> None:
        """A ping for whoever is there."""
        self.asked[number] = time.monotonic(), self.queue.total_s()
        with suppress(OSError):
            self.udp.send(encode_message(Ping(SequenceNumber(number), "")))

    def get(self) -> None:
        """A request, unless one is not answered yet."""
        if self.get_asked is None:
            self.get_asked = time.monotonic(), self.queue.total_s()
            self.http.send(b"GET /get HTTP/1.1\r\nHost: localhost\r\n\r\n")

    def answered(self, sock: socket.socket) -> list[Sample]:
        """What came on one of the sockets."""
        try:
            data = sock.recv(RECEIVE_BUFFER)
        except OSError:  # nobody listens there any more
            return []
        came, queued_s = time.monotonic(), self.queue.total_s()
        if sock is self.http:
            asked, self.get_asked = [self.get_asked], None
        else:
            acks = [message for message in decode_packet(data).messages if isinstance(message, Ack)]
            asked = [self.asked.pop(ack.seq_no, None) for ack in acks]
        way = HTTP if sock is self.http else UDP
        return [Sample(self.name, way, each[0], came, queued_s - each[1]) for each in asked if each is not None]


class Every:
    """Tells when a period is over."""

    def __init__(self, period_s: float) -> None:
        self._period_s = period_s
        self.due_at = 0.0

    def is_over(self, now: float) -> bool:
        """It is; then the next one begins."""
        over = now >= self.due_at
        if over:
            self.due_at = now + self._period_s
        return over


def main(path: Path, names: Sequence[str]) -> None:
    """Never ends."""
    hosts = [Host.connected(name, int(pid)) for name, _, pid in (each.partition("=") for each in names)]
    selector = selectors.DefaultSelector()
    for host in hosts:
        selector.register(host.udp, selectors.EVENT_READ, host)
        selector.register(host.http, selectors.EVENT_READ, host)
    ping, get, look, flush = Every(PING_PERIOD_S), Every(GET_PERIOD_S), Every(LOOK_PERIOD_S), Every(FLUSH_S)
    number = 0
    with path.open("w", encoding="ascii") as file:
        while True:
            now = time.monotonic()
            due: list[Callable[[Host], None]] = [lambda host: host.queue.look()] if look.is_over(now) else []
            if ping.is_over(now):
                number += 1
                due.append(lambda host, number=number: host.ping(number))  # type: ignore[misc]
            if get.is_over(now):
                due.append(Host.get)
            for act, host in product(due, hosts):
                act(host)
            if flush.is_over(now):
                file.flush()
            for key, _ in selector.select(max(0.0, ping.due_at - time.monotonic())):
                file.writelines(map(line_of, key.data.answered(key.fileobj)))


def line_of(sample: Sample) -> str:
    """As `read_samples` reads it."""
    return f"{sample.host} {sample.way} {sample.sent:.6f} {sample.came:.6f} {sample.queued_s:.6f}\n"


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
