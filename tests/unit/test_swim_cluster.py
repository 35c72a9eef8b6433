"""Small clusters of Swims on a network in memory: what they find out together, in virtual time."""

from functools import partial

from twisted.trial.unittest import SynchronousTestCase

from onevalue.config import SwimSettings
from onevalue.swim.events import LeaveSent, MemberForgotten, MemberGone, MemberJoined, MemberSuspected, Refuted
from onevalue.swim.events import SuspicionEnded as Ended
from onevalue.wire.messages import NodeStatus
from tests.long import takes_long
from tests.unit.swim_net import SwimNet, make_swim

ALIVE, SUSPECT, DEAD, LEFT = NodeStatus.ALIVE, NodeStatus.SUSPECT, NodeStatus.DEAD, NodeStatus.LEFT

PACKETS_PER_S_MAX = 3
BYTES_PER_S_MAX = 500


def _joined(size: int, seed: int = 1, settings: SwimSettings | None = None, loss: float = 0.0) -> SwimNet:
    net = SwimNet(size, settings or SwimSettings(), seed, loss)
    net.join_all()
    return net


class JoinTests(SynchronousTestCase):
    """Finding each other."""

    def test_five_nodes_that_join_one_know_all(self) -> None:
        """Within a second each tells each other member once, and itself."""
        net = SwimNet(5)
        for name in net.names[1:]:
            net.join(name, "n1")
        assert net.run_until(net.all_alive, 1.0)
        for name in net.names:
            joined = [event.member.name for _, event in net.told(MemberJoined) if isinstance(event, MemberJoined)]
            assert joined.count(name) == len(net.names)

    def test_two_clusters_become_one_by_a_single_exchange(self) -> None:
        """One push/pull between any two is enough; whom gossip misses learns it in the next periodic exchange."""
        net = SwimNet(6)
        for name, other in [("n2", "n1"), ("n3", "n1"), ("n5", "n4"), ("n6", "n4")]:
            net.join(name, other)
        net.run(2.0)
        assert net.status("n1", "n5") is None
        net.join("n3", "n6")
        assert net.run_until(net.all_alive, 40.0)


class FailureTests(SynchronousTestCase):
    """Finding out who is gone."""

    def test_a_crash_is_seen_by_all_within_bound(self) -> None:
        """One round of probes, one probe, the shortest suspicion or little more: 13 s in a cluster of 5."""
        for seed in range(5):
            net = _joined(5, seed)
            net.run(5.0)
            net.crash("n3")
            assert net.run_until(partial(net.all_see, DEAD, ["n3"]), 13.0), seed
            gone = [(at, event.member.name) for at, event in net.told(MemberGone) if isinstance(event, MemberGone)]
            assert sorted(gone) == [(name, "n3") for name in net.names if name != "n3"]

    def test_a_node_that_pauses_is_suspected_and_refutes(self) -> None:
        """It is never declared dead, its incarnation is higher afterwards, and all see it alive."""
        for seed in range(5):
            net = _joined(5, seed)
            net.run(5.0)
            net.pause("n3", 3.0)
            net.run(20.0)
            assert net.told(MemberSuspected), seed
            assert net.told(Refuted), seed
            assert net.told(Ended), seed
            assert net.told(MemberGone) == []
            assert net.all_see(ALIVE, net.names)
            assert net.swims["n3"].local.incarnation > 1

    def test_a_broken_link_between_two_members_harms_nobody(self) -> None:
        """The others reach the member for the one that cannot: indirect pings."""
        net = _joined(5)
        net.cut(["n1"], ["n2"])
        net.run(120.0)
        assert net.told(MemberGone) == []
        assert net.swims["n1"].counters["probes_failed"] == 0

    def test_a_member_that_crashed_is_forgotten_by_all(self) -> None:
        """After 30 s and a round of probes its name is free of all memory."""
        net = _joined(5)
        net.crash("n3")
        assert net.run_until(lambda: net.all_see(DEAD, ["n3"]), 20.0)
        net.run(45.0)
        assert all(net.record(name, "n3") is None for name in net.names if name != "n3")
        assert len(net.told(MemberForgotten)) == 4

    def test_a_restarted_member_comes_back_with_incarnation_1(self) -> None:
        """Others remember it as dead with more; it is told so, refutes upwards, and is alive for all."""
        net = _joined(4)
        net.pause("n3", 3.0)
        net.run(20.0)
        net.crash("n3")
        assert net.run_until(lambda: net.all_see(DEAD, ["n3"]), 20.0)
        net.swims["n3"] = make_swim("n3", bytes([10, 0, 0, 3]), seed=9)
        net.add("n3", net.swims["n3"], ("10.0.0.3", 7946))
        net.join("n3", "n1")
        assert net.run_until(net.all_alive, 5.0)

    def test_with_much_loss_nobody_healthy_stays_dead(self) -> None:
        """A fifth of all packets lost for two minutes, then none: all see all alive."""
        for seed in range(2):
            net = _joined(6, seed, loss=0.2)
            net.run(120.0)
            net.loss = 0.0
            assert net.run_until(net.all_alive, 60.0), seed


