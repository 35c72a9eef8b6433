"""The verbs of `onevalue` about the cluster: what they ask, what they print, how they end."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from onevalue.failover import Lost
from onevalue.member import KeyResult, QueryResult, Status
from onevalue.replies import Answer
from onevalue.wire.key_text import encode_key
from tests.command_support import URL, CommandTestCase, answer, state_json
from tests.fakes import make_member

KEY = bytes(range(16))


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

    def test_status_tells_the_size_of_a_large_value(self) -> None:
        """Which the node leaves out; null is a value."""
        large = {name: each for name, each in state_json(4, None).items() if name != "value"}
        for state, shown in [
            ({**large, "value_size": 70000}, "70000 bytes, tag 4-"),
            (state_json(4, None), "null, tag 4-"),
        ]:
            self.script = {"GET /v1/status": [answer(200, {"state": state})]}
            assert self.run_("status")[1].split(maxsplit=1)[1].startswith(shown)

    def test_what_is_open_is_named(self) -> None:
        """Status 5, and no other node is told; a query changes nothing, and goes on."""
        for path, arguments, what in [
            ("event", ["event", "deploy"], "whether the event was sent is not known"),
            ("force-leave", ["force-leave", "n3"], "whether it was done is not known"),
        ]:
            self.asked.clear()
            self.script = {f"POST /v1/{path}": [Lost("reset")]}
            status, _, err = self.run_(*arguments, "--url", f"{URL},{URL}")
            assert (status, what in err, len(self.asked)) == (5, True, 1)
        self.script = {"POST /v1/query": [Lost("reset"), answer(503, {}), answer(200, {"acks": [], "answers": []})]}
        assert self.run_("query", "load", "--url", f"{URL},{URL},{URL}")[0] == 0
        self.script = {"POST /v1/query": [Lost("reset")]}
        status, _, err = self.run_("query", "load")
        assert (status, "reset" in err, "known" in err) == (1, True, False)
        self.asked.clear()
        self.usage("query", "load", "--query-timeout", "26")

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

    def test_an_agent_that_does_not_tell_primary_keys_is_not_taken_at_its_word(self) -> None:
        """As with `--engine agent`: nobody would encrypt."""
        self.answer_with(keys={"aa": 2, "bb": 1}, primary_keys={})
        _, out, _ = self.run_("keys", "list")
        assert [line.split() for line in out.splitlines()[1:]] == [
            ["aa", "2", "not", "told"],
            ["bb", "1", "not", "told"],
        ]

    def test_members_that_refused_are_an_error(self) -> None:
        """Their words are shown, one line each, and with --json in the answer."""
        self.answer_with(errors=2, messages={"n2": "no", "n3": "not\nI"})
        status, out, err = self.run_("keys", "remove", "--force", "--json", stdin=encode_key(KEY).encode())
        assert (status, json.loads(out)["messages"]) == (1, {"n2": "no", "n3": "not\nI"})
        assert err.splitlines()[:2] == ["n2: no", "n3: not?I"]
        assert err.splitlines()[2].startswith("onevalue: 409 2 of 2 members refused")

    def test_too_few_answers_are_an_error_not_open(self) -> None:
        """The node has counted them; what a proxy says in its place tells nothing."""
        self.answer_with(answers=1)
        status, _, err = self.run_("keys", "use", stdin=encode_key(KEY).encode())
        assert (status, err) == (1, "onevalue: 504 only 1 of 2 members answered in time; ask again\n")
        self.script = {"POST /v1/keys/use": [Answer(504, None, b"<html>")]}
        status, _, err = self.run_("keys", "use", stdin=encode_key(KEY).encode())
        assert (status, "whether all members did it is not known" in err) == (5, True)

    def test_the_advice_is_that_of_the_command(self) -> None:
        """The node speaks of JSON."""
        self.node.membership.set_members(make_member("n1"), make_member("n3", status=Status.FAILED))
        status, _, err = self.run_("keys", "remove", stdin=encode_key(KEY).encode())
        assert (status, "or say --force" in err, '"force"' in err) == (1, True, False)

    def test_one_of_several_keys_is_not_picked(self) -> None:
        """Whoever gave them may mean another; comments and blank lines are none."""
        one, other = encode_key(KEY), encode_key(KEY[::-1])
        assert "it holds 2 keys" in self.usage("keys", "install", stdin=f"{one}\n{other}\n".encode())
        assert "more than" in self.usage("keys", "install", stdin=b"#" * 20_000)
        self.usage("keys", "install", stdin=b"\xff")
        self.answer_with()
        assert self.run_("keys", "install", stdin=f"# new\n\n{one}\n\n".encode())[0] == 0
        assert self.node.membership.key_changes == [("install", KEY, 0)]
