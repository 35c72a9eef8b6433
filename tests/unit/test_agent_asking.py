"""The engine beside a Serf agent: what it has the agent do."""

from collections.abc import Sequence
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred

from onevalue.agent.asking import QUERIES_MAX
from onevalue.agent.connection import REQUESTS_MAX
from onevalue.agent.link import APART_MAX
from onevalue.errors import AwayError, BusyError, LocalProtocolError
from onevalue.member import QueryRequest
from onevalue.wire import rpc_messages as rpc
from onevalue.wire.key_text import encode_key, fingerprint
from tests.unit.agent_bench import KEY, EngineTestCase


class AskingTests(EngineTestCase):
    """What the rest of the node wants of the agent."""

    def setUp(self) -> None:
        super().setUp()
        self.start()

    def failure_of(self, asked: "Deferred[Any]", kind: type[Exception]) -> str:
        """Why it failed."""
        self.turn()
        return str(self.failureResultOf(asked, kind).value)  # type: ignore[no-untyped-call]  # trial's has no types

    def test_a_value_event_is_sent(self) -> None:
        """Once, by the agent; nothing goes straight to members."""
        self.engine.send_value_event(b"{}", self.engine.members())
        self.engine.relay_value_event(b"raw", self.engine.members())
        self.engine.copy_value_event(self.engine.members())
        self.turn()
        assert self.agent.bodies("event") == [rpc.Event("onevalue", b"{}", coalesce=False)]

    def test_a_value_event_while_the_agent_is_away_is_left_to_anti_entropy(self) -> None:
        """Nothing is raised."""
        self.agent.up = False
        self.agent.wire.end()
        self.turn()
        self.engine.send_value_event(b"{}", [])
        assert self.flushLoggedErrors() == []  # type: ignore[no-untyped-call]  # trial's has no types

    def test_a_value_event_that_the_agent_refuses_is_logged(self) -> None:
        """And nothing more; of hundreds that it does not answer some are not even sent, which is logged too."""
        lines: list[str] = []
        self.patch(self.engine._lines, "info", lambda line, **_: lines.append(line))  # type: ignore[no-untyped-call]  # trial's has no types
        self.agent.errors["event"] = "user event exceeds configured limit"
        self.engine.send_value_event(b"{}", [])
        self.turn()
        assert lines == ["the agent did not take an event or an answer: {why}"]
        self.agent.silent = ["event"]
        for _ in range(REQUESTS_MAX + 10):
            self.engine.send_value_event(b"{}", [])
        assert len(lines) == 1 + 10
        assert self.engine.trouble() is None

    def test_a_user_event_is_sent_or_refused(self) -> None:
        """In the agent's words."""
        sent = self.engine.send_event("deploy", b"v1", coalesce=True)
        self.turn()
        self.successResultOf(sent)
        assert self.agent.bodies("event") == [rpc.Event("deploy", b"v1", coalesce=True)]
        self.agent.errors["event"] = "user event exceeds configured limit"
        why = self.failure_of(self.engine.send_event("deploy", b"x" * 600, coalesce=False), LocalProtocolError)
        assert "the agent refuses: user event exceeds" in why

    def test_while_the_agent_is_away_all_fails(self) -> None:
        """At once, and as something that may work later."""
        self.agent.up = False
        self.agent.wire.end()
        self.turn()
        for asked in (
            self.engine.send_event("deploy", b"", coalesce=False),
            self.engine.force_leave("n3", prune=False),
            self.engine.query(QueryRequest("uptime")),
            self.engine.change_keys("list", b"", 0),
            self.engine.join(["10.0.0.9"]),
        ):
            assert "the agent is away" in self.failure_of(asked, AwayError)

    def test_a_query_collects_what_comes_until_it_is_done(self) -> None:
        """Acks and answers in their order."""
        request = QueryRequest("uptime", b"?", ["n2"], {"role": "web"}, ack=True, relay_factor=2, timeout_s=1.5)
        asked = self.engine.query(request)
        self.turn()
        body = rpc.Query("uptime", b"?", ("n2",), {"role": "web"}, True, 2, 1_500_000_000)
        assert self.agent.bodies("query") == [body]
        self.say(("n2", b"", rpc.ACK), ("n2", b"5 days", rpc.RESPONSE))
        self.assertNoResult(asked)  # type: ignore[no-untyped-call]  # trial's has no types
        self.say(("", b"", rpc.DONE))
        result = self.successResultOf(asked)
        assert (result.acks, result.answers) == (("n2",), (("n2", b"5 days"),))

    def test_what_nobody_said_does_not_count(self) -> None:
        """An agent tells of such acks and answers, now and then, between the end of the time and `done`."""
        asked = self.engine.query(QueryRequest("uptime", ack=True))
        self.turn()
        self.say(("n2", b"", rpc.ACK), *[("", b"", rpc.ACK), ("", b"", rpc.RESPONSE)] * 100, ("", b"", rpc.DONE))
        result = self.successResultOf(asked)
        assert (result.acks, result.answers) == (("n2",), ())

    def say(self, *records: tuple[str, bytes, str]) -> None:
        """What members said to the query."""
        for sender, payload, kind in records:
            self.agent.wire.record("query", rpc.QueryRecord(sender, payload, kind))
        self.turn()

    def test_a_query_fails_when_the_agent_goes(self) -> None:
        """Nobody could tell what more was said."""
        asked = self.engine.query(QueryRequest("uptime"))
        self.turn()
        self.agent.wire.end()
        assert "away" in self.failure_of(asked, AwayError)

    def test_a_query_that_is_cancelled_is_forgotten(self) -> None:
        """What still comes of it harms nothing."""
        asked = self.engine.query(QueryRequest("uptime"))
        self.turn()
        asked.cancel()
        self.failureResultOf(asked, CancelledError)  # type: ignore[no-untyped-call]  # trial's has no types
        self.say(("n2", b"", rpc.RESPONSE), ("", b"", rpc.DONE))
        assert self.engine.trouble() is None

    def test_queries_have_a_bound(self) -> None:
        """QUERIES_MAX are under way at once."""
        asked = [self.engine.query(QueryRequest("uptime")) for _ in range(QUERIES_MAX)]
        with pytest.raises(LocalProtocolError):
            self.engine.query(QueryRequest("uptime"))
        asked.pop().addErrback(lambda failure: failure.trap(CancelledError)).cancel()
        asked.append(self.engine.query(QueryRequest("uptime")))
        for each in asked:
            each.addErrback(lambda failure: failure.trap(AwayError))

    def test_a_refused_query_says_why(self) -> None:
        """In the agent's words."""
        self.agent.errors["query"] = "query exceeds limit"
        assert "query exceeds limit" in self.failure_of(self.engine.query(QueryRequest("x")), LocalProtocolError)

    def test_keys_are_shown_by_fingerprint(self) -> None:
        """No key leaves the engine."""
        self.agent.replies["list-keys"] = rpc.KeyReply({"n2": "why"}, 3, 2, 1, {encode_key(KEY): 2})
        self.agent.errors["list-keys"] = "1/3 nodes reported failure"
        asked = self.engine.change_keys("list", b"", 0)
        self.turn()
        result = self.successResultOf(asked)
        assert (result.nodes, result.answers, result.errors) == (3, 2, 1)
        assert (result.messages, result.keys) == ({"n2": "why"}, {fingerprint(KEY): 2})

    def test_a_key_is_changed_on_a_connection_of_its_own(self) -> None:
        """It may take long, and the agent does one thing after the other."""
        self.agent.replies["use-key"] = rpc.KeyReply({}, 3, 3, 0, None)
        asked = self.engine.change_keys("use", KEY, 0)
        self.turn()
        assert self.successResultOf(asked).complete
        assert self.agent.bodies("use-key") == [rpc.Key(encode_key(KEY))]
        assert [wire.open for wire in self.agent.wires] == [True, False]

    def test_such_connections_have_a_bound(self) -> None:
        """APART_MAX at once."""
        self.agent.silent = ["list-keys"]
        asked = [self.engine.change_keys("list", b"", 0) for _ in range(APART_MAX)]
        assert "under way" in self.failure_of(self.engine.change_keys("list", b"", 0), BusyError)
        for each in asked:
            each.addErrback(lambda failure: failure.trap(AwayError))

    def test_an_agent_without_keys_refuses(self) -> None:
        """Nobody was asked."""
        self.agent.replies["list-keys"] = rpc.KeyReply()
        self.agent.errors["list-keys"] = "No keyring available (encryption not enabled)"
        asked = self.engine.change_keys("list", b"", 0)
        assert "encryption not enabled" in self.failure_of(asked, LocalProtocolError)

    def test_joining_tells_how_many_answered(self) -> None:
        """Also where some did not."""
        asked = self.engine.join(["10.0.0.9", "10.0.0.10"])
        self.turn()
        assert self.successResultOf(asked) == 1
        assert self.agent.bodies("join") == [rpc.Join(("10.0.0.9", "10.0.0.10"), replay=False)]

    def test_a_failed_member_is_forced_out_and_this_node_is_not(self) -> None:
        """It leaves with its agent."""
        done = self.engine.force_leave("n3", prune=True)
        self.turn()
        self.successResultOf(done)
        assert self.agent.bodies("force-leave") == [rpc.ForceLeave("n3", prune=True)]
        self.failureResultOf(self.engine.force_leave("n1", prune=False), LocalProtocolError)  # type: ignore[no-untyped-call]  # trial's has no types

    def test_what_waits_fails_when_the_node_stops(self) -> None:
        """Nobody waits for ever."""
        asked: Sequence[Deferred[Any]] = [
            self.engine.query(QueryRequest("uptime")),
            self.engine.change_keys("list", b"", 0),
        ]
        self.engine.stopService()
        self.turn()
        for each in asked:
            self.failureResultOf(each, AwayError)  # type: ignore[no-untyped-call]  # trial's has no types
        assert self.reactor.getDelayedCalls() == []
