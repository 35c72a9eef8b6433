"""The verbs of `onevalue`, at a real node in memory: what they ask, what they print, how they end."""

import io
import json
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from onevalue import cli
from onevalue.commands import wire
from onevalue.commands.nodes import token_in
from onevalue.commands.tables import cell, json_text, table, utc
from onevalue.commands.verb import EXITS
from onevalue.commands.wire import Request
from onevalue.failover import Lost, NotSent, Outcome
from onevalue.member import KeyResult, QueryResult, Status
from onevalue.replies import Answer
from onevalue.store import State
from onevalue.types import Generation
from onevalue.values import Value
from onevalue.wire.key_text import encode_key
from tests.fakes import make_member
from tests.web_support import WebNode

URL = "http://127.0.0.1:8080"
KEY = bytes(range(16))


def state_json(generation: int, value: Value) -> dict[str, Any]:
    """A state as a node tells it."""
    state = State(Generation(generation), value, "n1", 1_700_000_000.0)
    return {**state.to_json(), "tag": state.tag}


def answer(status: int, obj: object) -> Answer:
    """A node's answer."""
    return Answer(status, None, json.dumps(obj).encode())


class CommandTestCase(SynchronousTestCase):
    """Runs verbs where requests go to `self.node`, or to a script by method and path."""

    def setUp(self) -> None:
        self.node = WebNode(state=State(Generation(4), 42, "n2", 1_700_000_000.0))
        self.asked: list[tuple[str, Request, float]] = []
        self.script: dict[str, list[Outcome]] = {}
        self.environ = {"PATH": os.environ["PATH"]}

    def exchange(self, url: str, request: Request, timeout_s: float, _ca_file: str | None) -> Outcome:
        """In place of `wire.exchange`."""
        self.asked.append((url, request, timeout_s))
        scripted = self.script.get(f"{request.method} {request.path.partition('?')[0]}")
        if scripted:
            return scripted.pop(0)
        wire_ = self.node.start_request(request.method, request.path, request.body or b"", dict(request.headers))
        [response] = wire_.take_responses()
        return Answer(response.status, response.headers.get("etag"), response.body)

    def run_(self, *arguments: str, stdin: bytes = b"") -> tuple[int, str, str]:
        """Status, standard output and standard error."""
        out, err = io.StringIO(), io.StringIO()
        given = io.TextIOWrapper(io.BytesIO(stdin))
        with (
            patch.object(sys, "stdout", out),
            patch.object(sys, "stderr", err),
            patch.object(sys, "stdin", given),
            patch.object(wire, "exchange", self.exchange),
            patch.dict(os.environ, self.environ, clear=True),
        ):
            try:
                status = cli.main(arguments)
            except SystemExit as usage:
                status = int(usage.code or 0)
        return status, out.getvalue(), err.getvalue()

    def usage(self, *arguments: str, stdin: bytes = b"") -> str:
        """The usage error to which these arguments lead; nobody is asked."""
        status, out, err = self.run_(*arguments, stdin=stdin)
        assert (status, out, self.asked) == (2, "", [])
        return err


class GetTests(CommandTestCase):
    """`onevalue get`."""

    def test_get_prints_the_value_as_json(self) -> None:
        """And with --json the whole state on one line, with its tag."""
        assert self.run_("get") == (0, "42\n", "")
        status, out, _ = self.run_("get", "--json")
        assert (status, out.count("\n")) == (0, 1)
        told = json.loads(out)
        assert (told["value"], told["generation"], told["origin"]) == (42, 4, "n2")
        assert told["tag"] == self.node.store.current.tag

    def test_raw_is_a_string_without_quotes(self) -> None:
        """Other values are as they are."""
        shown: list[tuple[Value, str, str | None]] = [
            ("v1.2 é", '"v1.2 é"', "v1.2 é"),
            ({"a": [1, None]}, '{"a": [1, null]}', None),
        ]
        for value, plain, raw in shown:
            for option, wanted in [([], plain), (["--raw"], raw or plain)]:
                self.script = {"GET /v1/value": [answer(200, state_json(4, value))]}
                assert self.run_("get", *option) == (0, wanted + "\n", "")

    def test_freshness_is_asked_of_the_node(self) -> None:
        """With time to wait for it."""
        self.run_("get", "--max-stale", "2.5", "--min-generation", "3", "--wait", "4", "--timeout", "1")
        [(_, request, timeout_s)] = self.asked
        assert request.path == "/v1/value?max_stale=2.5&min_generation=3&wait=4"
        assert timeout_s == 5.0


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
        self.usage("set", "-", stdin=b"\xff")
        self.usage("set")
        self.usage("set", "1", "--string", "x")
        self.usage("set", "1", "--force")
        self.usage("set", "1", "--ack-timeout", "1")
        self.usage("set", "1", "--if-match", "é")

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
            (["--if-none-match", "4-x"], "If-None-Match", '"4-x"'),
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
        status, _, err = self.run_("set", "--from-history", "3-x")
        assert (status, "3-x" in err, self.node.store.current.generation) == (1, True, 4)


