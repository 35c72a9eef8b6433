"""Hosts of their own on this machine: network namespaces around a router that can drop what one sends to another.

A namespace lives as long as the process that holds it, so nothing is left when that has been killed, and the machine's
own network is never touched. Linux only; needs root, and the commands ip (iproute2), nsenter and unshare (util-linux).
"""

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twisted.internet.utils import getProcessOutputAndValue
from twisted.web.http_headers import Headers

from tests.e2e.harness import HTTP_PORT, Answer, Node, Process, eventually

ENVIRON = {"PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}
HTTP_CALL = """
import http.client, sys
method, host, port, path = sys.argv[1:5]
connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=5)
connection.request(method, path)
answer = connection.getresponse()
sys.stdout.buffer.write(b"%d\\n" % answer.status + answer.read())
"""
REACHES = """
import socket, sys
socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=1.5)
"""
PYTHON = (sys.executable, "-I", "-S", "-c")


async def run(*command: str) -> str:
    """What a command prints; AssertionError with its complaint if it fails."""
    program = shutil.which(command[0], path=ENVIRON["PATH"])
    assert program is not None, f"no command {command[0]}"
    out, err, code = await getProcessOutputAndValue(program, command[1:], env=ENVIRON)
    assert code == 0, f"{' '.join(command)}: {err.decode('utf-8', 'replace')}"
    return str(out, "utf-8", "replace")


def why_not() -> str | None:
    """Why there can be no namespaces here, or None."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    missing = [each for each in ("ip", "nsenter", "unshare") if shutil.which(each, path=ENVIRON["PATH"]) is None]
    return f"no command {' nor '.join(missing)} on this machine" if missing else None


def namespace_of(process: int | str) -> Path:
    """What names the network namespace of a process."""
    return Path(f"/proc/{process}/ns/net").readlink()


class Host:
    """A network namespace with one IPv4 and one IPv6 address, this one without its brackets."""

    def __init__(self, address: str, address6: str, holder: Process) -> None:
        self.address = address
        self.address6 = address6
        self.holder = holder
        nsenter = shutil.which("nsenter", path=ENVIRON["PATH"])
        assert nsenter is not None
        self.enter = (nsenter, f"--net=/proc/{holder.pid}/ns/net")

    async def run(self, *command: str) -> str:
        """What a command prints that runs on this host."""
        return await run(*self.enter, *command)

    async def ip(self, arguments: str) -> None:
        """The command `ip` has done this on this host."""
        await self.run("ip", *arguments.split())

    async def reaches(self, address: str, port: int) -> bool:
        """True if a TCP connection to an address of another host opens."""
        try:
            await self.run(*PYTHON, REACHES, address, str(port))
        except AssertionError:
            return False
        return True


class Network:
    """A router, and the hosts around it, in 10.77.0.0/16 and fd77::/16, which nobody else sees."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._hosts: list[Host] = []
        self._router: Host | None = None

    async def open(self) -> None:
        """The router runs."""
        self._router = await self._namespace(0)
        for switch in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
            await self._router.run("sh", "-c", f"echo 1 > /proc/sys/net/{switch}")

    async def host(self) -> Host:
        """A new host, which all others reach through the router."""
        router, number = self._router, len(self._hosts) + 1
        assert router is not None
        host = await self._namespace(number)
        self._hosts.append(host)
        gateway, gateway6, link = f"10.77.{number}.1", f"fd77:{number}::1", f"host{number}"
        await router.ip(f"link add {link} type veth peer name eth0 netns {host.holder.pid}")
        await router.ip(f"address add {gateway}/24 dev {link}")
        await router.ip(f"address add {gateway6}/64 dev {link} nodad")
        await router.ip(f"link set {link} up")
        await host.ip(f"address add {host.address}/24 dev eth0")
        await host.ip(f"address add {host.address6}/64 dev eth0 nodad")
        await host.ip("link set lo up")
        await host.ip("link set eth0 up")
        await host.ip(f"route add default via {gateway}")
        await host.ip(f"route add default via {gateway6}")
        return host

    async def drop(self, one: Host, other: Host) -> None:
        """From now on the router drops, without a word, all that either of the two sends to the other."""
        assert self._router is not None
        for source, destination in ((one, other), (other, one)):
            await self._router.ip(f"rule add from {source.address} to {destination.address} blackhole")
            await self._router.ip(f"-6 rule add from {source.address6} to {destination.address6} blackhole")

    async def heal(self, one: Host, other: Host) -> None:
        """`drop` is undone."""
        assert self._router is not None
        for source, destination in ((one, other), (other, one)):
            await self._router.ip(f"rule delete from {source.address} to {destination.address} blackhole")
            await self._router.ip(f"-6 rule delete from {source.address6} to {destination.address6} blackhole")

    async def close(self) -> None:
        """All namespaces are gone, once what runs in them has ended."""
        for host in [*self._hosts, *([self._router] if self._router else [])]:
            await host.holder.kill()

    async def _namespace(self, number: int) -> Host:
        unshare, sleep = (shutil.which(each, path=ENVIRON["PATH"]) for each in ("unshare", "sleep"))
        assert unshare is not None
        assert sleep is not None
        holder = Process(f"network {number}", [unshare, "--net", sleep, "infinity"], ENVIRON, self._folder)

        async def apart() -> bool:
            assert holder.running, holder.output
            return namespace_of(holder.pid) != namespace_of("self")

        await eventually(apart, 10, "a network namespace")
        return Host(f"10.77.{number}.2", f"fd77:{number}::2", holder)


class HostNode(Node):
    """A node on such a host; it is asked from there."""

    async def call(self, method: str, path: str, **keywords: Any) -> Answer:
        """One HTTP request, without a body."""
        assert not keywords
        return await http_call(self.prefix, method, self.host, path)


async def http_call(prefix: Sequence[str], method: str, host: str, path: str, port: int = HTTP_PORT) -> Answer:
    """One HTTP request by a process that `prefix` starts; its answer without the headers."""
    printed = await run(*prefix, *PYTHON, HTTP_CALL, method, host, str(port), path)
    status, _, body = printed.partition("\n")
    return Answer(int(status), body.encode(), Headers())
