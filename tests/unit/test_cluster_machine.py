"""A small simulated cluster under whatever hypothesis does to it, so that what fails shrinks to its few causes."""

import gc
from collections.abc import Sequence
from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from twisted.internet.defer import TimeoutError  # noqa: A004  # Twisted has its own
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from onevalue.config import LAN, LOCAL, SwimSettings
from onevalue.simulation.cluster import Host, Settings
from onevalue.simulation.network import LATENCIES, Link
from onevalue.spread.admission import GENERATION_LEAP_MAX
from onevalue.store import State
from tests.long import takes_long
from tests.strategies import LONG_LAW
from tests.unit.cluster_game import Game

LIVES = settings(LONG_LAW, derandomize=True, max_examples=55, stateful_step_count=20)
"""The same lives each time: a campaign of the simulator looks at more of them."""

HOSTS_MAX = 5

hosts = st.integers(0, HOSTS_MAX - 1)
"""Taken modulo how many there are."""

groups = st.integers(1, (1 << HOSTS_MAX) - 1)
"""Of hosts, one a bit."""

pauses = st.sampled_from([0.0, 0.0, 0.002, 0.01, 0.1, 0.5, 2.0])
"""What passes after a rule; the third of them within a commit."""

links = st.builds(
    Link,
    st.sampled_from(["lan", "lan", "wan"]).map(LATENCIES.__getitem__),
    loss=st.sampled_from([0.0, 0.0, 0.05]),
    copies=st.sampled_from([0.0, 0.0, 0.3]),
)

demands = st.sampled_from(["nothing", "nothing", "current", "head", "another"])


