"""Streams of the agent RPC: which events a client is told of, and which queries it may answer, for how long."""

import pytest

from onevalue.rpc.eventfilter import parse_filter
from onevalue.rpc.session import RECEIVED_MAX, STREAMS_MAX
from onevalue.serf import events as told
from onevalue.types import LamportTime
from onevalue.wire import rpc_messages as rpc
from onevalue.wire.codec import encode_message
from onevalue.wire.messages import User
from onevalue.wire.rpc_messages import MEMBER_EVENTS, ErrorText
from onevalue.wire.serf_codec import encode_serf
from onevalue.wire.serf_messages import SerfMessage, UserEventMessage
from tests.unit.rpc_bench import Client, RpcTestCase


class FilterTests(RpcTestCase):
    """The list of kinds."""

    def test_kinds_and_names_are_let_through(self) -> None:
        """Those of the list, and no others."""
        everything = [*((kind, "") for kind in MEMBER_EVENTS), ("user", "a"), ("user", "b"), ("query", "a")]
        for text, wanted in [
            ("", everything),
            ("*", everything),
            ("member-leave,member-join", [("member-join", ""), ("member-leave", "")]),
            ("user", [("user", "a"), ("user", "b")]),
            ("user:", [("user", "a"), ("user", "b")]),
            ("user:b,query", [("user", "b"), ("query", "a")]),
            ("query:b", []),
            ("user:b,*", everything),
        ]:
            found = parse_filter(text)
            assert [each for each in everything if found.wants(*each)] == wanted, text

    def test_other_kinds_are_refused(self) -> None:
        """As an agent refuses them."""
        for text in ("member", "members", "member-join,", " user", "user, query", "member-join:n1", "nix", "*:a", ","):
            with pytest.raises(ValueError, match=ErrorText.INVALID_FILTER):
                parse_filter(text)


class StreamTestCase(RpcTestCase):
    """With what happens."""

    def stream(self, kinds: str, client: Client | None = None, seq: int = 1) -> Client:
        """A client that is told of these."""
        client = client or self.client()
        assert client.ask("stream", seq, rpc.Stream(kinds)) == []
        return client

    def hear(self, message: SerfMessage) -> None:
        """A Serf message arrives as gossip."""
        self.receive(encode_message(User(encode_serf(message))))

    def hear_event(self, name: str, ltime: int = 5) -> None:
        """Another member has sent a user event."""
        self.hear(UserEventMessage(LamportTime(ltime), name, b"p", coalesce=True))

    def told(self, client: Client) -> list[str]:
        """Kind and name of the records that came."""
        return [f"{each['Event']}:{each.get('Name', '')}" for each in client.more()[1::2]]


