"""What two nodes say to each other in POST /notify, as JSON."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from onevalue.errors import RemoteProtocolError
from onevalue.exchange import STATEMENT_SIZE_MAX, Statement, decode_statement, encode_answer, encode_statement
from onevalue.store import GENERATION_MAX, ORIGIN_LENGTH_MAX, State
from onevalue.types import Generation
from tests.strategies import LAW, states, texts, values

GOOD = {"name": "b", "learning": False, "state": {"generation": 3, "value": 30, "origin": "b", "time": 5.0}}


class StatementTests(SynchronousTestCase):
    """A statement is read strictly, and means what was said."""

    @LAW
    @given(texts.filter(bool), st.booleans(), states)
    def test_a_round_trip_keeps_all_fields(self, name: str, learning: bool, state: State) -> None:
        """As a request and as an answer."""
        said = Statement(name, learning, state)
        for body in (encode_statement(said), encode_answer(said, changed=True, refused="why")):
            heard = decode_statement(body)
            assert heard.state is not None
            assert (heard.name, heard.learning, heard.state.to_json()) == (name, learning, state.to_json())

    def test_the_bytes_of_a_statement(self) -> None:
        """The fields that docs/protocol.md lists, in canonical JSON."""
        said = Statement("b", learning=False, state=State(Generation(3), 30, "b", 5.0))
        assert json.loads(encode_statement(said)) == GOOD
        assert json.loads(encode_answer(said, changed=False, refused=None)) == {
            **GOOD,
            "changed": False,
            "refused": None,
        }

    @LAW
    @given(values)
    def test_unknown_fields_are_ignored(self, other: object) -> None:
        """Whatever a later version says besides."""
        body = json.dumps({**GOOD, "more": other, "state": {**GOOD["state"], "more": other}}).encode()  # type: ignore[dict-item]  # GOOD is mixed
        assert decode_statement(body) == decode_statement(json.dumps(GOOD).encode())

    def test_nonsense_is_refused(self) -> None:
        """No object, a missing field, a wrong type, text that UTF-8 cannot express, a state that is none."""
        decode_statement(json.dumps(GOOD).encode())
        bad: dict[str, list[object]] = {
            "name": [None, 1, "", [], "x" * (ORIGIN_LENGTH_MAX + 1), "\ud800"],
            "learning": [None, 0, 1, "false"],
            "state": [
                None,
                3,
                [],
                {},
                {"generation": -1, "value": 1},
                {"generation": 1, "value": 1, "origin": "\udc00"},
            ],
        }
        odd: list[object] = [None, [], [GOOD], "a", 1, {}]
        odd += [{key: GOOD[key] for key in GOOD if key != missing} for missing in GOOD]
        odd += [{**GOOD, key: one} for key, several in bad.items() for one in several]
        for obj in odd:
            with pytest.raises(RemoteProtocolError):
                decode_statement(json.dumps(obj).encode())

    def test_a_tag_stands_for_a_state_if_its_generation_can_be_one(self) -> None:
        """Up to the largest there is, spelled in one way; the hash in 16 hex digits of lower case."""
        digits = "0123456789abcdef"
        told = {"name": "b", "learning": False}
        for generation in (0, 7, GENERATION_MAX):
            heard = decode_statement(json.dumps({**told, "tag": f"{generation}-{digits}"}).encode())
            assert (heard.state, heard.generation, heard.tag) == (None, generation, f"{generation}-{digits}")
        generations = (GENERATION_MAX + 1, "9" * 19, "1" * 20, "01", "-1", "", "\u0661")
        odd: list[object] = [f"{text}-{digits}" for text in generations]
        odd += [digits, f"1{digits}", f"1-{digits[:-1]}", f"1-{digits}0", f"1-{digits.upper()}", f"1-{digits}\n"]
        for tag in [*odd, None, 1]:
            with pytest.raises(RemoteProtocolError):
                decode_statement(json.dumps({**told, "tag": tag}).encode())

    def test_what_is_too_long_or_too_deep_is_refused(self) -> None:
        """Before it is read, or as soon as it shows; up to the bound it is read."""
        body = json.dumps(GOOD).encode()
        decode_statement(body.ljust(STATEMENT_SIZE_MAX))
        digits = body.replace(b"30", b"3" * 5000)
        deep = b"[" * (STATEMENT_SIZE_MAX // 2) + b"]" * (STATEMENT_SIZE_MAX // 2)
        for odd in (body.ljust(STATEMENT_SIZE_MAX + 1), digits, deep, b"[" * STATEMENT_SIZE_MAX):
            with pytest.raises(RemoteProtocolError):
                decode_statement(odd)

    @LAW
    @given(st.binary(max_size=200) | values.map(lambda value: json.dumps(value).encode()))
    def test_any_bytes_are_a_statement_or_refused(self, body: bytes) -> None:
        """Nothing else is raised."""
        try:
            decode_statement(body)
        except RemoteProtocolError:
            return

    @LAW
    @given(st.text(max_size=12), st.text(max_size=12))
    def test_what_was_read_can_be_said(self, name: str, origin: str) -> None:
        """Any names that JSON can spell: a statement that was accepted can be encoded again."""
        state = {"generation": 1, "value": 1, "origin": origin}
        body = json.dumps({"name": name, "learning": True, "state": state}).encode()
        try:
            heard = decode_statement(body)
        except RemoteProtocolError:
            return
        assert decode_statement(encode_statement(heard)) == heard
