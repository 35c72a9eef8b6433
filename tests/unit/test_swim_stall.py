"""A member that has stood still doubts itself before it accuses others."""

from twisted.trial.unittest import SynchronousTestCase

from onevalue.config import LAN, SwimSettings
from onevalue.swim.probe import DOUBTS_MAX
from onevalue.swim.stall import STALL_SHARE
from onevalue.swim.suspicion import PUT_OFFS_MAX, Suspicion
from onevalue.types import Incarnation
from onevalue.wire.messages import Ack, NodeStatus, Ping, Suspect
from tests.unit.swim_bench import Bench, address_of, alive

QUIET = SwimSettings(
    probe_interval_s=1000.0
)  # its suspicions last 4000 to 24000 s, so that little else happens meanwhile


def stand_still(bench: Bench, seconds: float) -> None:
    """The member does nothing for so long, and then first what was due meanwhile, as a reactor does."""
    bench.now += seconds
    bench.swim.handle_timer(bench.now)


def status(bench: Bench, name: str) -> NodeStatus | None:
    """What the member under test takes another for."""
    record = bench.swim.member(name)
    return None if record is None else record.status


def suspicion_s(bench: Bench, name: str) -> float:
    """When the suspicion about a member ends."""
    return bench.swim._states._suspicions[name].deadline


class SuspicionTests(SynchronousTestCase):
    """Suspicions that end while the member stands still."""

    def suspected(self) -> Bench:
        """It was told that b is suspect, a moment ago."""
        bench = Bench("bcde", QUIET)
        bench.hear(Suspect(Incarnation(1), "b", "x"))
        return bench

    def test_a_refutation_that_came_meanwhile_counts(self) -> None:
        """It is read before the suspicion ends, however long ago that was to end."""
        bench = self.suspected()
        stand_still(bench, 30_000.0)
        assert status(bench, "b") is NodeStatus.SUSPECT
        bench.hear(alive("b", 2))
        bench.wait(60.0)
        assert status(bench, "b") is NodeStatus.ALIVE

    def test_without_one_it_ends_a_probe_timeout_after_the_waking(self) -> None:
        """Not sooner, and not later."""
        bench = self.suspected()
        stand_still(bench, 30_000.0)
        bench.wait(LAN.probe_timeout_s - 0.01)
        assert status(bench, "b") is NodeStatus.SUSPECT
        bench.wait(0.02)
        assert status(bench, "b") is NodeStatus.DEAD

    def test_one_that_lasts_longer_is_left_alone(self) -> None:
        """What was read by then is enough."""
        bench = self.suspected()
        before = suspicion_s(bench, "b")
        stand_still(bench, 5.0)
        assert suspicion_s(bench, "b") == before

    def test_what_lasts_longer_uses_up_nothing(self) -> None:
        """It can be put off as often as any other when its time comes."""
        suspicion = Suspicion("x", wanted=0, min_s=10.0, max_s=60.0, now=0.0)
        assert not any(suspicion.put_off(float(until)) for until in range(11))
        assert suspicion.deadline == 10.0
        assert [suspicion.put_off(11.0 + count) for count in range(PUT_OFFS_MAX + 1)] == [True] * PUT_OFFS_MAX + [False]
        assert suspicion.deadline == 10.0 + PUT_OFFS_MAX

    def test_confirmations_do_not_end_it_before_that(self) -> None:
        """They stand among what is read first, and the refutation behind them."""
        bench = self.suspected()
        stand_still(bench, 30_000.0)
        bench.hear(*(Suspect(Incarnation(1), "b", accuser) for accuser in "cde"))
        bench.wait(0.1)
        assert status(bench, "b") is NodeStatus.SUSPECT

    def test_a_member_that_stands_still_again_and_again_accuses_in_the_end(self) -> None:
        """A suspicion is put off so often, and no oftener."""
        bench = self.suspected()
        stand_still(bench, 30_000.0)
        for _ in range(PUT_OFFS_MAX):
            assert status(bench, "b") is NodeStatus.SUSPECT
            stand_still(bench, LAN.probe_timeout_s + 0.3)
        assert status(bench, "b") is NodeStatus.DEAD


