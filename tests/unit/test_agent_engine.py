"""The engine beside a Serf agent: what it knows, what it has the agent do, and how it lives with an agent that goes."""

import random
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from onevalue.agent import AgentEngine
from onevalue.agent.asking import QUERIES_MAX
from onevalue.agent.connection import LARGE, REQUEST_TIME_MAX_S, REQUESTS_MAX
from onevalue.agent.engine import POLL_S, RENEW_S, STOP_TIME_MAX_S
from onevalue.agent.link import APART_MAX, CONNECT_TIME_MAX_S, PAUSE_MAX_S, PAUSE_MIN_S
from onevalue.agent.rejoining import REJOIN_AFTER_S, REJOIN_MAX, REJOIN_PAUSE_S
from onevalue.agent.tagging import CONTESTED_MAX, TAG_PATIENCE_S
from onevalue.authfile import AuthFile, auth_file
from onevalue.errors import AwayError, BusyError, LocalProtocolError
from onevalue.member import Happening, QueryRequest, Status, UserEvent
from onevalue.membership import IMembership
from onevalue.observers import HAPPENINGS_PER_TURN
from onevalue.wire import rpc_messages as rpc
from onevalue.wire.key_text import encode_key, fingerprint
from tests.unit.agent_rig import FakeAgent, agent_member
from tests.unit.gossip_bench import GossipReactor

KEY = bytes(range(16))


class EngineTestCase(SynchronousTestCase):
    """A node named n1, and an agent of that name with two other members."""

    tag = "http:8080"

    def setUp(self) -> None:
        self.reactor = GossipReactor()
        self.agent = FakeAgent(self.reactor)
        self.agent.members += [agent_member("n2", 2, http="http:8080"), agent_member("n3", 3, "failed")]
        self.changes = 0
        self.events: list[UserEvent] = []
        self.happened: list[Happening] = []
        self.engine = self.make()

    def make(self, **settings: Any) -> AgentEngine:
        """An engine, observed."""
        settings = {"auth_file": None, "http_tag": lambda host: self.tag if host else "", **settings}
        settings.setdefault("rng", random.Random(1))
        engine = AgentEngine(reactor=self.reactor, name="n1", endpoint=self.agent, at="127.0.0.1:7373", **settings)
        engine.observe_members(self._changed)
        engine.observe_events(self.events.extend)
        engine.observe_happenings(self.happened.append)
        self.addCleanup(self.stop, engine)
        return engine

    def stop(self, engine: AgentEngine) -> None:
        """Nothing of it is left."""
        engine.stopService()
        self.wait(STOP_TIME_MAX_S)
        assert self.reactor.getDelayedCalls() == []

    def _changed(self) -> None:
        self.changes += 1

    def start(self) -> None:
        """The engine has met its agent."""
        self.engine.startService()
        self.turn()
        assert self.engine.trouble() is None, self.engine.trouble()

    def turn(self, count: int = 30) -> None:
        """Some turns of the reactor."""
        for _ in range(count):
            self.reactor.advance(0)

    def wait(self, seconds: float, step_s: float = 0.25) -> None:
        """Time passes."""
        for _ in range(int(seconds / step_s)):
            self.reactor.advance(step_s)
            self.turn(10)

    def statuses(self) -> dict[str, Status]:
        """As the engine shows the members."""
        return {member.name: member.status for member in self.engine.members()}

    def lines(self, kind: str) -> list[str]:
        """What happened of this kind."""
        return [each.text for each in self.happened if each.kind == kind]


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
        assert rpc.ErrorText.INVALID_TOKEN in str(self.engine.trouble())
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
        assert rpc.ErrorText.AUTHENTICATION_REQUIRED in str(self.engine.trouble())

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


