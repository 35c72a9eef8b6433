"""Values: what JSON is read as one, strictly, and its canonical text."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from onevalue.errors import RemoteProtocolError, TooLargeError
from onevalue.values import (
    VALUE_DEPTH_MAX,
    VALUE_MAX,
    VALUE_MIN,
    Value,
    canonical,
    is_deeper,
    object_text,
    parse_json,
    parse_value,
)
from tests.strategies import LAW, values


def nested(depth: int) -> bytes:
    """Arrays in each other."""
    return b"[" * depth + b"]" * depth


class ReadingTests(SynchronousTestCase):
    """parse_json."""

    @LAW
    @given(values, st.booleans())
    def test_what_is_written_is_read(self, value: Value, escaped: bool) -> None:
        """Any value, canonical or with white space, escapes and keys in another order."""
        assert canonical(parse_json(canonical(value))) == canonical(value)
        text = json.dumps(value, indent=1, ensure_ascii=escaped)
        assert canonical(parse_json(text.encode())) == canonical(value)

    @LAW
    @given(st.binary(max_size=60) | st.text('[]{}":,\\u0dD8cefal1-.+ ', max_size=40).map(str.encode))
    def test_any_bytes_are_a_value_or_refused(self, text: bytes) -> None:
        """Nothing else is raised; and what is read has one canonical text, which reads as the same."""
        try:
            value = parse_json(text)
        except RemoteProtocolError:
            return
        assert canonical(parse_json(canonical(value))) == canonical(value)

    def test_what_two_readers_could_read_differently_is_refused(self) -> None:
        """And the reason is told."""
        for text, why in [
            (b"", "Expecting value"),
            (b"nul", "Expecting value"),
            (b"1 2", "Extra data"),
            (b"\xef\xbb\xbf1", "Expecting value"),
            (b"\xff", "no UTF-8 at byte 0"),
            (b'"\xed\xa0\x80"', "no UTF-8"),
            (b'"\\ud800"', "half a surrogate pair"),
            (b'{"\\udc00": 1}', "half a surrogate pair"),
            (b'{"a": 1, "b": 2, "a": 1}', 'an object has "a" twice'),
            (b'{"a": 1, "\\u0061": 1}', 'an object has "a" twice'),
            (b"NaN", "NaN"),
            (b"[-Infinity]", "-Infinity"),
            (b"1e999", "too large"),
            (b"-1e999", "too large"),
            (str(VALUE_MAX + 1).encode(), "write it as a text"),
            (str(VALUE_MIN - 1).encode(), "write it as a text"),
            (b"1" * 5000, "write it as a text"),
            (b'"\n"', "control character"),
        ]:
            with pytest.raises(RemoteProtocolError, match=why):
                parse_json(text)
        for fine in [str(VALUE_MAX), str(VALUE_MIN), "1e308", "-0", '"\\ud83d\\ude00"']:
            parse_json(fine.encode())

    def test_depth_has_a_bound(self) -> None:
        """Up to it is read; brackets in texts, and arrays beside each other, do not count."""
        assert json.dumps(parse_json(nested(VALUE_DEPTH_MAX))).count("[") == VALUE_DEPTH_MAX
        for depth in (VALUE_DEPTH_MAX + 1, 900, 5000, 100_000):
            with pytest.raises(RemoteProtocolError, match="64 deep"):
                parse_json(nested(depth))
        with pytest.raises(RemoteProtocolError, match="64 deep"):
            parse_json(b'{"a":' * 65 + b"1" + b"}" * 65)
        parse_json(b'"' + b"[{" * 1000 + b'"')
        parse_json(b"[" + b",".join([b"[{}]"] * 1000) + b"]")

    def test_integers_and_other_numbers_stay_apart(self) -> None:
        """1 is not 1.0, and true is neither."""
        assert [type(parse_json(text)) for text in (b"1", b"1.0", b"1e0", b"true")] == [int, float, float, bool]

    @LAW
    @given(values)
    def test_the_text_of_an_object_is_made_of_those_of_its_members(self, value: Value) -> None:
        """In canonical form, whatever the names are."""
        members = {"b": value, "a": [value], 'é"': None}
        assert object_text({name: canonical(each) for name, each in members.items()}) == canonical(members)

    @LAW
    @given(values)
    def test_depth_is_that_of_arrays_and_objects(self, value: Value) -> None:
        """Of the text as of the value."""

        def depth(each: Value) -> int:
            inner = each.values() if isinstance(each, dict) else each if isinstance(each, list) else None
            return 0 if inner is None else 1 + max(map(depth, inner), default=0)

        assert not is_deeper(canonical(value), depth(value))
        assert depth(value) == 0 or is_deeper(canonical(value), depth(value) - 1)
        assert not is_deeper(b'["[[{\\"[", "[[{{"]', 1)

    def test_brackets_that_do_not_match_are_too_deep_or_no_json(self) -> None:
        """Wherever they stand, and however many there are; never is it a fault of ours."""
        for text in (b"[" * 9, b"]" * 9, b"[]" * 9 + b"[", b"]" * 99 + b"[" * 99, b"[" * 100_000, b"[[]" * 1000):
            with pytest.raises(RemoteProtocolError, match=r"not JSON|more than 5 deep"):
                parse_json(text, 5)


class SizeTests(SynchronousTestCase):
    """parse_value."""

    def test_the_text_and_the_canonical_one_have_a_bound(self) -> None:
        """Each may be the longer one."""
        assert parse_value(b'"abc"', 5) == "abc"
        assert parse_value(b'"\\u00e9"', 8) == "é"
        for text, size in [(b'"abcd"', 5), (b"1    ", 4), (b"1e15", 4), (b"1" * 10_000_000, 100)]:
            with pytest.raises(TooLargeError, match=f"at most {size} bytes"):
                parse_value(text, size)