class ProbeTests(SynchronousTestCase):
    """Probes during which the member stands still."""

    def begun(self) -> tuple[Bench, Ping]:
        """A probe has begun a moment ago."""
        bench = Bench("bcde")
        ping = bench.wait_for(Ping)[0]
        assert isinstance(ping, Ping)
        return bench, ping

    def test_the_probe_under_way_is_no_evidence(self) -> None:
        """Nobody is suspected; the same member is probed anew at once, and has its whole time."""
        bench, first = self.begun()
        stand_still(bench, 30.0)
        [(again, address)] = bench.sent_of(Ping)
        assert isinstance(again, Ping)
        assert (again.node, address) == (first.node, address_of(first.node))
        assert bench.swim.counters["probes_dropped"] == 1
        bench.wait(0.4)
        bench.hear(Ack(again.seq_no))
        assert bench.swim.counters["probes_failed"] == 0
        assert bench.swim.status()["suspicions"] == 0

    def test_a_late_ack_of_a_dropped_probe_does_no_harm(self) -> None:
        """It is of no probe any more."""
        bench, first = self.begun()
        stand_still(bench, 30.0)
        health = bench.swim.health_score
        bench.hear(Ack(first.seq_no))
        assert bench.swim.health_score == health

    def test_probes_are_not_dropped_for_ever(self) -> None:
        """A member that always stands still suspects whom it cannot reach, some probes later."""
        bench, _ = self.begun()
        for _ in range(DOUBTS_MAX):
            stand_still(bench, 100.0)
        assert bench.swim.counters["probes_failed"] == 0
        stand_still(bench, 100.0)
        assert bench.swim.counters["probes_dropped"] == DOUBTS_MAX
        assert bench.swim.counters["probes_failed"] == 1


class HealthTests(SynchronousTestCase):
    """The health score, and what counts as a stall."""

    def test_it_is_worse_by_the_probes_that_were_missed(self) -> None:
        """Up to the worst there is."""
        slow = SwimSettings(probe_interval_s=5.0)
        table = [
            (0.3, 1, LAN),
            (0.9, 1, LAN),
            (1.3, 2, LAN),
            (4.3, 5, LAN),
            (1e6, 7, LAN),
            (4.3, 1, slow),
            (6.0, 2, slow),
        ]
        for still_s, score, settings in table:
            bench = Bench(settings=settings)
            bench.wait(5.0)
            due = bench.swim._doubt._due
            assert due is not None
            stand_still(bench, due - bench.now + still_s)
            assert bench.swim.health_score == score, still_s
            assert bench.swim.counters["stalls"] == 1

    def test_a_small_delay_is_no_stall(self) -> None:
        """Below half a probe timeout nothing happens: timers are never quite in time."""
        bench = Bench("b", QUIET)
        for _ in range(20):
            due = bench.swim._doubt._due
            assert due is not None
            stand_still(bench, due - bench.now + STALL_SHARE * LAN.probe_timeout_s - 0.001)
        assert (bench.swim.health_score, bench.swim.counters["stalls"]) == (0, 0)

    def test_a_deadline_that_lies_in_the_past_is_no_stall(self) -> None:
        """As that of a suspicion that confirmations have shortened to less than it has lasted."""
        bench = Bench("bcde", QUIET)
        bench.hear(Suspect(Incarnation(1), "b", "x"))
        bench.wait(10_000.0)
        bench.hear(*(Suspect(Incarnation(1), "b", accuser) for accuser in "cde"))
        bench.wait(0.01)
        assert status(bench, "b") is NodeStatus.DEAD
        assert bench.swim.counters["stalls"] == 0

    def test_a_stall_counts_once(self) -> None:
        """However often timers run before the next round of gossip."""
        bench = Bench("b", QUIET)
        stand_still(bench, 100.0)
        for _ in range(3):
            stand_still(bench, 0.0)
        assert bench.swim.counters["stalls"] == 1

    def test_it_takes_nothing_of_chance(self) -> None:
        """Runs of a seed with no stall are what they were before there was doubt."""
        bench = Bench("bcde", QUIET)
        bench.hear(Suspect(Incarnation(1), "b", "x"))
        before = bench.swim._common.rng.getstate()  # type: ignore[attr-defined]  # it is a Random here
        bench.swim._doubt.look(bench.now + 100.0)
        assert bench.swim._common.rng.getstate() == before  # type: ignore[attr-defined]  # as above
        assert bench.swim.counters["stalls"] == 1
