"""The agent RPC of a whole node, on the real reactor and loopback; when it has stopped, nothing is left."""

import socket
from typing import Any

import msgpack  # type: ignore[import-untyped]  # comes without types
import pytest
from twisted.internet import reactor as _reactor
from twisted.internet.defer import inlineCallbacks
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol
from twisted.logger import formatEvent, globalLogPublisher

from onevalue.node import StartError
from onevalue.reloading import Reloading
from onevalue.rpc import outgoing
from onevalue.rpc.service import RpcService
from onevalue.tap import build_node
from onevalue.wire import rpc_messages as rpc
from onevalue.wire.rpc_codec import encode_request
from tests.unit.test_journal import Steps
from tests.unit.test_tap import WholeNodeTestCase, configured, free_port

reactor: Any = _reactor
HOST = "127.0.0.3"
HELLO = encode_request("handshake", 0, rpc.Handshake())


class Collecting(Protocol):
    """Keeps what comes."""

    def __init__(self) -> None:
        self.data = b""

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    @property
    def objects(self) -> list[Any]:
        """One after the other."""
        unpacker = msgpack.Unpacker()
        unpacker.feed(self.data)
        return list(unpacker)


class RpcNodeTests(WholeNodeTestCase):
    """With real clients."""

    def serve(self, *arguments: str) -> tuple[Any, RpcService, int]:
        """A node with an RPC, that, and its port."""
        port = free_port(HOST)  # of an address of its own, as the node looks for free ports too
        node = self.start("n", f"--rpc={HOST}:{port}", *arguments, host="127.0.0.1")
        return node, self.part(node, RpcService), port

    @inlineCallbacks
    def test_a_client_is_served_until_the_node_stops(self) -> Steps:
        """Also with a key, which is read again at SIGHUP: then who came by the old one is cut off."""
        path = self.folder / "auth"
        path.write_text("sesame\n")
        path.chmod(0o600)
        node, service, port = self.serve(f"--rpc-auth-file={path}")
        first = yield connectProtocol(TCP4ClientEndpoint(reactor, HOST, port), Collecting())
        auth = encode_request("auth", 1, rpc.Auth("sesame"))
        first.transport.write(HELLO + auth + encode_request("members", 2))
        yield self.until(lambda: len(first.objects) == 4, "the members are told")
        assert [each["Name"] for each in first.objects[3]["Members"]] == ["n"]

        self.part(node, Reloading).reload()
        assert len(service._connections) == 1
        path.write_text("\n")
        self.part(node, Reloading).reload()  # it is broken
        assert len(service._connections) == 1
        path.write_text("other\n")
        self.part(node, Reloading).reload()
        yield self.until(lambda: not service._connections, "the client is cut off")

        second = yield connectProtocol(TCP4ClientEndpoint(reactor, HOST, port), Collecting())
        second.transport.write(HELLO + auth + encode_request("auth", 2, rpc.Auth("other")))
        yield self.until(lambda: len(second.objects) == 3, "the keys are judged")
        assert [each["Error"] for each in second.objects] == ["", "Invalid authentication token", ""]
        yield node.stopService()

    @inlineCallbacks
    def test_a_port_that_is_taken_keeps_the_node_from_starting(self) -> Steps:
        """One clear line says which, and what has begun can be stopped."""
        port = free_port(HOST)
        with socket.create_server((HOST, port)):
            node: Any = build_node(
                configured("--name=n", "--no-journal", f"--rpc={HOST}:{port}", host="127.0.0.1"), reactor
            )
            with pytest.raises(StartError, match=f"cannot listen on {HOST} port {port}"):
                node.privilegedStartService()
            yield node.stopService()

    @inlineCallbacks
    def test_what_is_open_to_others_is_said(self) -> Steps:
        """At the start, as for the other ports."""
        said: list[str] = []
        hear: Any = lambda event: said.append(formatEvent(event))  # noqa: E731  # an ILogObserver, if not by type
        globalLogPublisher.addObserver(hear)
        self.addCleanup(globalLogPublisher.removeObserver, hear)
        node: Any = build_node(configured("--name=n", "--no-journal", "--rpc=192.0.2.1", host="127.0.0.1"), reactor)
        assert [line for line in said if line.startswith("the agent RPC on 192.0.2.1:7373 is open")]
        yield node.stopService()

    @inlineCallbacks
    def test_a_client_that_does_not_read_is_cut_off(self) -> Steps:
        """While it is there nothing grows: no more is read of it than fits one read."""
        self.patch(outgoing, "BEHIND_TIME_MAX_S", 0.5)  # type: ignore[no-untyped-call]  # Twisted's has no types
        node, service, port = self.serve()
        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.connect((HOST, port))
            slow.setblocking(False)
            slow.send(HELLO)
            yield self.until(lambda: service._connections, "it is connected")
            [connection] = service._connections
            transport: Any = connection.transport
            transport.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            slow.send(encode_request("stats", 1) * 2000)
            yield self.until(lambda: connection._outgoing.full, "it does not read")
            unsent = len(transport.dataBuffer) + transport._tempDataLen
            assert unsent < 2 * transport.bufferSize
            yield self.until(lambda: not service._connections, "it is cut off")
        yield node.stopService()
