"""Partitions that last longer than every timeout, who is lost, and who is not looked for, in virtual time."""

from dataclasses import replace
from functools import partial
from itertools import pairwise

import pytest
from twisted.trial.unittest import SynchronousTestCase

from onevalue.config import LAN, SerfSettings, SwimSettings
from onevalue.serf import events
from onevalue.serf.core import Serf
from onevalue.serf.dialler import Dialler
from onevalue.serf.healing import REMINDERS_MAX
from onevalue.serf.members import MemberStatus, missing_member
from onevalue.serf.roster import LOST_MAX, Roster
from onevalue.swim.members import MemberRecord
from onevalue.types import Address, Incarnation
from onevalue.wire.messages import NodeStatus, PushPull
from onevalue.wire.serf_codec import encode_serf, encode_tags
from onevalue.wire.serf_messages import LeaveIntent
from onevalue.wire.stream import StreamDecoder
from tests.long import takes_long
from tests.unit.serf_net import SerfNet, hear_alive, make_serf, member, time_of
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


def serf_joins(serf: Serf, address: Address, name: str, _: object, now: float) -> None:
    """A node dials a peer."""
    serf.join(address, now, name)


class LeavingTests(SynchronousTestCase):
    """Members that seem to be leaving."""

    def test_a_member_that_is_leaving_for_long_is_told_so_and_contradicts(self) -> None:
        """It never heard of it: the leave intent was an old one, late, and its gossip had ended."""
        net = cluster(3)
        net.serfs["n1"]._intake.message(encode_serf(LeaveIntent(time_of(90), "n3")), net.now)
        net.serfs["n1"]._broadcasts.take(0, 10_000, 1)  # nobody hears of it from n1 by gossip
        assert net.status("n1", "n3") is MemberStatus.LEAVING
        assert net.run_until(lambda: net.status("n1", "n3") is ALIVE, 2 * SerfSettings().reap_interval_s + 2.0)

    def test_who_has_just_said_so_is_not_told(self) -> None:
        """A leave that takes its usual time needs no reminder, and few are reminded at once."""
        healing = make_serf(1)._healing
        for index in range(2 * REMINDERS_MAX):
            healing.roster.joined(record(f"m{index}", index + 1), 0.0)
            healing.roster.leave_intent(f"m{index}", time_of(7), 0.0)
        healing.swim.start(0.0)
        healing._reap(0.0)
        assert healing.swim.datagrams_to_send() == []
        healing._reap(15.0)
        assert len(healing.swim.datagrams_to_send()) == REMINDERS_MAX


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

    @takes_long
    def test_a_few_of_many_heal_too(self) -> None:
        """Each side dials about as many as it misses."""
        for seed in (1, 2, 3):
            self.heals(cluster(8, SHORT, seed), 100.0, 20.0, ["n7", "n8"])

    @takes_long
    def test_with_the_usual_timeouts_a_partition_of_days_heals(self) -> None:
        """Forgotten after one day, and back within minutes."""
        self.heals(cluster(4, swim=SLOW), 1.2 * DAY_S, 600.0, ["n1", "n2"])

    def test_one_node_alone_comes_back(self) -> None:
        """It never forgets the others, and they dial it for ever."""
        self.heals(cluster(4, SHORT), 100.0, 20.0, ["n1"])

    @takes_long
    def test_a_side_that_started_anew_meanwhile_comes_back(self) -> None:
        """All its nodes, with nothing but the peers in their journals; alone or several, and the others too."""
        for left, anew in [(["n1"], ["n1"]), (["n1", "n2", "n3"], ["n1", "n2", "n3"]), (["n1", "n2"], ["n2", "n5"])]:
            net = cluster(6, SHORT)
            right = [name for name in net.names if name not in left]
            net.cut(left, right)
            net.run(60.0)
            for name in anew:
                net.crash(name)
            net.run(5.0)
            diallers = {name: self.restart(net, name) for name in anew}
            for _ in range(600):
                self.dial(net, diallers)
                net.run(0.1)
            net.heal()
            for _ in range(200):
                self.dial(net, diallers)
                net.run(0.1)
            assert net.all_see(ALIVE, net.names), (left, anew)

    def restart(self, net: SerfNet, name: str) -> Dialler:
        """The node starts anew with the journal of before; returns who dials its peers."""
        peers = [each for each in net.serfs[name].members() if each.name != name] + net.serfs[name].lost()
        net.begin(int(name[1:]), clocks=net.serfs[name].clocks, lost=peers)
        targets = {f"{peer.name}/{peer.address[0]}:{PORT}": peer.address for peer in peers}
        return Dialler([], SHORT, [net.nodes[name].address], targets)

    def dial(self, net: SerfNet, diallers: dict[str, Dialler]) -> None:
        """The peers that are due are dialled; whether they answer is not waited for."""
        for name, dialler in diallers.items():
            serf = net.serfs[name]
            alive = [each.address for each in serf.members() if each.status is ALIVE and each.name != name]
            dialler.observe(alive, net.now)
            for text in dialler.due(net.now):
                other = text.partition("/")[0]
                net.call(name, partial(serf_joins, serf, net.nodes[other].address, other))
                dialler.over(text, net.now)

    def test_a_member_that_left_during_the_partition_has_left_for_all(self) -> None:
        """Those who had lost it do not take it for alive, nor look for it."""
        for cut_s in (20.0, 60.0):
            net = cluster(6, replace(SHORT, tombstone_timeout_s=500.0))
            net.cut(["n1", "n2", "n3"], ["n4", "n5", "n6"])
            net.run(cut_s)
            net.call("n6", lambda _, now: net.serfs["n6"].leave(now))  # noqa: B023  # called at once
            net.run(8.0)
            net.crash("n6")
            net.heal()
            assert net.run_until(lambda: net.all_see(ALIVE, ["n1", "n2", "n3", "n4", "n5"]), 20.0)  # noqa: B023  # likewise
            net.run(40.0)  # an exchange between any two of both sides
            for name in ("n1", "n2", "n3"):
                assert net.status(name, "n6") in {None, LEFT}, (cut_s, name)
                assert net.serfs[name].lost() == [], (cut_s, name)

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

    def test_a_stranger_at_the_address_of_a_peer_is_not_joined(self) -> None:
        """After a restart; the owner is told. A peer that answers to its name is."""
        for name, error in [("n9", "no node there answers to the name n9"), ("n2", None)]:
            net = SerfNet(2, settings=SHORT)
            net.call("n1", partial(serf_joins, net.serfs["n1"], net.nodes["n2"].address, name))
            net.run(1.0)
            assert [event.error for event in net.told("n1", events.JoinDone)] == [error]
            assert (net.status("n1", "n2") is ALIVE) == (error is None)

    def test_a_lost_member_that_starts_anew_is_found(self) -> None:
        """At its old address, with nothing in mind."""
        net = cluster(3, SHORT)
        net.crash("n3")
        net.run(60.0)
        net.begin(3)
        assert net.run_until(lambda: net.all_see(ALIVE, net.names), 30.0)
        assert net.serfs["n1"].lost() == []


