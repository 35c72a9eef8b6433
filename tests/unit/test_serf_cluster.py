"""Small clusters of Serfs on a network in memory: what they find out together, in virtual time."""

from dataclasses import replace
from functools import partial

from twisted.trial.unittest import SynchronousTestCase

from onevalue.config import LAN, SerfSettings
from onevalue.serf.core import Serf
from onevalue.serf.events import JoinDone, MemberFailed, MemberJoin, MemberReap, UserEvents
from onevalue.serf.members import MemberStatus
from tests.unit.serf_net import SerfNet, hear_alive, make_serf, member, quick, told

ALIVE, FAILED, LEFT = MemberStatus.ALIVE, MemberStatus.FAILED, MemberStatus.LEFT


def _joined(size: int, *, seed: int = 1, settings: SerfSettings | None = None, loss: float = 0.0) -> SerfNet:
    net = SerfNet(size, settings=settings, swim_settings=quick(), seed=seed, loss=loss)
    net.join_all()
    net.run(3.0)
    net.forget_told()
    return net


def _update_tags(serf: Serf, tags: dict[str, str], _: object, now: float) -> None:
    serf.update_tags(tags, now)


def _deploy(serf: Serf, payload: bytes, _: object, now: float) -> None:
    serf.user_event("deploy", payload, coalesce=False, now=now)


class MembershipTests(SynchronousTestCase):
    """Who is there."""

    def test_two_nodes_that_join_know_each_other_with_their_tags(self) -> None:
        """On both sides, each told once."""
        net = SerfNet(2)
        net.join("n2", "n1")
        assert net.run_until(lambda: net.all_see(ALIVE, ["n1", "n2"]), 1.0)
        for at, other, index in [("n1", "n2", "2"), ("n2", "n1", "1")]:
            known = member(net.serfs[at], other)
            assert known is not None
            assert known.tags == {"index": index}
            assert [event.member.name for event in net.told(at, MemberJoin)] == [at, other]
        assert [event.error for event in net.told("n2", JoinDone)] == [None]

    def test_a_member_that_crashes_has_failed_for_all(self) -> None:
        """Within the bound of the failure detector, told once."""
        net = _joined(5)
        net.crash("n4")
        assert net.run_until(lambda: net.all_see(FAILED, ["n4"]), 20.0)
        net.run(20.0)
        for name in ("n1", "n2", "n3", "n5"):
            assert [event.member.name for event in net.told(name, MemberFailed)] == ["n4"]

    def test_only_joins_that_were_asked_for_are_told(self) -> None:
        """Not the push/pulls that nodes have with each other from time to time."""
        net = SerfNet(2, swim_settings=replace(LAN, push_pull_interval_s=1.0))
        net.join_all()
        assert [event.error for event in net.told("n2", JoinDone)] == [None]
        net.forget_told()
        net.run(10.0)
        assert all(net.told(name, JoinDone) == [] for name in net.names)

    def test_new_tags_reach_all(self) -> None:
        """By gossip."""
        net = _joined(4)
        net.call("n2", lambda _, now: net.serfs["n2"].update_tags({"role": "db"}, now))
        net.run(3.0)
        assert [member(net.serfs[name], "n2").tags for name in net.names] == [{"role": "db"}] * 4  # type: ignore[union-attr]  # None fails here

    def test_a_node_that_starts_anew_with_incarnation_one_is_alive_again_for_all(self) -> None:
        """Whether the others had called it failed or left, or had not noticed (pitfall 7)."""
        for away_s, leaves in [(0.2, False), (20.0, False), (20.0, True)]:
            self._check_restart(away_s, leaves=leaves)

    def _check_restart(self, away_s: float, *, leaves: bool) -> None:
        net = _joined(4)
        for run in ("1", "2", "3"):  # the others remember an incarnation above 1
            net.call("n4", partial(_update_tags, net.serfs["n4"], {"run": run}))
        net.run(3.0)
        if leaves:
            net.call("n4", lambda _, now: net.serfs["n4"].leave(now))
            net.run(7.1)
        net.crash("n4")
        net.run(away_s)
        net.begin(4)
        net.join("n4", "n2")
        net.run(5.0)
        assert net.all_see(ALIVE, net.names), (away_s, leaves)
        net.run(60.0)
        assert net.all_see(ALIVE, net.names), (away_s, leaves)
        assert all(member(net.serfs[name], "n4").tags == {"index": "4"} for name in net.names)  # type: ignore[union-attr]  # None fails here

    def test_a_left_member_is_reaped_after_its_time(self) -> None:
        """A failed one too; and told."""
        net = _joined(4, settings=SerfSettings(tombstone_timeout_s=30.0, reconnect_timeout_s=60.0))
        net.call("n4", lambda _, now: net.serfs["n4"].leave(now))
        net.run(7.1)
        net.crash("n4")
        net.crash("n3")
        net.run(120.0)
        for name in ("n1", "n2"):
            assert [event.member.name for event in net.told(name, MemberReap)] == ["n4", "n3"]
            assert [each.name for each in net.serfs[name].members()] == ["n1", "n2"]


