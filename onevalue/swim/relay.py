"""Pinging for others: the relay side of an indirect ping (wire README 4.3, memberlist's handleIndirectPing).

Each request gets a sequence number of ours; an ack for it is passed on under the requester's number, and silence until
the probe timeout as a nack, if the requester wants one. At most RELAYS_MAX requests wait at once.
"""

from dataclasses import dataclass
from typing import Final

from onevalue.swim.address import to_address
from onevalue.swim.common import Common
from onevalue.swim.outbox import Outbox
from onevalue.swim.sequence import Sequencer, reply_address
from onevalue.swim.states import MemberStates
from onevalue.types import Address, SequenceNumber
from onevalue.wire.codec import encode_message
from onevalue.wire.messages import Ack, IndirectPing, Nack, Ping

RELAYS_MAX: Final = 1024
"""Indirect pings that wait for their ack; more are dropped.

DEPARTURE (relays-max): memberlist has no bound.
"""


@dataclass(frozen=True, slots=True)
class _Relay:
    """Whom to tell, under which number, and whether silence is to be told too."""

    address: Address
    seq_no: SequenceNumber
    nack: bool


class Relays:
    """The indirect pings that this node makes for others at present."""

    def __init__(self, states: MemberStates, outbox: Outbox, sequencer: Sequencer, common: Common) -> None:
        self._states = states
        self._outbox = outbox
        self._sequencer = sequencer
        self._common = common
        self._relays: dict[SequenceNumber, _Relay] = {}

    def __len__(self) -> int:
        return len(self._relays)

    def begin(self, message: IndirectPing, target: Address, source: Address, now: float) -> None:
        """The target is pinged for the sender of `message`, unless too many relays wait."""
        if len(self._relays) >= RELAYS_MAX:
            self._common.counters["relays_refused"] += 1
            return
        requester = reply_address(message, source)
        seq_no = self._sequencer.next()
        self._relays[seq_no] = _Relay(requester, message.seq_no, message.nack)
        self._common.timers.set(
            _timer(seq_no), now + self._common.settings.probe_timeout_s, lambda _: self._give_up(seq_no)
        )
        local = self._states.local
        self._outbox.send(encode_message(Ping(seq_no, message.node, local.addr, local.port, local.name)), target)

    def ack(self, seq_no: SequenceNumber) -> bool:
        """An ack has been passed on, if it was for one of these relays; the payload is the requester's to ask for."""
        relay = self._relays.pop(seq_no, None)
        if relay is None:
            return False
        self._common.timers.cancel(_timer(seq_no))
        self._outbox.send(encode_message(Ack(relay.seq_no)), relay.address)
        return True

    def _give_up(self, seq_no: SequenceNumber) -> None:
        relay = self._relays.pop(seq_no)
        if relay.nack:
            self._outbox.send(encode_message(Nack(relay.seq_no)), relay.address)


def _timer(seq_no: SequenceNumber) -> str:
    return f"relay {seq_no}"


def target_address(message: IndirectPing, own_port: int) -> Address:
    """Whom an indirect ping is about. Raises ValueError when its address is none."""
    return to_address(message.target, message.port or own_port)
