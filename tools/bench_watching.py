"""Part of `make bench`: thousands of watchers of one node, and readers that do not read while the value changes.

Watchers are plain sockets in this process, so what they cost is the node's alone.
"""

import json
import resource
import select
import socket
import statistics
import subprocess
import time
from collections.abc import Callable

import psutil

HTTP_PORT = 8080
WATCH = b"GET /v1/watch HTTP/1.1\r\nHost: localhost\r\n\r\n"
FILES_RESERVED = 100
STALLED = 10
LARGE = 4096
TAIL = 2 * LARGE
WRITERS = 4
Ask = Callable[[str, str, bytes], tuple[int, bytes]]


class Watchers:
    """Sockets that watch a node, and read at once what comes, unless they are told not to."""

    def __init__(self, host: str, count: int) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft < count + FILES_RESERVED:
            resource.setrlimit(resource.RLIMIT_NOFILE, (count + FILES_RESERVED, hard))
        self._poll = select.epoll()
        self.sockets: dict[int, socket.socket] = {}
        for _ in range(count):
            client = socket.create_connection((host, HTTP_PORT), timeout=30)
            client.sendall(WATCH)
            self.sockets[client.fileno()] = client
            self._poll.register(client.fileno(), select.EPOLLIN)
        self.received = 0
        self._tails: dict[int, bytes] = {}

    def until_all_heard(self, mark: bytes, within_s: float) -> float:
        """When the last one has received an event with the mark, seconds of the monotonic clock."""
        missing = {number for number in self.sockets if mark not in self._tails.get(number, b"")}
        deadline, last = time.monotonic() + within_s, time.monotonic()
        while missing:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(missing)} watchers did not hear {mark!r}")
            for number, _ in self._poll.poll(0.2):
                if mark in self._read(number) and number in missing:
                    missing.remove(number)
                    last = time.monotonic()
        return last

    def read(self) -> None:
        """What has come is read."""
        for number, _ in self._poll.poll(0):
            self._read(number)

    def _read(self, number: int) -> bytes:
        """What has come to one, and the end of what came before."""
        data = self.sockets[number].recv(1 << 20)
        self.received += len(data)
        heard = self._tails.get(number, b"") + data
        self._tails[number] = heard[-TAIL:]
        return heard

    def close(self) -> None:
        """All are gone."""
        for client in self.sockets.values():
            client.close()
        self._poll.close()


def many_watchers(
    host: str, process: subprocess.Popen[bytes], ask: Ask, count: int, writes: int
) -> tuple[float, list[float]]:
    """MiB that the node has grown by so many watchers, and seconds from an acknowledged write until the last heard."""
    before = resident_mib(process)
    watchers = Watchers(host, count)
    watchers.until_all_heard(b"data: ", 60)
    times = []
    for _ in range(writes):
        time.sleep(0.5)
        value = str(time.monotonic_ns())
        status, answer = ask("PUT", "/v1/value", value.encode())
        acknowledged = time.monotonic()
        if status != 200:
            raise RuntimeError(f"write refused: {status}")
        times.append(watchers.until_all_heard(b"id: " + json.loads(answer)["tag"].encode(), 30) - acknowledged)
    grown = resident_mib(process) - before
    watchers.close()
    return grown, times


def stalled_readers(host: str, process: subprocess.Popen[bytes], ask: Ask, changes: int) -> tuple[float, float, bool]:
    """MiB that the node has grown while readers did not read; MiB that one that read was sent; were values large."""
    large = ask("PUT", "/v1/value", json.dumps("x" * LARGE).encode())[0] == 200
    readers = []
    for _ in range(STALLED):
        reader = socket.socket()
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.connect((host, HTTP_PORT))
        reader.sendall(WATCH)
        readers.append(reader)
    quick = Watchers(host, 1)
    quick.until_all_heard(b"data: ", 10)
    before = resident_mib(process)
    write_often(host, quick, changes, large=large)
    tag = json.loads(ask("GET", "/v1/value", b"")[1])["tag"]
    quick.until_all_heard(b"id: " + tag.encode(), 30)
    grown = resident_mib(process) - before
    for reader in readers:
        reader.close()
    quick.close()
    return grown, quick.received / 2**20, large


def write_often(host: str, quick: Watchers, changes: int, *, large: bool) -> None:
    """Writes the value so often, on a few connections, while one watcher reads."""
    writers = [socket.create_connection((host, HTTP_PORT), timeout=30) for _ in range(WRITERS)]
    for number in range(0, changes, WRITERS):
        for index, writer in enumerate(writers):
            value = json.dumps(f"{number + index:0{LARGE}d}" if large else number + index).encode()
            head = f"PUT /v1/value HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(value)}\r\n\r\n"
            writer.sendall(head.encode() + value)
        for writer in writers:
            answer = b""
            while not answer.endswith(b"}"):
                answer += writer.recv(65536)
        quick.read()
    for writer in writers:
        writer.close()


def resident_mib(process: subprocess.Popen[bytes]) -> float:
    """Memory of a process that is really there, when it has come to rest."""
    time.sleep(1)
    return float(psutil.Process(process.pid).memory_info().rss) / 2**20


def table(host: str, process: subprocess.Popen[bytes], ask: Ask, *, quick: bool) -> list[str]:
    """The lines of a table; the node is one without a journal, whose disk would be measured else."""
    count, writes, changes = (1000, 5, 4000) if quick else (5000, 20, 100_000)
    held, sent, large = stalled_readers(host, process, ask, changes)  # first: many leave memory that can be used again
    grown, times = many_watchers(host, process, ask, count, writes)
    median, times = 1000 * statistics.median(times), [1000 * each for each in times]
    size = "4 KiB" if large else "an integer"
    return [
        f"| {count} watchers of one node | median | worst | target |",
        "|---|---|---|---|",
        f"| acknowledged write to the last that hears, ms, {writes} writes | {median:.0f} | {max(times):.0f} | 500 |",
        f"| memory for all of them, MiB | | {grown:.1f} | 95 |",
        "",
        f"| {STALLED} watchers that do not read, {changes} changes of {size} | MiB |",
        "|---|---|",
        f"| memory for all of them | {held:.1f} |",
        f"| sent meanwhile to one that reads | {sent:.1f} |",
    ]