class LeaveTests(SynchronousTestCase):
    """Going on purpose."""

    def test_a_leave_is_seen_as_left_by_all(self) -> None:
        """Soon, without a suspicion, and the leaver is told that it was said often enough."""
        net = _joined(5)
        net.call("n3", lambda _, now: net.swims["n3"].leave(now))
        assert net.run_until(lambda: net.all_see(LEFT, ["n3"]), 2.0)
        assert net.run_until(lambda: bool(net.told(LeaveSent)), 3.0)
        net.crash("n3")
        net.run(10.0)
        assert net.told(MemberSuspected) == []
        assert net.all_see(LEFT, ["n3"])

    def test_who_left_may_come_back_from_another_address(self) -> None:
        """At once, with incarnation 1, and all see the new address."""
        net = _joined(4)
        net.call("n3", lambda _, now: net.swims["n3"].leave(now))
        net.run(3.0)
        net.crash("n3")
        net.swims["n3"] = make_swim("n3", bytes([10, 0, 0, 33]), seed=9)
        net.add("n3", net.swims["n3"], ("10.0.0.33", 7946))
        net.join("n3", "n1")
        assert net.run_until(net.all_alive, 10.0)
        records = [swim.member("n3") for swim in net.swims.values()]
        assert {record.addr for record in records if record} == {bytes([10, 0, 0, 33])}


class PartitionTests(SynchronousTestCase):
    """Two halves."""

    def test_a_healed_partition_is_mended_by_one_exchange(self) -> None:
        """Each side held the other dead; a push/pull across makes the accused refute, and all are alive."""
        for seed in range(3):
            net = _joined(6, seed)
            left, right = net.names[:3], net.names[3:]
            net.cut(left, right)
            net.run(100.0)
            assert all(net.status(at, name) in {DEAD, None} for at in left for name in right)
            net.heal()
            net.join("n1", "n4")
            assert net.run_until(net.all_alive, 15.0), seed

    def test_a_short_partition_heals_by_itself(self) -> None:
        """While the dead still get gossip they hear that they are dead, and refute."""
        net = _joined(4)
        net.cut(["n1", "n2"], ["n3", "n4"])
        assert net.run_until(lambda: net.status("n1", "n3") is DEAD and net.status("n4", "n2") is DEAD, 40.0)
        net.heal()
        net.join("n1", "n3")
        assert net.run_until(net.all_alive, 15.0)


class QuietTests(SynchronousTestCase):
    """A cluster to which nothing happens."""

    @takes_long
    def test_ten_quiet_minutes_show_no_failure_and_little_traffic(self) -> None:
        """8 members: no suspicion, no refutation, perfect health; at most 3 packets and 500 bytes a second each."""
        net = _joined(8)
        net.run(10.0)
        for node in net.nodes.values():
            node.packets_sent = node.bytes_sent = 0
        minutes = 10
        net.run(minutes * 60.0)
        assert net.told(MemberSuspected) == net.told(MemberGone) == net.told(Refuted) == []
        assert all(swim.health_score == 0 and swim.counters["malformed"] == 0 for swim in net.swims.values())
        for node in net.nodes.values():
            assert node.packets_sent <= PACKETS_PER_S_MAX * minutes * 60, node.name
            assert node.bytes_sent <= BYTES_PER_S_MAX * minutes * 60, node.name

    def test_the_same_seed_is_the_same_run(self) -> None:
        """Two runs of one seed tell the same events; another seed tells others."""
        runs = []
        for seed in (1, 1, 2):
            net = _joined(5, seed, loss=0.1)
            net.pause("n2", 4.0)
            net.run(60.0)
            runs.append([repr(event) for node in net.nodes.values() for event in node.events])
        assert runs[0] == runs[1]
        assert runs[0] != runs[2]
