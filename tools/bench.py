"""`make bench`: time to spread, cost of an idle node, time to start, and speed of /get; prints tables in Markdown.

Runs real processes on loopback addresses, against nothing but themselves. Ratios are against something measured in the
same run. `make bench ARGS=--quick` takes fewer samples, `ARGS=--reads` only the speed of /get, `ARGS=--cluster` only
what eight nodes show, `ARGS=--agent` only what nodes beside Serf agents do.
"""

import argparse
import contextlib
import json
import os
import platform
import random
import selectors
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import bench_agents
import bench_watching
import psutil
import write_speed
from read_speed import HTTP_PORT, Server, bare_klein, compare, cpu_s, go_handler, running, table

NODES = 8
POLL_S = 0.004
TWISTD = str(Path(sys.executable).with_name("twistd"))
IP_UDP_HEADERS = 28


class Connection:
    """One kept-alive HTTP connection; one request at a time."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.socket = socket.create_connection((host, HTTP_PORT), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.waiting = False

    def send(self, method: str, path: str, body: bytes = b"") -> None:
        """The request is on its way."""
        head = f"{method} {path} HTTP/1.1\r\nHost: {self.host}\r\nContent-Length: {len(body)}\r\n\r\n"
        self.socket.sendall(head.encode() + body)
        self.waiting = True

    def receive(self) -> tuple[int, bytes]:
        """Status and body of the answer."""
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._more()
        head, _, body = data.partition(b"\r\n\r\n")
        headers = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        if b"content-length" in headers:
            while len(body) < int(headers[b"content-length"]):
                body += self._more()
        else:  # chunked, as a bare Klein route answers; one chunk
            while not body.endswith(b"0\r\n\r\n"):
                body += self._more()
            body = body.split(b"\r\n")[1]
        self.waiting = False
        return int(head.split()[1]), body

    def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Send and receive."""
        self.send(method, path, body)
        return self.receive()

    def _more(self) -> bytes:
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError(f"{self.host} closed the connection")
        return data


