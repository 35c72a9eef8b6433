"""The packets that wait to be sent, and what rides on them (wire README 4.7).

Order in a packet: the message itself, the owner's urgent bodies, memberlist's queue, the owner's other bodies; around
them label and encryption, for which there is room. It must not know why a packet is sent.
"""

from collections.abc import Sequence
from typing import Final

from onevalue.swim.common import Common
from onevalue.swim.delegate import Delegate
from onevalue.swim.members import MemberRecord
from onevalue.swim.states import MemberStates
from onevalue.types import Address
from onevalue.wire.codec import COMPOUND_PARTS_MAX, encode_message, encode_packet
from onevalue.wire.messages import User

COMPOUND_OVERHEAD: Final = 2  # its id byte and the number of parts
PART_OVERHEAD: Final = 2  # the length of a part
USER_OVERHEAD: Final = PART_OVERHEAD + 1  # and the id byte of a user message
CRC_OVERHEAD: Final = 5
_PROTOCOL_WITH_CRC: Final = 5


class Outbox:
    """Packets for the shell to send, each of at most `packet_size_max` bytes unless its own message is longer.

    DEPARTURE (packet-size): memberlist counts neither the length entry of the message itself nor the CRC, so that its
    packets may be 7 bytes longer than its limit.
    """

    def __init__(self, states: MemberStates, delegate: Delegate, common: Common) -> None:
        self._states = states
        self._delegate = delegate
        self._common = common
        self._packets: list[tuple[bytes, Address]] = []

    def take(self) -> list[tuple[bytes, Address]]:
        """The packets that were built since the last call, in order."""
        packets, self._packets = self._packets, []
        return packets

    def send(self, message: bytes, address: Address) -> None:
        """The message leaves, and what fits beside it."""
        space = self._packet_size_max - COMPOUND_OVERHEAD - PART_OVERHEAD - len(message)
        self._pack([message, *self._piggyback(space)], address, crc=False)

    def send_alone(self, messages: Sequence[bytes], address: Address) -> None:
        """These messages leave, and nothing beside them; with a CRC if a member is known there that can read it."""
        self._pack(messages, address, crc=_reads_crc(self._states.table.at(address)))

    def gossip_to(self, record: MemberRecord) -> bool:
        """The member gets a packet full of news; False if there was none."""
        crc = _reads_crc(record)
        space = self._packet_size_max - COMPOUND_OVERHEAD - (CRC_OVERHEAD if crc else 0)
        parts = self._piggyback(space)
        self._pack(parts, record.address, crc=crc)
        return bool(parts)

    @property
    def _packet_size_max(self) -> int:
        return self._common.settings.packet_size_max - self._common.envelope.packet_overhead

    def _piggyback(self, space: int) -> list[bytes]:
        urgent = self._delegate.urgent_broadcasts(USER_OVERHEAD, space)
        space -= sum(len(body) + USER_OVERHEAD for body in urgent)
        news = self._states.queue.take(PART_OVERHEAD, space, len(self._states.table))
        space -= sum(len(message) + PART_OVERHEAD for message in news)
        other = self._delegate.broadcasts(USER_OVERHEAD, space) if space > USER_OVERHEAD else []
        return [
            *(encode_message(User(body)) for body in urgent),
            *news,
            *(encode_message(User(body)) for body in other),
        ]

    def _pack(self, parts: Sequence[bytes], address: Address, *, crc: bool) -> None:
        for start in range(0, len(parts), COMPOUND_PARTS_MAX):
            chunk = parts[start : start + COMPOUND_PARTS_MAX]
            plain = encode_packet(chunk, compress=self._common.settings.compression, crc=crc)
            packet = self._common.envelope.seal_packet(plain)
            self._packets.append((packet, address))
            self._common.sent.count(chunk[0][0], len(packet))


def _reads_crc(record: MemberRecord | None) -> bool:
    return record is not None and record.protocol_max >= _PROTOCOL_WITH_CRC