class PaceTests(SynchronousTestCase):
    """How often who is dialled."""

    def dialled(self, failed: int, lost: int, until_s: float) -> list[tuple[float, bool]]:
        """When a node alone dials, and whether by an exchange or by a ping with a name; nobody ever answers."""
        peers = [missing_member(f"lost{index}", (f"10.3.0.{index}", PORT)) for index in range(lost)]
        settings = SerfSettings(reconnect_timeout_s=2 * until_s)
        serf = make_serf(1, settings=settings, swim_settings=replace(LAN, tcp_pings=False), lost=peers)
        serf.start(0.0)
        for index in range(failed):
            hear_alive(serf, f"failed{index}", 100 + index)
        found: list[tuple[float, bool]] = []
        while (now := serf.next_deadline()) is not None and now < until_s:
            serf.handle_timer(now)
            serf.datagrams_to_send()
            for request in serf.streams_to_open():
                message = StreamDecoder().feed(request.data.encode())
                found.append((now, isinstance(message, PushPull)))
        return [(at, is_exchange) for at, is_exchange in found if at > 120.0]  # all have failed by then

    def test_a_node_alone_dials_one_in_each_interval_however_many_are_lost(self) -> None:
        """By name, for ever."""
        times = [at for at, is_exchange in self.dialled(0, LOST_MAX, 7200.0) if not is_exchange]
        assert len(times) > 200
        gaps = [b - a for a, b in pairwise(times)]
        assert gaps == pytest.approx([30.0] * len(gaps))

    def test_who_failed_does_not_wait_for_all_who_are_lost(self) -> None:
        """They take turns."""
        kinds = [is_exchange for _, is_exchange in self.dialled(1, LOST_MAX, 3600.0)]
        assert len(kinds) > 100
        assert all(a != b for a, b in pairwise(kinds))


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

    def test_an_old_leave_intent_does_not_end_the_search(self) -> None:
        """Only one that is newer than what was known of the lost member."""
        roster = Roster(SerfSettings())
        roster.joined(record("m0", 0), 0.0)
        roster.join_intent("m0", time_of(5), 0.0)
        roster.departed("m0", 0.0)
        roster.reap(1e6, keep_failed=False)
        for ltime, lost in [(5, 1), (6, 0)]:
            roster.leave_intent("m0", time_of(ltime), 1e6)
            assert len(roster.lost()) == lost

    def test_peers_of_before_are_lost_from_the_start(self) -> None:
        """The first so many of them, of whom the last makes room first."""
        peers = [missing_member(f"m{index}", ("10.1.0.1", 1 + index)) for index in range(LOST_MAX + 2)]
        roster = Roster(SerfSettings(), lost=peers)
        assert [each.name for each in roster.lost()] == [each.name for each in reversed(peers[:LOST_MAX])]
        roster.joined(record("other", 0), 0.0)
        roster.departed("other", 0.0)
        roster.reap(1e6, keep_failed=False)
        assert [each.name for each in roster.lost()][:1] == [f"m{LOST_MAX - 2}"]

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