class Life(RuleBasedStateMachine):
    """All that may happen to a cluster, and to its hosts and clients. Each rule but the first lasts for its `pause`."""

    def __init__(self) -> None:
        super().__init__()
        self.game: Game | None = None

    @initialize(
        seed=st.integers(0, 1 << 16),
        size=st.sampled_from([3, 3, 4, HOSTS_MAX]),
        join=st.integers(1, 3),
        swim=st.sampled_from([LOCAL, LAN]),
        link=links,
        disk_s=st.sampled_from([0.01, 0.0005, 0.1]),
        calm_s=st.sampled_from([3.0, 0.0, 12.0, 12.0]),
        newcomer=st.booleans(),
    )
    def begin(
        self,
        seed: int,
        size: int,
        join: int,
        swim: SwimSettings,
        link: Link,
        disk_s: float,
        calm_s: float,
        newcomer: bool,
    ) -> None:
        """A cluster that starts just now, or has a value, or has had it for long."""
        self.game = Game(seed, size, join, link, Settings(swim=replace(swim, compression=False)))
        globalLogPublisher.addObserver(self.game.look)  # type: ignore[arg-type]  # an observer
        *others, last = self.game.cluster.hosts
        for host in self.game.cluster.hosts:
            host.disk.write_s = disk_s
        for host in others if newcomer else [*others, last]:
            self.game.start(host)
        if calm_s:
            self.game.pass_time(1.5)
            self._ask([self._host(0)] * 2, "nothing")
            self.game.pass_time(calm_s - 1.5)
        if newcomer:
            self._begin_anew(last, 0.01)

    def _host(self, index: int) -> Host:
        return self._now.cluster.hosts[index % len(self._now.cluster.hosts)]

    @property
    def _now(self) -> Game:
        assert self.game is not None, "it has begun"
        return self.game

    def _is_done(self, pause: float) -> None:
        """A fault was made: from now on the referee lets nodes be called failed."""
        self._now.referee.fault_free = False
        self._now.pass_time(pause)

    # What clients do

    @rule(where=st.lists(hosts, min_size=1, max_size=4), demand=demands, pause=pauses)
    def write(self, where: list[int], demand: str, pause: float) -> None:
        """Some write at the same moment, here and there."""
        self._ask([self._host(index) for index in where], demand)
        self._now.pass_time(pause)

    @rule(pause=pauses)
    def all_write(self, pause: float) -> None:
        """On each node somebody writes upon what it shows."""
        self._ask(self._now.cluster.hosts, "current")
        self._now.pass_time(pause)

    def _ask(self, where: Sequence[Host], demand: str) -> None:
        for host in where:
            if host.node is not None:
                self._now.clients.ask(host, demand)

    @rule(index=hosts, ahead=st.sampled_from([0, 1, 2, GENERATION_LEAP_MAX, GENERATION_LEAP_MAX + 1]), pause=pauses)
    def leap(self, index: int, ahead: int, pause: float) -> None:
        """Somebody pushes a state in the original's way, perhaps one that may not be admitted."""
        node = self._host(index).node
        if node is not None and not node.parts.spread.learning:
            self._now.clients.push(node, ahead)
        self._now.pass_time(pause)

    @rule(hundredths=st.integers(1, 500))
    def time_passes(self, hundredths: int) -> None:
        """Nothing else happens."""
        self._now.pass_time(hundredths / 100)

    # What happens to nodes and hosts

    @rule(index=hosts, power=st.booleans(), back=st.booleans(), pause=pauses)
    def crash(self, index: int, power: bool, back: bool, pause: float) -> None:
        """A node ends, or its host with it; perhaps it is back at once."""
        host = self._host(index)
        self._now.cluster.crash(host, power=power)
        if back:
            self._now.start(host)
        self._is_done(pause)

    @rule(index=hosts, moment=st.sampled_from([1.0, 0.75, 1.5, 0.5, 2.0, 3.0]), pause=pauses)
    def crash_when_overtaken(self, index: int, moment: float, pause: float) -> None:
        """Somebody writes upon what a node shows, another is faster, and the node crashes at a moment of its commit.

        The disk has such a write after one time of its at most, and after three what overtook it.
        """
        host = self._host(index)
        if host.node is not None and not host.node.parts.spread.learning:
            self._ask([host], "current")
            self._now.clients.push(host.node, 2)
            self._now.pass_time(moment * host.disk.write_s)
            self._now.cluster.crash(host)
            self._now.start(host)
        self._is_done(pause)

    @rule(index=hosts, pause=pauses)
    def lose_disk(self, index: int, pause: float) -> None:
        """A node ends, and begins anew with nothing."""
        host = self._host(index)
        self._now.cluster.crash(host)
        host.disk.wipe()
        self._now.referee.wiped(host)
        self._now.clients.wiped(host)
        self._now.referee.fault_free = False
        self._begin_anew(host, pause)

    def _begin_anew(self, host: Host, pause: float) -> None:
        """A node starts that knows nothing, and somebody does not cease to write there until it does."""
        self._now.start(host)
        for _ in range(3):
            self._ask([host], "nothing")
            self._now.pass_time(pause)

    @rule(index=hosts, pause=pauses)
    def stop(self, index: int, pause: float) -> None:
        """A node is told to stop, which takes some seconds."""
        host = self._host(index)
        if host.node is not None and host.node.service.running:
            self._now.cluster.stop(host)
        self._is_done(pause)

    @rule(group=groups, seconds=st.sampled_from([0.3, 1.0, 12.0]), pause=pauses)
    def stall(self, group: int, seconds: float, pause: float) -> None:
        """Some nodes do nothing for a while."""
        until = self._now.cluster.clock.now + seconds
        for host in self._now.cluster.hosts:
            if host.node is not None and group >> host.index & 1:
                host.node.clock.stalled_until = max(host.node.clock.stalled_until, until)
        self._is_done(pause)

    @rule(index=hosts, how=st.sampled_from(["breaks", "hangs"]), demand=demands, pause=pauses)
    def disk(self, index: int, how: str, demand: str, pause: float) -> None:
        """A disk takes nothing, or does not answer, and two write there."""
        host = self._host(index)
        if how == "breaks":
            host.disk.broken = "database or disk is full"
        else:
            host.disk.hangs = True
        self._ask([host, host], demand)
        self._is_done(pause)

    # What happens to the network

    @rule(group=groups, both_ways=st.booleans(), writes=st.booleans(), pause=pauses)
    def cut(self, group: int, both_ways: bool, writes: bool, pause: float) -> None:
        """Nothing passes from some hosts to the others, or back; perhaps one writes on each side."""
        cluster = self._now.cluster
        left = [host for host in cluster.hosts if group >> host.index & 1]
        right = [host for host in cluster.hosts if host not in left]
        cuts = [(a.address, b.address) for a in left for b in right]
        cluster.network.cuts.update(dict.fromkeys(cuts + [(b, a) for a, b in cuts if both_ways]))
        if writes:
            self._ask(left[:1] + right[:1], "nothing")
        self._is_done(pause)

    @rule(loss=st.sampled_from([0.0, 0.05, 0.3, 0.6]), pause=pauses)
    def lose(self, loss: float, pause: float) -> None:
        """The network loses so many packets from now on."""
        network = self._now.cluster.network
        network.link = replace(network.link, loss=loss)
        self._is_done(pause)

    @rule(what=st.sampled_from(["nodes", "disks", "cuts"]), pause=pauses)
    def mend(self, what: str, pause: float) -> None:
        """All hosts run nodes again, or all disks work, or no cut is left."""
        if what == "cuts":
            self._now.cluster.network.cuts.clear()
        for host in self._now.cluster.hosts:
            if what == "nodes":
                self._now.start(host)
            elif what == "disks":
                host.disk.repair()
        self._now.pass_time(pause)

    # What always holds

    @invariant()
    def nobody_complains(self) -> None:
        """Neither the referee, nor a client, nor the log."""
        if self.game is not None:
            self.game.check()

    def teardown(self) -> None:
        """The faults stop, and all agree."""
        game = self.game
        if game is None:
            return
        try:
            if game.complaint is None:
                game.stop_faults()
                game.settle()
        finally:
            globalLogPublisher.removeObserver(game.look)  # type: ignore[arg-type]  # an observer


