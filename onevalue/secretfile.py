"""A file of secrets, keys or tokens, read only if it is fit to hold any: regular, small, and closed to others.

It owns who may have access to such a file, how a refusal reads, and how it is read again while the node runs. It must
not know what the secrets mean, and no text that it makes shows one.
"""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from onevalue.errors import ConfigError
from onevalue.reasons import reason

T = TypeVar("T")

OTHERS_MODE = 0o077
"""Permission bits none of which a file of secrets may have."""

CREDENTIAL_MODE = 0o037
"""The same for a credential of systemd, which is root's, and opened to the service by an access list.

The list shows as a right of the group to read; the folder around it is open to the service only.
"""


@dataclass(frozen=True, slots=True)
class SecretFile(Generic[T]):
    """The file that an option names; it can be read again while the node runs.

    Attributes:
        option: its name, for errors.
        what: it holds, for errors: "keys".
        size_max: bytes.
        parse: makes something of the text, or raises ValueError with a text that goes on after the file's name.
        path: absolute, as a daemon changes its folder.
        credentials: systemd's folder for this service, if there is one ($CREDENTIALS_DIRECTORY).
    """

    option: str
    what: str
    size_max: int
    parse: Callable[[str], T]
    path: Path
    credentials: Path | None = None

    def read(self) -> T:
        """What it holds now.

        Raises:
            ConfigError: it cannot be read, or is not fit to hold secrets (see `read_secrets`), or `parse` refuses it.
                The message names option and file, and shows nothing of what is in it.
        """
        with named(f"--{self.option}: {self.path}"):
            loose = loose_mode(self.path, self.credentials)
            return self.parse(read_secrets(self.path, self.what, self.size_max, loose))


def loose_mode(path: Path, credentials: Path | None) -> int:
    """The permission bits that the file at `path` must not have.

    `credentials` is systemd's folder for this service, if there is one ($CREDENTIALS_DIRECTORY).
    """
    return CREDENTIAL_MODE if credentials is not None and path.parent == credentials else OTHERS_MODE


@contextmanager
def named(subject: str, alternative: str = "") -> Iterator[None]:
    """What goes wrong inside is a ConfigError that says with what, and what to do."""
    try:
        yield
    except OSError as error:
        problem = f"cannot be read: {reason(error)}. Put a file there that the user who runs onevalue may read"
        raise ConfigError(f"{subject} {problem}{alternative}") from None
    except ValueError as error:
        raise ConfigError(f"{subject} {error}{alternative}") from None


def read_secrets(path: Path, what: str, size_max: int, loose: int = OTHERS_MODE) -> str:
    """The text of a file that is fit to hold secrets, which are called `what` ("keys"), at most `size_max` bytes.

    A symbolic link is followed; what is checked is the open file, so nobody can put another in its place meanwhile.
    What is no UTF-8 becomes U+FFFD: it may stand in a comment.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no regular file; it has one of the permission bits `loose`; it belongs to neither root nor the
            user of this process; it is too large. The text goes on after the file's name.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # else it would wait for the writer of a pipe
    try:
        _check(path, os.fstat(descriptor), what, loose)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            data = file.read(size_max + 1)
    finally:
        os.close(descriptor)
    if len(data) > size_max:
        raise ValueError(f"has more than {size_max} bytes. Leave only the {what} in it")
    return data.decode("utf-8", "replace")


def _check(path: Path, status: os.stat_result, what: str, loose: int) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("is not a regular file. Put one there")
    if status.st_uid not in {0, user := os.geteuid()}:
        who = f"user {status.st_uid}, neither to root nor to user {user}, who runs onevalue"
        raise ValueError(f"belongs to {who}. If its {what} are yours, run chown {user} {path}")
    if status.st_mode & loose:
        raise ValueError(f"is open to others than its owner. Run chmod 600 {path}")