def wait_for(host: str, path: str, within_s: float = 30.0) -> None:
    """Until GET `path` is 200."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, ConnectionError):
            if Connection(host).ask("GET", path)[0] == 200:
                return
        time.sleep(0.005)
    raise TimeoutError(f"{host}{path}")


def measure_agents(writes: int) -> None:
    """Prints how soon a write is everywhere with the embedded engine, and beside Serf agents."""
    print(f"| Acknowledged write to the last of {NODES} nodes, ms, {writes} writes | median | worst |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder, cluster(NODES, Path(folder)) as (hosts, _, _):
        time.sleep(5)  # joins have been gossiped
        ours = [1000 * each for each in spread_times(hosts, writes)]
    print(f"| members themselves | {statistics.median(ours):.1f} | {max(ours):.1f} |", flush=True)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        hosts = bench_agents.beside_agents(NODES, Path(folder), TWISTD, stack)
        for host in hosts:
            wait_for(host, "/readyz")
        bench_agents.until_all_are_known(hosts, lambda host: Connection(host).ask("GET", "/v1/members")[1])
        beside = [1000 * each for each in spread_times(hosts, writes)]
    print(f"| beside a Serf agent each | {statistics.median(beside):.1f} | {max(beside):.1f} |")


@contextlib.contextmanager
def cluster(
    count: int, folder: Path, *options: str
) -> Iterator[tuple[list[str], list[subprocess.Popen[bytes]], list[float]]]:
    """Hosts, processes and start-to-ready seconds of nodes that know each other; the later ones join the first."""
    net = f"127.{random.randrange(1, 250)}.{random.randrange(1, 250)}"
    hosts = [f"{net}.{i + 1}" for i in range(count)]
    processes, started = [], []
    try:
        for i, host in enumerate(hosts):
            command = [TWISTD, "--nodaemon", "--pidfile=", f"--logfile={folder / f'n{i}.log'}", "onevalue"]
            command += ["--name", f"n{i}", "--advertise", host, "--data-dir", str(folder / f"n{i}"), *options]
            if i:
                command += ["--join", hosts[0]]
            begin = time.monotonic()
            processes.append(subprocess.Popen(command))
            wait_for(host, "/readyz")
            started.append(time.monotonic() - begin)
        yield hosts, processes, started
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()


def spread_times(hosts: Sequence[str], count: int) -> list[float]:
    """Seconds from an acknowledged write on a random node until the last of the others shows it, `count` times."""
    connections = [Connection(host) for host in hosts]
    selector = selectors.DefaultSelector()
    for connection in connections:
        selector.register(connection.socket, selectors.EVENT_READ, connection)
    times = []
    for value in range(1, count + 1):
        writer = random.choice(connections)
        status, _ = writer.ask("PUT", "/v1/value", str(value).encode())
        if status != 200:
            raise RuntimeError(f"write refused: {status}")
        acknowledged = time.monotonic()
        times.append(until_all_show(selector, [c for c in connections if c is not writer], value) - acknowledged)
        time.sleep(0.25)  # within the bound of 5 events a second: else the bound is what is measured
    for connection in connections:
        connection.socket.close()
    return times


def until_all_show(selector: selectors.BaseSelector, connections: Sequence[Connection], value: int) -> float:
    """When the last of these has shown the value; each is asked every POLL_S."""
    due = {connection: time.monotonic() + random.random() * POLL_S for connection in connections}
    last = time.monotonic()
    while due:
        now = time.monotonic()
        for connection, at in due.items():
            if not connection.waiting and at <= now:
                connection.send("GET", "/get")
                due[connection] = now + POLL_S
        for key, _ in selector.select(timeout=0.001):
            connection = key.data
            if connection.waiting and connection.receive()[1] == str(value).encode():
                last = time.monotonic()
                due.pop(connection, None)
    for connection in connections:
        if connection.waiting:
            connection.receive()
    return last


def idle_costs(hosts: Sequence[str], processes: Sequence[subprocess.Popen[bytes]], seconds: float) -> list[str]:
    """Rows: resident size, processor, packets and bytes sent, of one idle node (mean and worst of all)."""
    time.sleep(15)  # joins have been gossiped
    watched = [psutil.Process(process.pid) for process in processes]
    busy, sent = [cpu_s(each) for each in watched], [udp_sent(host) for host in hosts]
    time.sleep(seconds)
    cpu = [100 * (cpu_s(each) - before) / seconds for each, before in zip(watched, busy, strict=True)]
    after = [udp_sent(host) for host in hosts]
    packets = [(b[0] - a[0]) / seconds for a, b in zip(sent, after, strict=True)]
    volume = [(b[1] - a[1] + IP_UDP_HEADERS * (b[0] - a[0])) / seconds for a, b in zip(sent, after, strict=True)]
    size = [each.memory_info().rss / 2**20 for each in watched]
    return [
        row("resident size, MiB", statistics.mean(size), max(size), "75"),
        row("of one core, %", statistics.mean(cpu), max(cpu), "1"),
        row("UDP packets sent a second", statistics.mean(packets), max(packets), "3"),
        row("UDP bytes sent a second, with IP headers", statistics.mean(volume), max(volume), "500"),
    ]


def sizes_once_asked(host: str, process: subprocess.Popen[bytes]) -> list[str]:
    """Rows: resident size of a node before and after it has served what most nodes are never asked for."""
    node, rows = psutil.Process(process.pid), []
    for what, path in (("as it is", "/readyz"), ("once /metrics was read", "/metrics")):
        Connection(host).ask("GET", path)
        rows.append(f"| {what} | {node.memory_info().rss / 2**20:.2f} |")
    page = Connection(host)
    page.send("GET", "/v1/live")
    time.sleep(2)  # the members are asked what they hold
    rows.append(f"| while a page is open, too | {node.memory_info().rss / 2**20:.2f} |")
    page.socket.close()
    return rows


def udp_sent(host: str) -> tuple[int, int]:
    """Packets and payload bytes that the node has sent, as its status tells."""
    counters = json.loads(Connection(host).ask("GET", "/v1/status")[1])["engine"]["swim"]["counters"]
    return counters["packets_out"], counters["bytes_out"]


def row(what: str, mean: float, worst: float, target: str) -> str:
    """A line of a table."""
    return f"| {what} | {mean:.2f} | {worst:.2f} | {target} |"


def requests_a_second(host: str, seconds: float) -> float:
    """GET /get on one kept-alive connection, one after the other."""
    connection = Connection(host)
    count, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        connection.ask("GET", "/get")
        count += 1
    connection.socket.close()
    return count / seconds


def one_by_one(servers: Sequence[Server], runs: int, seconds: float) -> str:
    """A table of requests on one connection, one after the other, to the node and to bare Klein, in turns."""
    speeds: list[list[float]] = [[] for _ in servers]
    for _ in range(runs):
        for server, found in zip(servers, speeds, strict=True):
            found.append(requests_a_second(server.host, seconds))
    lines = ["| GET /get on one connection, requests/s | median | best | target |", "|---|---|---|---|"]
    for server, found in zip(servers, speeds, strict=True):
        lines.append(f"| {server.name} | {statistics.median(found):.0f} | {max(found):.0f} | |")
    lines.append(f"| node to bare | {statistics.median(speeds[0]) / statistics.median(speeds[1]):.2f} | | 0.85 |")
    return "\n".join(lines)


def get_speed(folder: Path, runs: int, seconds: int) -> None:
    """Prints how fast /get is, beside a bare Klein route and, where it is installed, Go."""
    net = f"127.{random.randrange(1, 250)}.{random.randrange(1, 250)}"
    with contextlib.ExitStack() as stack:
        [host], [process], _ = stack.enter_context(cluster(1, folder))
        node = Server("a node", host, psutil.Process(process.pid))
        klein = Server("a bare Klein route", f"{net}.8", stack.enter_context(running(bare_klein(f"{net}.8"))))
        wait_for(klein.host, "/get")
        print("\n" + one_by_one([node, klein], runs, seconds), flush=True)
        if shutil.which("wrk") is None:
            print("\nNot measured with many connections: wrk is not installed (the Debian package of this name).")
            return
        go = None
        program = go_handler(folder)
        if program is not None:
            at = f"{net}.9:{HTTP_PORT}"
            go = Server("Go, net/http", f"{net}.9", stack.enter_context(running([program, at])))
            wait_for(go.host, "/get")
        compare([node, klein, *([go] if go else [])], runs, seconds)
        print("\n" + table(node, klein, go), flush=True)


def machine() -> str:
    """What ran this, and when."""
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.machine(),
    )
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores ({model}), {memory:.0f} GiB, {platform.system()}, "
        f"Python {platform.python_version()}"
    )


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer samples")
    parser.add_argument("--reads", action="store_true", help="only the speed of /get")
    parser.add_argument("--cluster", action="store_true", help="only what eight nodes show")
    parser.add_argument("--agent", action="store_true", help="only what nodes beside Serf agents do")
    options = parser.parse_args()
    runs, run_s = (3, 1) if options.quick else (7, 3)
    print(f"Machine: {machine()}\n", flush=True)
    if options.agent:
        measure_agents(20 if options.quick else 200)
        return
    if not options.reads:
        measure_cluster(*((20, 10.0) if options.quick else (200, 60.0)))
    if options.cluster:
        return
    if not options.reads:
        measure_watchers(quick=options.quick)
        measure_writes(4 if options.quick else 10)
    with tempfile.TemporaryDirectory() as folder:
        get_speed(Path(folder), runs, run_s)


def measure_watchers(*, quick: bool) -> None:
    """Prints what watchers cost, and how soon the last hears."""
    with tempfile.TemporaryDirectory() as folder, cluster(1, Path(folder), "--no-journal") as (hosts, processes, _):
        lines = bench_watching.table(
            hosts[0], processes[0], lambda *words: Connection(hosts[0]).ask(*words), quick=quick
        )
    print("\n" + "\n".join(lines), flush=True)


def measure_writes(seconds: float) -> None:
    """Prints how many durable writes a node takes in a second, beside redis and etcd."""
    with tempfile.TemporaryDirectory() as folder, cluster(1, Path(folder)) as (hosts, _, _):
        print()
        for line in write_speed.tables(hosts[0], Path(folder), seconds):
            print(line, flush=True)


def measure_cluster(writes: int, idle_s: float) -> None:
    """Prints how soon nodes start, what an idle one costs, and how soon a write is everywhere."""
    with tempfile.TemporaryDirectory() as folder, cluster(NODES, Path(folder)) as (hosts, processes, started):
        print("| Start to ready, s | median | worst | target |\n|---|---|---|---|")
        print(row(f"of {NODES} nodes, each joining the first", statistics.median(started), max(started), "1.5"))
        print(f"\n| One idle node of {NODES}, over {idle_s:.0f} s | mean | worst | target |\n|---|---|---|---|")
        print("\n".join(idle_costs(hosts, processes, idle_s)), flush=True)
        times = [1000 * each for each in spread_times(hosts, writes)]
        print(f"\n| Acknowledged write to the last of {NODES} nodes, ms | median | worst | target |\n|---|---|---|---|")
        print(
            row(
                f"{writes} writes, polled every {1000 * POLL_S:.0f} ms",
                statistics.median(times),
                max(times),
                "20 and 500",
            )
        )
        print("\n| Resident size of one of these, MiB | |\n|---|---|")
        print("\n".join(sizes_once_asked(hosts[-1], processes[-1])))


if __name__ == "__main__":
    main()
