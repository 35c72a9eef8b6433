"""A file with the key of an agent RPC, our own or that of a Serf agent. It must not know what the key opens."""

from pathlib import Path
from typing import Final

from onevalue.secretfile import SecretFile

AUTH_KEY_SIZE_MAX: Final = 1024
"""Bytes of the file of the key, and so of the key."""

AuthFile = SecretFile[str]


def auth_file(option: str, path: Path, credentials: Path | None = None) -> AuthFile:
    """The file that `option` names. It holds the key in its first line, without the white space around it."""
    return SecretFile(option, "key", AUTH_KEY_SIZE_MAX, _key, path.absolute(), credentials)


def _key(text: str) -> str:
    key = text.partition("\n")[0].strip()
    if not key:
        raise ValueError("has no key in its first line. Put one there: `openssl rand -hex 32` prints one")
    return key
