"""The envelope around packets and streams: whose opens, and what is refused."""

import os
import re

import pytest
from twisted.trial.unittest import SynchronousTestCase

from onevalue.errors import ConfigError, MislabelledError, RemoteProtocolError, UndecipherableError
from onevalue.types import SequenceNumber
from onevalue.wire.envelope import Envelope
from onevalue.wire.keyring import OVERHEAD, Keyring
from onevalue.wire.label import LABEL_SIZE_MAX
from onevalue.wire.messages import Ping, StreamMessage, User
from onevalue.wire.stream import STREAM_SIZE_MAX, StreamDecoder, encode_stream

OLD, NEW = bytes(range(16)), bytes(range(100, 132))
PLAIN = encode_stream(Ping(SequenceNumber(1), "n1"), compress=False)


def envelope(*keys: bytes, label: bytes = b"", incoming: bool = True, outgoing: bool = True) -> Envelope:
    """An envelope with these keys, the primary first."""
    ring = Keyring(keys, os.urandom) if keys else None
    return Envelope(label, ring, incoming, outgoing)


def read(reader: Envelope, data: bytes, *, is_request: bool = True) -> StreamMessage | None:
    """What a reader finds on a stream, byte by byte."""
    decoder = StreamDecoder(reader, is_request=is_request)
    found = None
    for byte in data:
        found = decoder.feed(bytes([byte]))
    return found


class PacketTests(SynchronousTestCase):
    """Datagrams."""

    def test_who_shares_label_and_a_key_opens_what_was_sealed(self) -> None:
        """In each combination; and the overhead is what was told."""
        for sender, reader in [
            (envelope(), envelope()),
            (envelope(OLD), envelope(NEW, OLD)),
            (envelope(label=b"blue"), envelope(label=b"blue")),
            (envelope(OLD, label=b"blue"), envelope(OLD, label=b"blue")),
        ]:
            sealed = sender.seal_packet(b"value")
            assert len(sealed) == len(b"value") + sender.packet_overhead
            assert reader.open_packet(sealed) == b"value"
        assert envelope(OLD, label=b"blue").packet_overhead == OVERHEAD + 2 + 4

    def test_another_cluster_is_refused(self) -> None:
        """Another label, one where there is none, none where there is one, and a label that is none."""
        for sender, reader in [
            (envelope(label=b"red"), envelope(label=b"blue")),
            (envelope(label=b"red"), envelope()),
            (envelope(), envelope(label=b"blue")),
            (envelope(OLD), envelope(OLD, label=b"blue")),
        ]:
            with pytest.raises(MislabelledError):
                reader.open_packet(sender.seal_packet(b"value"))
        for data in (b"\xf4\x00value", b"\xf4\x09value", b"\xf4"):
            with pytest.raises(MislabelledError):
                envelope().open_packet(data)

    def test_wrong_keys_are_refused(self) -> None:
        """Another key, none, a packet that was cut or changed, and a label that only stands in front."""
        sealed = envelope(OLD).seal_packet(b"value")
        for data in (envelope(NEW).seal_packet(b"value"), b"value", sealed[:-1], sealed[:20], b"", sealed[:-1] + b"x"):
            with pytest.raises(UndecipherableError):
                envelope(OLD).open_packet(data)
        with pytest.raises(UndecipherableError):
            envelope(OLD, label=b"blue").open_packet(b"\xf4\x04blue" + sealed)

    def test_plain_is_taken_while_incoming_is_not_verified(self) -> None:
        """For a cluster that moves to keys: both are read; what leaves is plain until outgoing is verified too."""
        moving = envelope(OLD, incoming=False, outgoing=False)
        assert moving.open_packet(b"value") == b"value"
        assert moving.open_packet(envelope(OLD).seal_packet(b"value")) == b"value"
        assert moving.seal_packet(b"value") == b"value"
        assert moving.packet_overhead == 0
        moved = envelope(OLD, incoming=False)
        assert envelope(OLD).open_packet(moved.seal_packet(b"value")) == b"value"

    def test_a_new_ring_counts_from_the_next_packet_on(self) -> None:
        """Keys change while a node runs."""
        changing = envelope(OLD)
        assert changing.keyring is not None
        changing.keyring = changing.keyring.installed(NEW).used(NEW)
        assert envelope(NEW).open_packet(changing.seal_packet(b"value")) == b"value"

    def test_a_foreign_label_is_told_as_the_option_has_it(self) -> None:
        """And so that no line of a log is broken by it."""
        for label, words in ((b"blue", "it has the label 'blue', and this node none"), (b"\n\xff", r"label '\n�'")):
            with pytest.raises(MislabelledError, match=re.escape(words)):
                envelope().check_label(label)

    def test_a_label_has_a_bound(self) -> None:
        """It must be told in one byte."""
        assert envelope(label=bytes(LABEL_SIZE_MAX)).packet_overhead == LABEL_SIZE_MAX + 2
        with pytest.raises(ConfigError):
            envelope(label=bytes(LABEL_SIZE_MAX + 1))


