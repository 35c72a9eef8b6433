"""Speed of GET /get beside a bare Klein route and a minimal Go handler, for `bench.py`: wrk drives each in turns.

One thread of wrk with CONNECTIONS kept-alive connections. What a server costs is its own processor time, which tells
more than requests a second where servers, wrk and other work share few cores.
"""

import contextlib
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

CONNECTIONS = 32
BUILD_TIME_MAX_S = 300
HTTP_PORT = 8080
BARE = """
from klein import Klein
from twisted.web.server import Site
from twisted.internet import reactor
app = Klein()
@app.route("/get")
def get(request):
    return b"42"
reactor.listenTCP({port}, Site(app.resource()), interface={host!r})
reactor.run()
"""
GO = """
package main

import (
	"io"
	"net/http"
	"os"
)

func main() {
	http.HandleFunc("/get", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "42") })
	panic(http.ListenAndServe(os.Args[1], nil))
}
"""
_DONE = re.compile(r"(\d+) requests in ")
_FAILED = re.compile(r"Non-2xx|Socket errors")


@dataclass
class Server:
    """One that is measured: its process, and what each run showed."""

    name: str
    host: str
    process: psutil.Process
    per_s: list[float] = field(default_factory=list)
    per_cpu_s: list[float] = field(default_factory=list)

    def load(self, seconds: int) -> None:
        """One more run has been measured."""
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", f"http://{self.host}:{HTTP_PORT}/get"]
        busy, begun = cpu_s(self.process), time.monotonic()
        shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 30).stdout
        took, busy = time.monotonic() - begun, cpu_s(self.process) - busy
        done = _DONE.search(shown)
        if done is None or _FAILED.search(shown):
            raise RuntimeError(f"{self.name}: {shown}")
        self.per_s.append(int(done[1]) / took)
        self.per_cpu_s.append(int(done[1]) / busy)


def cpu_s(process: psutil.Process) -> float:
    """Processor seconds so far, of all threads."""
    times = process.cpu_times()
    return float(times.user + times.system)


@contextlib.contextmanager
def running(command: Sequence[str]) -> Iterator[psutil.Process]:
    """The program runs."""
    process = subprocess.Popen(command)
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


def bare_klein(host: str) -> list[str]:
    """The command of a bare Klein route."""
    return [sys.executable, "-c", BARE.format(host=host, port=HTTP_PORT)]


def go_handler(folder: Path) -> str | None:
    """The program of a minimal Go handler, built now; None where Go is not installed."""
    if shutil.which("go") is None:
        return None
    source, program = folder / "get.go", folder / "get"
    source.write_text(GO)
    subprocess.run(["go", "build", "-o", program, source], check=True, timeout=BUILD_TIME_MAX_S)
    return str(program)


def compare(servers: Sequence[Server], runs: int, seconds: int) -> None:
    """Each was loaded `runs` times, in turns, so that other work on the machine meets all alike."""
    for _ in range(runs):
        for server in servers:
            server.load(seconds)


def table(node: Server, klein: Server, go: Server | None) -> str:
    """The figures, and the ratios that have a target."""
    lines = [
        f"| GET /get, {CONNECTIONS} connections (wrk) | requests/s, median | best | per CPU second, median |",
        "|---|---|---|---|",
    ]
    for server in (node, klein, *([go] if go else [])):
        per_s, per_cpu_s = statistics.median(server.per_s), statistics.median(server.per_cpu_s)
        lines.append(f"| {server.name} | {per_s:.0f} | {max(server.per_s):.0f} | {per_cpu_s:.0f} |")
    lines.append(_ratios("node to bare", node, klein, "8", "8"))
    lines.append(_ratios("node to Go", node, go, "none", "1") if go else "| node to Go | Go is not installed | | |")
    return "\n".join(lines)


def _ratios(name: str, one: Server, other: Server, target: str, cpu_target: str) -> str:
    per_s = statistics.median(one.per_s) / statistics.median(other.per_s)
    per_cpu_s = statistics.median(one.per_cpu_s) / statistics.median(other.per_cpu_s)
    return f"| {name} | {per_s:.2f}, target {target} | | {per_cpu_s:.2f}, target {cpu_target} |"
