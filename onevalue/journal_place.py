"""Whether the journal's files are still where they were opened.

A file that somebody removes while it is open can be written and synced as before, and SQLite does so without a word;
what is in it is gone with the process. It must not know what is written, nor when.
"""

import sqlite3
from pathlib import Path

RESTART = "Restart the node: it then learns the value from its cluster"

_NO_FILE = (0, 0)
"""Removed before it could be looked at; no file is like that."""


class GoneError(sqlite3.OperationalError):
    """What is written now would be on no disk after the end of this process."""


class Place:
    """The journal's file and its write-ahead log, as one connection has them open.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._log = path.with_name(f"{path.name}-wal")
        self._known: dict[Path, tuple[int, int]] = {}

    def opened(self) -> None:
        """The file that is there now is that of the connection, and so is the log, now or when it comes to be there.

        Raises:
            sqlite3.OperationalError: the system does not tell.
        """
        self._known = {self._path: self._identity(self._path) or _NO_FILE}

    def demand(self) -> None:
        """The file is where it was opened, and so is the log, if it was ever there.

        Raises:
            GoneError: one was removed, or another is in its place.
            sqlite3.OperationalError: the system does not tell.
        """
        for path in (self._path, self._log):
            found, known = self._identity(path), self._known.get(path)
            if found is None and known is not None:
                raise GoneError(f"{path.name} was removed while the node had it open")
            if found is not None and self._known.setdefault(path, found) != found:
                raise GoneError(f"{path.name} was replaced while the node had it open")

    @staticmethod
    def _identity(path: Path) -> tuple[int, int] | None:
        """What tells a file from another of its name; None where there is none."""
        try:
            status = path.stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise sqlite3.OperationalError(f"{path.name}: {error.strerror}") from error
        return status.st_dev, status.st_ino
