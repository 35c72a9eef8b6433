"""The UDP side of gossip: the socket, and nothing else.

A packet that cannot be sent is a lost packet: gossip bears that. It must not know what a packet means.
"""

from collections.abc import Callable

from twisted.internet.error import MessageLengthError
from twisted.internet.protocol import DatagramProtocol

from onevalue.types import Address

RECEIVE_BUFFER = 65536
"""Largest datagram that is read whole."""


class Udp(DatagramProtocol):
    """Hands what arrives to `received`.

    Args:
        received: data, and numeric host and port of its sender.
        ipv6: the socket speaks IPv6: IPv4 hosts are reached in their mapped form, if the socket does both.
    """

    noisy = False

    def __init__(self, received: Callable[[bytes, Address], None], *, ipv6: bool) -> None:
        self._received = received
        self._ipv6 = ipv6

    def datagramReceived(self, datagram: bytes, addr: Address) -> None:
        """One packet."""
        self._received(datagram, (addr[0], addr[1]))

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
