"""Server-sent events are read as WHATWG HTML, 9.2, has them, however the bytes are cut."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from onevalue.errors import RemoteProtocolError
from onevalue.sse import Event, EventParser
from tests.strategies import LAW

_FIELDS = ["data", "data: one", "data:two", "data:  x", "event: kind", "id: 7", "id", "id: a\0b", "retry: 10", ": beat"]
_FIELDS += ["retry: -1", "retry: 1x", "nonsense: 5", "data: héllo €", "\ufeffdata: no BOM here", ""]

streams = st.lists(st.sampled_from(_FIELDS) | st.text(max_size=5), max_size=20).flatmap(
    lambda lines: st.lists(st.sampled_from(["\n", "\r", "\r\n"]), min_size=len(lines), max_size=len(lines)).map(
        lambda ends: "".join(line + end for line, end in zip(lines, ends, strict=True)).encode()
    )
)
"""Streams of fields that mean something, and of some that mean nothing, with all kinds of line ends."""


def events(*pieces: bytes) -> list[Event]:
    """What one parser makes of these pieces."""
    parser = EventParser()
    return [event for piece in pieces for event in parser.receive(piece)]


class MeaningTests(SynchronousTestCase):
    """Single streams."""

    def test_lines_of_data_are_joined(self) -> None:
        """With LF between them; one space after the colon is not part of it."""
        assert events(b"data: YHOO\ndata:+2\ndata:  10\n\n") == [Event("message", "YHOO\n+2\n 10", "")]

    def test_an_event_ends_with_an_empty_line(self) -> None:
        """What has none after it is no event, nor is what has no data."""
        assert events(b"data: first\n\nevent: x\n\ndata: second\n") == [Event("message", "first", "")]
        assert events(b"data\n\ndata\ndata\n\ndata:") == [Event("message", "", ""), Event("message", "\n", "")]

    def test_all_line_ends_are_equal(self) -> None:
        """CR, LF, CRLF, also mixed."""
        assert events(b"data: 1\r\rdata: 2\n\ndata: 3\r\n\r\n") == [Event("message", each, "") for each in "123"]

    def test_a_crlf_may_be_cut_in_two(self) -> None:
        """It is one line end: no event comes of its second half."""
        assert events(b"data: 1\r", b"\n", b"\r", b"\ndata: 2\r", b"\r") == [
            Event("message", "1", ""),
            Event("message", "2", ""),
        ]

    def test_a_bom_is_skipped_at_the_beginning_only(self) -> None:
        """Later it is part of a field's name."""
        assert events(b"\xef\xbb", b"\xbfdata: 1\n\n\xef\xbb\xbfdata: 2\n\n") == [Event("message", "1", "")]

    def test_comments_and_unknown_fields_mean_nothing(self) -> None:
        """They end no event either."""
        assert events(b": beat\n\ndata: 1\n: beat\nfoo: bar\n\n:\n\n") == [Event("message", "1", "")]

    def test_the_last_id_stays_and_the_kind_does_not(self) -> None:
        """An empty id takes it back; one with NUL is none."""
        stream = b"id: 5\nevent: a\ndata: 1\n\ndata: 2\n\nid: 6\0\ndata: 3\n\nid\ndata: 4\n\n"
        assert events(stream) == [
            Event("a", "1", "5"),
            Event("message", "2", "5"),
            Event("message", "3", "5"),
            Event("message", "4", ""),
        ]

    def test_retry_is_digits_only(self) -> None:
        """Anything else leaves it as it was."""
        parser = EventParser()
        for line, retry_ms in [(b"", None), (b"retry: 250\n", 250), (b"retry: 3s\n", 250), (b"retry\n", 250)]:
            parser.receive(line)
            assert parser.retry_ms == retry_ms, line
        parser.receive(b"retry: " + b"9" * 5000 + b"\n")
        assert parser.retry_ms == 250

    def test_what_is_no_utf8_is_replaced(self) -> None:
        """As the standard has it."""
        assert events(b"data: \xff\n\n") == [Event("message", "\ufffd", "")]


class BoundTests(SynchronousTestCase):
    """Nothing grows without end."""

    def test_a_line_has_a_bound(self) -> None:
        """In one piece, in many, and a comment too."""
        for pieces in [[b"data: 12345"], [b"dat", b"a: 1", b"2345"], [b":" + b"x" * 10]]:
            parser = EventParser(10)
            for piece in pieces[:-1]:
                assert parser.receive(piece) == []
            with pytest.raises(RemoteProtocolError):
                parser.receive(pieces[-1])
        assert EventParser(10).receive(b"data: 1234\n\n") == [Event("message", "1234", "")]

    def test_an_event_has_a_bound(self) -> None:
        """Of all its lines together, also empty ones; the next event begins anew."""
        parser = EventParser(10)
        assert len(parser.receive(b"data:1\n\n" * 100)) == 100
        with pytest.raises(RemoteProtocolError):
            parser.receive(b"data\n" * 3)


class LawTests(SynchronousTestCase):
    """Of all streams."""

    @LAW
    @given(streams, st.lists(st.integers(0, 400), max_size=30))
    def test_any_cuts_give_the_same_events(self, stream: bytes, cuts: list[int]) -> None:
        """Byte by byte, at once, or anything between; empty pieces too."""
        whole = events(stream)
        places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
        assert events(*(stream[a:b] for a, b in pairwise(places))) == whole
        assert events(*(bytes([byte]) for byte in stream)) == whole

    @LAW
    @given(st.binary(max_size=200))
    def test_no_bytes_do_harm(self, stream: bytes) -> None:
        """Whatever comes, there is a list of events."""
        assert isinstance(events(stream), list)
