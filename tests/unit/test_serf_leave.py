"""The graceful leave (wire README 5.6), in virtual time."""

from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from onevalue.config import LAN, SerfSettings
from onevalue.serf.core import Serf
from onevalue.serf.events import JoinDone, LeaveDone, MemberFailed, MemberLeave, MemberReap
from onevalue.serf.leave import GracefulLeave, LeaveStage
from onevalue.serf.members import MemberStatus
from onevalue.types import Incarnation
from onevalue.wire.codec import decode_packet, encode_message, encode_packet
from onevalue.wire.messages import Dead, PacketMessage, PushPull, User
from onevalue.wire.serf_codec import decode_serf
from onevalue.wire.serf_messages import LeaveIntent
from tests.unit.serf_net import STRANGER, SerfNet, hear, hear_alive, make_serf, member, time_of, told


class StageTests(SynchronousTestCase):
    """The state machine alone."""

    def test_stages_follow_each_other_with_the_time_that_each_may_take(self) -> None:
        """3 s for the intent, 3 s for the departure, 1 s of still answering; then nothing more happens."""
        leave = GracefulLeave(SerfSettings())
        stages = [(leave.advance(10.0), leave.deadline) for _ in range(5)]
        assert stages == [
            (LeaveStage.INTENT, 13.0),
            (LeaveStage.DEPARTURE, 13.0),
            (LeaveStage.PROPAGATING, 11.0),
            (LeaveStage.DONE, None),
            (LeaveStage.DONE, None),
        ]


class TimelineTests(SynchronousTestCase):
    """A whole node."""

    def _sent(self, serf: Serf, until: float) -> list[tuple[float, PacketMessage]]:
        """What the node sends while nobody answers, with the time."""
        found: list[tuple[float, PacketMessage]] = []
        while (now := serf.next_deadline()) is not None and now <= until:
            serf.handle_timer(now)
            for data, _ in serf.datagrams_to_send():
                found += [(now, message) for message in decode_packet(data).messages]
        return found

    def test_a_node_that_is_alone_is_done_at_once(self) -> None:
        """There is nobody to wait for."""
        serf = make_serf(1)
        serf.start(0.0)
        serf.leave(1.0)
        assert [type(event) for event in told(serf)[-2:]] == [MemberLeave, LeaveDone]
        assert serf.members()[0].status is MemberStatus.LEFT

    def test_the_intent_goes_before_the_departure_and_both_are_gossiped_to_the_end(self) -> None:
        """Each is sent the full number of times, and no longer waited for; then a second passes (pitfall 5)."""
        serf = make_serf(1)
        serf.start(0.0)
        for index in (2, 3, 4):
            hear_alive(serf, f"n{index}", index)
        self._sent(serf, 3.0)
        serf.leave(3.0)
        sent = self._sent(serf, 7.0)
        intents = [at for at, message in sent if _is_leave_intent(message)]
        departures = [at for at, message in sent if isinstance(message, Dead) and message.accuser == "n1"]
        assert max(intents) <= min(departures)
        assert len(intents) == len(departures) == 4  # RetransmitMult x ceil(log10(4 + 1))
        assert any(isinstance(event, LeaveDone) for event in told(serf))

    def test_timeouts_only_shorten_the_leave(self) -> None:
        """Where gossip would take for ever to be sent often enough the leave ends all the same, after 3 + 3 + 1 s."""
        serf = make_serf(1, swim_settings=replace(LAN, retransmit_mult=10000))
        serf.start(0.0)
        hear_alive(serf, "n2", 2)
        self._sent(serf, 1.0)
        serf.leave(1.0)
        self._sent(serf, 7.9)
        assert not any(isinstance(event, LeaveDone) for event in told(serf))
        self._sent(serf, 8.0)
        assert any(isinstance(event, LeaveDone) for event in told(serf))

    def test_an_intent_that_is_sent_at_last_does_not_shorten_the_next_stage(self) -> None:
        """It took longer than its 3 s; the departure still has all of its own."""
        serf = make_serf(1, swim_settings=replace(LAN, retransmit_mult=20, probe_interval_s=1e6))
        serf.start(0.0)
        hear_alive(serf, "n2", 2)
        serf.leave(1.0)
        sent = self._sent(serf, 7.9)
        departures = [at for at, message in sent if isinstance(message, Dead)]
        assert max(at for at, message in sent if _is_leave_intent(message)) > min(departures)
        assert serf.status()["leave"] == "propagating"
        self._sent(serf, 8.0)
        assert serf.status()["leave"] == "done"

    def test_nobody_makes_a_node_that_leaves_forget_itself_or_join_again(self) -> None:
        """Neither by a leave intent with prune nor by an answer to a join of before."""
        serf = make_serf(1)
        serf.start(0.0)
        hear_alive(serf, "n2", 2)
        request_id = serf.join(("10.0.0.2", 7946), 0.5)
        serf.leave(1.0)
        hear(serf, LeaveIntent(time_of(50), "n1", prune=True), 1.1)
        serf.stream_answered(request_id, PushPull(join=True, nodes=()), 1.2)
        assert any(isinstance(event, JoinDone) and event.error is None for event in told(serf))
        self._sent(serf, 20.0)
        own = member(serf, "n1")
        assert own is not None
        assert own.status is MemberStatus.LEFT

    def test_a_member_that_leaves_for_good_is_forgotten_and_told_when_it_is_gone(self) -> None:
        """A leave intent with prune about an alive member that says nothing."""
        serf = make_serf(1, swim_settings=replace(LAN, probe_interval_s=1e6))
        serf.start(0.0)
        hear_alive(serf, "n2", 2)
        hear(serf, LeaveIntent(time_of(50), "n2", prune=True), 1.0)
        self._sent(serf, 20.0)
        assert member(serf, "n2") is not None
        told(serf)
        dead = encode_message(Dead(Incarnation(1), "n2", "n2"))
        serf.receive_datagram(encode_packet([dead], compress=False, crc=False), STRANGER, 20.0)
        assert [type(event) for event in told(serf)] == [MemberLeave, MemberReap]
        assert member(serf, "n2") is None

    def test_a_second_leave_does_nothing(self) -> None:
        """The first goes on."""
        serf = make_serf(1)
        serf.start(0.0)
        hear_alive(serf, "n2", 2)
        serf.leave(1.0)
        clocks = serf.clocks
        serf.leave(2.0)
        assert serf.clocks == clocks


