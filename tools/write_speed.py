"""Durable writes a second: a node, and beside it redis and etcd where they are installed; one after the other.

All have the same 32 connections, the same disk, and sync every write before they answer. It must not know how a node
makes them.
"""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

CONNECTIONS = 32
WRK = "wrk"
PUT = """
wrk.method = "%s"
wrk.headers["Content-Type"] = "application/json"
local count = 0
request = function()
  count = count + 1
  return wrk.format(nil, nil, nil, %s)
end
done = function(summary, latency, requests)
  io.write(string.format("RESULT %%d %%d %%f %%d\\n", summary.requests, summary.duration, latency:percentile(99),
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write +
    summary.errors.timeout))
end
"""
OURS = PUT % ("PUT", "tostring(count)")
ETCD = PUT % ("POST", """'{"key": "a2V5", "value": "' .. "dmFsdWU=" .. '"}'""")


@dataclass(frozen=True)
class Speed:
    """What one run shows: writes a second, and the 99th percentile of their times in ms."""

    per_s: float
    p99_ms: float


def by_wrk(url: str, script: str, seconds: float) -> Speed:
    """Writes as fast as the answers come, on all connections."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        command = [WRK, "-t1", f"-c{CONNECTIONS}", f"-d{seconds:.0f}s", "-s", file.name, url]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"RESULT (\d+) (\d+) ([0-9.]+) (\d+)", told)
    if found is None or found[4] != "0":
        raise RuntimeError(f"not all requests were answered well:\n{told}")
    return Speed(int(found[1]) / (int(found[2]) / 1e6), float(found[3]) / 1000)


def node_writes(host: str, seconds: float) -> Speed:
    """PUT /v1/value of a counter."""
    return by_wrk(f"http://{host}:8080/v1/value", OURS, seconds)


def redis_writes(folder: Path, seconds: float) -> Speed | None:
    """SET with appendfsync always, by redis' own load generator; None where there is no redis."""
    if shutil.which("redis-server") is None or shutil.which("redis-benchmark") is None:
        return None
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
    command += ["--appendonly", "yes", "--appendfsync", "always"]
    with running(command, folder / "redis.log", lambda: answers(port)):
        requests = 2000
        while True:
            began = time.monotonic()
            load = ["redis-benchmark", "-p", str(port), "-c", str(CONNECTIONS), "-n", str(requests)]
            told = subprocess.run([*load, "-t", "set", "--csv"], capture_output=True, text=True, check=True).stdout
            took_s = time.monotonic() - began
            if took_s >= seconds / 2:
                row = [cell.strip('"') for cell in told.strip().splitlines()[-1].split(",")]
                head = [cell.strip('"') for cell in told.strip().splitlines()[0].split(",")]
                return Speed(float(row[1]), float(row[head.index("p99_latency_ms")]))
            requests = int(requests * min(10.0, max(1.5, seconds / took_s)))


def etcd_writes(folder: Path, seconds: float) -> Speed | None:
    """Put of one key over its HTTP gateway; None where there is no etcd."""
    if shutil.which("etcd") is None:
        return None
    client, peer = free_port(), free_port()
    urls = [f"http://127.0.0.1:{port}" for port in (client, peer)]
    command = ["etcd", "--data-dir", str(folder / "etcd"), "--listen-client-urls", urls[0]]
    command += ["--advertise-client-urls", urls[0], "--listen-peer-urls", urls[1], "--initial-advertise-peer-urls"]
    command += [urls[1], "--initial-cluster", f"default={urls[1]}"]
    with running(command, folder / "etcd.log", lambda: answers(client)):
        time.sleep(2.0)  # it elects itself, and answers before that
        return by_wrk(f"{urls[0]}/v3/kv/put", ETCD, seconds)


@contextlib.contextmanager
def running(command: list[str], log: Path, ready: Callable[[], bool], within_s: float = 20.0) -> Iterator[None]:
    """The program runs, and is ended."""
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)
    try:
        deadline = time.monotonic() + within_s
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} does not run: {log.read_text(errors='replace')[-500:]}")
            time.sleep(0.05)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def answers(port: int) -> bool:
    """Somebody listens."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def fsyncs_a_second(folder: Path, seconds: float = 1.0) -> float:
    """How often this disk takes a small write and a sync, one after the other."""
    path, count, end = folder / "sync", 0, time.monotonic() + seconds
    with path.open("wb", buffering=0) as file:
        while time.monotonic() < end:
            file.write(b"x" * 512)
            os.fdatasync(file.fileno())
            count += 1
    path.unlink()
    return count / seconds


def tables(host: str, folder: Path, seconds: float) -> Iterator[str]:
    """The lines of the table."""
    if shutil.which(WRK) is None:
        yield "(durable writes are measured with wrk, which is not installed)"
        return
    yield f"| Durable writes, {CONNECTIONS} connections | a second | p99, ms | target |\n|---|---|---|---|"
    ours = node_writes(host, seconds)
    yield f"| a node, PUT /v1/value | {ours.per_s:.0f} | {ours.p99_ms:.1f} | 4000 and 75 |"
    for name, measured in (
        ("redis, SET, appendfsync always", redis_writes(folder, seconds)),
        ("etcd, put over HTTP", etcd_writes(folder, seconds)),
    ):
        if measured is not None:
            yield f"| {name} | {measured.per_s:.0f} | {measured.p99_ms:.1f} | |"
    yield f"| the disk: one small write and sync after the other | {fsyncs_a_second(folder):.0f} | | |"
