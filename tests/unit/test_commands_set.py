"""`onevalue set`: what is written, upon what, and how it ends."""

import json
from typing import Any

from onevalue.failover import Lost
from onevalue.values import Value
from tests.command_support import URL, CommandTestCase, answer, state_json

TAG = "4-0123456789abcdef"


class SetTests(CommandTestCase):
    """`onevalue set`."""

    def test_set_writes_json_and_prints_the_tag(self) -> None:
        """Also a negative number; with --json the whole state."""
        status, out, err = self.run_("set", "-43")
        assert (status, out, err) == (0, self.node.store.current.tag + "\n", "")
        assert (self.node.store.current.value, self.node.store.current.generation) == (-43, 5)
        status, out, _ = self.run_("set", "44", "--json")
        assert (status, json.loads(out)["value"], json.loads(out)["tag"]) == (0, 44, self.node.store.current.tag)

    def test_the_value_may_come_in_several_ways(self) -> None:
        """JSON on the command line or standard input, or text as it is."""
        ways: list[tuple[list[str], Value]] = [
            (['{"a": [1, "é"]}'], {"a": [1, "é"]}),
            (["--string", '"quoted"'], '"quoted"'),
            (["-"], "from stdin"),
            (["--stdin"], "from stdin"),
            (["--", "-1e3"], -1000.0),
            (["-1e3"], -1000.0),
            (["-1.5e3"], -1500.0),
            (["-2E-2", "--ack", "2"], -0.02),
            (["--string", "-1e3"], "-1e3"),
        ]
        for arguments, body in ways:
            self.asked.clear()
            self.script = {"PUT /v1/value": [answer(200, state_json(5, body))]}
            assert self.run_("set", *arguments, stdin=b'"from stdin"\n')[0] == 0, arguments
            [(_, request, _)] = self.asked
            assert json.loads(request.body or b"") == body

    def test_what_is_no_json_is_a_usage_error(self) -> None:
        """The error says how a text is written; nobody is asked."""
        for value in ["v1.2", "", "NaN", "{", "[" * 100_000]:
            assert "--string" in self.usage("set", value)
        assert "no UTF-8 at byte 1" in self.usage("set", "-", stdin=b'"\xff"')
        self.usage("set")
        self.usage("set", "1", "--string", "x")
        self.usage("set", "1", "--force")
        self.usage("set", "1", "--ack-timeout", "1")

    def test_what_was_typed_is_what_is_sent(self) -> None:
        """Byte by byte: the command makes nothing else of it, and an error shows it."""
        texts = ['{"b":1,\n "a":1.0}', "1E2", '"\\u00e9"', " 7 ", "12345678901234567"]
        for text in texts:
            for arguments, stdin in [([text], b""), (["-"], text.encode())]:
                self.asked.clear()
                assert self.run_("set", *arguments, stdin=stdin)[0] == 0
                assert self.asked[0][1].body == text.encode()
        self.asked.clear()
        assert 'has "a" twice' in self.usage("set", '{"a":1,"a":2}')
        assert 'has "a" twice' in self.usage("set", "--stdin", stdin=b'{"a":1,"a":2}')
        assert "'1e400' is no JSON that a node takes: a number is too large" in self.usage("set", "1e400")

    def test_a_text_that_is_no_utf_8_is_a_usage_error(self) -> None:
        """In either form; what Python makes of such bytes is shown to nobody."""
        for arguments in [["--string", "a\udcff"], ['"\udcff"']]:
            assert self.usage("set", *arguments) == "onevalue: the value is no UTF-8\n"

    def test_what_no_node_would_take_is_a_usage_error(self) -> None:
        """Tags, numbers of nodes and times, named by their option; nobody is asked."""
        for option, wrong in [
            *[(option, each) for option in ("--if-match", "--if-none-match") for each in ("é", "4-x", "", "a\nb")],
            *[("--ack", each) for each in ("x", "0", "-1", "10001", "Majority", "٣")],
            *[("--ack-timeout", each) for each in ("99", "0", "0.0001", "x", "nan")],
        ]:
            more = ["--ack", "2"] if option == "--ack-timeout" else []
            assert f"argument {option}: " in self.usage("set", "1", *more, f"{option}={wrong}"), (option, wrong)
        assert "argument --from-history: " in self.usage("set", "--from-history", "4-x")

    def test_a_condition_that_fails_is_status_3(self) -> None:
        """Nothing is written; --json shows the current state. A tag may have its quotes."""
        tag = self.node.store.current.tag
        assert self.run_("set", "43", "--if-match", f'"{tag}"')[0] == 0
        status, out, err = self.run_("set", "44", "--if-match", tag)
        assert (status, out) == (3, "")
        assert err.startswith("onevalue: 412 the state is ")
        status, out, _ = self.run_("set", "44", "--if-match", tag, "--json")
        assert (status, json.loads(out)["current"]["value"]) == (3, 43)

    def test_conditions_are_sent_as_tags(self) -> None:
        """In quotes, but for the star."""
        for arguments, name, sent in [
            (["--if-match", "*"], "If-Match", "*"),
            (["--if-none-match", TAG], "If-None-Match", f'"{TAG}"'),
        ]:
            self.asked.clear()
            self.run_("set", "1", *arguments)
            assert self.asked[0][1].headers[name] == sent

    def test_acknowledgements_are_asked_for(self) -> None:
        """With the time for them; too few in time is status 4, another winner 3, and both show what was written."""
        written, winner = state_json(5, 1), state_json(5, 2)
        for outcome, status, shown in [
            (answer(200, {**written, "acks": {"needed": 2, "held": 2}}), 0, "acks"),
            (answer(504, {"detail": "too few", "acks": {"needed": 2, "held": 1}, "written": written}), 4, "written"),
            (answer(409, {"detail": "lost", "winner": winner, "written": written}), 3, "winner"),
        ]:
            self.asked.clear()
            self.script = {"PUT /v1/value": [outcome]}
            ended, out, _ = self.run_("set", "1", "--ack", "majority", "--ack-timeout", "7", "--timeout", "3", "--json")
            [(_, request, timeout_s)] = self.asked
            assert (ended, shown in json.loads(out)) == (status, True)
            assert (request.path, timeout_s) == ("/v1/value?ack=majority&timeout=7.0", 10.0)

    def test_a_write_that_is_superseded_is_done_and_says_so(self) -> None:
        """On standard error."""
        self.script = {"PUT /v1/value": [answer(200, {**state_json(5, 1), "superseded_by": state_json(6, 2)})]}
        status, out, err = self.run_("set", "1", "--ack", "2")
        assert (status, out) == (0, state_json(5, 1)["tag"] + "\n")
        assert state_json(6, 2)["tag"] in err

    def test_an_outcome_that_is_open_is_status_5(self) -> None:
        """And the write is not repeated."""
        self.script = {"PUT /v1/value": [Lost("reset")]}
        status, out, err = self.run_("set", "1", "--url", f"{URL},{URL}")
        assert (status, out, len(self.asked)) == (5, "", 1)
        assert "reset" in err

    def test_a_write_upon_one_state_is_repeated(self) -> None:
        """It makes the same state there."""
        self.script = {"PUT /v1/value": [Lost("reset")]}
        tag = self.node.store.current.tag
        assert self.run_("set", "1", "--if-match", tag, "--url", f"{URL},{URL}")[0] == 0
        assert (self.node.store.current.generation, len(self.asked)) == (5, 2)

    def test_a_write_that_is_repeated_must_be_confirmed_as_well(self) -> None:
        """That it stands at the next node tells of one node only; status 5 says what is not known."""
        found = answer(412, {"detail": "no", "current": state_json(5, 1)})
        tag = self.node.store.current.tag
        for ack, status in [(["--ack", "majority"], 5), (["--ack", "all"], 5), (["--ack", "01"], 0), ([], 0)]:
            self.script = {"PUT /v1/value": [Lost("reset"), found]}
            ended, out, err = self.run_("set", "1", "--if-match", tag, *ack, "--url", f"{URL},{URL}", "--json")
            assert (ended, "it was written, but whether enough nodes hold it" in err) == (status, status == 5)
            told = json.loads(out)
            assert (told["written"] if status else told)["tag"] == state_json(5, 1)["tag"]

    def test_from_history_is_undo(self) -> None:
        """The old value is written upon the current state; --force wants no condition."""
        history = {"history": [{**state_json(4, 42), "source": "set"}, {**state_json(2, 7), "source": "event"}]}
        past = history["history"][1]["tag"]
        for arguments, condition in [
            ([], f'"{self.node.store.current.tag}"'),
            (["--force"], None),
            (["--if-match", "*"], "*"),
        ]:
            self.asked.clear()
            self.script = {
                "GET /v1/history": [answer(200, history)],
                "PUT /v1/value": [answer(200, state_json(5, 7))],
            }
            assert self.run_("set", "--from-history", past, *arguments)[0] == 0
            [put] = [request for _, request, _ in self.asked if request.method == "PUT"]
            assert (put.body, put.headers.get("If-Match")) == (b"7", condition)

    def test_an_old_state_is_looked_for_in_all_that_is_kept(self) -> None:
        """A node tells the newest unless it is asked for more."""
        newest: dict[str, Any] = {"history": [{**state_json(4, 42), "source": "set"}], "history_max": 1000}
        whole = {**newest, "history": [*newest["history"], {**state_json(2, 7), "source": "set"}]}
        self.script = {
            "GET /v1/history": [answer(200, newest), answer(200, whole)],
            "PUT /v1/value": [answer(200, state_json(5, 7))],
        }
        assert self.run_("set", "--from-history", state_json(2, 7)["tag"])[0] == 0
        asked = [request.path for _, request, _ in self.asked if request.path.startswith("/v1/history")]
        assert asked == ["/v1/history", "/v1/history?limit=1000"]

    def test_a_tag_that_is_not_in_the_history_is_an_error(self) -> None:
        """Nothing is written."""
        self.script = {"GET /v1/history": [answer(200, {"history": []})]}
        status, _, err = self.run_("set", "--from-history", TAG)
        assert (status, TAG in err, self.node.store.current.generation) == (1, True, 4)
