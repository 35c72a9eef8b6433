"""The far side of HTTP clients, in memory: a reactor whose connections a test accepts, refuses, answers and cuts."""

import json
from typing import Any, cast

from twisted.internet.error import ConnectionLost, ConnectionRefusedError  # noqa: A004  # Twisted's own
from twisted.internet.protocol import Protocol
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure

from onevalue.store import State
from onevalue.types import Generation
from onevalue.values import Value

ATTEMPT_DELAY_S = 0.3


def state_json(generation: int, value: Value) -> dict[str, Any]:
    """A state as a node tells it."""
    state = State(Generation(generation), value, "n1", 12.5)
    return {**state.to_json(), "tag": state.tag}


def event(generation: int, value: Value) -> bytes:
    """A state as an event of a stream."""
    told = state_json(generation, value)
    return f"id: {told['tag']}\ndata: {json.dumps(told)}\n\n".encode()


class Peer(StringTransport):
    """A server's end of one connection."""

    def __init__(self, client: Protocol) -> None:
        super().__init__(lenient=True)  # type: ignore[no-untyped-call]  # Twisted has no types here
        self.client = client
        self.lost = False
        client.makeConnection(self)

    @property
    def request(self) -> bytes:
        """What the client has sent."""
        data: bytes = self.value()  # type: ignore[no-untyped-call]  # likewise
        return data

    @property
    def closed(self) -> bool:
        """The client wants no more of it."""
        return self.disconnecting or self.disconnected

    def answer(self, status: int, obj: object, **headers: str) -> None:
        """The client gets this JSON as the whole answer, and the connection ends."""
        body = json.dumps(obj).encode()
        lines = {"Content-Length": str(len(body)), **headers}
        self.send(f"HTTP/1.1 {status} X\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items()) + "\r\n", body)
        self.lose()

    def stream(self, *pieces: bytes) -> None:
        """The client gets the head of an endless answer, and these bytes of it."""
        self.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n", *pieces)

    def send(self, head: str, *pieces: bytes) -> None:
        """The client gets bytes."""
        for piece in (head.encode(), *pieces):
            if piece:
                self.client.dataReceived(piece)

    def lose(self) -> None:
        """The connection is gone."""
        if not self.lost:
            self.lost = True
            self.client.connectionLost(Failure(ConnectionLost()))


class Net(MemoryReactorClock):
    """A reactor: its time is the test's, and so are the other ends of its connections."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # likewise
        self.taken = 0

    @property
    def attempts(self) -> list[int]:
        """The port of each connection that was asked for; hosts are all the same here."""
        return [port for _, port, *_ in self.tcpClients]

    def accept(self) -> Peer:
        """The next connection is there."""
        self.advance(0)
        _, _, factory, _, _ = self.tcpClients[self.taken]
        self.taken += 1
        return Peer(cast("Protocol", factory.buildProtocol(None)))

    def refuse(self, error: Exception | None = None) -> None:
        """The next connection cannot be made."""
        self.advance(0)
        factory = self.tcpClients[self.taken][2]
        self.taken += 1
        factory.clientConnectionFailed(cast("Any", None), Failure(error or ConnectionRefusedError()))
        self.advance(ATTEMPT_DELAY_S)  # Twisted looks then whether the name has another address