class StreamTests(SynchronousTestCase):
    """Streams, in both directions."""

    def test_requests_carry_the_label_and_replies_do_not(self) -> None:
        """Both have it authenticated when they are encrypted."""
        for one in (envelope(), envelope(OLD), envelope(label=b"blue"), envelope(OLD, label=b"blue")):
            for sealed, is_request in ((one.seal_request(PLAIN), True), (one.seal_reply(PLAIN), False)):
                assert sealed.startswith(b"\xf4") == (is_request and bool(one.label))
                assert read(one, sealed, is_request=is_request) == Ping(SequenceNumber(1), "n1")

    def test_another_cluster_is_refused_at_its_label(self) -> None:
        """Before anything behind it is looked at."""
        for sender, reader in [
            (envelope(label=b"red"), envelope(label=b"blue")),
            (envelope(label=b"red"), envelope()),
            (envelope(), envelope(label=b"blue")),
            (envelope(OLD), envelope(OLD, label=b"blue")),
        ]:
            with pytest.raises(MislabelledError):
                read(reader, sender.seal_request(PLAIN))
        with pytest.raises(MislabelledError):
            read(envelope(), b"\xf4\x00")

    def test_wrong_keys_are_refused(self) -> None:
        """Another key, none on either side, what was changed, and the label of another cluster in a reply."""
        sealed = envelope(OLD).seal_reply(PLAIN)
        for reader, data in [
            (envelope(NEW), sealed),
            (envelope(), sealed),
            (envelope(OLD), PLAIN),
            (envelope(OLD), sealed[:-1] + b"x"),
            (envelope(OLD, label=b"blue"), sealed),
            (envelope(OLD), b"\x0a\x00\x00\x00\x00"),
        ]:
            with pytest.raises(UndecipherableError):
                read(reader, data, is_request=False)

    def test_plain_is_taken_while_incoming_is_not_verified(self) -> None:
        """As for packets; what says that it is encrypted must open all the same."""
        moving = envelope(OLD, incoming=False, outgoing=False)
        assert read(moving, PLAIN) == Ping(SequenceNumber(1), "n1")
        assert moving.seal_request(PLAIN) == PLAIN
        with pytest.raises(UndecipherableError):
            read(moving, envelope(NEW).seal_request(PLAIN))

    def test_what_an_encrypted_stream_claims_is_bounded(self) -> None:
        """A claim above the bound is refused at its head; the largest message passes with its envelope."""
        with pytest.raises(RemoteProtocolError, match="more than"):
            read(envelope(OLD), b"\x0a\xff\xff\xff\xff")
        one = envelope(OLD, label=bytes(LABEL_SIZE_MAX))
        message = User(bytes(STREAM_SIZE_MAX - 20))
        assert StreamDecoder(one).feed(one.seal_request(encode_stream(message, compress=False))) == message
