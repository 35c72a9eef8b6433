"""One Swim on a bench: what it sends is decoded, what it is to hear is encoded, and time is what the test says."""

from onevalue.config import LAN, SwimSettings
from onevalue.swim.core import StreamRequest
from onevalue.types import Address, Incarnation
from onevalue.wire.codec import decode_packet, encode_message, encode_packet
from onevalue.wire.messages import Alive, PacketMessage
from tests.unit.swim_net import PORT, VSN, QuietDelegate, make_swim

STRANGER: Address = ("192.0.2.9", 4000)


def addr_of(name: str) -> bytes:
    """The address of a peer of one letter: b is 10.0.0.2."""
    return bytes([10, 0, 0, ord(name) - ord("a") + 1])


def address_of(name: str) -> Address:
    """The same, as sockets want it."""
    return (f"10.0.0.{ord(name) - ord('a') + 1}", PORT)


def alive(name: str, incarnation: int = 1, *, meta: bytes = b"", addr: bytes | None = None, vsn: bytes = VSN) -> Alive:
    """An alive message about a peer."""
    return Alive(Incarnation(incarnation), name, addr_of(name) if addr is None else addr, PORT, meta, vsn)


class Bench:
    """The Swim `a`, started at second 0, that knows the peers of the given letters."""

    def __init__(self, peers: str = "", settings: SwimSettings = LAN, *, vsn: bytes = VSN) -> None:
        self.delegate = QuietDelegate()
        self.swim = make_swim("a", addr_of("a"), settings, delegate=self.delegate)
        self.now = 0.0
        self.requests: list[StreamRequest] = []
        self._sent: list[tuple[PacketMessage, Address]] = []
        self._events: list[object] = []
        self.swim.start(0.0)
        self.hear(*(alive(name, vsn=vsn) for name in peers))
        self.events()
        self.sent()

    def hear(self, *messages: PacketMessage, source: Address = STRANGER) -> None:
        """One packet with these messages has arrived."""
        if messages:
            data = encode_packet([encode_message(message) for message in messages], compress=False, crc=False)
            self.swim.receive_datagram(data, source, self.now)
        self._drain()

    def wait(self, seconds: float) -> None:
        """So much time has passed, with every timer on time."""
        end = self.now + seconds
        while (deadline := self.swim.next_deadline()) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            self.swim.handle_timer(self.now)
            self._drain()
        self.now = end

    def wait_for(self, kind: type, seconds: float = 3.0) -> tuple[PacketMessage, Address]:
        """The next message of a kind that the Swim sends, and its destination; what it sent until then is forgotten."""
        end = self.now + seconds
        while (deadline := self.swim.next_deadline()) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            self.swim.handle_timer(self.now)
            self._drain()
            sent = self.sent()
            for position, (message, _) in enumerate(sent):
                if isinstance(message, kind):
                    self._sent = sent[position + 1 :]
                    return sent[position]
        raise AssertionError(f"no {kind.__name__} within {seconds} s")

    def sent(self) -> list[tuple[PacketMessage, Address]]:
        """Every message that left since the last call, with its destination."""
        self._drain()
        sent, self._sent = self._sent, []
        return sent

    def sent_of(self, kind: type) -> list[tuple[PacketMessage, Address]]:
        """The same, of one kind only."""
        return [entry for entry in self.sent() if isinstance(entry[0], kind)]

    def events(self) -> list[object]:
        """Every event since the last call."""
        self._drain()
        events, self._events = self._events, []
        return events

    def events_of(self, kind: type) -> list[object]:
        """The same, of one kind only."""
        return [event for event in self.events() if isinstance(event, kind)]

    def _drain(self) -> None:
        for data, address in self.swim.datagrams_to_send():
            packet = decode_packet(data)
            assert not packet.errors
            self._sent += [(message, address) for message in packet.messages]
        self.requests += self.swim.streams_to_open()
        while (event := self.swim.next_event()) is not None:
            self._events.append(event)
