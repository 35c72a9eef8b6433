"""Where a node listens and what it advertises: closed until it is told otherwise."""

import socket
from typing import Self

import pytest
from twisted.trial.unittest import SynchronousTestCase

from onevalue.addresses import Placement, host_port, http_open_to_others, http_tag, place, split_host_port
from onevalue.errors import ConfigError

SOURCE = "192.0.2.77"
"""What the routing table of these tests says."""


class SplitTests(SynchronousTestCase):
    """Host and port of a text."""

    def test_hosts_and_ports(self) -> None:
        """Names, IPv4, IPv6 with and without brackets; the port may be left out."""
        for text, expected in [
            ("n1", ("n1", 7946)),
            ("n1:80", ("n1", 80)),
            ("10.0.0.1:65535", ("10.0.0.1", 65535)),
            ("[::1]", ("::1", 7946)),
            ("[::1]:80", ("::1", 80)),
            ("fe80::1", ("fe80::1", 7946)),
        ]:
            assert split_host_port(text, 7946) == expected
            assert split_host_port(host_port(*expected), 1) == expected

    def test_what_is_none_is_refused(self) -> None:
        """No host, no port after a colon, a port out of range or in other digits, too many colons, open brackets."""
        for text in [
            *("", ":80", "n1:", "n1:0", "n1:65536", "n1:-1", "n1:x", "n1:\u0663", "n 1"),
            *("10.0.0.1:80:90", "[::1", "[::1]80", "[]:80", "http://n1", "n1/x"),
        ]:
            with pytest.raises(ValueError, match=r"has no|is n"):
                split_host_port(text, 7946)


class PlaceTests(SynchronousTestCase):
    """The rules of placement."""

    def setUp(self) -> None:
        self.patch(socket, "socket", RoutingTable)  # type: ignore[no-untyped-call]  # trial's has no types
        self.patch(socket, "getaddrinfo", lookup)  # type: ignore[no-untyped-call]  # as above

    def test_the_table(self) -> None:
        """Bind, advertise and join, to where it listens and what it advertises."""
        for bind, advertise, join, expected in [
            # Told nothing: loopback only.
            (None, None, [], ("127.0.0.1", 7946, "127.0.0.1", 7946)),
            (None, None, ["127.0.0.5"], ("127.0.0.1", 7946, "127.0.0.1", 7946)),
            # A join address off loopback: the source address towards it, on all interfaces.
            (None, None, ["127.0.0.5", "198.51.100.1:80"], ("0.0.0.0", 7946, SOURCE, 7946)),
            # An advertise address opens all interfaces of its family; a loopback one that address only.
            (None, "192.0.2.1", [], ("0.0.0.0", 7946, "192.0.2.1", 7946)),
            (None, "192.0.2.1:99", ["198.51.100.1"], ("0.0.0.0", 99, "192.0.2.1", 99)),
            (None, "[2001:db8::1]:99", [], ("::", 99, "2001:db8::1", 99)),
            (None, "127.0.0.3", [], ("127.0.0.3", 7946, "127.0.0.3", 7946)),
            (None, "::1", ["198.51.100.1"], ("::1", 7946, "::1", 7946)),
            (None, "n1.example", [], ("0.0.0.0", 7946, "192.0.2.9", 7946)),
            # A bind address is advertised too, unless something else is.
            ("192.0.2.1:99", None, [], ("192.0.2.1", 99, "192.0.2.1", 99)),
            ("192.0.2.1:99", "192.0.2.2", [], ("192.0.2.1", 99, "192.0.2.2", 99)),
            ("192.0.2.1:99", "192.0.2.2:100", [], ("192.0.2.1", 99, "192.0.2.2", 100)),
            ("192.0.2.1", "192.0.2.2:100", [], ("192.0.2.1", 100, "192.0.2.2", 100)),
            ("0.0.0.0:99", None, ["198.51.100.1"], ("0.0.0.0", 99, SOURCE, 99)),
            ("127.0.0.1", "192.0.2.1", [], ("127.0.0.1", 7946, "192.0.2.1", 7946)),
        ]:
            placement = place(bind=bind, advertise=advertise, join=join)
            assert placement == Placement(*expected), (bind, advertise, join)

    def test_what_cannot_be_is_refused(self) -> None:
        """The error names the option, and what to do where that is not plain."""
        for bind, advertise, join, words in [
            ("0.0.0.0", None, [], "--bind: .*--advertise"),
            ("::", None, ["127.0.0.1"], "--bind: .*--advertise"),
            (None, "0.0.0.0", [], "--advertise: 0.0.0.0"),
            (None, "unknown.example", [], "--advertise: .*unknown.example"),
            ("unknown.example", None, [], "--bind: .*unknown.example"),
            (None, None, ["unknown.example"], "--join: .*--advertise"),
            (None, None, ["203.0.113.1"], "--join: no way to 203.0.113.1.*--advertise"),
            (None, "n1:0", [], "--advertise: 'n1:0' has no port"),
        ]:
            with pytest.raises(ConfigError, match=words):
                place(bind=bind, advertise=advertise, join=join)

    def test_with_an_advertise_address_no_join_address_is_looked_up(self) -> None:
        """A node starts although the name server is dead."""
        assert place(bind=None, advertise="192.0.2.1", join=["unknown.example"]).advertise_host == "192.0.2.1"


