"""The engine beside a Serf agent: how they meet, and what it tells of what changes."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from zope.interface.verify import verifyObject

from onevalue.agent.engine import POLL_S, RENEW_S
from onevalue.agent.link import PAUSE_MAX_S
from onevalue.agent.tagging import CONTESTED_MAX, TAG_PATIENCE_S
from onevalue.authfile import AuthFile, auth_file
from onevalue.member import Status, UserEvent
from onevalue.membership import IMembership
from onevalue.wire import rpc_messages as rpc
from tests.unit.agent_bench import EngineTestCase
from tests.unit.agent_rig import agent_member


class MeetingTests(EngineTestCase):
    """How a connection begins."""

    def test_it_is_a_membership(self) -> None:
        """As the rest of the node expects one."""
        assert verifyObject(IMembership, self.engine)

    def test_the_members_are_the_agents(self) -> None:
        """With addresses, tags and statuses, sorted by name."""
        self.start()
        assert self.statuses() == {"n1": Status.ALIVE, "n2": Status.ALIVE, "n3": Status.FAILED}
        assert [(m.address, m.port) for m in self.engine.members()] == [(f"10.0.0.{n}", 7946) for n in (1, 2, 3)]
        assert self.changes > 0

    def test_nothing_is_missed_between_the_list_and_the_stream(self) -> None:
        """The stream begins before the members are asked for."""
        self.start()
        commands = self.agent.commands()
        assert commands[:5] == ["handshake", "stats", "stream", "members", "tags"]

    def test_the_agent_gets_our_tag_and_keeps_its_own(self) -> None:
        """The tags that it had are as they were."""
        self.start()
        assert self.agent.bodies("tags") == [rpc.Tags({"http": "http:8080"})]
        assert self.engine.members()[0].tags == {"role": "web", "http": "http:8080"}

    def test_a_tag_that_is_there_already_is_not_set_again(self) -> None:
        """All members would have to hear of it."""
        self.agent.members[0] = agent_member("n1", 1, http="http:8080")
        self.start()
        self.wait(30)
        assert self.agent.bodies("tags") == []

    def test_a_tag_that_somebody_takes_away_comes_back(self) -> None:
        """Else nobody could ask this node."""
        self.start()
        self.agent.members[0] = agent_member("n1", 1, role="web")
        self.agent.wire.record("stream", rpc.StreamRecord("member-update", (self.agent.members[0],)))
        self.wait(TAG_PATIENCE_S + 2 * POLL_S)
        assert self.engine.members()[0].tags == {"role": "web", "http": "http:8080"}

    def test_an_agent_that_takes_no_tag_is_there_all_the_same(self) -> None:
        """Others do not find this node, which is told; members and events are known."""
        self.agent.errors["tags"] = "Encoded length of tags exceeds limit of 512 bytes"
        self.engine.startService()
        self.turn()
        assert "does not take the tag http (Encoded length" in str(self.engine.trouble())
        assert self.engine.figures().agent_connected
        assert len(self.engine.members()) == 3
        assert len(self.lines("agent-away")) == 1
        self.wait(TAG_PATIENCE_S)
        del self.agent.errors["tags"]
        self.wait(TAG_PATIENCE_S + POLL_S)
        assert self.engine.trouble() is None
        assert self.engine.members()[0].tags["http"] == "http:8080"

    def test_another_node_with_the_same_agent_is_told(self) -> None:
        """Each would set its own tag again and again."""
        self.start()
        for _ in range(CONTESTED_MAX):
            assert self.engine.trouble() is None
            self.agent.members[0] = agent_member("n1", 1, http="http:9999")
            self.agent.wire.record("stream", rpc.StreamRecord("member-update", (self.agent.members[0],)))
            self.wait(TAG_PATIENCE_S + 2 * POLL_S)
        assert "has another node the same agent?" in str(self.engine.trouble())
        self.wait(90)
        assert self.engine.trouble() is None

    def test_what_the_agent_leaves_open_is_told(self) -> None:
        """Gossip that is not encrypted, off loopback; nothing while it is not known."""
        assert self.engine.exposure() == []
        self.agent.stats["encrypted"] = "false"
        self.start()
        [sentence] = self.engine.exposure()
        assert "the gossip of the Serf agent at 10.0.0.1:7946 is not encrypted" in sentence
        self.agent.stats["encrypted"] = "true"
        self.wait(2 * POLL_S)
        assert self.engine.exposure() == []

    def test_a_key_is_shown_to_the_agent(self) -> None:
        """Before anything else but the handshake."""
        self.agent.auth_key = "secret"
        self.engine = self.make(auth_file=self.file("secret"))
        self.start()
        assert self.agent.commands()[:2] == ["handshake", "auth"]

    def file(self, key: str) -> AuthFile:
        """With this key."""
        if not hasattr(self, "folder"):
            self.folder = Path(tempfile.mkdtemp(prefix="onevalue-"))
            self.addCleanup(shutil.rmtree, self.folder)
        path = self.folder / "rpc.key"
        path.write_text(key)
        path.chmod(0o600)
        return auth_file("agent-auth-file", path)

    def test_a_wrong_key_is_told_until_the_file_has_the_right_one(self) -> None:
        """In the agent's words; the file is read for each attempt, and what is wrong with it is told too."""
        self.agent.auth_key = "secret"
        self.engine = self.make(auth_file=self.file("wrong"))
        self.engine.startService()
        self.turn()
        assert f"{rpc.ErrorText.INVALID_TOKEN}: put the agent's rpc_auth into" in str(self.engine.trouble())
        self.file("\n")
        self.wait(PAUSE_MAX_S)
        assert "has no key in its first line" in str(self.engine.trouble())
        self.file("secret")
        self.wait(PAUSE_MAX_S)
        assert self.engine.trouble() is None

    def test_a_key_that_is_missing_is_told(self) -> None:
        """In the agent's words."""
        self.agent.auth_key = "secret"
        self.engine.startService()
        self.turn()
        assert f"{rpc.ErrorText.AUTHENTICATION_REQUIRED}: put the agent's rpc_auth into" in str(self.engine.trouble())

    def test_the_agent_of_another_host_is_refused(self) -> None:
        """This node would show itself under a name that others know for another; it says what to do."""
        self.agent.name = "n2"
        self.engine.startService()
        self.turn()
        assert "start this node with --name n2" in str(self.engine.trouble())
        assert self.statuses() == {"n1": Status.ALIVE}
        assert self.agent.bodies("tags") == []
        assert self.engine.clocks() == (0, 0, 0)
        assert self.engine.last_contact_s() is None

    def test_before_the_agent_is_there_this_node_is_alone(self) -> None:
        """It is a member, but nobody knows where."""
        self.agent.up = False
        self.engine.startService()
        self.turn()
        assert self.statuses() == {"n1": Status.ALIVE}
        self.agent.up = True
        self.wait(1)
        assert self.engine.members()[0].address == "10.0.0.1"

    def test_learning_waits_until_the_agent_has_shown_others(self) -> None:
        """And is not told that there is nobody: an agent that is alone may not have joined yet."""
        alone = [self.agent.members[0]]
        told: list[bool] = []
        self.agent.members, others = alone, self.agent.members[1:]
        self.engine.observe_addresses_tried(told.append)
        self.start()
        assert told == []
        self.agent.members = [*alone, *others]
        self.agent.wire.record("stream", rpc.StreamRecord("member-join", tuple(others)))
        self.turn()
        assert told == [False]
        self.engine.observe_addresses_tried(told.append)
        assert told == [False, False]


