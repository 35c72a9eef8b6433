"""The command `onevalue`: `get`, which nodes are asked, and what is told when that goes wrong."""

import io
import json
from pathlib import Path
from tempfile import TemporaryDirectory

from twisted.trial.unittest import SynchronousTestCase

from onevalue import cli
from onevalue.commands.nodes import token_in
from onevalue.commands.tables import cell, json_text, table, utc
from onevalue.commands.verb import EXITS
from onevalue.failover import NotSent
from onevalue.replies import Answer
from onevalue.values import Value
from tests.certificates import Authority
from tests.command_support import URL, CommandTestCase, answer, state_json


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

    def test_what_no_node_would_wait_for_is_a_usage_error(self) -> None:
        """Nobody is asked."""
        for wrong in ["--wait=100", "--wait=0", "--max-stale=1e10", "--min-generation=-1", "--min-generation=x"]:
            assert f"argument {wrong.partition('=')[0]}: " in self.usage("get", wrong)


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
            path.chmod(0o644)
            assert "chmod 600" in self.usage("get", "--token-file", str(path))
            path.chmod(0o600)
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

    def test_who_has_no_token_is_told_where_the_command_takes_one_from(self) -> None:
        """The node speaks of headers, which nobody types here."""
        self.script["GET /v1/value"] = [answer(401, {"detail": "this needs a token"})]
        told = "onevalue: 401 this needs a token (here: ONEVALUE_TOKEN or --token-file)\n"
        assert self.run_("get") == (1, "", told)

    def test_who_has_named_no_node_is_told_how_to(self) -> None:
        """Where none is at the address that is asked then."""
        for arguments, hint in ((), " (--url or ONEVALUE_URL names another node)"), (("--url", URL), ""):
            self.script["GET /v1/value"] = [NotSent("Connection refused")]
            assert self.run_("get", *arguments) == (1, "", f"onevalue: {URL}: Connection refused{hint}\n")

    def test_certificates_to_trust_are_looked_at_before(self) -> None:
        """A file without any is named; that of the environment counts where TLS is spoken."""
        self.script = {"GET /v1/value": [NotSent("refused")]}
        with TemporaryDirectory() as folder:
            path = Path(folder) / "ca.pem"
            path.write_text("no certificate")
            assert f"{path} holds no certificate in PEM" in self.usage("get", "--ca-file", str(path))
            assert f"{path}.not cannot be read" in self.usage("get", "--ca-file", f"{path}.not")
            self.environ["ONEVALUE_CA_FILE"] = str(path)
            assert str(path) in self.usage("get", "--url", "https://a")
            assert self.run_("get", "--url", "http://a")[0] == 1
            self.environ["ONEVALUE_CA_FILE"] = str(Authority.new(Path(folder)).file)
            self.run_("get", "--url", "https://a")
            assert self.ca_files == [None, self.environ["ONEVALUE_CA_FILE"]]

    def test_output_that_cannot_be_written_is_an_error(self) -> None:
        """On one line; where nobody reads on, none."""
        for error, told in [
            (OSError(28, "No space left on device"), "onevalue: standard output: No space left on device\n"),
            (BrokenPipeError(32, "Broken pipe"), ""),
        ]:
            assert self.run_("get", out=FullOutput(error)) == (1, "42\n", told)

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


class FullOutput(io.StringIO):
    """Standard output whose buffer cannot be emptied."""

    def __init__(self, error: OSError) -> None:
        super().__init__()
        self._error = error

    def flush(self) -> None:
        """Fails."""
        raise self._error


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
