"""Remembered answers over real sockets: sent at once where nothing is before them, and else in their order.

The sockets are the system's, on loopback; the reactor is the test's own, and turns when the test says.
"""

import socket

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.tcp import Server
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.fuzz.fuzz_reads import GET, VALUE
from tests.web_support import WebNode

NONE = b"GET /none HTTP/1.1\r\nHost: n1\r\n\r\n"
REQUESTS = 1800
"""Whose answers are more than Twisted's bound and the buffers of the system hold."""


class Turns(Clock):
    """What a transport wants of a reactor; it writes, and closes, only in `turn`."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: list[Server] = []
        self.writers: list[Server] = []

    def addReader(self, reader: Server) -> None:
        """See IReactorFDSet."""
        if reader not in self.readers:
            self.readers.append(reader)

    def addWriter(self, writer: Server) -> None:
        """See IReactorFDSet."""
        if writer not in self.writers:
            self.writers.append(writer)

    def removeReader(self, reader: Server) -> None:
        """See IReactorFDSet."""
        if reader in self.readers:
            self.readers.remove(reader)

    def removeWriter(self, writer: Server) -> None:
        """See IReactorFDSet."""
        if writer in self.writers:
            self.writers.remove(writer)

    def turn(self) -> None:
        """All that waited has been written, as far as the system takes it, and all that had come was read."""
        for transport, work in [*((w, w.doWrite) for w in self.writers), *((r, r.doRead) for r in self.readers)]:
            why = work() if transport.connected else None  # type: ignore[no-untyped-call]  # no types
            if why is not None:
                self.removeReader(transport)
                self.removeWriter(transport)
                transport.connectionLost(Failure(why))


class PartialSocket:
    """Takes only so many bytes."""

    def __init__(self, inner: socket.socket, part: int) -> None:
        self._inner = inner
        self._part = part

    def send(self, data: bytes) -> int:
        """How many were taken."""
        return self._inner.send(data[: self._part])


class SendingTests(SynchronousTestCase):
    """A client that is as slow as the test wants."""

    def setUp(self) -> None:
        """A connection on which the value has been read, so that its answer is remembered."""
        self.node, self.turns = WebNode(), Turns()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.client = socket.socket()
            self.client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            self.client.connect(listener.getsockname())
            ours, _ = listener.accept()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        self.addCleanup(self.client.close)
        self.client.settimeout(10)
        address = IPv4Address("TCP", "127.0.0.1", 40000)
        channel = self.node.site.buildProtocol(address)
        assert channel is not None
        self.channel = channel
        self.transport = Server(ours, self.channel, ("127.0.0.1", 40000), None, 1, self.turns)  # type: ignore[arg-type]
        self.channel.makeConnection(self.transport)  # type: ignore[no-untyped-call]  # Twisted has no types here
        self.addCleanup(self.close)
        self.answers = {}
        for request in (VALUE, GET, NONE):
            self.client.sendall(request)
            self.turns.turn()
            self.turns.turn()
            self.answers[request] = self.client.recv(4096)

    def close(self) -> None:
        """The server's side is closed."""
        if self.transport.connected:
            self.transport.connectionLost(Failure(ConnectionDone()))

    def receive(self, size: int) -> bytes:
        """So many bytes, for which the server's side turns."""
        received = b""
        while len(received) < size:
            self.turns.turn()
            received += self.client.recv(1 << 16)
        return received

    @property
    def count(self) -> int:
        """Remembered answers given since the start."""
        return self.node.site.traffic.requests_remembered

    def test_an_answer_is_with_the_client_before_the_next_turn(self) -> None:
        """One read, one answer, and nothing that waits to be written."""
        for request in (GET, VALUE, GET):
            self.client.sendall(request)
            self.turns.turn()
            assert self.client.recv(4096) == self.answers[request]
        assert (self.count, self.turns.writers) == (3, [])

    def test_nothing_overtakes_what_waits(self) -> None:
        """An ordinary answer that waits for the next turn comes before a remembered one."""
        self.channel.dataReceived(NONE)
        self.channel.dataReceived(GET)
        self.turns.turn()
        assert self.client.recv(4096) == self.answers[NONE] + self.answers[GET]
        assert self.count == 1

    def test_a_slow_client_gets_all_in_order_and_cannot_fill_memory(self) -> None:
        """When the system takes no more, answers wait up to Twisted's bound; then no request is read."""
        requests = [(GET, VALUE, NONE)[number % 3] for number in range(REQUESTS)]
        for request in requests:
            self.client.sendall(request)  # the system holds what the server does not read
            self.turns.turn()
        assert self.turns.readers == [], "the server reads no more"
        waiting = len(self.transport.dataBuffer) + self.transport._tempDataLen
        assert 0 < waiting < self.transport.bufferSize + 4096
        expected = b"".join(self.answers[request] for request in requests)
        assert self.receive(len(expected)) == expected
        assert self.count > REQUESTS / 10

    def test_part_of_an_answer_that_the_system_takes_is_followed_by_the_rest(self) -> None:
        """Wherever it was cut."""
        for part in (0, 1, 100, len(self.answers[GET]) - 1):
            taking = PartialSocket(self.transport.socket, part)
            self.patch(self.transport, "getHandle", lambda taking=taking: taking)  # type: ignore[no-untyped-call]  # trial's
            self.channel.dataReceived(GET)
            self.channel.dataReceived(VALUE)
            expected = self.answers[GET] + self.answers[VALUE]
            assert self.receive(len(expected)) == expected

    def test_what_the_system_does_not_take_waits_in_order(self) -> None:
        """The buffers of the system are filled by remembered answers alone."""
        sent = b""
        while not self.turns.writers:
            self.channel.dataReceived(GET)
            sent += self.answers[GET]
        self.channel.dataReceived(VALUE)
        sent += self.answers[VALUE]
        assert self.receive(len(sent)) == sent

    def test_a_client_that_only_sends_no_more_gets_its_answer(self) -> None:
        """It has closed its side behind the request."""
        self.client.sendall(GET)
        self.client.shutdown(socket.SHUT_WR)
        self.turns.turn()
        assert self.client.recv(4096) == self.answers[GET]

    def test_a_client_that_is_gone_is_noticed_by_the_transport(self) -> None:
        """The error of the send is no error of ours; the connection ends in the next turn."""
        self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.client.close()  # with a reset
        self.channel.dataReceived(GET)
        self.turns.turn()
        assert self.node.site.traffic.connections == 0

    def test_a_transport_that_is_lost_sends_nothing(self) -> None:
        """What was read before is dropped."""
        self.close()
        self.channel.dataReceived(GET)
        assert self.client.recv(4096) == b""
