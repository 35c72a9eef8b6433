"""The agent RPC of a node: listens, admits so many clients, and stops in bounded time, after the node has left.

It must not know what any command does.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IListeningPort, IStreamServerEndpoint, ITCPTransport
from twisted.internet.protocol import ServerFactory
from twisted.internet.task import deferLater
from twisted.logger import Logger, globalLogPublisher
from twisted.python.failure import Failure

from onevalue.addresses import host_port
from onevalue.errors import LocalProtocolError
from onevalue.listening import ListeningService
from onevalue.loglines import LimitedLog
from onevalue.measured import RpcFigures
from onevalue.rpc.commands import Commands
from onevalue.rpc.connection import RpcConnection
from onevalue.rpc.monitor import Monitor
from onevalue.rpc.surroundings import Surroundings
from onevalue.rpc.turns import Turns
from onevalue.serf_side import SerfSide
from onevalue.streams import Reactor

CONNECTIONS_MAX: Final = 32
"""Clients at once; more are closed at once.

DEPARTURE (rpc-clients): Serf has no bound here, nor for a handshake; for a client that does not read it drops records.
"""

STOP_GRACE_S: Final = 1.0
"""How long clients may take what was written when the service stops."""

LEFT_PAUSE_S: Final = 0.5
"""So long who had the node leave may take to close the connection itself.

The command `serf` says now and then that leaving failed, if the end of the connection is on the heels of the answer.
"""

LEAVE_TIME_MAX_S: Final = 30.0
"""How long a client that has the node leave waits for that at most."""


class RpcService(ListeningService, ServerFactory):
    """Speaks with the clients of a Serf agent at an endpoint, and listens to the log from its start to its stop.

    Args:
        reactor: time, threads.
        endpoint: where to listen.
        side: the engine.
        stats: the sections of `stats`.
        leave: has the node leave and this process end.
        key: that clients must know; "": none is needed.
    """

    name = "rpc"
    noisy = False
    stop_time_s = STOP_GRACE_S + LEFT_PAUSE_S
    _log = Logger(namespace="onevalue.rpc")

    def __init__(
        self,
        *,
        reactor: Reactor,
        endpoint: IStreamServerEndpoint,
        side: SerfSide,
        stats: Callable[[], Mapping[str, Mapping[str, str]]],
        leave: Callable[[], None],
        key: str = "",
    ) -> None:
        super().__init__(endpoint)
        self._factory = self
        self._reactor = reactor
        self._leave = leave
        self._leaving: list[Deferred[None]] = []
        self._monitor = Monitor(reactor)
        self._turns = Turns(reactor)
        lines = LimitedLog(self._log, reactor.seconds)
        commands = Commands(
            side=side,
            monitor=self._monitor,
            turns=self._turns,
            leave=self._have_it_leave,
            stats=stats,
            lines=lines,
            later=reactor.callLater,
        )
        self._around = Surroundings(
            reactor=reactor,
            turns=self._turns,
            commands=commands,
            lines=lines,
            opened=self._opened,
            closed=self._closed,
            key=_octets(key),
        )
        self._at = ""
        self._connections: dict[RpcConnection, None] = {}
        self._stopped: Deferred[None] | None = None

    def stopService(self) -> Deferred[None]:
        """Who had the node leave hears that it has; fires when port and clients are gone, in about STOP_GRACE_S."""
        super().stopService()  # type: ignore[no-untyped-call]  # Twisted has no types here
        globalLogPublisher.removeObserver(self._monitor)
        leaving, self._leaving = self._leaving, []
        for each in leaving:
            if not each.called:
                each.callback(None)
        closed = self._close_port()
        self._turns.stop()
        for connection in list(self._connections):
            connection.hush()
        if leaving:
            closed.addCallback(lambda _: deferLater(self._reactor, LEFT_PAUSE_S, lambda: None))
        return closed.addCallback(lambda _: self._end_all())

    def figures(self) -> RpcFigures:
        """What was counted since the start."""
        counts = self._around.counts
        return RpcFigures(self._at, len(self._connections), CONNECTIONS_MAX, counts.requests, counts.events)

    def change_key(self, key: str) -> None:
        """Clients must know this key from now on; those who are there are cut off, if it is another."""
        if _octets(key) == self._around.key:
            return
        self._around.key = _octets(key)
        for connection in list(self._connections):
            connection.cut_off()

    def buildProtocol(self, addr: IAddress | None) -> RpcConnection | None:  # noqa: ARG002  # as the factory has it
        """The protocol of a new client; None, and it is closed at once, if there are too many."""
        if len(self._connections) >= CONNECTIONS_MAX or not self.running:
            self._around.counts.events["clients_refused"] += 1
            return None
        return RpcConnection(self._around)

    # Inside

    def _about_to_listen(self) -> None:
        globalLogPublisher.addObserver(self._monitor)  # not sooner: Twisted tells what came before its log began again

    def _not_listening(self) -> None:
        globalLogPublisher.removeObserver(self._monitor)

    def _listens(self, port: IListeningPort) -> None:
        super()._listens(port)
        address: Any = port.getHost()
        self._at = host_port(address.host, address.port)
        self._log.info("agent RPC at {address}", address=self._at)

    def _opened(self, connection: RpcConnection) -> None:
        self._connections[connection] = None
        if ITCPTransport.providedBy(connection.transport):
            connection.transport.setTcpKeepAlive(True)  # a client that is gone without a word makes room in the end

    def _closed(self, connection: RpcConnection) -> None:
        self._connections.pop(connection, None)
        if not self._connections and self._stopped is not None:
            (stopped, self._stopped) = (self._stopped, None)
            stopped.callback(None)

    def _have_it_leave(self) -> Deferred[None]:
        left: Deferred[None] = Deferred()
        left.addTimeout(LEAVE_TIME_MAX_S, self._reactor, onTimeoutCancel=_not_left)
        self._leaving.append(left)
        self._leave()
        return left

    def _end_all(self) -> Deferred[None]:
        stopped: Deferred[None] = Deferred()
        if not self._connections:
            stopped.callback(None)
            return stopped
        self._stopped = stopped
        abort = self._reactor.callLater(STOP_GRACE_S, self._abort_all)
        stopped.addCallback(lambda _: abort.cancel() if abort.active() else None)
        for connection in list(self._connections):
            connection.finish_up()
        return stopped

    def _abort_all(self) -> None:
        for connection in list(self._connections):
            connection.cut_off()


def _octets(key: str) -> bytes:
    return key.encode("utf-8", "surrogateescape")


def _not_left(_: object, seconds: float) -> Failure:
    return Failure(LocalProtocolError(f"this node has not left within {seconds:g} s; its log may tell why"))
