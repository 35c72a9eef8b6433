"""Partitions that last longer than every timeout, who is lost, and who is not looked for, in virtual time."""

from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from onevalue.config import LAN, SerfSettings, SwimSettings
from onevalue.serf import events
from onevalue.serf.members import MemberStatus
from onevalue.serf.roster import LOST_MAX, Roster
from onevalue.swim.members import MemberRecord
from onevalue.types import Incarnation
from onevalue.wire.messages import NodeStatus
from onevalue.wire.serf_codec import encode_tags
from tests.unit.serf_net import SerfNet, make_serf, member
from tests.unit.swim_net import PORT, VSN

ALIVE, FAILED, LEFT = MemberStatus.ALIVE, MemberStatus.FAILED, MemberStatus.LEFT
DAY_S = 24 * 3600.0
SLOW = replace(LAN, probe_interval_s=60.0, probe_timeout_s=10.0, gossip_interval_s=10.0, push_pull_interval_s=600.0)
"""memberlist in slow motion, so that days pass quickly; Serf's timeouts are the usual ones."""

SHORT = SerfSettings(
    reap_interval_s=1.0,
    reconnect_interval_s=2.0,
    reconnect_timeout_s=10.0,
    tombstone_timeout_s=10.0,
    recent_intent_timeout_s=10.0,
)


def cluster(size: int, settings: SerfSettings | None = None, seed: int = 1, swim: SwimSettings = LAN) -> SerfNet:
    """Nodes that know each other."""
    net = SerfNet(size, settings=settings, swim_settings=swim, seed=seed)
    net.join_all()
    net.run(3.0)
    net.forget_told()
    return net


