"""Hosts of their own on this machine: network namespaces around a switch that can be cut in two.

A namespace here is held by an open file of this process, so nothing is left of it when the process has ended, however
it did; the machine's own network is never touched. Linux only; needs root, and the command ip (iproute2).
"""

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Thread

from tools.drilling.asking import Place
from tools.drilling.waiting import DrillError

SBIN = "/usr/sbin:/sbin"
_OWN = "/proc/thread-self/ns/net"
_CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)


def ip_command() -> str | None:
    """Where the command ip is, or None."""
    return shutil.which("ip", path=f"{os.environ.get('PATH', '')}:{SBIN}")


def why_not() -> str | None:
    """Why there can be no namespaces here, or None."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if not ip_command():
        return "the command ip is missing (package iproute2)"
    try:
        network = Network()
        network.host()
        network.close()
    except DrillError as error:
        return f"root can make no network here: {error}"
    return None


class Namespace:
    """A network of its own, with nothing in it but a loopback device that is down."""

    def __init__(self) -> None:
        self._file = -1
        making = Thread(target=self._make)  # only the thread that makes it enters it, and ends
        making.start()
        making.join()
        if self._file < 0:
            raise DrillError("the system makes no network namespace")

    def _make(self) -> None:
        if _LIBC.unshare(_CLONE_NEWNET) == 0:
            self._file = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Sockets and processes that this thread makes belong to this network."""
        home = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _enter(self._file)
            try:
                yield
            finally:
                _enter(home)
        finally:
            os.close(home)

    def ip(self, arguments: str) -> None:
        """The command `ip` has done this here; DrillError with its complaint if it fails."""
        with self.inside():
            run([ip_command() or "ip", *arguments.split()])

    @property
    def path(self) -> str:
        """By what other programs find it."""
        return f"/proc/{os.getpid()}/fd/{self._file}"

    def close(self) -> None:
        """It is gone when the processes and sockets in it are."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


class Network:
    """Hosts 10.77.0.1, 10.77.0.2, ..., on a switch that nobody else sees, and that can be cut in two."""

    def __init__(self) -> None:
        self._switch = Namespace()
        self._hosts: list[Namespace] = []
        for half in ("left", "right"):
            self._switch.ip(f"link add {half} type bridge")
            self._switch.ip(f"link set {half} up")

    def host(self) -> tuple[str, Place]:
        """A new host: its address, and how to get inside."""
        host, number = Namespace(), len(self._hosts) + 1
        self._hosts.append(host)
        address = f"10.77.0.{number}"
        self._switch.ip(f"link add port{number} type veth peer name eth0 netns {host.path}")
        self._switch.ip(f"link set port{number} master left")
        self._switch.ip(f"link set port{number} up")
        host.ip(f"address add {address}/24 dev eth0")
        host.ip("link set lo up")
        host.ip("link set eth0 up")
        return address, partial(Namespace.inside, host)

    def cut(self, addresses: Sequence[str]) -> None:
        """These hosts and the others no longer reach each other; nobody is told."""
        self._plug(addresses, "right")

    def heal(self, addresses: Sequence[str]) -> None:
        """`cut` is undone."""
        self._plug(addresses, "left")

    def close(self) -> None:
        """All is gone, once what runs in it has ended."""
        for namespace in (*self._hosts, self._switch):
            namespace.close()

    def _plug(self, addresses: Sequence[str], half: str) -> None:
        for address in addresses:
            self._switch.ip(f"link set port{address.rpartition('.')[2]} master {half}")


def run(command: Sequence[str], *, admitted: Sequence[int] = (0,)) -> None:
    """The command has ended with one of these statuses; DrillError with its complaint if not."""
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode not in admitted:
        complaint = (done.stderr.strip() or done.stdout.strip() or f"exit status {done.returncode}").splitlines()[0]
        raise DrillError(f"{Path(command[0]).name}: {complaint}")


def _enter(file: int) -> None:
    if _LIBC.setns(file, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
