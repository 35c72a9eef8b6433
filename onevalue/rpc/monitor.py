"""The lines of this node's log as `serf monitor` shows them: the newest are remembered, and told as they come.

It must not know who watches. What is logged while a line is told is told after it, so nobody feeds himself for ever in
one turn; it comes from any thread, and is told on the reactor's.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent
from twisted.python.failure import Failure
from zope.interface import implementer

from onevalue.streams import Reactor

LINES_MAX: Final = 512
"""Lines that are remembered."""

LINE_LENGTH_MAX: Final = 1024
"""Characters of one line."""

LEVELS: Final = ("TRACE", "DEBUG", "INFO", "WARN", "ERR")
"""Serf's, each with all behind it."""

_LEVELS: Final = {
    LogLevel.debug: LEVELS.index("DEBUG"),
    LogLevel.info: LEVELS.index("INFO"),
    LogLevel.warn: LEVELS.index("WARN"),
    LogLevel.error: LEVELS.index("ERR"),
    LogLevel.critical: LEVELS.index("ERR"),
}


@implementer(ILogObserver)
class Monitor:
    """An observer of Twisted's log, made on the reactor's thread.

    Args:
        reactor: on whose thread lines are told.
    """

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor
        self._thread = threading.get_ident()
        self._lines: deque[tuple[int, str]] = deque(maxlen=LINES_MAX)
        self._untold: deque[tuple[int, str]] = deque(maxlen=LINES_MAX)
        self._watchers: dict[object, tuple[int, Callable[[str], None]]] = {}
        self._telling = False

    def __call__(self, event: LogEvent) -> None:
        """The line of this event is remembered, and told."""
        line = (_LEVELS.get(event.get("log_level"), LEVELS.index("INFO")), line_of(event))
        if threading.get_ident() == self._thread:
            self._take(line)
        else:
            self._reactor.callFromThread(self._take, line)

    def begin(self, level: str, tell: Callable[[str], None]) -> Callable[[], None]:
        """`tell` gets the remembered lines of this level, any case, and above; and all others until what this returns.

        Raises:
            ValueError: there is no such level.
        """
        least = level_of(level)
        for number, line in list(self._lines):
            if number >= least:
                tell(line)
        key = object()
        self._watchers[key] = (least, tell)
        return lambda: self._watchers.pop(key, None) and None

    def _take(self, line: tuple[int, str]) -> None:
        self._lines.append(line)
        if not self._watchers:
            return
        self._untold.append(line)
        if self._telling:
            return
        self._telling = True
        try:
            for _ in range(LINES_MAX):
                if not self._untold:
                    break
                self._tell(*self._untold.popleft())
        finally:
            self._telling = False

    def _tell(self, number: int, line: str) -> None:
        for least, tell in list(self._watchers.values()):
            if number >= least:
                tell(line)


def level_of(text: str) -> int:
    """The place of a level in LEVELS. Raises ValueError: there is none such."""
    level = text.upper()
    if level not in LEVELS:
        raise ValueError(f"Unknown log level: {level}")
    return LEVELS.index(level)


def line_of(event: LogEvent) -> str:
    """The event as Serf writes a line of its log: local time, level, who says it, and what, on one line."""
    at = time.strftime("%Y/%m/%d %H:%M:%S", time.localtime(event.get("log_time", 0.0)))
    level = LEVELS[_LEVELS.get(event.get("log_level"), LEVELS.index("INFO"))]
    text = formatEvent(event)
    failure = event.get("log_failure")
    if isinstance(failure, Failure):
        text = f"{text}: {failure.getErrorMessage()}"
    source = str(event.get("log_namespace", "-"))
    line = f"{at} [{level}] {source}: {text[:LINE_LENGTH_MAX]}"
    return "".join(char if char.isprintable() else " " for char in line)