class ClusterTests(CommandTestCase):
    """What is asked of the cluster."""

    def both(self, *arguments: str) -> tuple[str, Any]:
        """What people read, and what programs do."""
        status, text, _ = self.run_(*arguments)
        assert status == 0
        status, line, _ = self.run_(*arguments, "--json")
        assert (status, line.count("\n")) == (0, 1)
        return text, json.loads(line)

    def test_members_are_a_table(self) -> None:
        """In Serf's words; nothing of others steers the terminal."""
        self.node.membership.set_members(
            make_member("n1", http="http:8080"),
            make_member("n2", "10.0.0.2", suspect=True, role="a\x1b[2J"),
            make_member("n3", "10.0.0.3", status=Status.FAILED),
        )
        text, told = self.both("members")
        assert [member["name"] for member in told["members"]] == ["n1", "n2", "n3"]
        head, *lines = text.splitlines()
        assert head.split() == ["NAME", "ADDRESS", "STATUS", "ROUND", "TRIP", "HTTP", "TAGS"]
        assert lines[0].split()[:3] == ["n1", "127.0.0.1:7946", "alive"]
        assert "alive (suspect)" in lines[1]
        assert "role=a?[2J" in lines[1]
        assert "failed" in lines[2]
        self.run_("members", "--rtt-from", "n 2")
        assert self.asked[-1][1].path == "/v1/members?rtt_from=n+2"

    def test_status_is_for_people_too(self) -> None:
        """A line for each thing."""
        text, told = self.both("status")
        assert told["name"] == "n1"
        lines = dict(line.split(maxsplit=1) for line in text.splitlines() if " " in line)
        assert (lines["name"], lines["ready"]) == ("n1", "yes")
        assert lines["state"].startswith("42, tag 4-")
        assert lines["exposure"] == "gossip on 10.0.0.1:7946 is unencrypted"

    def test_history_is_a_table(self) -> None:
        """The newest first; long values are cut."""
        entries = [{**state_json(4, "x" * 200), "source": "set"}, {**state_json(2, 7), "source": "event"}]
        self.script = {"GET /v1/history": [answer(200, {"history": entries, "history_max": 9})] * 2}
        text, told = self.both("history", "--limit", "2")
        assert told["history_max"] == 9
        _, first, second = text.splitlines()
        assert second.split() == [entries[1]["tag"], "2023-11-14T22:13:20Z", "n1", "event", "7"]
        assert first.endswith("xxx...")
        assert self.asked[0][1].path == "/v1/history?limit=2"

    def test_query_asks_and_shows_the_answers(self) -> None:
        """All options arrive; what is no UTF-8 is shown in base64."""
        self.node.membership.query_result.callback(QueryResult(("n1", "n2"), (("n1", b"yes"), ("n2", b"\xff"))))
        asked = ["query", "load", "now", "--ack", "--node", "n1", "--node", "n2", "--tag", "role=web.*"]
        status, text, _ = self.run_(*asked, "--relay-factor", "1", "--query-timeout", "2")
        assert status == 0
        assert [line.split() for line in text.splitlines()] == [
            ["FROM", "ANSWER"],
            ["n1", "yes"],
            ["n2", "/w=="],
            ["heard", "by:", "n1,", "n2"],
        ]
        [query] = self.node.membership.queries
        assert (query.name, query.payload, query.nodes, query.tags) == ("load", b"now", ("n1", "n2"), {"role": "web.*"})
        assert (query.ack, query.relay_factor, query.timeout_s) == (True, 1, 2.0)
        assert "NAME=REGEX" in self.run_("query", "load", "--tag", "role")[2]

    def test_event_tells_all(self) -> None:
        """With bytes from standard input, if wanted."""
        assert self.run_("event", "deploy", "7") == (0, "sent deploy\n", "")
        assert self.run_("event", "deploy", "-", "--coalesce", stdin=b"\x00\xff")[0] == 0
        assert self.node.membership.sent_events == [("deploy", b"7", False), ("deploy", b"\x00\xff", True)]
        assert self.run_("event", "onevalue")[0] == 1

    def test_force_leave_names_the_member(self) -> None:
        """With --prune it is forgotten; nobody of that name is an error."""
        self.node.membership.set_members(make_member("n1"), make_member("n3", status=Status.FAILED))
        assert self.run_("force-leave", "n3") == (0, "n3 counts as left\n", "")
        assert self.run_("force-leave", "n3", "--prune") == (0, "n3 is forgotten\n", "")
        assert self.node.membership.forced == [("n3", False), ("n3", True)]
        status, _, err = self.run_("force-leave", "nobody")
        assert (status, "nobody" in err) == (1, True)


