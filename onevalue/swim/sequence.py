"""Sequence numbers of pings, and where their answers go (wire README 2.6 and 4.2)."""

from onevalue.swim.address import is_addr, to_address
from onevalue.types import Address, SequenceNumber
from onevalue.wire.messages import IndirectPing, Ping

_SEQUENCE_MODULUS = 2**32


class Sequencer:
    """The counter that probes and relays share; its first number is 1."""

    def __init__(self) -> None:
        self._last = 0

    def next(self) -> SequenceNumber:
        """A number that has not been used for the last 2**32 calls."""
        self._last = (self._last + 1) % _SEQUENCE_MODULUS
        return SequenceNumber(self._last)


def reply_address(message: Ping | IndirectPing, source: Address) -> Address:
    """Where to answer: the address that the message names, or else where it came from."""
    if is_addr(message.source_addr) and message.source_port:
        return to_address(message.source_addr, message.source_port)
    return source
