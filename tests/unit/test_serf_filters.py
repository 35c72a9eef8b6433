"""Whom a query concerns (wire README 5.9, pitfall 24)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from onevalue.errors import LocalProtocolError
from onevalue.serf.filters import (
    EXPRESSION_SIZE_MAX,
    FILTERS_MAX,
    UNICODE_CLASSES_MAX,
    check_expression,
    matches,
)
from onevalue.wire.internal_queries import NodeFilter, TagFilter, encode_filter
from tests.strategies import LAW

EVIL = "(a+)+$"
BAD = ("(", "a**", "(?=a)", "(?!b)", "(?<=a)", r"(a)\1", "(?P=a)", "a{1001}", "\udcff", "\ud800")
COSTLY = (
    "a" * (EXPRESSION_SIZE_MAX + 1),
    "é" * (EXPRESSION_SIZE_MAX // 2 + 1),
    r"\pL?" * UNICODE_CLASSES_MAX + r"\PL?",
    "a{0,1000}" * 2,
    "(a*){1000}" * 2,
    "(a?b?c?d?e?){500}",
    "((a{10}){10}){10}" * 4,
    r"(?i)\pL{1000}",
)


def names(*wanted: str) -> bytes:
    """A filter by names."""
    return encode_filter(NodeFilter(wanted))


def tag(expression: str, name: str = "role") -> bytes:
    """A filter by a tag."""
    return encode_filter(TagFilter(name, expression))


def found(expression: str, value: str) -> bool:
    """Whether an expression matches a tag of this value."""
    return matches([tag(expression)], "n1", {"role": value})


class FilterTests(SynchronousTestCase):
    """Filters as they travel."""

    def test_no_filters_match_everybody(self) -> None:
        """Whatever their name and tags."""
        assert matches([], "n1", {})

    def test_a_node_filter_matches_exact_names_only(self) -> None:
        """Neither a part, nor another case; and no names are nobody."""
        table = [
            (("n1",), True),
            (("n0", "n1"), True),
            (("n",), False),
            (("n11",), False),
            (("N1",), False),
            ((), False),
        ]
        for wanted, expected in table:
            assert matches([names(*wanted)], "n1", {}) is expected, wanted

    def test_all_filters_must_match(self) -> None:
        """Names as well as tags."""
        web, n1 = tag("web"), names("n1")
        assert matches([n1, web], "n1", {"role": "web"})
        assert not matches([n1, web], "n2", {"role": "web"})
        assert not matches([web, n1], "n1", {"role": "db"})

    def test_an_unknown_type_or_nonsense_matches_nobody(self) -> None:
        """Nor an empty filter, nor one that is cut off."""
        for data in [b"", b"\x02\x90", b"\xff", b"\x00", b"\x01", b"\x00\xc1", tag("web")[:-1]]:
            assert not matches([data], "n1", {"role": "web"}), data
            assert not matches([names("n1"), data], "n1", {"role": "web"}), data

    def test_as_many_filters_as_the_bound_match_and_one_more_nobody(self) -> None:
        """So that a query cannot cost more than so many expressions."""
        assert matches([tag("web")] * FILTERS_MAX, "n1", {"role": "web"})
        assert not matches([tag("web")] * (FILTERS_MAX + 1), "n1", {"role": "web"})

    @LAW
    @given(st.lists(st.binary() | st.binary().map(lambda data: b"\x01" + data), max_size=3), st.text(), st.text())
    def test_nothing_raises(self, filters: list[bytes], name: str, value: str) -> None:
        """Whatever bytes come as filters, and whatever the tag holds."""
        assert matches(filters, name, {"": value}) in {True, False}


class ExpressionTests(SynchronousTestCase):
    """Expressions are of RE2, as in Go."""

    def test_an_expression_is_searched_anywhere_in_the_value(self) -> None:
        """Unless it is anchored; a missing tag is empty."""
        assert found("e", "web")
        assert not found("^e", "web")
        assert not found("^we$", "web")
        assert matches([tag("^$", "absent")], "n1", {})
        assert not matches([tag(".", "absent")], "n1", {})

    def test_an_expression_speaks_of_characters(self) -> None:
        """Not of bytes; case and classes are those of Unicode."""
        for expression, value in [("^.$", "é"), ("(?i)^É$", "é"), (r"^\pL+$", "straße"), (r"^\w$", "a"), ("^.$", "\0")]:
            assert found(expression, value), expression
        assert not found(r"^\w$", "é")

    def test_bytes_that_are_not_text_count_as_one_replacement_character_each(self) -> None:
        """As Go reads them."""
        value = b"a\xff\xe2\x82z".decode("utf-8", "surrogateescape")
        assert found("^a.{3}z$", value)
        assert found("^a\ufffd{3}z$", value)
        assert found("^.$", "\ud800")

    def test_look_around_and_back_references_match_nobody(self) -> None:
        """Nor does anything else that is no expression of RE2."""
        for expression in BAD[:-1]:  # the last cannot travel
            assert not found(expression, "aa"), expression

    def test_the_evil_pattern_is_answered_at_once(self) -> None:
        """Python's own module would take longer than the world lasts."""
        value = "a" * 100_000
        assert found(EVIL, value)
        assert not found(EVIL, value + "!")

    def test_an_expression_beyond_the_bounds_matches_nobody(self) -> None:
        """By its size, its Unicode classes, or what it compiles to."""
        for expression in COSTLY:
            assert not found(expression, "abc" * 100), expression

    def test_an_expression_at_the_bounds_matches(self) -> None:
        """And so do those that people write."""
        for expression, value in [
            ("a" * EXPRESSION_SIZE_MAX, "a" * EXPRESSION_SIZE_MAX),
            (r"\pL*" * UNICODE_CLASSES_MAX, "é"),
            ("a{0,1000}", "a"),
            (r"^\w{1,63}(\.\w{1,63}){0,3}$", "a.example"),
            ("|".join(f"web-{number:03}" for number in range(60)), "web-059"),
        ]:
            assert found(expression, value), expression


class CheckTests(SynchronousTestCase):
    """Expressions that this node's user gives."""

    def test_what_matches_nobody_is_refused_with_a_reason(self) -> None:
        """Bad, or beyond the bounds."""
        for expression in (*BAD, *COSTLY):
            with pytest.raises(LocalProtocolError, match=r"the expression of a filter is not usable: \w+"):
                check_expression(expression)

    def test_the_reason_is_that_of_re2(self) -> None:
        """Or the bound, with its number."""
        for expression, reason in [
            ("é(", r"missing \): é\("),
            (r"(a)\1", r"invalid escape sequence: \\1"),
            (COSTLY[0], f"more than {EXPRESSION_SIZE_MAX} bytes"),
            (COSTLY[2], f"more than {UNICODE_CLASSES_MAX} Unicode classes"),
        ]:
            with pytest.raises(LocalProtocolError, match=reason):
                check_expression(expression)

    def test_what_re2_takes_is_accepted(self) -> None:
        """The empty expression too, which matches everybody."""
        for expression in ("", "web", EVIL, "^(web|db)-[0-9]+$", r"(?i)\pL"):
            check_expression(expression)
