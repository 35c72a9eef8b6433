"""The engine beside a Serf agent: how it lives with an agent that goes."""

from onevalue.agent.connection import LARGE, REQUEST_TIME_MAX_S
from onevalue.agent.engine import POLL_S, STOP_TIME_MAX_S
from onevalue.agent.link import CONNECT_TIME_MAX_S, PAUSE_MAX_S, PAUSE_MIN_S
from onevalue.agent.rejoining import REJOIN_AFTER_S, REJOIN_MAX, REJOIN_PAUSE_S
from onevalue.errors import AwayError
from onevalue.member import QueryRequest, Status
from onevalue.observers import HAPPENINGS_PER_TURN
from onevalue.wire import rpc_messages as rpc
from tests.fakes import make_member
from tests.unit.agent_bench import EngineTestCase
from tests.unit.agent_rig import agent_member


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

    def test_whom_an_agent_has_lost_is_looked_for(self) -> None:
        """So that they are kept as peers; once the agent knows anybody, nobody is."""
        self.agent.members = [agent_member("n1", 1), agent_member("n2", 2), agent_member("n3", 3)]
        self.start()
        assert self.engine.lost() == []
        self.agent.members = [agent_member("n1", 1)]
        self.agent.wire.end()
        self.wait(POLL_S)
        assert {member.name: member.status for member in self.engine.lost()} == dict.fromkeys(
            ["n2", "n3"], Status.FAILED
        )
        self.agent.members.append(agent_member("n2", 2))
        self.wait(POLL_S + 1)
        assert self.engine.lost() == []

    def test_members_of_the_last_run_count_until_the_agent_is_there(self) -> None:
        """They can be asked, at once; then the agent knows better."""
        self.agent.up = False
        self.engine = self.make(peers=[make_member("n5", "10.0.0.5", http="http:8080"), make_member("n1", "10.9.9.9")])
        tried: list[bool] = []
        self.engine.observe_addresses_tried(tried.append)
        self.engine.startService()
        assert tried == [False]
        assert self.statuses() == {"n1": Status.ALIVE, "n5": Status.ALIVE}
        assert self.engine.last_contact_s() is None
        self.agent.up = True
        self.wait(PAUSE_MAX_S + 1)
        assert set(self.statuses()) == {"n1", "n2", "n3"}
        assert tried == [False]

    def test_an_agent_that_comes_up_alone_is_asked_to_join_those_of_the_last_run(self) -> None:
        """After a reboot of the host, say, where nothing else has it join."""
        self.agent.members = [agent_member("n1", 1)]
        self.engine = self.make(peers=[make_member("n5", "10.0.0.5", http="http:8080")])
        self.start()
        assert [member.name for member in self.engine.lost()] == ["n5"]
        self.wait(REJOIN_AFTER_S + 2 * POLL_S)
        assert [body.existing for body in self.agent.bodies("join")] == [("10.0.0.5:7946",)]

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
