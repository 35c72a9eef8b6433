"""A reactor in memory for the gossip shell: virtual time, UDP that is kept, threads that run when the test says."""

from collections.abc import Callable
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IHostResolution, IResolutionReceiver
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure

from onevalue.types import Address


class UdpPort:
    """A datagram transport, and its port; `fault` is raised at each write."""

    def __init__(self, reactor: "GossipReactor", protocol: DatagramProtocol) -> None:
        self.written: list[tuple[bytes, Address]] = []
        self.fault: Exception | None = None
        self.open = True
        self.protocol = protocol
        self._reactor = reactor
        protocol.makeConnection(self)  # type: ignore[arg-type]  # as much of IUDPTransport as is used

    def write(self, data: bytes, address: Address) -> None:
        """See IUDPTransport."""
        if self.fault is not None:
            raise self.fault
        self.written.append((data, address))

    def stopListening(self) -> None:
        """See IListeningPort."""
        self.open = False


class Pool:
    """A thread pool whose work is done by `run`."""

    def __init__(self) -> None:
        self._work: list[Callable[[], None]] = []

    def callInThreadWithCallback(self, result: Callable[..., None], work: Callable[..., Any], *args: Any) -> None:
        """See ThreadPool."""

        def do() -> None:
            try:
                value = work(*args)
            except Exception:  # noqa: BLE001  # as a thread pool does
                result(False, Failure())
            else:
                result(True, value)

        self._work.append(do)

    def run(self) -> int:
        """All that waits is done; how much that was."""
        work, self._work = self._work, []
        for each in work:
            each()
        return len(work)


class GossipReactor(MemoryReactorClock):
    """TCP as Twisted's; `tcp_taken`: its port is not free."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Twisted's has no types
        self.udp_ports: list[UdpPort] = []
        self.tcp_taken = False
        self.pool = Pool()

    def listenUDP(self, port: int, protocol: DatagramProtocol, interface: str = "", maxPacketSize: int = 0) -> UdpPort:
        """See IReactorUDP."""
        assert maxPacketSize >= 65535, (port, interface)
        self.udp_ports.append(UdpPort(self, protocol))
        return self.udp_ports[-1]

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        """See IReactorTCP."""
        if self.tcp_taken:
            raise CannotListenError(interface, port, OSError("Address already in use"))
        return super().listenTCP(port, factory, backlog, interface)  # type: ignore[no-untyped-call]  # as above

    def callFromThread(self, work: Callable[..., None], *args: Any) -> None:
        """See IReactorFromThreads."""
        work(*args)

    def getThreadPool(self) -> Pool:
        """See IReactorThreads."""
        return self.pool


class Names:
    """A resolver that answers when the test says."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, IResolutionReceiver]] = []

    def resolveHostName(self, receiver: IResolutionReceiver, host: str) -> IHostResolution | None:
        """See IHostnameResolver."""
        self.asked.append((host, receiver))
        return None

    def answer(self, index: int, *hosts: str) -> None:
        """The lookup of this index ends with these hosts."""
        receiver = self.asked[index][1]
        for host in hosts:
            receiver.addressResolved(IPv4Address("TCP", host, 0))
        receiver.resolutionComplete()
