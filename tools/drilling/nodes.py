"""One node: a process of `twistd onevalue`, what is done to it, and what it says.

It must not know what a drill is.
"""

import os
import random
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any

from tools.drilling.asking import ANSWER_TIME_MAX_S, HERE, HTTP_PORT, Answer, Place, ask
from tools.drilling.waiting import DrillError

GOSSIP_PORT = 7946
END_TIME_MAX_S = 20.0
TWISTD = str(Path(sys.executable).with_name("twistd"))
LOG_LINES_SHOWN = 5
ADDRESSES_TRIED_MAX = 1000
_STAMP = re.compile(r"^\S+ \[[^\]]*\] ")


def free_address(*more_tcp_ports: int) -> str:
    """A loopback address on which nobody uses our ports; by chance, so that what runs side by side does not meet."""
    for _ in range(ADDRESSES_TRIED_MAX):
        address = f"127.{random.randrange(1, 250)}.{random.randrange(1, 250)}.{random.randrange(1, 250)}"
        try:
            for kind, port in (
                (socket.SOCK_STREAM, HTTP_PORT),
                (socket.SOCK_STREAM, GOSSIP_PORT),
                (socket.SOCK_DGRAM, GOSSIP_PORT),
                *((socket.SOCK_STREAM, port) for port in more_tcp_ports),
            ):
                with socket.socket(socket.AF_INET, kind) as probe:
                    probe.bind((address, port))
        except OSError:
            continue
        return address
    raise DrillError("no loopback address with free ports: other hosts than 127.0.0.1 need Linux")


@dataclass(eq=False)
class Node:
    """A node on an address of its own, started and ended as often as one likes.

    Attributes:
        name: unique in the cluster.
        host: its address.
        folder: of its log, and of its data unless `data_dir` is set.
        join: addresses.
        options: further ones of `twistd onevalue`.
        place: the network in which it runs.
        environ: further variables.
        data_dir: where its value is kept.
    """

    name: str
    host: str
    folder: Path
    join: Sequence[str] = ()
    options: Sequence[str] = ()
    place: Place = HERE
    environ: dict[str, str] = field(default_factory=dict)
    data_dir: Path = Path()
    process: "subprocess.Popen[bytes] | None" = None
    _log_begins: int = 0

    def __post_init__(self) -> None:
        if self.data_dir == Path():
            self.data_dir = self.folder / self.name

    @property
    def log(self) -> Path:
        """What all its runs printed."""
        return self.folder / f"{self.name}.log"

    def start(self) -> None:
        """The process runs; it may not answer yet."""
        assert self.process is None or self.process.poll() is not None, f"{self.name} runs already"
        node = ["onevalue", "--name", self.name, "--advertise", self.host, "--data-dir", str(self.data_dir)]
        node += [*(["--join", ",".join(self.join)] if self.join else []), *self.options]
        tree = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
        environ = {**tree, "HOME": str(self.folder), **self.environ}  # nothing of the operator's own nodes
        self._log_begins = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log, self.place():
            self.process = subprocess.Popen(
                [TWISTD, "--nodaemon", "--pidfile=", *node],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=environ,
                start_new_session=True,  # Ctrl-C is for the drill, which then ends its nodes
            )

    def signal(self, number: signal.Signals) -> None:
        """The process has been sent it; nothing if there is none, or it has ended."""
        if self.process is not None:
            self.process.send_signal(number)

    def ended(self, within_s: float = END_TIME_MAX_S) -> int:
        """Its exit status, or minus the signal; DrillError if it goes on running."""
        assert self.process is not None
        try:
            return self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            raise DrillError(f"{self.name} did not end within {within_s:g} s") from None

    def kill(self) -> None:
        """It is gone, as in a crash; nothing if it was not there."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self) -> int:
        """It left and ended, as systemd has it; its exit status."""
        self.signal(signal.SIGTERM)
        return self.ended()

    def ask(
        self, path: str, method: str = "GET", body: bytes | None = None, timeout_s: float = ANSWER_TIME_MAX_S
    ) -> Answer:
        """The answer to one request; OSError or HTTPException if none comes."""
        return ask(self.host, path, method, body, place=self.place, timeout_s=timeout_s)

    def put(self, value: int) -> Answer:
        """The answer to a write."""
        return self.ask("/v1/value", "PUT", b"%d" % value)

    def state(self) -> dict[str, Any]:
        """What /v1/value says."""
        found: dict[str, Any] = self.ask("/v1/value").json()
        return found

    def statuses(self) -> dict[str, str]:
        """The status of each member that it lists."""
        return {member["name"]: member["status"] for member in self.ask("/v1/members").json()["members"]}

    def is_ready(self) -> bool:
        """It takes writes; DrillError if it has ended."""
        if self.process is None or self.process.poll() is not None:
            raise DrillError(f"{self.name} has ended: {' | '.join(self.lines()[-LOG_LINES_SHOWN:])}")
        try:
            return self.ask("/readyz").status == 200
        except (OSError, HTTPException):
            return False

    def first_line(self) -> str:
        """What it said first when it was started last: who it is, and what it has from its disk."""
        return next(iter(self.lines("at generation")), "nothing")

    def last_line(self, containing: str) -> str:
        """The newest line with this text since it was started last."""
        return next(reversed(self.lines(containing)), "nothing")

    def lines(self, containing: str = "", *, all_runs: bool = False) -> list[str]:
        """Lines of its log since it was started last, without time and system, that contain the text."""
        if not self.log.exists():
            return []
        data = self.log.read_bytes()[0 if all_runs else self._log_begins :]
        lines = data.decode("utf-8", "replace").splitlines()
        return [_STAMP.sub("", line) for line in lines if containing in line]