class ChangeTests(EngineTestCase):
    """What the agent tells while it is there."""

    def setUp(self) -> None:
        super().setUp()
        self.start()
        self.happened.clear()
        self.changes = 0

    def tell(self, event: str, *members: rpc.RpcMember) -> None:
        """The agent tells of this event."""
        self.agent.wire.record("stream", rpc.StreamRecord(event, members))
        self.turn()

    def test_each_kind_of_event_is_followed(self) -> None:
        """Join, failure, leave, tags, reap; each is told to observers, and in words."""
        self.tell("member-join", agent_member("n4", 4))
        self.tell("member-failed", agent_member("n2", 2, "failed"))
        self.tell("member-leave", agent_member("n4", 4, "left"))
        self.tell("member-reap", agent_member("n3", 3, "left"))
        assert self.statuses() == {"n1": Status.ALIVE, "n2": Status.FAILED, "n4": Status.LEFT}
        assert [each.kind for each in self.happened] == ["joined", "failed", "left", "forgotten"]
        assert self.changes == 4

    def test_a_member_that_has_not_changed_is_the_same_object(self) -> None:
        """Whoever looks at thousands of members tells by that which have changed."""
        before = self.engine.members()
        self.tell("member-update", agent_member("n2", 2, http="http:8081"))
        after = self.engine.members()
        assert [old is new for old, new in zip(before, after, strict=True)] == [True, False, True]
        assert self.engine.members() is after

    def test_user_events_are_told(self) -> None:
        """With name and payload, and nobody here is to relay them."""
        self.agent.wire.record("stream", rpc.StreamRecord(rpc.USER, ltime=9, name="deploy", payload=b"\0v1"))
        self.turn()
        assert self.events == [UserEvent("deploy", b"\0v1", b"", relay_wanted=False)]
        assert "user event deploy at 9" in self.lines("event")[0]

    def test_value_events_are_no_news_for_people(self) -> None:
        """The value itself is told."""
        self.agent.wire.record("stream", rpc.StreamRecord(rpc.USER, name="onevalue", payload=b"{}"))
        self.turn()
        assert len(self.events) == 1
        assert self.happened == []

    def test_queries_of_others_are_answered(self) -> None:
        """Those of a name that somebody answers; the others are not this node's."""
        self.engine.answer_query("onevalue", lambda payload: b"<" + payload + b">")
        for number, name in enumerate(("other", "onevalue"), 41):
            self.agent.wire.record("stream", rpc.StreamRecord(rpc.QUERY, query_id=number, name=name, payload=b"?"))
        self.turn()
        assert self.agent.bodies("respond") == [rpc.Respond(42, b"<?>")]

    def test_an_answer_that_comes_too_late_harms_nothing(self) -> None:
        """The agent refuses it."""
        self.engine.answer_query("onevalue", lambda payload: payload)
        self.agent.errors["respond"] = rpc.ErrorText.NO_SUCH_QUERY
        self.agent.wire.record("stream", rpc.StreamRecord(rpc.QUERY, query_id=1, name="onevalue"))
        self.turn()
        assert self.engine.trouble() is None

    def test_what_an_event_missed_is_found_out(self) -> None:
        """The agent's counts differ from what is known: all members are asked for again."""
        self.agent.members.append(agent_member("n4", 4))
        self.wait(2 * POLL_S)
        assert "n4" in self.statuses()

    def test_a_change_that_the_counts_do_not_show_is_found_out_later(self) -> None:
        """All members are asked for once in a while anyway."""
        self.agent.members[1] = agent_member("n2", 9)
        self.wait(RENEW_S + 2 * POLL_S)
        assert self.engine.members()[1].address == "10.0.0.9"

    def test_the_clocks_are_the_agents_and_never_go_back(self) -> None:
        """A node that goes over to the embedded engine goes on from there."""
        assert self.engine.clocks() == (7, 5, 3)
        self.agent.stats["member_time"] = "2"
        self.wait(2 * POLL_S)
        assert self.engine.clocks() == (7, 5, 3)

    def test_another_was_heard_while_the_agent_hears_any(self) -> None:
        """And no more when all have failed; an exchange counts too."""
        self.wait(4 * POLL_S)
        contact_s = self.engine.last_contact_s()
        assert contact_s is not None
        assert contact_s <= POLL_S
        self.agent.members[1] = agent_member("n2", 2, "failed")
        self.wait(20)
        contact_s = self.engine.last_contact_s()
        assert contact_s is not None
        assert contact_s > 15
        self.engine.exchanged("n2")
        assert self.engine.last_contact_s() == 0.0

    def test_figures_and_status_show_the_agents(self) -> None:
        """Health, queues, whether it is there."""
        figures, status = self.engine.figures(), self.engine.status()
        assert (figures.health_score, figures.agent_connected) == (1, True)
        assert (status["engine"], status["agent"], status["connected"]) == ("agent", "127.0.0.1:7373", True)

    def test_an_observer_that_raises_harms_nobody(self) -> None:
        """Neither the engine nor the other observers."""

        def fault(_: Sequence[UserEvent]) -> None:
            raise ZeroDivisionError

        self.engine.observe_events(fault)
        self.agent.wire.record("stream", rpc.StreamRecord(rpc.USER, name="deploy"))
        self.turn()
        assert len(self.events) == 1
        assert self.engine.trouble() is None
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1  # type: ignore[no-untyped-call]  # trial's has no types
