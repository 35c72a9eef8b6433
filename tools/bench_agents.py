"""Nodes beside real Serf agents, for `bench.py`: their start, and when all of them know each other.

Needs the command `serf` (the Debian package of this name). It must not know what is measured.
"""

import contextlib
import json
import random
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

KNOWN_TIME_MAX_S = 60.0


@contextlib.contextmanager
def running(command: Sequence[str], log: Path) -> Iterator[None]:
    """The program runs, and writes into the file."""
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file)
        try:
            yield
        finally:
            process.terminate()
            process.wait()


def beside_agents(count: int, folder: Path, twistd: str, stack: contextlib.ExitStack) -> list[str]:
    """The hosts of nodes that start, each beside an agent; the agents join the first. All end with the stack."""
    net = f"127.{random.randrange(1, 250)}.{random.randrange(1, 250)}"
    hosts = [f"{net}.{i + 1}" for i in range(count)]
    for i, host in enumerate(hosts):
        agent = ["serf", "agent", f"-node=n{i}", f"-bind={host}:7946", f"-rpc-addr={host}:7373"]
        stack.enter_context(running([*agent, *([f"-join={hosts[0]}"] if i else [])], folder / f"a{i}.log"))
        time.sleep(0.5)  # until the first can be joined
    for i, host in enumerate(hosts):
        node = [twistd, "--nodaemon", "--pidfile=", "onevalue", "--engine", "agent", "--agent", host]
        node += ["--name", f"n{i}", "--http", f"tcp:8080:interface={host}", "--data-dir", str(folder / f"n{i}")]
        stack.enter_context(running(node, folder / f"n{i}.log"))
    return hosts


def until_all_are_known(hosts: Sequence[str], members: Callable[[str], bytes]) -> None:
    """Each shows that all can be asked; `members` is what /v1/members says of one."""
    deadline = time.monotonic() + KNOWN_TIME_MAX_S
    while any(sum(m["http"] is not None for m in json.loads(members(h))["members"]) < len(hosts) for h in hosts):
        if time.monotonic() > deadline:
            raise TimeoutError("not all nodes know each other")
        time.sleep(0.5)
