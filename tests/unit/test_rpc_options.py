"""--rpc and --rpc-auth-file: what they say, what is wrong with them, and what they leave open."""

import shutil
import tempfile
from pathlib import Path

import pytest
from twisted.trial.unittest import SynchronousTestCase

from onevalue.authfile import AUTH_KEY_SIZE_MAX, auth_file
from onevalue.errors import ConfigError
from onevalue.rpcoptions import RpcAccess, read_rpc_access


class RpcOptionsTestCase(SynchronousTestCase):
    """With a folder."""

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="onevalue-"))
        self.addCleanup(shutil.rmtree, self.folder)

    def file(self, text: str, mode: int = 0o600) -> str:
        """A file of a key."""
        path = self.folder / "auth"
        path.write_text(text)
        path.chmod(mode)
        return str(path)

    def read(self, rpc: str | None, auth_file: str | None = None, credentials: Path | None = None) -> RpcAccess | None:
        """What these options say."""
        return read_rpc_access({"rpc": rpc, "rpc-auth-file": auth_file}.get, credentials)


class AccessTests(RpcOptionsTestCase):
    """Where, and who."""

    def test_without_the_option_there_is_no_rpc(self) -> None:
        """A key without it is a mistake."""
        assert self.read(None) is None
        with pytest.raises(ConfigError, match=r"^--rpc-auth-file: .*give --rpc too"):
            self.read(None, self.file("key"))

    def test_host_and_port(self) -> None:
        """A name or a number; the port is Serf's unless told."""
        for text, host, port in [
            ("127.0.0.1", "127.0.0.1", 7373),
            ("localhost:1234", "localhost", 1234),
            ("[::1]:99", "::1", 99),
            ("::1", "::1", 7373),
        ]:
            access = self.read(text)
            assert access is not None
            assert (access.host, access.port, access.key) == (host, port, "")

    def test_what_is_no_address_is_refused(self) -> None:
        """The option is named."""
        for text in ("127.0.0.1:", ":7373", "127.0.0.1:0", "127.0.0.1:99999", "a b"):
            with pytest.raises(ConfigError, match=r"^--rpc: "):
                self.read(text)

    def test_the_key_is_the_first_line(self) -> None:
        """Without the white space around it, and shown nowhere."""
        access = self.read("127.0.0.1", self.file(" open sesame \nthe rest\n"))
        assert access is not None
        assert access.key == "open sesame"
        assert "sesame" not in repr(access)

    def test_a_file_that_is_not_fit_for_a_key_is_refused(self) -> None:
        """Named, with what to do, and without what it holds."""
        for text, mode, why in [
            ("secret", 0o644, "chmod 600"),
            ("\nsecret", 0o600, "no key in its first line"),
            ("  \n", 0o600, "no key in its first line"),
            ("", 0o600, "no key in its first line"),
            ("secret" * AUTH_KEY_SIZE_MAX, 0o600, f"more than {AUTH_KEY_SIZE_MAX} bytes"),
        ]:
            with pytest.raises(ConfigError, match=why) as caught:
                self.read("127.0.0.1", self.file(text, mode))
            assert str(caught.value).startswith("--rpc-auth-file: ")
            assert "secret" not in str(caught.value)
        with pytest.raises(ConfigError, match="cannot be read"):
            self.read("127.0.0.1", str(self.folder / "nowhere"))

    def test_a_credential_of_systemd_may_be_read_by_its_group(self) -> None:
        """As systemd makes it."""
        access = self.read("127.0.0.1", self.file("key", 0o440), self.folder)
        assert access is not None
        assert access.auth_file == auth_file("rpc-auth-file", self.folder / "auth", self.folder)


class ExposureTests(RpcOptionsTestCase):
    """What others can do."""

    def test_on_loopback_nothing_is_open_to_others(self) -> None:
        """With a key or without."""
        for host in ("127.0.0.1", "127.1.2.3", "::1", "localhost"):
            assert RpcAccess(host=host, port=1).exposure == []

    def test_elsewhere_it_says_what_is_open(self) -> None:
        """All of it without a key; what can be heard on the way with one."""
        for host in ("10.0.0.1", "0.0.0.0", "::", "host.example"):
            [sentence] = RpcAccess(host=host, port=7373).exposure
            assert "is open, until it has a key" in sentence
            [sentence] = RpcAccess(
                host=host, port=7373, auth_file=auth_file("rpc-auth-file", Path("/key")), key="k"
            ).exposure
            assert "is not encrypted" in sentence
