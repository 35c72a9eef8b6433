"""The options of which engine a node has."""

import tempfile
from pathlib import Path

import pytest
from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from onevalue.authfile import auth_file
from onevalue.engineoptions import EMBEDDED_ONLY, AgentPlace
from tests.unit.test_options import parse


def refusal(*arguments: str, **environ: str) -> str:
    """Why the options are refused."""
    with pytest.raises(usage.UsageError) as caught:
        parse(*arguments, **environ)
    return str(caught.value)


class EngineOptionTests(SynchronousTestCase):
    """--engine, --agent, --agent-auth-file."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.file = Path(folder.name) / "rpc.key"

    def put(self, text: str, mode: int = 0o600) -> str:
        """The file has this text; its path."""
        self.file.write_text(text)
        self.file.chmod(mode)
        return str(self.file)

    def test_the_engine_is_embedded_unless_told_otherwise(self) -> None:
        """As it always was."""
        assert parse().agent is None
        assert parse("--engine", "gossip").agent is None

    def test_the_agent_is_that_of_this_host_unless_told_otherwise(self) -> None:
        """At the usual port."""
        assert parse("--engine", "agent").agent == AgentPlace("127.0.0.1", 7373)
        assert parse(ONEVALUE_ENGINE="agent", ONEVALUE_AGENT="10.0.0.1:17373").agent == AgentPlace("10.0.0.1", 17373)
        assert str(AgentPlace("::1", 7373)) == "[::1]:7373"

    def test_the_key_is_the_first_line_of_its_file(self) -> None:
        """Without white space around it; it is read again for each connection."""
        config = parse("--engine", "agent", "--agent-auth-file", self.put(" s3cret \n"))
        assert config.agent == AgentPlace("127.0.0.1", 7373, auth_file("agent-auth-file", self.file))
        assert auth_file("agent-auth-file", self.file).read() == "s3cret"

    def test_a_file_that_is_not_fit_to_hold_a_key_is_refused(self) -> None:
        """Missing, open to others, or empty."""
        asked = ("--engine", "agent", "--agent-auth-file")
        assert "--agent-auth-file: /nowhere cannot be read" in refusal(*asked, "/nowhere")
        assert "chmod 600" in refusal(*asked, self.put("s3cret", 0o644))
        assert "has no key in its first line" in refusal(*asked, self.put("\n"))

    def test_an_unknown_engine_is_refused(self) -> None:
        """With those that there are."""
        assert "--engine: 'raft' is none of gossip, agent" in refusal("--engine", "raft")

    def test_a_wrong_address_is_refused(self) -> None:
        """And named."""
        assert "--agent: 'here:' has no port" in refusal("--engine", "agent", "--agent", "here:")

    def test_options_of_the_other_engine_are_refused(self) -> None:
        """They would have no effect, and nobody would notice."""
        for option in EMBEDDED_ONLY:
            value = {"tag": "a=b", "setting": "probe_interval_s=2"}.get(option, "10.0.0.1")
            assert f"--{option}: not with --engine agent" in refusal("--engine", "agent", f"--{option}", value)
        assert "(from CLUSTER_ADDR)" in refusal("--engine", "agent", CLUSTER_ADDR="10.0.0.1")
        for option in ("agent", "agent-auth-file"):
            assert f"--{option}: only with --engine agent" in refusal(f"--{option}", "x")

    def test_http_is_served_on_loopback_unless_told_otherwise(self) -> None:
        """Where the agent is says nothing of who should reach this node."""
        assert parse("--engine", "agent").http == "tcp:8080:interface=127.0.0.1"
        assert parse("--engine", "agent", "--http", "tcp:8080").http == "tcp:8080"
