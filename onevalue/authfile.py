"""A file with the key of an agent RPC, our own or that of a Serf agent. It must not know what the key opens."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from onevalue.secretfile import loose_mode, named, read_secrets

AUTH_KEY_SIZE_MAX: Final = 1024
"""Bytes of the file of the key, and so of the key."""


@dataclass(frozen=True, slots=True)
class AuthFile:
    """The file that an option names; it can be read again while the node runs.

    Attributes:
        option: its name, for errors.
        path: absolute, as a daemon changes its folder.
        credentials: systemd's folder for this service, if there is one ($CREDENTIALS_DIRECTORY).
    """

    option: str
    path: Path
    credentials: Path | None = None

    def read(self) -> str:
        """The key, which is its first line without the white space around it; not empty.

        Raises:
            ConfigError: it cannot be read; others may read or write it; it is too large, or has no key. The message
                names the file and shows no key.
        """
        with named(f"--{self.option}: {self.path}"):
            loose = loose_mode(self.path, self.credentials)
            key = read_secrets(self.path, "key", AUTH_KEY_SIZE_MAX, loose).partition("\n")[0].strip()
            if not key:
                raise ValueError("has no key in its first line. Put one there: `openssl rand -hex 32` prints one")
            return key


def auth_file(option: str, path: str, credentials: str | None) -> AuthFile:
    """The file at `path`, as an option names it; not read yet."""
    return AuthFile(option, Path(path).absolute(), Path(credentials) if credentials else None)
