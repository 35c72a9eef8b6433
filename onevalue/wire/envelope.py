"""What stands around packets and streams: the label of the cluster, and encryption (wire README 2.1, 2.2 and 3).

An envelope is shared by all that sends and receives for one node, in any thread. Its keyring is replaced as a whole
when keys change, and each call looks at it once. It must not know what is inside, nor where keys are kept.
"""

from dataclasses import dataclass

from onevalue.errors import ConfigError, MislabelledError, RemoteProtocolError, UndecipherableError
from onevalue.wire.keyring import OVERHEAD, STREAM_HEAD_SIZE, Keyring
from onevalue.wire.label import LABEL_SIZE_MAX, join_label, split_label
from onevalue.wire.message_ids import MessageId

ENVELOPE_SIZE_MAX = 2 + LABEL_SIZE_MAX + STREAM_HEAD_SIZE + OVERHEAD + 16
"""Bytes that an envelope adds to a stream at most; the last are padding of version 0."""


@dataclass(slots=True)
class Envelope:
    """Seals what leaves and opens what comes; an empty one, without label and keys, changes nothing.

    Attributes:
        label: of the cluster; packets and streams with another, or with none, are refused.
        keyring: None for a node without keys, which refuses what is encrypted.
        verify_incoming: with keys, what is not encrypted with one of them is refused; else it is taken for plain.
        verify_outgoing: with keys, what leaves is encrypted.

    Raises:
        ConfigError: the label is too long.
    """

    label: bytes = b""
    keyring: Keyring | None = None
    verify_incoming: bool = True
    verify_outgoing: bool = True

    def __post_init__(self) -> None:
        if len(self.label) > LABEL_SIZE_MAX:
            raise ConfigError(f"a label has at most {LABEL_SIZE_MAX} bytes, not {len(self.label)}")

    @property
    def is_empty(self) -> bool:
        """It changes nothing."""
        return not self.label and self.keyring is None

    @property
    def demands_keys(self) -> bool:
        """Nobody without a key is listened to."""
        return self.keyring is not None and self.verify_incoming

    @property
    def encrypts(self) -> bool:
        """What leaves can be read by nobody without a key."""
        return self.keyring is not None and self.verify_outgoing

    @property
    def packet_overhead(self) -> int:
        """Bytes that a packet grows by."""
        label = 2 + len(self.label) if self.label else 0
        return label + (OVERHEAD if self.encrypts else 0)

    # Packets

    def seal_packet(self, plain: bytes) -> bytes:
        """A datagram with these bytes in it."""
        ring = self._sealing_ring()
        return join_label(self.label, plain if ring is None else ring.encrypt(plain, self.label))

    def open_packet(self, data: bytes) -> bytes:
        """What is in a datagram.

        Raises:
            MislabelledError: it is of another cluster.
            UndecipherableError: none of our keys opens it, and it is not taken for plain.
        """
        data = self._unlabelled(data)
        ring = self.keyring
        if ring is None:
            return data
        try:
            return ring.decrypt(data, self.label)
        except RemoteProtocolError as error:
            if not self.verify_incoming:
                return data
            raise UndecipherableError(str(error)) from None

    def _unlabelled(self, data: bytes) -> bytes:
        if not self.label and self.keyring is not None:
            return data  # what looks like a label cannot be one: versions of encryption are small
        try:
            label, rest = split_label(data)
        except RemoteProtocolError as error:
            raise MislabelledError(str(error)) from None
        self.check_label(label)
        return rest

    # Streams

    def seal_request(self, plain: bytes) -> bytes:
        """All that the side which opened a stream sends."""
        return join_label(self.label, self.seal_reply(plain))

    def seal_reply(self, plain: bytes) -> bytes:
        """All that the other side sends: without the label, which is authenticated all the same."""
        ring = self._sealing_ring()
        return plain if ring is None else ring.seal_stream(plain, self.label)

    def check_label(self, label: bytes) -> None:
        """Nothing, if this is the label of our cluster. Raises MislabelledError."""
        if label != self.label:
            ours = "another one" if self.label else "none"
            theirs = label[:32].decode("utf-8", "replace")
            raise MislabelledError(f"it has the label {theirs!r}, and this node {ours}" if label else "it has no label")

    def check_stream(self, first: int) -> None:
        """Nothing, if a stream whose message, behind the label, begins with this byte is admitted.

        Raises:
            UndecipherableError: it is encrypted, or not, as it must not be.
        """
        if first == MessageId.ENCRYPT and self.keyring is None:
            raise UndecipherableError("the stream is encrypted, and this node has no key")
        if first != MessageId.ENCRYPT and self.demands_keys:
            raise UndecipherableError("the stream is not encrypted, and this node has a key")

    def open_stream(self, data: bytes) -> bytes:
        """What is in one direction of a whole encrypted stream, from its id byte on; its label was taken off.

        Raises:
            UndecipherableError: it is encrypted with no key of ours.
        """
        ring = self.keyring
        if ring is None:
            raise UndecipherableError("the stream is encrypted, and this node has no key")
        return ring.open_stream(data, self.label)

    def _sealing_ring(self) -> Keyring | None:
        return self.keyring if self.verify_outgoing else None