def record(name: str, index: int) -> MemberRecord:
    """What memberlist knows of a member."""
    addr = bytes([10, 1, index // 256, index % 256])
    meta = encode_tags({})
    return MemberRecord(name, addr, PORT, meta, VSN, Incarnation(1), NodeStatus.ALIVE, 0.0)


class PartitionTests(SynchronousTestCase):
    """A network that was cut for long."""

    def heals(self, net: SerfNet, cut_s: float, within_s: float, left: list[str]) -> None:
        """Cut, forgotten on both sides, mended, and one cluster again in time."""
        right = [name for name in net.names if name not in left]
        net.cut(left, right)
        net.run(cut_s)
        for here, there in ((left, right), (right, left)):
            for name in here:
                assert not any(member(net.serfs[name], other) for other in there if len(here) > 1)
        net.heal()
        assert net.run_until(lambda: net.all_see(ALIVE, net.names), within_s)

    def test_two_halves_heal_after_any_time(self) -> None:
        """With shortened timeouts, ten times as long as the longest of them."""
        self.heals(cluster(6, SHORT), 100.0, 20.0, ["n1", "n2", "n3"])

    def test_a_few_of_many_heal_too(self) -> None:
        """Each side dials about as many as it misses."""
        for seed in (1, 2, 3):
            self.heals(cluster(8, SHORT, seed), 100.0, 20.0, ["n7", "n8"])

    def test_with_the_usual_timeouts_a_partition_of_days_heals(self) -> None:
        """Forgotten after one day, and back within minutes."""
        self.heals(cluster(4, swim=SLOW), 1.2 * DAY_S, 600.0, ["n1", "n2"])

    def test_one_node_alone_comes_back(self) -> None:
        """It never forgets the others, and they dial it for ever."""
        self.heals(cluster(4, SHORT), 100.0, 20.0, ["n1"])

    def test_a_member_that_left_meanwhile_is_not_looked_for(self) -> None:
        """Only who failed is missing."""
        net = cluster(4, SHORT)
        net.call("n4", lambda _, now: net.serfs["n4"].leave(now))
        net.run(10.0)
        net.crash("n4")
        net.run(30.0)
        for name in ("n1", "n2", "n3"):
            assert member(net.serfs[name], "n4") is None
            assert net.serfs[name].lost() == []

    def test_a_member_that_is_made_to_leave_is_not_looked_for(self) -> None:
        """Lost or failed, on all nodes."""
        for wait_s in (20.0, 60.0):
            net = cluster(4, SHORT)
            net.crash("n4")
            net.run(wait_s)
            net.call("n1", lambda _, now: net.serfs["n1"].force_leave("n4", prune=False, now=now))  # noqa: B023  # called at once
            net.run(5.0)
            for name in ("n1", "n2", "n3"):
                known = member(net.serfs[name], "n4")
                assert known is None or known.status is LEFT
            net.run(30.0)
            assert [net.serfs[name].lost() for name in ("n1", "n2", "n3")] == [[], [], []]

    def test_a_stranger_at_the_address_of_a_lost_member_is_not_joined(self) -> None:
        """Somebody else may have it by now: a lost member must answer to its name."""
        net = cluster(3, SHORT)
        net.crash("n3")
        net.run(60.0)
        assert [each.name for each in net.serfs["n1"].lost()] == ["n3"]
        stranger = make_serf(3, name="stranger")
        net.serfs["stranger"] = stranger
        net.add("stranger", stranger, ("10.0.0.3", PORT))
        net.run(60.0)
        assert [each.name for each in stranger.members()] == ["stranger"]
        assert net.serfs["n1"].counters["serf_reconnects"] > 5

    def test_a_lost_member_that_starts_anew_is_found(self) -> None:
        """At its old address, with nothing in mind."""
        net = cluster(3, SHORT)
        net.crash("n3")
        net.run(60.0)
        net.begin(3)
        assert net.run_until(lambda: net.all_see(ALIVE, net.names), 30.0)
        assert net.serfs["n1"].lost() == []


class FlapTests(SynchronousTestCase):
    """Members that fail and are back."""

    def test_a_member_that_is_back_soon_is_counted_and_told_so(self) -> None:
        """With the time since it failed; one that takes longer is told only."""
        net = cluster(3)
        for pause_s, flaps in ((30.0, 1), (200.0, 1)):
            net.forget_told()
            net.crash("n3")
            assert net.run_until(lambda: net.status("n1", "n3") is FAILED, 30.0)
            net.run(pause_s)
            net.nodes["n3"].up = True
            assert net.run_until(lambda: net.all_see(ALIVE, net.names), 60.0)
            [joined] = [event for event in net.told("n1", events.MemberJoin) if event.member.name == "n3"]
            assert joined.failed_s is not None
            assert joined.failed_s >= pause_s
            assert net.serfs["n1"].counters["serf_flaps"] == flaps


class LostTests(SynchronousTestCase):
    """The table of those who are lost."""

    def lose(self, roster: Roster, count: int) -> None:
        """So many members come, fail and are reaped."""
        for index in range(count):
            roster.joined(record(f"m{index}", index), float(index))
            roster.departed(f"m{index}", float(index))
        roster.reap(1e6, keep_failed=False)

    def test_only_so_many_are_lost_at_once(self) -> None:
        """The one that is lost longest makes room."""
        roster = Roster(SerfSettings())
        self.lose(roster, LOST_MAX + 3)
        names = [each.name for each in roster.lost()]
        assert (len(names), names[0], names[-1]) == (LOST_MAX, "m3", f"m{LOST_MAX + 2}")
        assert len(roster) == 0

    def test_who_is_back_is_not_lost(self) -> None:
        """Nor who was pruned, nor who left."""
        roster = Roster(SerfSettings())
        self.lose(roster, 2)
        roster.joined(record("m0", 0), 1e6)
        assert [each.name for each in roster.lost()] == ["m1"]
        roster.departed("m0", 1e6)
        roster.forget("m0")
        assert [each.name for each in roster.lost()] == ["m1"]

    def test_members_are_counted_by_status(self) -> None:
        """In the order in which they came to it."""
        roster = Roster(SerfSettings())
        for index in range(4):
            roster.joined(record(f"m{index}", index), 0.0)
        for name in ("m2", "m0"):
            roster.departed(name, 1.0)
        assert [roster.count(status) for status in (ALIVE, FAILED, LEFT)] == [2, 2, 0]
        assert [each.name for each in roster.with_status(FAILED)] == ["m2", "m0"]
        roster.joined(record("m2", 2), 2.0)
        assert [each.name for each in roster.with_status(ALIVE)] == ["m1", "m3", "m2"]
