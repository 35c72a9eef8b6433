"""Sockets that systemd has opened: what they amount to, and what is wrong with those that cannot serve."""

import os
import shutil
import socket
import tempfile
from pathlib import Path

import pytest
from twisted.internet.endpoints import AdoptedStreamServerEndpoint, serverFromString
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from onevalue.addresses import http_open_to_others, http_tag
from onevalue.httpoptions import check_endpoint
from onevalue.inherited import check_names, describe_inherited


class InheritedTests(SynchronousTestCase):
    """Real sockets of this process, as if systemd had opened them."""

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="onevalue-"))
        self.addCleanup(shutil.rmtree, self.folder)

    def listening(self, family: int, host: str, *, v6only: bool = False) -> socket.socket:
        """A socket that listens."""
        try:
            found = socket.socket(family, socket.SOCK_STREAM)
            self.addCleanup(found.close)
            if family == socket.AF_INET6:
                found.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
            found.bind((host, 0) if family != socket.AF_UNIX else host)
        except OSError as error:
            raise SkipTest(f"this machine has no {host}: {error}") from None
        found.listen()
        return found

    def described(self, found: socket.socket, domain: int | None = None) -> str:
        """What a description of this socket amounts to."""
        endpoint = AdoptedStreamServerEndpoint(None, found.fileno(), found.family if domain is None else domain)
        description = describe_inherited("systemd:domain=INET:name=http", endpoint)
        assert description is not None
        return description

    def test_a_socket_is_described_by_its_address(self) -> None:
        """As if the node had opened it; all that goes by the description is right then."""
        for family, host, kind, is_open in [
            (socket.AF_INET, "127.0.0.1", "tcp", False),
            (socket.AF_INET, "0.0.0.0", "tcp", True),
            (socket.AF_INET6, "::1", "tcp6", False),
            (socket.AF_INET6, "::", "tcp6", True),
        ]:
            found = self.listening(family, host)
            description = self.described(found)
            port = found.getsockname()[1]
            escaped = host.replace(":", "\\:")
            assert description == f"{kind}:{port}:interface={escaped}"
            assert http_open_to_others(description) is is_open
            assert http_tag(description, "192.0.2.1") == (f"http:{port}" if is_open else "-")

    def test_a_socket_for_ipv6_alone_is_not_reached_by_ipv4(self) -> None:
        """BindIPv6Only=ipv6-only."""
        description = self.described(self.listening(socket.AF_INET6, "::", v6only=True))
        assert http_tag(description, "192.0.2.1") == "-"
        assert http_tag(description, "2001:db8::1").startswith("http:")

    def test_a_unix_socket_is_for_this_host(self) -> None:
        """In the file system, or with a name of the abstract kind."""
        path = str(self.folder / "http")
        for address, shown in [(path, path), (f"\0onevalue-{os.getpid()}", f"@onevalue-{os.getpid()}")]:
            description = self.described(self.listening(socket.AF_UNIX, address))
            assert description == f"unix:{shown}"
            assert not http_open_to_others(description)
            assert http_tag(description, "192.0.2.1") == "-"

    def test_a_socket_that_cannot_serve_is_refused(self) -> None:
        """With what to write in the unit."""
        inet = self.listening(socket.AF_INET, "127.0.0.1")
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        deaf = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        for each in (datagrams, deaf):
            self.addCleanup(each.close)
        for found, domain, words in [
            (inet, socket.AF_INET6, "write domain=INET$"),
            (datagrams, socket.AF_INET, "ListenStream="),
            (deaf, socket.AF_INET, "Accept=no"),
        ]:
            with pytest.raises(ValueError, match=words):
                self.described(found, domain)

    def test_the_socket_itself_is_left_as_it_was(self) -> None:
        """It is looked at only: it still takes connections."""
        found = self.listening(socket.AF_INET, "127.0.0.1")
        self.described(found)
        with socket.create_connection(found.getsockname()):
            found.accept()[0].close()

    def test_a_socket_that_is_not_there_is_one_clear_line(self) -> None:
        """By its name, its number, or when it was closed since."""
        for text, words in [
            ("systemd:domain=INET:name=http", "did not open for this process.*FileDescriptorName=http$"),
            ("systemd:domain=INET:index=0", "did not open for this process"),
            ("systemd:domain=INET", "exactly one of descriptor index or name"),
        ]:
            with pytest.raises(ValueError, match=words):
                check_endpoint(text)
        endpoint = AdoptedStreamServerEndpoint(None, 999, socket.AF_INET)
        with pytest.raises(ValueError, match="did not open"):
            describe_inherited("systemd:domain=INET:name=http", endpoint)

    def test_a_name_that_several_have_is_refused(self) -> None:
        """Only one of them would be served, and those who come to the others would wait for ever."""
        text = "systemd:domain=INET:name=http"
        with pytest.raises(ValueError, match="could be 2 sockets"):
            check_names(text, {"LISTEN_FDNAMES": "http:gossip:http"})
        check_names(text, {"LISTEN_FDNAMES": "http:gossip"})
        check_names(text, {})
        check_names("tcp:80", {"LISTEN_FDNAMES": "http:http"})
        check_names("systemd:domain=INET:index=0", {"LISTEN_FDNAMES": "http:http"})

    def test_what_is_not_inherited_is_described_by_itself(self) -> None:
        """Whatever it is."""
        assert describe_inherited("tcp:80", serverFromString(None, "tcp:80")) is None
        assert check_endpoint("tcp:80") == "tcp:80"