class KeysTests(CommandTestCase):
    """`onevalue keys`, on the node's own host."""

    def setUp(self) -> None:
        super().setUp()
        self.environ["HOME"] = "/"
        dial = self.node.dial
        self.patch(self.node, "dial", lambda data, _peer: dial(data, peer="127.0.0.1"))  # type: ignore[no-untyped-call]  # trial's has no types

    def answer_with(self, **fields: Any) -> None:
        """All members say this."""
        said = {"nodes": 2, "answers": 2, "errors": 0, "messages": {}, "keys": {}, "primary_keys": {}, **fields}
        self.node.membership.key_result.callback(KeyResult(**said))

    def test_a_key_comes_from_standard_input(self) -> None:
        """The line as `serf keygen` prints it."""
        self.answer_with()
        status, out, _ = self.run_("keys", "install", stdin=encode_key(KEY).encode() + b"\n")
        assert (status, out) == (0, "done by all 2 members\n")
        assert self.node.membership.key_changes == [("install", KEY, 0)]

    def test_a_key_comes_from_a_private_file(self) -> None:
        """Of one key; errors name the file and never show a key."""
        self.answer_with()
        with TemporaryDirectory() as folder:
            path = Path(folder) / "key"
            path.write_text(encode_key(KEY))
            path.chmod(0o644)
            assert "chmod 600" in self.usage("keys", "use", "--key-file", str(path))
            path.chmod(0o600)
            assert self.run_("keys", "use", "--key-file", str(path))[0] == 0
            self.asked.clear()
            path.write_text(f"{encode_key(KEY)}\n{encode_key(KEY[::-1])}\n")
            err = self.usage("keys", "remove", "--key-file", str(path))
        assert "2 keys" in err
        assert encode_key(KEY) not in err
        assert self.node.membership.key_changes == [("use", KEY, 0)]

    def test_a_key_is_never_an_argument(self) -> None:
        """And what is no key is not shown."""
        self.usage("keys", "install", encode_key(KEY))
        assert "almost-a-key" not in self.usage("keys", "install", stdin=b"almost-a-key")
        self.usage("keys", "list", "--key-file", "/etc/key")

    def test_keys_are_listed_by_fingerprint(self) -> None:
        """And how many members have each."""
        self.answer_with(keys={"aa": 2, "bb": 1}, primary_keys={"aa": 2})
        status, out, _ = self.run_("keys", "list")
        assert status == 0
        assert [line.split() for line in out.splitlines()[1:]] == [["aa", "2", "2"], ["bb", "1", "0"]]

    def test_members_that_refused_are_an_error(self) -> None:
        """With --json their words are shown."""
        self.answer_with(errors=1, messages={"n2": "no"})
        status, out, _ = self.run_("keys", "remove", "--force", "--json", stdin=encode_key(KEY).encode())
        assert (status, json.loads(out)["messages"]) == (1, {"n2": "no"})


