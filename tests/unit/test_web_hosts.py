"""Which names a request may have for this host where it arrives at a loopback address."""

import socket
from pathlib import Path

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress
from twisted.trial.unittest import SynchronousTestCase

from onevalue.web import hosts
from onevalue.web.hosts import names_beside, names_of_this_host
from tests.web_support import WebNode, Wire

REBOUND = ("evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "evillocalhost", "n1.evil.example", "n2")
OURS = (
    "127.0.0.1",
    "127.9.9.9",
    "[::1]",
    "192.0.2.7",
    "localhost",
    "LocalHost",
    "a.localhost",
    "localhost.",
    "n1",
    "N1",
)


class HostTests(SynchronousTestCase):
    """The guard against DNS rebinding, on a node n1 of a host that is also called db.example."""

    def setUp(self) -> None:
        """It answers."""
        self.node = WebNode(host_names=["db.example"])

    def ask(self, host: str | None, at: IAddress, line: str = "GET /get HTTP/1.1") -> int:
        """The status of a request that names this host, and has arrived at this address."""
        wire = Wire(self.node.clock, "127.0.0.1")
        wire.hostAddr = at
        channel = self.node.site.buildProtocol(wire.peer)
        assert channel is not None
        wire.channel = channel
        channel.makeConnection(wire)  # type: ignore[no-untyped-call]  # Twisted has no types here
        named = "" if host is None else f"Host: {host}\r\n"
        self.node.send(wire, f"{line}\r\n{named}\r\n".encode())
        [response] = wire.take_responses()
        self.body = response.body
        return response.status

    def test_the_names_of_this_host_pass(self) -> None:
        """Addresses, localhost, the node's name, what it was told; with a port or without."""
        for at in (IPv4Address("TCP", "127.0.0.1", 8080), IPv6Address("TCP", "::1", 8080)):
            for name in (*OURS, "db.example", "DB.example."):
                for host in (name, f"{name}:8080"):
                    assert self.ask(host, at) == 200, host

    def test_other_names_are_misdirected(self) -> None:
        """On every loopback address, also as IPv6 writes it; the answer says what to do, and nothing is written."""
        for address in ("127.0.0.1", "127.3.2.1", "::1", "::ffff:127.0.0.1"):
            at = (IPv6Address if ":" in address else IPv4Address)("TCP", address, 8080)
            for name in (*REBOUND, ""):
                for host in (name, f"{name}:8080"):
                    assert self.ask(host, at, "GET /set/7 HTTP/1.1") == 421, host
                    assert b"--host-names" in self.body
        assert self.node.store.current.value == 42
        assert self.node.site.traffic.requests_denied == 4 * 7 * 2

    def test_all_routes_are_guarded(self) -> None:
        """Reads too: the value may be nobody's business; and what is no route."""
        at = IPv4Address("TCP", "127.0.0.1", 8080)
        for line in ("GET /get", "GET /v1/status", "GET /healthz", "POST /notify", "GET /nothing", "GET /notify/1/2"):
            assert self.ask("evil.example", at, f"{line} HTTP/1.1") == 421

    def test_elsewhere_any_name_passes(self) -> None:
        """Off loopback others reach it anyway, and no page reaches a socket file."""
        for at in (IPv4Address("TCP", "192.0.2.1", 8080), UNIXAddress(b"/run/x")):
            assert self.ask("evil.example", at) == 200

    def test_no_browser_leaves_the_host_out(self) -> None:
        """HTTP/1.0 may; but if it names one it counts."""
        at = IPv4Address("TCP", "127.0.0.1", 8080)
        assert self.ask(None, at, "GET /get HTTP/1.0") == 200
        assert self.ask("evil.example", at, "GET /get HTTP/1.0") == 421


class OwnNameTests(SynchronousTestCase):
    """What this host is called, without asking anybody."""

    def test_names_in_a_line_with_ours_are_ours(self) -> None:
        """Of /etc/hosts: the full name as a rule. Other lines are not, whatever address they have."""
        text = (
            "127.0.0.1 localhost\n127.0.1.1\tdb.example DB # evil.example\n127.0.0.1 ads.example\n\n# 1 db x\n::1 db d6"
        )
        assert names_beside("db", text) == ["db.example", "d6"]
        assert names_beside("other", text) == []

    def test_the_host_name_is_ours(self) -> None:
        """Also where there is no /etc/hosts, or an odd one."""
        for path in (Path("/nowhere/hosts"), Path("/dev/null"), Path("/"), Path("/etc/hosts")):
            self.patch(hosts, "HOSTS_FILE", path)  # type: ignore[no-untyped-call]  # trial's has no types
            assert names_of_this_host()[0] == socket.gethostname()
