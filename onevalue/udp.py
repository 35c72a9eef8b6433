"""The UDP side of gossip: the socket, and nothing else.

A packet that cannot be sent is a lost packet: gossip bears that. It must not know what a packet means.
"""

from collections.abc import Callable
from typing import Any

from twisted.internet.error import MessageLengthError
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.udp import Port

from onevalue.streams import Reactor
from onevalue.types import Address

RECEIVE_BUFFER = 65536
"""Largest datagram that is read whole."""

TURN_TIME_MAX_S = 0.01
"""After so long, and the packet that it took, other work has its turn; Twisted's own measure are bytes."""


class Udp(DatagramProtocol):
    """Hands what arrives to `received`.

    Args:
        reactor: clock and delayed calls.
        received: data, and numeric host and port of its sender.
        ipv6: the socket speaks IPv6: IPv4 hosts are reached in their mapped form, if the socket does both.
    """

    noisy = False

    def __init__(self, reactor: Reactor, received: Callable[[bytes, Address], None], *, ipv6: bool) -> None:
        self._reactor = reactor
        self._received = received
        self._ipv6 = ipv6
        self._turn_end: float | None = None

    def datagramReceived(self, datagram: bytes, addr: Address) -> None:
        """One packet."""
        if self._turn_end is None:
            self._turn_end = self._reactor.seconds() + TURN_TIME_MAX_S
            self._reactor.callLater(0, self._begin_turn)
        self._received(datagram, (addr[0], addr[1]))
        if self._reactor.seconds() >= self._turn_end:
            self._allow(0)

    def _begin_turn(self) -> None:
        self._turn_end = None
        self._allow(Port.maxThroughput)

    def _allow(self, size: int) -> None:
        """The port takes packets of so many bytes together before other work has its turn."""
        port: Any = self.transport
        if port is not None:
            port.maxThroughput = size

    def send(self, data: bytes, address: Address) -> None:
        """The packet is handed to the system, or lost."""
        if self.transport is None:
            return
        host, port = address
        if self._ipv6 and ":" not in host:
            host = f"::ffff:{host}"
        try:
            self.transport.write(data, (host, port))
        except (OSError, ValueError, OverflowError, MessageLengthError):
            # No route, a full buffer, a family that the socket does not speak, no such port, too long.
            return