class WhereTests(CommandTestCase):
    """Which nodes are asked, and what proves who asks."""

    def test_urls_come_from_options_or_the_environment(self) -> None:
        """The option wins; lists and repetition; without either it is this host."""
        for environ, arguments, urls in [
            ({}, [], [URL]),
            ({"ONEVALUE_URL": "http://a,https://b:1"}, [], ["http://a", "https://b:1"]),
            (
                {"ONEVALUE_URL": "http://a"},
                ["--url", "http://b, http://c", "--url", "http://d/"],
                ["http://b", "http://c", "http://d/"],
            ),
        ]:
            self.asked.clear()
            self.script = {"GET /v1/value": [NotSent("refused")] * 3}
            self.environ = environ
            status, _, err = self.run_("get", *arguments)
            assert (status, [url for url, _, _ in self.asked]) == (1, urls)
            assert all(url in err for url in urls)

    def test_what_is_no_url_is_a_usage_error(self) -> None:
        """It is named."""
        for url in [
            "127.0.0.1:8080",
            "ftp://a",
            "http://",
            "http://a:b",
            "http://u:p@a",
            "http://a/?x=1",
            ",",
            "http://a b",
        ]:
            assert "--url" in self.usage("get", "--url", url)

    def test_the_token_is_sent(self) -> None:
        """From the environment, or a file, which wins; a verb that writes takes one that may."""
        with TemporaryDirectory() as folder:
            path = Path(folder) / "tokens"
            path.write_text("# ours\n\nread rrr\nwrite www\n")
            for arguments, token in [
                (["get"], "eee"),
                (["get", "--token-file", str(path)], "rrr"),
                (["set", "1", "--token-file", str(path)], "www"),
            ]:
                self.asked.clear()
                self.environ["ONEVALUE_TOKEN"] = "eee"
                self.run_(*arguments)
                assert self.asked[0][1].headers["Authorization"] == f"Bearer {token}"
            self.asked.clear()
            path.write_text("read rrr\n")
            assert "write TOKEN" in self.usage("set", "1", "--token-file", str(path))
            self.usage("get", "--token-file", f"{path}.nothing")
        self.environ["ONEVALUE_TOKEN"] = "a\nb"
        self.usage("get")
        assert token_in("bare\nwrite w", writes=True) == "bare"

    def test_the_help_tells_what_the_statuses_mean(self) -> None:
        """Of the command and of each verb, whose options are explained."""
        status, out, _ = self.run_("--help")
        assert (status, EXITS in out, all(verb in out for verb in cli.VERBS)) == (0, True, True)
        for verb in cli.VERBS:
            status, out, _ = self.run_(verb, "--help")
            assert (status, EXITS in out, f"usage: onevalue {verb} " in out) == (0, True, True)
            assert ("--url" in out, "--json" in out) == (verb != "simulate", True)
        assert self.run_()[0] == self.run_("nonsense")[0] == 2

    def test_an_answer_that_makes_no_sense_is_an_error(self) -> None:
        """Of every verb that reads one."""
        for verb, path in [("get", "value"), ("members", "members"), ("history", "history"), ("status", "status")]:
            for body in [b"", b"[]", b"<html>"]:
                self.script = {f"GET /v1/{path}": [Answer(200, None, body)]}
                status, out, err = self.run_(verb)
                assert (status, out, err.startswith("onevalue: the answer")) == (1, "", True), (verb, body, err)


class TableTests(SynchronousTestCase):
    """What people read."""

    def test_columns_are_as_wide_as_they_must(self) -> None:
        """No space at the end of a line."""
        assert table(("A", "B"), [("long", "x"), ("y", "")]) == "A     B\nlong  x\ny\n"

    def test_cells_are_for_people(self) -> None:
        """Printable."""
        cells = [None, True, 0.5, "a\nb", {"a": 1, "b": [2, "c"]}, 7]
        assert [cell(each) for each in cells] == ["-", "yes", "0.500", "a?b", "a 1, b 2, c", "7"]
        assert (utc(0.0), utc(1e300), utc(1.0)) == ("-", "-", "1970-01-01T00:00:01Z")

    def test_json_is_readable_where_that_is_harmless(self) -> None:
        """Else it has escapes."""
        assert json_text("é") == '"é"'
        for text in ["\x9b2J", "\ud800", "\u202e"]:
            assert json_text(text).isascii()
            assert json.loads(json_text(text)) == text