class LossTests(EngineTestCase):
    """An agent that goes, hangs, talks nonsense, and comes back."""

    def test_an_agent_that_starts_later_is_found(self) -> None:
        """The pauses between two attempts grow to PAUSE_MAX_S, and no more."""
        self.agent.up = False
        self.engine.startService()
        self.wait(60)
        assert "refused" in str(self.engine.trouble())
        self.agent.up = True
        self.wait(PAUSE_MAX_S + PAUSE_MIN_S)
        assert self.engine.trouble() is None

    def test_the_members_last_known_stay(self) -> None:
        """So the value goes on to spread by anti-entropy; people are told."""
        self.start()
        self.agent.up = False
        self.agent.wire.end()
        self.wait(5)
        assert self.statuses() == {"n1": Status.ALIVE, "n2": Status.ALIVE, "n3": Status.FAILED}
        assert "is away" in str(self.engine.trouble())
        assert "is away" in self.lines("agent-away")[-1]
        assert self.engine.status()["connected"] is False
        assert self.engine.figures().agent_connected is False

    def test_a_loss_is_noticed_at_once(self) -> None:
        """In the next turn, not at the next look."""
        self.start()
        self.agent.up = False
        self.agent.wire.end()
        self.turn()
        assert self.engine.trouble() is not None

    def test_an_agent_that_comes_back_is_met_anew(self) -> None:
        """Its tag is set again, the stream begins again, and the members are its new ones."""
        self.start()
        self.agent.wire.end()
        self.agent.members = [agent_member("n1", 1), agent_member("n5", 5)]
        self.wait(1)
        assert self.statuses() == {"n1": Status.ALIVE, "n5": Status.ALIVE}
        assert len(self.agent.bodies("tags")) == 2
        self.agent.wire.record("stream", rpc.StreamRecord("member-join", (agent_member("n6", 6),)))
        self.turn()
        assert "n6" in self.statuses()

    def test_an_agent_that_hangs_counts_as_away(self) -> None:
        """When it has not answered for REQUEST_TIME_MAX_S; its connection is closed."""
        self.start()
        self.agent.silent = ["stats"]
        wire = self.agent.wire
        self.wait(POLL_S + REQUEST_TIME_MAX_S + 1)
        assert "has not answered stats" in str(self.engine.trouble())
        assert not wire.open
        self.agent.silent = []
        self.wait(REQUEST_TIME_MAX_S + PAUSE_MAX_S)  # the attempt under way hangs too
        assert self.engine.trouble() is None

    def test_a_connection_that_is_never_made_is_given_up(self) -> None:
        """After CONNECT_TIME_MAX_S, and tried again."""
        self.agent.hangs = True
        self.engine.startService()
        self.wait(CONNECT_TIME_MAX_S + 1)
        assert "cannot connect" in str(self.engine.trouble())
        self.agent.hangs = False
        self.wait(PAUSE_MAX_S + 1)
        assert self.engine.trouble() is None

    def test_it_stops_while_a_connection_is_being_made(self) -> None:
        """Whatever the endpoint says of that."""
        self.agent.hangs = True
        self.engine.startService()
        self.turn()
        self.successResultOf(self.engine.stopService())
        self.wait(PAUSE_MAX_S)
        assert self.reactor.getDelayedCalls() == []

    def test_nonsense_ends_the_connection(self) -> None:
        """And it is told that this is no agent."""
        self.start()
        for nonsense in (b"HTTP/1.0 400 Bad Request\r\n\r\n", b"\xc1", b"\x82\xa5Error\xa0\xa3Seq\xcd\x03\xe8"):
            self.agent.up = False
            self.agent.wire.send(nonsense)
            self.turn()
            assert "does not speak as an agent does" in str(self.engine.trouble())
            self.agent.up = True
            self.wait(PAUSE_MAX_S + 1)

    def test_a_member_without_an_address_ends_the_connection(self) -> None:
        """Nobody could be asked at it; what was known stays."""
        self.start()
        self.agent.up = False
        bad = rpc.RpcMember("n9", b"xyz", 1, {}, "alive", 1, 5, 2, 2, 5, 5)
        self.agent.wire.record("stream", rpc.StreamRecord("member-join", (bad,)))
        self.turn()
        assert "'n9' without an address" in str(self.engine.trouble())
        assert len(self.engine.members()) == 3

    def test_a_large_record_that_means_nothing_ends_the_connection_too(self) -> None:
        """Though a thread reads it."""
        self.start()
        self.agent.up = False
        bad = rpc.RpcMember("n9", b"xyz", 1, {"x": "y" * LARGE}, "alive", 1, 5, 2, 2, 5, 5)
        self.agent.wire.record("stream", rpc.StreamRecord("member-join", (bad,)))
        self.turn()
        assert self.reactor.pool.run() == 1
        self.turn()
        assert "'n9' without an address" in str(self.engine.trouble())
        assert len(self.engine.members()) == 3

    def test_a_query_ends_with_its_connection_whatever_the_reason_was_before(self) -> None:
        """Also where two attempts in a row end in the same way."""
        self.start()
        self.agent.silent = ["members"]
        self.agent.wire.end()
        self.wait(REQUEST_TIME_MAX_S + 3)
        before = str(self.engine.trouble())
        self.wait(REQUEST_TIME_MAX_S / 2)
        asked = self.engine.query(QueryRequest("uptime"))
        self.wait(REQUEST_TIME_MAX_S)
        assert str(self.engine.trouble()) == before
        self.failureResultOf(asked, AwayError)  # type: ignore[no-untyped-call]  # trial's has no types

    def test_of_hundreds_of_members_at_once_not_all_are_told_in_words(self) -> None:
        """But all are known."""
        self.start()
        many = tuple(agent_member(f"m{n:04}", 9) for n in range(300))
        self.agent.wire.record("stream", rpc.StreamRecord("member-join", many))
        self.turn()
        self.reactor.pool.run()
        self.turn()
        assert len(self.engine.members()) == 303
        assert len(self.lines("joined")) == HAPPENINGS_PER_TURN

    def test_many_members_are_read_in_a_thread(self) -> None:
        """What comes after them waits, so that nothing is mixed up."""
        self.agent.members += [agent_member(f"m{n:04}", 9, role="x" * 100) for n in range(LARGE // 100)]
        self.engine.startService()
        self.turn()
        [wire] = self.agent.wires
        assert wire.paused
        wire.record("stream", rpc.StreamRecord("member-failed", (agent_member("m0001", 9, "failed"),)))
        self.turn()
        assert self.reactor.pool.run() == 1
        self.turn()
        assert not wire.paused
        assert self.statuses()["m0001"] is Status.FAILED
        assert len(self.engine.members()) == 3 + LARGE // 100

    def test_an_agent_that_lost_its_cluster_is_asked_to_join_it_again(self) -> None:
        """Some members last known, after a while, and again after a longer while; not one that has moved elsewhere."""
        self.agent.members = [agent_member("n1", 1), *(agent_member(f"n{n}", n) for n in range(2, 9))]
        self.start()
        self.agent.members = [agent_member("n1", 1)]
        self.agent.wire.end()
        self.wait(REJOIN_AFTER_S - POLL_S)
        assert self.agent.bodies("join") == []
        self.wait(3 * POLL_S)
        [asked] = self.agent.bodies("join")
        assert len(asked.existing) == REJOIN_MAX
        assert set(asked.existing) <= {f"10.0.0.{n}:7946" for n in range(2, 9)}
        assert not asked.replay
        self.wait(60)
        assert 2 <= len(self.agent.bodies("join")) <= 3
        self.agent.members.append(agent_member("elsewhere", 99))
        self.wait(60)
        assert len(self.agent.bodies("join")) <= 3

    def test_an_agent_whose_others_have_left_is_not_asked_to_join(self) -> None:
        """They have gone on purpose, perhaps to another cluster; nor one that was always alone."""
        self.agent.members = [agent_member("n1", 1), agent_member("n2", 2)]
        self.start()
        self.wait(POLL_S + 1)
        left = agent_member("n2", 2, "left")
        self.agent.members = [agent_member("n1", 1), left]
        self.agent.wire.record("stream", rpc.StreamRecord("member-leave", (left,)))
        self.wait(POLL_S + 1)
        self.agent.members.pop()
        self.wait(120)
        assert self.agent.bodies("join") == []

    def test_not_always_the_same_are_joined(self) -> None:
        """They may be gone."""
        self.agent.members = [agent_member("n1", 1), *(agent_member(f"n{n}", n) for n in range(2, 30))]
        self.start()
        self.wait(POLL_S + 1)
        self.agent.members = [agent_member("n1", 1)]
        self.agent.wire.end()
        self.wait(REJOIN_AFTER_S + 3 * REJOIN_PAUSE_S + 2 * POLL_S)
        assert len({address for body in self.agent.bodies("join") for address in body.existing}) > 2 * REJOIN_MAX

    def test_it_stops_while_the_agent_is_away(self) -> None:
        """At once, and nothing is left."""
        self.agent.up = False
        self.engine.startService()
        self.wait(1)
        self.successResultOf(self.engine.stopService())
        assert self.reactor.getDelayedCalls() == []

    def test_it_takes_its_tag_away_when_it_stops(self) -> None:
        """So that nobody asks for what is not there; no connection and no timer is left."""
        self.start()
        stopped = self.engine.stopService()
        self.turn()
        self.successResultOf(stopped)
        assert self.agent.members[0].tags == {"role": "web"}
        assert not any(wire.open for wire in self.agent.wires)
        assert self.reactor.getDelayedCalls() == []

    def test_it_takes_its_tag_away_also_while_it_meets_the_agent(self) -> None:
        """And does not set it after that."""
        for turns in range(12):
            self.agent.members[0] = agent_member("n1", 1, role="web")
            engine = self.make()
            engine.startService()
            self.turn(turns)
            engine.stopService()
            self.wait(STOP_TIME_MAX_S)
            assert self.agent.members[0].tags == {"role": "web"}, turns

    def test_it_stops_though_the_agent_hangs(self) -> None:
        """Within STOP_TIME_MAX_S."""
        self.start()
        self.agent.silent = ["tags"]
        stopped = self.engine.stopService()
        self.wait(STOP_TIME_MAX_S)
        self.successResultOf(stopped)
        self.turn()
        assert self.reactor.getDelayedCalls() == []


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
