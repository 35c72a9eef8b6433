"""Integers in paths: what Go's strconv.Atoi takes, and nothing else."""

import pytest
from twisted.trial.unittest import SynchronousTestCase

from onevalue.errors import RemoteProtocolError
from onevalue.web.integers import parse_integer

LOW, HIGH = -(2**63), 2**63 - 1


class IntegerTests(SynchronousTestCase):
    """parse_integer."""

    def test_sign_and_digits_are_an_integer(self) -> None:
        """An optional sign, ASCII digits and leading zeros are taken."""
        for text, number in [
            ("0", 0),
            ("-0", 0),
            ("+5", 5),
            ("-5", -5),
            ("007", 7),
            ("0" * 9000 + "1", 1),
            (str(HIGH), HIGH),
            (str(LOW), LOW),
        ]:
            assert parse_integer(text, "the value", LOW, HIGH) == number, text[:40]

    def test_anything_else_is_none(self) -> None:
        """Space, underscore, other scripts' digits, other bases, fractions and nothing at all are refused."""
        for text in ["", "+", "-", "--1", "abc", " 5", "5 ", "5\n", "1_000", "٤٢", "²", "0x10", "1.0", "1e3", "+-1"]:
            with pytest.raises(RemoteProtocolError) as caught:
                parse_integer(text, "the value", LOW, HIGH)
            assert "is not an integer" in str(caught.value), text

    def test_an_integer_out_of_range_is_refused_with_the_range(self) -> None:
        """The message names what it was, and the bounds; any number of digits is refused in short."""
        for text in [str(HIGH + 1), str(LOW - 1), "9" * 9000]:
            with pytest.raises(RemoteProtocolError) as caught:
                parse_integer(text, "the value", LOW, HIGH)
            assert f"out of range: it must be from {LOW} to {HIGH}" in str(caught.value)
            assert len(str(caught.value)) < 200
