"""What one client of the RPC has under way: streams, a monitor, queries of its own, queries that it may answer.

Each of them has a bound. It must not know bytes beyond bodies of records, nor where any of it comes from.
"""

from collections.abc import Callable

from onevalue.errors import BusyError, LocalProtocolError
from onevalue.serf.answering import ReceivedQuery
from onevalue.wire.rpc_messages import ErrorText

STREAMS_MAX = 64
"""Streams of one client."""

QUERIES_MAX = 16
"""Own queries of one client at once; the node has some more for all others."""

RECEIVED_MAX = 512
"""Queries that one client may still answer; for another the oldest is forgotten."""

Stop = Callable[[], None]
"""Ends what is under way; nothing more is told of it."""


class Session:
    """One client.

    Args:
        tell: sends a record, the encoded body, to whoever has begun the request of this seq.
        seconds: of the reactor.

    Attributes:
        tell: see there.
    """

    def __init__(self, tell: Callable[[int, bytes], None], seconds: Callable[[], float]) -> None:
        self.tell = tell
        self._seconds = seconds
        self._streams: dict[int, Stop] = {}
        self._monitor: tuple[int, Stop] | None = None
        self._queries: dict[int, Stop] = {}
        self._query_count = 0
        self._received: dict[int, ReceivedQuery | None] = {}  # None: it was answered
        self._received_count = 0

    def close(self) -> None:
        """Nothing is under way any more."""
        stops = [*self._streams.values(), *self._queries.values()]
        if self._monitor is not None:
            stops.append(self._monitor[1])
        self._streams, self._queries, self._monitor, self._received = {}, {}, None, {}
        for stop in stops:
            stop()

    # Streams and the monitor

    def check_stream(self, seq: int) -> None:
        """There may be a stream of this seq.

        Raises:
            LocalProtocolError: there is one, or there are too many.
        """
        if seq in self._streams:
            raise LocalProtocolError(ErrorText.STREAM_EXISTS)
        if len(self._streams) >= STREAMS_MAX:
            raise BusyError(f"a connection has at most {STREAMS_MAX} streams: stop one, or open another connection")

    def add_stream(self, seq: int, stop: Stop) -> None:
        """There is a stream of this seq."""
        self._streams[seq] = stop

    def check_monitor(self) -> None:
        """There may be a monitor. Raises LocalProtocolError: there is one."""
        if self._monitor is not None:
            raise LocalProtocolError(ErrorText.MONITOR_EXISTS)

    def set_monitor(self, seq: int, stop: Stop) -> None:
        """There is a monitor."""
        self._monitor = (seq, stop)

    def stop(self, seq: int) -> None:
        """Stream and monitor of this seq have ended; nothing happens if there is none."""
        if seq in self._streams:
            self._streams.pop(seq)()
        if self._monitor is not None and self._monitor[0] == seq:
            (_, stop), self._monitor = self._monitor, None
            stop()

    # Own queries

    def check_queries(self) -> None:
        """There may be another own query. Raises BusyError if not."""
        if len(self._queries) >= QUERIES_MAX:
            raise BusyError(f"{QUERIES_MAX} queries of this connection are under way: wait for the end of one")

    def add_query(self, stop: Stop) -> Stop:
        """The query is under way until `stop` is called, or what this returns: that it has ended by itself."""
        self._query_count += 1
        number = self._query_count
        self._queries[number] = stop
        return lambda: self._queries.pop(number, None) and None

    # Queries of others

    def receive(self, received: ReceivedQuery) -> int:
        """The query may be answered until its deadline, under the id that this returns."""
        now = self._seconds()
        for number in [each for each, old in self._received.items() if old is not None and old.deadline < now]:
            del self._received[number]
        if len(self._received) >= RECEIVED_MAX:
            del self._received[next(iter(self._received))]
        self._received_count += 1
        self._received[self._received_count] = received
        return self._received_count

    def received(self, number: int) -> ReceivedQuery:
        """The query of this id, which may still be answered. Raises LocalProtocolError: there is none."""
        if number in self._received and self._received[number] is None:
            raise LocalProtocolError("this query was answered before")
        received = self._received.get(number)
        if received is None or received.deadline < self._seconds():
            raise LocalProtocolError(ErrorText.NO_SUCH_QUERY)
        return received

    def answered(self, number: int) -> None:
        """The query of this id was answered."""
        self._received[number] = None
