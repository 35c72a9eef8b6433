"""Server-sent events, from bytes as they come (WHATWG HTML, 9.2.6, "Interpreting an event stream").

Lines end with CR, LF or CRLF; one BOM may stand before all; comments only show that the other side lives. It must not
know what an event means, nor who sends it.
"""

import re
from dataclasses import dataclass

from onevalue.errors import RemoteProtocolError

EVENT_SIZE_MAX = 8 * 1024 * 1024
"""Bytes of one line, and of the data of one event; more is an error."""

_LINE_END = re.compile(rb"\r\n|\r|\n")
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Event:
    """One event.

    Attributes:
        kind: what `event:` said, else "message".
        data: all lines of `data:`, with LF between them.
        last_id: what the latest `id:` of the stream said, "" before any.
    """

    kind: str
    data: str
    last_id: str


class EventParser:
    """One stream. What has no empty line after it at the end of the stream is no event.

    Attributes:
        retry_ms: what the latest `retry:` said; None before any.
    """

    def __init__(self, size_max: int = EVENT_SIZE_MAX) -> None:
        self._size_max = size_max
        self.retry_ms: int | None = None
        self._line = bytearray()
        self._first = True
        self._after_cr = False
        self._kind = ""
        self._data: list[str] = []
        self._size = 0
        self._last_id = ""

    def receive(self, data: bytes) -> list[Event]:
        """The events that are complete with these bytes.

        Raises:
            RemoteProtocolError: a line or an event is too large. The parser is of no use any more.
        """
        if not data:
            return []
        begin = int(self._after_cr and data.startswith(b"\n"))  # the other half of a CRLF
        self._after_cr = data.endswith(b"\r")
        head, *more = _LINE_END.split(data[begin:])
        self._extend(head)
        events: list[Event] = []
        for piece in more:
            line = bytes(self._line)
            self._line.clear()
            event = self._end_line(line)
            if event is not None:
                events.append(event)
            self._extend(piece)
        return events

    def _extend(self, piece: bytes) -> None:
        if len(self._line) + len(piece) > self._size_max:
            raise RemoteProtocolError(f"a line of the event stream has more than {self._size_max} bytes")
        self._line += piece

    def _end_line(self, line: bytes) -> Event | None:
        if self._first:
            self._first, line = False, line.removeprefix(_BOM)
        if not line:
            return self._end_event()
        name, _, value = line.decode("utf-8", "replace").partition(":")
        value = value.removeprefix(" ")
        match name:  # "" is a comment
            case "event":
                self._kind = value
            case "data":
                self._size += len(line)
                if self._size > self._size_max:
                    raise RemoteProtocolError(f"an event of the stream has more than {self._size_max} bytes")
                self._data.append(value)
            case "id" if "\0" not in value:
                self._last_id = value
            case "retry" if value.isascii() and value.isdecimal() and len(value) <= len(str(2**63)):
                self.retry_ms = int(value)
        return None

    def _end_event(self) -> Event | None:
        kind, data = self._kind, self._data
        self._kind, self._data, self._size = "", [], 0
        return Event(kind or "message", "\n".join(data), self._last_id) if data else None