class HttpTests(SynchronousTestCase):
    """What is told of the HTTP service."""

    def test_by_default_it_is_where_gossip_is(self) -> None:
        """And members are told its port."""
        for host, advertised, expected in [
            ("127.0.0.1", "127.0.0.1", "tcp:8080:interface=127.0.0.1"),
            ("0.0.0.0", "192.0.2.1", "tcp:8080:interface=0.0.0.0"),
            ("::1", "::1", r"tcp6:8080:interface=\:\:1"),
            ("::", "2001:db8::1", r"tcp6:8080:interface=\:\:"),
        ]:
            description = Placement(host, 7946, advertised, 7946).http_description(8080)
            assert description == expected
            assert http_tag(description, advertised) == "http:8080"

    def test_the_tag_tells_what_members_can_reach(self) -> None:
        """On the advertised address or on all of its family; by TCP or TLS; with a port that is known."""
        for description, advertised, tag in [
            ("tcp:80", "192.0.2.1", "http:80"),
            ("tcp:port=80", "192.0.2.1", "http:80"),
            ("tcp:80:interface=192.0.2.1", "192.0.2.1", "http:80"),
            ("tcp:80:interface=192.0.2.2", "192.0.2.1", "-"),
            ("tcp:80:interface=127.0.0.1", "192.0.2.1", "-"),
            ("tcp:80:interface=n1.example", "192.0.2.1", "-"),
            ("ssl:443:privateKey=key.pem", "192.0.2.1", "https:443"),
            ("tcp:0", "192.0.2.1", "-"),
            ("tcp:80000", "192.0.2.1", "-"),
            ("tcp:http", "192.0.2.1", "-"),
            ("unix:/run/onevalue", "192.0.2.1", "-"),
            ("systemd:domain=INET:index=0", "192.0.2.1", "-"),
            # The family counts; a socket on :: takes both.
            ("tcp:80", "2001:db8::1", "-"),
            ("tcp6:80", "2001:db8::1", "http:80"),
            ("tcp6:80", "192.0.2.1", "http:80"),
            (r"tcp6:80:interface=2001\:db8\:0\:0\:0\:0\:0\:1", "2001:db8::1", "http:80"),
        ]:
            assert http_tag(description, advertised) == tag, description

    def test_what_is_open_to_others(self) -> None:
        """All but loopback and Unix sockets; what is not known counts as open."""
        for description, is_open in [
            ("tcp:80", True),
            ("tcp:80:interface=192.0.2.1", True),
            ("tcp:80:interface=127.0.0.9", False),
            ("tcp:80:interface=localhost", False),
            (r"tcp6:80:interface=\:\:1", False),
            ("unix:/run/onevalue", False),
            ("systemd:domain=INET:index=0", True),
        ]:
            assert http_open_to_others(description) is is_open, description

    def test_a_placement_knows_whether_it_is_open(self) -> None:
        """It is by where it binds, not by what it tells."""
        assert Placement("0.0.0.0", 1, "192.0.2.1", 1).open_to_others
        assert not Placement("127.0.0.1", 1, "192.0.2.1", 1).open_to_others


class RoutingTable:
    """A datagram socket: the way to 203.0.113.0/24 is closed, and everything else goes out from SOURCE."""

    def __init__(self, family: int, kind: int) -> None:
        assert kind == socket.SOCK_DGRAM, family

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to close."""

    def connect(self, address: tuple[str, int]) -> None:
        """See socket."""
        if address[0].startswith("203.0.113."):
            raise OSError(101, "Network is unreachable")

    def getsockname(self) -> tuple[str, int]:
        """See socket."""
        return SOURCE, 40000


def lookup(host: str, *_: object, **__: object) -> list[tuple[int, int, int, str, tuple[str, int]]]:
    """A name server that knows one name."""
    if host != "n1.example":
        raise socket.gaierror(-2, "Name or service not known")
    return [(2, 2, 17, "", ("192.0.2.9", 0))]