class RecordTests(StreamTestCase):
    """Records."""

    def test_members_events_and_queries_are_told(self) -> None:
        """Each with its fields, after a header with the seq of the stream."""
        client = self.stream("*")
        self.hear_of("n2", role="db")
        self.hear_event("deploy")
        self.client().ask("query", 1, rpc.Query("uptime", b"?"))
        found = client.more()
        assert found[::2] == [{"Error": "", "Seq": 1}] * 3
        joined, event, query = found[1::2]
        assert joined["Event"] == "member-join"
        assert [(each["Name"], each["Status"]) for each in joined["Members"]] == [("n2", "alive")]
        assert event == {"Event": "user", "LTime": 5, "Name": "deploy", "Payload": b"p", "Coalesce": True}
        assert {**query, "LTime": 0} == {"Event": "query", "ID": 1, "LTime": 0, "Name": "uptime", "Payload": b"?"}

    def test_what_happens_to_members_has_its_kind(self) -> None:
        """Tags that change, a member that is forced out, and one that fails."""
        client = self.stream("*")
        self.client().ask("tags", 1, rpc.Tags({"a": "b"}))
        self.hear_of("n2")
        self.wait(60)  # it does not answer
        self.client().ask("force-leave", 1, rpc.ForceLeave("n2", prune=True))
        assert self.told(client) == [
            *("member-update:", "member-join:", "member-failed:", "member-leave:", "member-reap:"),
        ]

    def test_own_events_are_told_too(self) -> None:
        """Those of clients, and those of the value."""
        client = self.stream("user")
        self.client().ask("event", 1, rpc.Event("deploy", b"7", coalesce=False))
        self.gossip.send_event("shown", b"", coalesce=False)
        self.gossip.send_value_event(b"v", [])
        assert self.told(client) == ["user:deploy", "user:shown", "user:onevalue"]

    def test_an_event_that_is_too_long_is_refused_and_not_told(self) -> None:
        """Nothing changes."""
        client = self.stream("user")
        [header] = self.client().ask("event", 1, rpc.Event("deploy", b"x" * 600, coalesce=False))
        assert "at most 512" in header["Error"]
        assert self.told(client) == []

    def test_an_event_by_the_name_of_the_values_is_refused(self) -> None:
        """Its receivers would take it for a write."""
        client = self.stream("user")
        [header] = self.client().ask("event", 1, rpc.Event("onevalue", b"{}", coalesce=False))
        assert "carry the value" in header["Error"]
        assert self.told(client) == []

    def test_only_what_is_wanted_is_told(self) -> None:
        """To each stream, also of one client."""
        client = self.stream("user:deploy", self.stream("member-join"), seq=2)
        for name in ("deploy", "other"):
            self.hear_event(name)
        self.hear_of("n2")
        found = client.more()
        assert [each["Seq"] for each in found[::2]] == [2, 1]
        assert [each["Event"] for each in found[1::2]] == ["user", "member-join"]

    def test_a_stream_ends(self) -> None:
        """When it is stopped, or its client goes; then the engine is not listened to."""
        client, gone = self.stream("*"), self.stream("*")
        assert client.ask("stop", 2, rpc.Stop(1)) == []
        assert client.ask("stop", 3, rpc.Stop(1)) == []
        gone.lose()
        self.hear_event("deploy")
        assert self.told(client) == []
        assert self.gossip.serf_side._observers == {}
        self.stream("*", client)
        self.hear_event("again", 6)
        assert self.told(client) == ["user:again"]

    def test_a_seq_has_one_stream_and_a_client_so_many(self) -> None:
        """More are refused; a wrong filter too, and its seq is free."""
        client = self.client()
        [header] = client.ask("stream", 1, rpc.Stream("nix"))
        assert header["Error"] == ErrorText.INVALID_FILTER
        for seq in range(STREAMS_MAX):
            self.stream("user", client, seq)
        [header] = client.ask("stream", 1, rpc.Stream("user"))
        assert header["Error"] == ErrorText.STREAM_EXISTS
        [header] = client.ask("stream", 999, rpc.Stream("user"))
        assert f"at most {STREAMS_MAX}" in header["Error"]

    def test_events_from_before_a_join_are_told_only_with_replay(self) -> None:
        """What gossip brings meanwhile is told in any case."""
        side = self.gossip.serf_side
        client = self.stream("user")
        for replay in (False, True):
            side.join(["somewhere"], replay=replay)
            self.hear_event("gossip", 10 + replay)
            for event in self._from_push_pull("old", 20 + replay):
                side.hear(event)
            assert self.told(client) == ["user:gossip"] + ["user:old"] * replay
            self.names.answer(-1)
            self.turn()
        assert side._joins_without_replay == 0

    def _from_push_pull(self, name: str, ltime: int) -> list[told.SerfEvent]:
        time = LamportTime(ltime)
        raw = encode_serf(UserEventMessage(time, name, b""))
        return [told.UserEvents((told.ReceivedEvent(name, b"", time, raw, relay_wanted=False, by_push_pull=True),))]


class RespondTests(StreamTestCase):
    """Answers to queries."""

    def ask(self, timeout_s: float = 5.0) -> Client:
        """Somebody asks."""
        asker = self.client()
        assert asker.ask("query", 1, rpc.Query("uptime", timeout_ns=int(timeout_s * 1e9))) == []
        return asker

    def test_a_query_is_answered_once(self) -> None:
        """By the id under which this client knows it."""
        client, other = self.stream("query"), self.stream("query")
        for _ in range(2):
            asker = self.ask()
        assert [each["ID"] for each in client.more()[1::2]] == [1, 2]
        assert [each["ID"] for each in other.more()[1::2]] == [1, 2]
        assert client.ask("respond", 2, rpc.Respond(2, b"7 days")) == []
        [header] = client.ask("respond", 3, rpc.Respond(2, b"8 days"))
        assert "answered before" in header["Error"]
        assert asker.more()[1] == {"From": "n1", "Payload": b"7 days", "Type": "response"}

    def test_an_unknown_query_cannot_be_answered(self) -> None:
        """Nor one that another client was told of, nor one whose time is up."""
        client = self.stream("query:uptime")
        [header] = client.ask("respond", 2, rpc.Respond(1, b""))
        assert header["Error"] == ErrorText.NO_SUCH_QUERY
        self.ask(1.0)
        [header] = self.client().ask("respond", 2, rpc.Respond(1, b""))
        assert header["Error"] == ErrorText.NO_SUCH_QUERY
        self.wait(1.2)
        client.more()
        [header] = client.ask("respond", 2, rpc.Respond(1, b""))
        assert header["Error"] == ErrorText.NO_SUCH_QUERY

    def test_an_answer_that_is_too_long_is_refused_and_another_may_follow(self) -> None:
        """Nothing was sent."""
        client = self.stream("query")
        asker = self.ask()
        client.more()
        [header] = client.ask("respond", 2, rpc.Respond(1, b"x" * 2000))
        assert "at most 1024" in header["Error"]
        assert client.ask("respond", 3, rpc.Respond(1, b"short")) == []
        assert asker.more()[1]["Payload"] == b"short"

    def test_only_so_many_queries_wait_for_an_answer(self) -> None:
        """The oldest makes room; those whose time is up make room first."""
        client = self.stream("query")
        session = client.protocol._session
        self.ask()
        [received] = session._received.values()
        assert received is not None
        for _ in range(RECEIVED_MAX):
            session.receive(received)
        assert next(iter(session._received)) == 2
        assert len(session._received) == RECEIVED_MAX
        self.wait(6)
        session.receive(received)
        assert len(session._received) == 1
