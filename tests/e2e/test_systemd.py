"""A real node under what behaves as systemd does: it hears datagrams, and hands over sockets. And the units."""

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.harness import House, Node, ensure_deferred, eventually, pause

DIST = Path(__file__).parents[2] / "dist"
SECURITY_MAX = 1.5
WATCHDOG_S = 1.0
AS_MAIN_PROCESS = ["/bin/sh", "-c", 'WATCHDOG_PID=$$; export WATCHDOG_PID; exec "$@"', "sh"]

LAUNCH = """
import os, socket, sys
host, names, command = sys.argv[1], sys.argv[2].split(":"), sys.argv[3:]
for number, name in enumerate(names, start=3):
    found = socket.create_server((host, 8080 + number - 3))
    moved = os.dup2(found.fileno(), number + 10)
    found.close()
for number in range(3, 3 + len(names)):
    os.dup2(number + 10, number, inheritable=True)
    os.close(number + 10)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(names)), LISTEN_FDNAMES=":".join(names))
os.execv(command[0], command)
"""
"""Opens a socket for each name, and hands them over from number 3 on, as systemd does."""


class Systemd:
    """Hears what a node tells its manager."""

    def __init__(self, folder: Path) -> None:
        self.address = str(folder / "notify")
        self.told: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(self.address)

    def hear(self) -> list[str]:
        """All assignments until now, in order."""
        while True:
            try:
                self.told += self._socket.recv(65536).decode().split("\n")
            except BlockingIOError:
                return self.told

    async def until(self, text: str, within_s: float = 15.0) -> None:
        """It was told an assignment that begins so."""

        async def check() -> bool:
            assert any(each.startswith(text) for each in self.hear()), self.told
            return True

        await eventually(check, within_s, f"systemd is told {text}")

    def forget(self) -> None:
        """What was told before does not count."""
        self.hear()
        self.told = []


def watched(house: House, systemd: Systemd) -> Node:
    """A node that is told of its manager, and of a watchdog."""
    environ = {"NOTIFY_SOCKET": systemd.address, "WATCHDOG_USEC": str(int(WATCHDOG_S * 1e6))}
    return house.node("n1", environ=environ, prefix=AS_MAIN_PROCESS)


def activated(house: House, host: str, names: str, http: str) -> Node:
    """A node that is handed sockets of these names at its address, and serves HTTP on one."""
    launch = [sys.executable, "-c", LAUNCH, host, names]
    return house.node("n1", host=host, prefix=launch, options=["--http", http])


@ensure_deferred
async def test_a_life_under_systemd(house: House) -> None:
    """Ready, status, a watchdog that is fed while the reactor turns and not while it stands, reload, stopping."""
    systemd = Systemd(house.folder)
    node = watched(house, systemd)
    await node.start()
    await systemd.until("READY=1")
    await systemd.until("STATUS=ready; holds 42 at generation 0; members: 1 alive")
    await node.set(7)
    await systemd.until("STATUS=ready; holds 7 at generation 1")
    systemd.forget()
    await pause(4 * WATCHDOG_S)
    assert 6 <= systemd.hear().count("WATCHDOG=1") <= 9
    assert node.process is not None
    node.process.signal("STOP")
    systemd.forget()
    await pause(2 * WATCHDOG_S)
    assert systemd.hear() == []
    node.process.signal("CONT")
    await systemd.until("WATCHDOG=1")
    systemd.forget()
    node.process.signal("HUP")
    await systemd.until("READY=1")
    told = [each for each in systemd.hear() if not each.startswith(("WATCHDOG", "STATUS"))]
    assert told[0] == "RELOADING=1"
    assert re.fullmatch(r"MONOTONIC_USEC=[0-9]+", told[1])
    assert told[2:] == ["READY=1"]
    systemd.forget()
    assert await node.stop() in {0, -15}
    told = [each for each in systemd.hear() if each != "WATCHDOG=1"]
    assert told == ["STOPPING=1", "STATUS=stopping: this node leaves its cluster"]


@ensure_deferred
async def test_a_node_that_learns_is_not_ready_yet(house: House) -> None:
    """Its status says so, and it is ready when its join timeout is over."""
    systemd = Systemd(house.folder)
    node = watched(house, systemd)
    node.join = ["127.0.0.1:9"]
    node.options = ["--join-timeout", "2"]
    node.spawn()
    await systemd.until("STATUS=not ready: this node is still learning what its cluster holds")
    assert "READY=1" not in systemd.hear()
    await systemd.until("READY=1")
    assert await node.is_ready()


@ensure_deferred
async def test_a_socket_of_systemd_serves_http(house: House) -> None:
    """Others are told where it is, and reach it; who looks is told what is open; it is left when the node stops."""
    other = await house.node("n2").start()
    node = activated(house, house.node("spare").host, "other:http", "systemd:domain=INET:name=http")
    node.join = [other.host]
    node.spawn()
    await other.sees({"n1": "alive"})
    members = await other.members()
    assert members["n1"]["http"] == f"http://{node.host}:8081"
    await other.set(11)

    async def has_come() -> bool:
        return (await other.call("GET", "/v1/value")).status == 200 and "ready for writes: n2 answered" in node.output

    await eventually(has_come, 15, "n1 has learnt")
    assert f"HTTP at {node.host}:8081" in node.output
    assert await node.stop() in {0, -15}


@ensure_deferred
async def test_a_socket_that_is_not_there_is_one_clear_line(house: House) -> None:
    """One of another name, of another kind, or one of two: the node ends at once, with status 1."""
    host = house.node("spare").host
    for names, http, words in [
        ("gossip", "systemd:domain=INET:name=http", "did not open for this process: its .socket unit must run"),
        ("http", "systemd:domain=INET6:name=http", "write domain=INET"),
        ("http:http", "systemd:domain=INET:name=http", "could be 2 sockets"),
    ]:
        process = activated(house, host, names, http).spawn()
        assert await process.ended() == 1
        [line] = [line for line in process.output.splitlines() if "--http: '" in line]
        assert words in line


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    """What systemd-analyze says; a skip where there is none, in CI a failure."""
    program = shutil.which("systemd-analyze")
    if program is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("no systemd-analyze: install Debian's package systemd")
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False)


def test_the_unit_leaves_little_to_the_service() -> None:
    """`systemd-analyze security` is content."""
    shown = analyze("security", "--offline=true", "--no-pager", str(DIST / "onevalue.service")).stdout
    found = re.search(r"Overall exposure level for onevalue.service: ([0-9.]+)", shown)
    assert found is not None, shown
    assert float(found[1]) <= SECURITY_MAX, shown


def test_the_service_is_tried_for_ever() -> None:
    """A start that fails takes a second: systemd's own limit of five in ten seconds would end it for good."""
    assert "\nStartLimitIntervalSec=0\n" in (DIST / "onevalue.service").read_text().partition("[Service]")[0]


def test_the_units_are_understood() -> None:
    """Every line of them; only what they start need not be here."""
    shown = analyze("verify", str(DIST / "onevalue.service"), str(DIST / "onevalue.socket")).stderr
    ours = [line for line in shown.splitlines() if "onevalue" in line and "/opt/onevalue/bin/twistd" not in line]
    assert ours == []