def _is_leave_intent(message: PacketMessage) -> bool:
    return isinstance(message, User) and isinstance(decode_serf(message.body), LeaveIntent)


class ClusterTests(SynchronousTestCase):
    """What the others see."""

    def test_a_node_that_leaves_is_left_for_all_and_failed_for_nobody(self) -> None:
        """Within the leave's own time, even if it is gone from the network right after; for several seeds."""
        for seed in range(8):
            self._check_leave(seed)

    def _check_leave(self, seed: int) -> None:
        net = _joined(5, seed)
        net.call("n3", lambda _, now: net.serfs["n3"].leave(now))
        assert net.run_until(lambda: bool(net.told("n3", LeaveDone)), 7.1), seed
        net.crash("n3")
        net.run(20.0)
        for name in ("n1", "n2", "n4", "n5"):
            assert net.status(name, "n3") is MemberStatus.LEFT, (seed, name)
            assert len(net.told(name, MemberLeave)) == 1, (seed, name)
            assert net.told(name, MemberFailed) == [], (seed, name)

    def test_a_failed_member_that_is_made_to_leave_is_left_for_all(self) -> None:
        """By one word at one node; with prune all forget it."""
        for prune, expected in [(False, MemberStatus.LEFT), (True, None)]:
            self._check_force_leave(expected, prune=prune)

    def _check_force_leave(self, expected: MemberStatus | None, *, prune: bool) -> None:
        net = _joined(4)
        net.crash("n4")
        assert net.run_until(lambda: net.all_see(MemberStatus.FAILED, ["n4"]), 30.0)
        net.call("n1", lambda _, now: net.serfs["n1"].force_leave("n4", prune=prune, now=now))
        net.run(5.0)
        assert [net.status(name, "n4") for name in ("n1", "n2", "n3")] == [expected] * 3
        assert [len(net.told(name, MemberReap)) for name in ("n1", "n2", "n3")] == [int(prune)] * 3

    def test_a_node_that_is_alive_contradicts_who_would_make_it_leave(self) -> None:
        """It is alive for all, with a newer time."""
        net = _joined(4)
        net.call("n1", lambda _, now: net.serfs["n1"].force_leave("n4", prune=True, now=now))
        assert net.status("n1", "n4") is MemberStatus.LEAVING
        net.run(10.0)
        assert net.all_see(MemberStatus.ALIVE, net.names)


def _joined(size: int, seed: int = 1) -> SerfNet:
    net = SerfNet(size, seed=seed)
    net.join_all()
    net.run(3.0)
    net.forget_told()
    return net
