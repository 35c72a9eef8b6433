"""Members that somebody else makes leave, with and without being forgotten: what becomes of them, in virtual time."""

from twisted.trial.unittest import SynchronousTestCase

from onevalue.config import SerfSettings
from onevalue.serf.events import MemberLeave, MemberReap
from onevalue.serf.members import MemberStatus
from onevalue.wire.serf_codec import encode_serf
from onevalue.wire.serf_messages import LeaveIntent
from tests.long import takes_long
from tests.unit.serf_net import SerfNet, hear, hear_alive, make_serf, time_of

ALIVE, FAILED, LEAVING, LEFT = MemberStatus.ALIVE, MemberStatus.FAILED, MemberStatus.LEAVING, MemberStatus.LEFT
FORGOTTEN = None

HEARD_WITHIN_S = 5.0
"""An intent is everywhere by then, and so is what contradicts it."""

BACK_WITHIN_S = 120.0
"""Four reconnect intervals."""


class ForceLeaveTests(SynchronousTestCase):
    """Four nodes; n1 makes n4 leave."""

    def cluster(self, seed: int = 1) -> SerfNet:
        """Nodes that know each other."""
        net = SerfNet(4, seed=seed)
        net.join_all()
        net.run(3.0)
        net.forget_told()
        return net

    def force(self, net: SerfNet, *, prune: bool, name: str = "n4") -> None:
        """n1 says that the member leaves, and all have heard of it."""
        net.call("n1", lambda _, now: net.serfs["n1"].force_leave(name, prune=prune, now=now))
        net.run(HEARD_WITHIN_S)

    def seen(self, net: SerfNet, name: str = "n4") -> list[MemberStatus | None]:
        """What n1, n2 and n3 see of it."""
        return [net.status(at, name) for at in ("n1", "n2", "n3")]

    def test_a_failed_member_has_left_or_is_forgotten(self) -> None:
        """At all members, each told once."""
        for prune, status in [(False, LEFT), (True, FORGOTTEN)]:
            net = self.cluster()
            net.crash("n4")
            net.run(40.0)
            assert self.seen(net) == [FAILED] * 3
            self.force(net, prune=prune)
            assert self.seen(net) == [status] * 3
            for at in ("n1", "n2", "n3"):
                assert len(net.told(at, MemberLeave)) == 1
                assert len(net.told(at, MemberReap)) == int(prune)

    def test_an_alive_member_contradicts(self) -> None:
        """It is not forgotten either; nor when it hears of it late, and was leaving for others meanwhile."""
        for prune in (False, True):
            for deaf_s in (0.0, 4.8):  # not long enough to fail
                net = self.cluster()
                net.pause("n4", deaf_s)
                self.force(net, prune=prune)
                net.run(deaf_s)
                assert self.seen(net) == [ALIVE] * 3, (prune, deaf_s)
                net.run(60.0)
                assert self.seen(net) == [ALIVE] * 3, (prune, deaf_s)
                assert not any(net.told(at, MemberReap) for at in net.names)

    def test_a_member_that_fails_after_that_has_left_or_is_forgotten_then(self) -> None:
        """It crashed just before, and nobody had noticed."""
        for prune, status in [(False, LEFT), (True, FORGOTTEN)]:
            net = self.cluster()
            net.crash("n4")
            self.force(net, prune=prune)
            assert self.seen(net) == [LEAVING] * 3
            net.run(40.0)
            assert self.seen(net) == [status] * 3

    def test_an_unknown_name_changes_nothing(self) -> None:
        """And nobody is told."""
        net = self.cluster()
        self.force(net, prune=True, name="nobody")
        assert self.seen(net, "nobody") == [FORGOTTEN] * 3
        assert not any(net.told(at, MemberReap) for at in net.names)

    def test_a_member_that_starts_anew_is_alive(self) -> None:
        """Whatever it was made into."""
        for prune in (False, True):
            net = self.cluster()
            net.crash("n4")
            net.run(40.0)
            self.force(net, prune=prune)
            net.begin(4)
            net.join("n4", "n2")
            net.run(HEARD_WITHIN_S)
            assert net.all_see(ALIVE, net.names), prune

    def test_a_member_that_joins_and_was_made_to_leave_before_is_told_so(self) -> None:
        """It may not have heard of it, and would be leaving for ever; who is simply there is told nothing."""
        for made_to_leave in (True, False):
            serf = make_serf(1)
            serf.start(0.0)
            if made_to_leave:
                hear(serf, LeaveIntent(time_of(7), "n2"))
            while serf.broadcasts(3, 1300):
                pass  # what came as gossip is sent on, as often as it should be
            hear_alive(serf, "n2", 2)
            assert serf.broadcasts(3, 1300) == ([encode_serf(LeaveIntent(time_of(7), "n2"))] if made_to_leave else [])

    @takes_long
    def test_a_member_that_was_out_of_reach_is_alive_when_it_is_back(self) -> None:
        """Alone or with others, though it has not heard what was said of it, and those who dial it or whom it dials.

        It would be leaving for ever at some of them: a push/pull tells its leave, and nobody would have it contradict.
        """
        for side in (["n4"], ["n3", "n4"]):
            for prune in (False, True):
                for away_s in (60.0, 280.0, SerfSettings().recent_intent_timeout_s + 60.0):
                    net = self.cluster()
                    net.cut([name for name in net.names if name not in side], side)
                    net.run(away_s)
                    self.force(net, prune=prune)
                    net.heal()
                    assert net.run_until(lambda: net.all_see(ALIVE, net.names), BACK_WITHIN_S), (side, prune, away_s)  # noqa: B023  # called at once
                    net.run(60.0)
                    assert net.all_see(ALIVE, net.names), (side, prune, away_s)