class ClusterMachineTests(SynchronousTestCase):
    """A simulated cluster keeps its promises."""

    @takes_long
    def test_any_life_of_a_cluster(self) -> None:
        """Whatever happens, in any order; nobody is left who fails unheard."""
        run_state_machine_as_test(Life, settings=LIVES)
        gc.collect()  # what a Deferred failed with unheard is logged then
        self.flushLoggedErrors(TimeoutError)  # type: ignore[no-untyped-call]  # see `look`

    def test_one_seed_is_one_run(self) -> None:
        """The same seed and the same faults: the same packets at the same times."""
        one, same, other = _played(7), _played(7), _played(8)
        assert one == same
        assert one != other


def _played(seed: int) -> tuple[int, int, list[State]]:
    """A life with a bit of everything: what has come at last."""
    life = Life()
    link = Link(LATENCIES["lan"], loss=0.05, copies=0.3)
    life.begin(seed=seed, size=4, join=2, swim=LOCAL, link=link, disk_s=0.01, calm_s=3.0, newcomer=True)
    life.write(where=[0, 1, 1], demand="current", pause=0.002)
    life.lose_disk(index=1, pause=0.1)
    life.crash(index=2, power=True, back=True, pause=0.5)
    life.cut(group=3, both_ways=False, writes=True, pause=2.0)
    life.stall(group=4, seconds=1.0, pause=0.0)
    life.disk(index=0, how="hangs", demand="head", pause=0.5)
    life.stop(index=3, pause=2.0)
    life.teardown()
    assert life.game is not None
    cluster = life.game.cluster
    return cluster.network.digest, cluster.clock.steps, [node.current for node in cluster.nodes]
