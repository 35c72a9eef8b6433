"""Lines of the log about what others did: printable, and no more of them than a disk and a reader can bear.

Whoever can reach the ports can cause such lines at any rate. It must not know what the lines mean.
"""

from collections.abc import Callable
from typing import Any

from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

LINES_MAX = 200
"""Lines that pass in one period; the rest are counted."""

PERIOD_S = 10.0
"""Length of such a period, seconds."""

SHOWN_MAX = 128
"""Characters of a text of somebody else in one line."""


def shown(text: str) -> str:
    """A text that somebody else chose, fit for one line of the log."""
    return "".join(char if char.isprintable() else "?" for char in text[:SHOWN_MAX])


class LimitedLog:
    """Passes at most LINES_MAX lines in PERIOD_S on to `log`, and tells how many it left out."""

    def __init__(self, log: Logger, seconds: Callable[[], float]) -> None:
        self._log = log
        self._seconds = seconds
        self._period_start = float("-inf")
        self._lines = 0

    def info(self, line: str, **fields: object) -> None:
        """See twisted.logger.Logger."""
        self._emit(LogLevel.info, line, fields)

    def error(self, line: str, **fields: object) -> None:
        """See twisted.logger.Logger."""
        self._emit(LogLevel.error, line, fields)

    def failure(self, line: str, failure: Failure, **fields: str) -> None:
        """See twisted.logger.Logger."""
        if self._passes():
            self._log.failure(line, failure, LogLevel.critical, **fields)

    def _emit(self, level: Any, line: str, fields: dict[str, object]) -> None:
        if self._passes():
            printable = {name: shown(each) if isinstance(each, str) else each for name, each in fields.items()}
            self._log.emit(level, line, **printable)

    def _passes(self) -> bool:
        now = self._seconds()
        if not self._period_start <= now < self._period_start + PERIOD_S:  # also when the clock stepped back
            if self._lines > LINES_MAX:
                self._log.warn("{count} more lines were left out of the log", count=self._lines - LINES_MAX)
            self._period_start, self._lines = now, 0
        self._lines += 1
        return self._lines <= LINES_MAX