class ReconnectTests(SynchronousTestCase):
    """Coming together again."""

    def test_the_sides_of_a_partition_that_outlasts_all_timeouts_find_each_other_by_themselves(self) -> None:
        """Half against half, and one node against all; though memberlist has forgotten the other side long since."""
        for left in (["n1"], ["n1", "n2"]):
            self._check_partition(left)

    def _check_partition(self, left: list[str]) -> None:
        settings = SerfSettings(
            reconnect_timeout_s=120.0
        )  # of the larger side only the isolated node keeps whom it lost
        net = _joined(4, settings=settings if len(left) == 1 else None)
        right = [name for name in net.names if name not in left]
        net.cut(left, right)
        net.run(300.0)
        for name in left:
            assert [net.status(name, other) for other in right] == [FAILED] * len(right)
        net.heal()
        assert net.run_until(lambda: net.all_see(ALIVE, net.names), 90.0), left

    def test_an_isolated_node_keeps_dialling_whom_it_lost_beyond_the_time_to_reap_them(self) -> None:
        """At least one of them each interval; it forgets nobody while it sees nobody."""
        settings = SerfSettings(reconnect_timeout_s=60.0)
        serf = make_serf(1, settings=settings, swim_settings=replace(LAN, tcp_pings=False))
        serf.start(0.0)
        hear_alive(serf, "n2", 2)
        dialled: list[float] = []
        while (now := serf.next_deadline()) is not None and now < 3600.0:
            serf.handle_timer(now)
            serf.datagrams_to_send()
            if serf.streams_to_open():
                dialled.append(now)
        assert [each.status for each in serf.members()] == [ALIVE, FAILED]
        failed_at = 60.0
        late = [at for at in dialled if at > failed_at]
        assert (
            max(b - a for a, b in zip(late, [*late[1:], 3600.0], strict=True)) <= settings.reconnect_interval_s + 0.01
        )
        assert not any(isinstance(event, MemberReap) for event in told(serf))

    def test_a_node_does_not_dial_its_own_address(self) -> None:
        """Though a failed member was there: the node has another name since."""
        serf = make_serf(1, name="renamed", swim_settings=replace(LAN, tcp_pings=False))
        serf.start(0.0)
        hear_alive(serf, "n1", 1)
        while (now := serf.next_deadline()) is not None and now < 300.0:
            serf.handle_timer(now)
            assert all(now < 60.0 for _ in serf.streams_to_open())  # exchanges with n1 until it has failed
        assert [each.status for each in serf.members()] == [FAILED, ALIVE]

    def test_a_node_that_is_leaving_dials_nobody(self) -> None:
        """It would be brought back."""
        serf = make_serf(1, swim_settings=replace(LAN, tcp_pings=False))
        serf.start(0.0)
        hear_alive(serf, "n2", 2)
        serf.leave(0.1)
        while (now := serf.next_deadline()) is not None and now < 200.0:
            serf.handle_timer(now)
            assert all(now < 40.0 for _ in serf.streams_to_open())  # exchanges with n2 until it has failed


class EventTests(SynchronousTestCase):
    """User events in a cluster."""

    def test_an_event_reaches_all_others_exactly_once(self) -> None:
        """From any node, though every tenth packet is lost; gossip may miss one, and a push/pull then brings it."""
        net = _joined(6, loss=0.1)
        for number, name in enumerate(net.names):
            net.call(name, partial(_deploy, net.serfs[name], name.encode()))
            net.run(0.1 * number)
        net.run(120.0)
        for name in net.names:
            heard = [each.payload for event in net.told(name, UserEvents) for each in event.events]
            assert sorted(heard) == sorted(other.encode() for other in net.names if other != name), name

    def test_a_newcomer_gets_the_events_of_the_past_together(self) -> None:
        """As one, from the member that it joins."""
        net = _joined(3)
        for payload in (b"0", b"1", b"2"):
            net.call("n1", partial(_deploy, net.serfs["n1"], payload))
        net.run(3.0)
        net.begin(4)
        net.join("n4", "n2")
        net.run(5.0)
        (all_of_them,) = net.told("n4", UserEvents)
        assert [each.payload for each in all_of_them.events] == [b"0", b"1", b"2"]

    def test_a_held_event_goes_no_further_than_it_is_sent(self) -> None:
        """Only straight copies, and the gossip of its origin; not that of those who heard it."""
        net = SerfNet(3, held_events=["onevalue"])
        net.join_all()
        net.run(3.0)
        net.cut(["n1"], ["n3"])
        net.call(
            "n1",
            lambda _, now: net.serfs["n1"].user_event(
                "onevalue", b"7", coalesce=False, slot="onevalue", direct=[net.nodes["n2"].address], now=now
            ),
        )
        net.run(1.0)
        assert [each.relay_wanted for each in net.told("n2", UserEvents)[0].events] == [True]
        assert net.told("n3", UserEvents) == []

    def test_one_seed_gives_one_run(self) -> None:
        """Every event at every node, twice the same."""
        runs = []
        for _ in range(2):
            net = _joined(4, seed=5, loss=0.2)
            net.crash("n2")
            net.run(30.0)
            runs.append([(name, repr(node.events)) for name, node in net.nodes.items()])
        assert runs[0] == runs[1]
