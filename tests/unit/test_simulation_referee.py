"""The referee: each thing that must hold is missed when it does not, and a sound cluster has nothing to fear."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from twisted.trial.unittest import SynchronousTestCase

from onevalue.config import LOCAL
from onevalue.simulation.cluster import Cluster, Host, Settings, SimNode
from onevalue.simulation.network import LATENCIES, Link
from onevalue.simulation.referee import STABLE_S, Complaint, Referee
from onevalue.store import State
from onevalue.types import Generation, Incarnation

SETTINGS = Settings(swim=replace(LOCAL, compression=False))


def state(generation: int, value: int = 7) -> State:
    """A state without origin and time."""
    return State(Generation(generation), value)


class RefereeTests(SynchronousTestCase):
    """Three nodes that know each other."""

    def setUp(self) -> None:
        self.cluster = Cluster(1, 3, Link(LATENCIES["lan"]), SETTINGS, self.starting)
        self.referee = Referee(self.cluster, fault_free=True)
        for host in self.cluster.hosts:
            self.start(host)
        self.wait(STABLE_S + 5)
        self.host = self.cluster.hosts[2]
        self.node = self.running(self.host)

    def start(self, host: Host) -> None:
        """A node starts, and joins the first."""
        self.cluster.start(host, [self.cluster.hosts[0].address])

    def starting(self, node: SimNode, host: Host) -> None:
        """See Cluster."""
        self.referee.starting(node, host, self.cluster.hosts[:1])

    def running(self, host: Host) -> SimNode:
        """The node of a host."""
        assert host.node is not None
        return host.node

    def wait(self, seconds: int) -> None:
        """Seconds pass under the eyes of the referee."""
        for _ in range(seconds):
            self.cluster.clock.run_until(self.cluster.clock.now + 1.0, self.referee.after)
            self.referee.second()

    def write(self, host: Host, value: int) -> None:
        """A write that is acknowledged."""
        node = self.running(host)
        known = self.referee.known(node)
        writing = node.parts.writer.write(value)
        writing.addCallback(lambda made: self.referee.acknowledged(node, host, made, known))
        self.wait(1)
        self.successResultOf(writing)

    def check_complaint(self, about: str, spoil: Callable[[], object]) -> None:
        """What spoils the cluster is complained about, at the next step of the node."""
        assert self.referee.complaint is None
        spoil()
        self.node.clock.callLater(0, int)
        with pytest.raises(Complaint, match=about):
            self.wait_for_a_complaint()

    def wait_for_a_complaint(self) -> None:
        """As a run does, which ends with it."""
        self.wait(2)
        if self.referee.complaint is not None:
            raise Complaint(self.referee.complaint)

    def test_a_sound_cluster_is_not_complained_about(self) -> None:
        """Writes, a crash, a restart and a stop are all in order, and in the end all agree."""
        self.write(self.host, 1)
        self.cluster.crash(self.host)
        self.wait(3)
        self.start(self.host)
        self.wait(5)
        self.write(self.host, 2)
        self.cluster.stop(self.cluster.hosts[1])
        self.wait(15)
        assert (self.referee.complaint, self.referee.unsettled()) == (None, None)

    def test_a_visible_generation_must_not_go_back(self) -> None:
        """Whatever may have happened elsewhere."""
        self.write(self.host, 1)
        self.check_complaint("went from 1 at 1 back to 7 at 0", lambda: self.spoil_current(state(0)))

    def spoil_current(self, spoilt: State) -> None:
        """Readers see this state."""
        self.node.parts.store._current = spoilt

    def test_a_durable_state_must_not_go_back(self) -> None:
        """Unless the disk was lost."""
        self.write(self.host, 1)

        def spoil() -> None:
            self.host.disk.contents = replace(self.host.disk.contents, state=state(0))

        self.check_complaint("the disk of n00002 went from 1 at 1 to 7 at 0", spoil)

    def test_the_own_incarnation_must_not_go_back(self) -> None:
        """Others would not believe it any more."""
        states = self.node.embedded.serf.swim._states

        def spoil() -> None:
            self.wait(1)
            states.table.put(replace(states.local, incarnation=Incarnation(0)), self.node.parts.spread._rng)

        self.check_complaint("went from incarnation 1 back to 0", spoil)

    def test_what_is_acknowledged_is_on_the_disk(self) -> None:
        """At that moment."""
        self.check_complaint(
            "acknowledged 7 at 9, its disk has nothing",
            lambda: self.referee.acknowledged(self.node, self.host, state(9), None),
        )

    def test_a_restarted_node_has_what_it_acknowledged(self) -> None:
        """If its disk was not lost."""
        self.write(self.host, 1)

        def spoil() -> None:
            self.cluster.crash(self.host)
            self.host.disk.wipe()
            self.start(self.host)

        self.check_complaint("starts with 42 at 0, but acknowledged 1 at 1", spoil)

    def test_a_lost_disk_is_no_complaint(self) -> None:
        """Nobody promises more."""
        self.write(self.host, 1)
        self.cluster.crash(self.host)
        self.host.disk.wipe()
        self.referee.wiped(self.host)
        self.start(self.host)
        self.wait(3)
        assert (self.referee.complaint, self.running(self.host).current) == (None, state(1, 1))

    def test_a_write_must_stand_above_what_others_hold_for_long(self) -> None:
        """While nothing keeps the nodes from each other."""
        self.write_and_restart()
        known = self.referee.known(self.node)
        assert known == state(1, 1)
        self.check_complaint(
            "though others have held 1 at 1 for long",
            lambda: self.referee.acknowledged(self.node, self.host, state(1, 0), known),
        )

    def write_and_restart(self) -> None:
        """A write that all have had for long, and then the node starts again."""
        self.write(self.cluster.hosts[0], 1)
        self.wait(STABLE_S)
        self.cluster.crash(self.host)
        self.start(self.host)
        self.node = self.running(self.host)

    def test_after_a_disturbance_nothing_is_known_for_certain(self) -> None:
        """Until all have known all again for long enough; nor for nodes that nobody could have told."""
        assert self.referee.known(self.node) is None
        self.write_and_restart()
        assert self.referee.known(self.node) == state(1, 1)
        self.referee.disturbed()
        assert self.referee.known(self.node) is None

    def test_nobody_is_called_failed_to_whom_nothing_was_done(self) -> None:
        """Where there are no faults at all."""
        serf = self.node.embedded.serf
        self.check_complaint(
            "n00002 calls n00000 failed",
            lambda: serf.swim._states._suspicion_fires("n00000", self.node.clock.seconds()),
        )

    def test_packets_have_a_limit(self) -> None:
        """That of the settings."""
        self.check_complaint(
            "a packet of 10.0.0.3 has 1401 bytes, not 1400 at most",
            lambda: self.node.endpoint.send(bytes(1401), ("10.0.0.1", 7946)),
        )

    def test_queues_have_bounds(self) -> None:
        """Those that are named in the code."""
        self.check_complaint("the queue .* has 5000 entries, not 4096 at most", self.spoil_queue)

    def spoil_queue(self) -> None:
        """More events wait than may."""
        queue = self.node.embedded.serf._broadcasts._events
        queue._entries_max = 9999
        for number in range(5000):
            queue.add(b"%d" % number)

    def test_every_node_goes_on_with_its_work(self) -> None:
        """Once the faults have stopped each must probe others, or it will never miss anybody."""
        self.referee.calm()
        assert self.referee.unsettled() == "n00000 has probed nobody since"
        self.wait(3)
        assert self.referee.unsettled() is None

    def test_who_does_not_agree_is_named(self) -> None:
        """By what it holds, whom it knows, what its disk has, or that it takes no writes."""
        assert self.referee.unsettled() is None
        self.spoil_current(state(9))
        assert self.referee.unsettled() == "n00001 holds 42 at 0, and n00002 7 at 9"
        for host in self.cluster.hosts:
            self.running(host).parts.store._current = state(9)
        assert self.referee.unsettled() == "the disk of n00000 has nothing, its node 7 at 9"
        for host in self.cluster.hosts:
            host.disk.contents = replace(host.disk.contents, state=state(9))
        self.cluster.crash(self.cluster.hosts[1])
        assert self.referee.unsettled() == "n00000 takes for alive n00001"
        self.start(self.cluster.hosts[1])
        assert self.referee.unsettled() == "n00001 takes no writes"
