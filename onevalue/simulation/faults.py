"""Faults: what is done to the network, the hosts and the nodes of a cluster while a scenario lasts.

Each kind is a method that makes one fault and sees to its end. When they are stopped all is well again, but for the
hosts that stay down for good. It must not know what should hold.
"""

from collections.abc import Callable
from dataclasses import replace
from random import Random

from onevalue.simulation.cluster import Cluster, Host
from onevalue.simulation.referee import Referee
from onevalue.simulation.scenario import NETWORK_FAULTS, Scenario
from onevalue.spread.admission import GENERATION_LEAP_MAX
from onevalue.store import State
from onevalue.types import Generation

STAYS_DOWN = 0.15
"""Share of crashed nodes that never come back."""

UNHEARD = 0.5
"""Share of the leaves that not all can hear, where the network has faults."""

POWER_CUTS_MAX = 2
"""Of the whole cluster, in one run."""

CALM_LOSS_MAX = 0.05
"""With no more loss than this the network counts as whole."""


class Faults:
    """All faults of one run.

    Args:
        scenario: which kinds, and how often.
        cluster: to which they are done.
        referee: is told when a disk is lost.
        start: starts the node of a host again.
        tell: gets a line for each fault.
    """

    def __init__(
        self,
        scenario: Scenario,
        cluster: Cluster,
        referee: Referee,
        start: Callable[[Host], None],
        tell: Callable[[str], object],
    ) -> None:
        self._scenario = scenario
        self._cluster = cluster
        self._referee = referee
        self._start = start
        self._tell = tell
        self._rng = Random(f"{scenario.seed} faults")
        self._at_work: dict[int, None] = {}  # faults under way that keep nodes from each other
        self._lately = False
        self._count = 0
        self._stopped = False
        self._power_cuts = 0
        self._down_for_good: dict[str, None] = {}

    def disturbed(self) -> bool:
        """Something keeps nodes from each other now, or did since this was asked last."""
        link = self._cluster.network.link
        lately, self._lately = self._lately, False
        return lately or bool(self._at_work) or link.loss > CALM_LOSS_MAX or link.spikes > 0

    def begin(self) -> None:
        """From now on they happen."""
        if self._scenario.faults:
            self._next()

    def stop(self) -> None:
        """No fault is left: the network is whole and loses nothing, disks and hosts work, nodes run.

        Whoever stands still does so to the end of that.
        """
        self._tell("the faults stop")
        self._stopped = True
        network = self._cluster.network
        network.cuts.clear()
        network.without_udp.clear()
        network.link = replace(network.link, loss=0.0, copies=0.0, spikes=0.0)
        self._at_work.clear()
        for host in self._cluster.hosts:
            host.disk.repair()
            node = host.node
            if node is not None:
                node.clock.step_s = 0.0
            elif host.name not in self._down_for_good:
                self._cluster.power_on(host)
                self._start(host)

    def _next(self) -> None:
        self._later(self._rng.expovariate(1 / self._scenario.fault_pause_s), self._happen)

    def _happen(self) -> None:
        kind = self._rng.choice(self._scenario.faults)
        self._tell(f"fault: {kind}")
        getattr(self, f"_{kind}")()
        self._next()

    def _later(self, delay_s: float, action: Callable[[], None]) -> None:
        def act() -> None:
            if not self._stopped:
                action()

        self._cluster.clock.call(delay_s, None, act)

    def _for(self, seconds: float, end: Callable[[], None]) -> None:
        """A fault that keeps nodes from each other lasts so long, and is ended."""
        self._count += 1
        number = self._count
        self._at_work[number] = None
        self._lately = True

        def over() -> None:
            end()
            self._at_work.pop(number, None)

        self._later(seconds, over)

    # The network

    def _groups(self) -> tuple[list[str], list[str]]:
        hosts = [host.address for host in self._cluster.hosts]
        self._rng.shuffle(hosts)
        cut = self._rng.randrange(1, len(hosts))
        return hosts[:cut], hosts[cut:]

    def _cut(self, pairs: list[tuple[str, str]], seconds: float) -> None:
        cuts = self._cluster.network.cuts
        cuts.update(dict.fromkeys(pairs))

        def heal() -> None:
            for pair in pairs:
                cuts.pop(pair, None)

        self._for(seconds, heal)

    def _divide(self, seconds: float) -> None:
        left, right = self._groups()
        both = [(a, b) for a in left for b in right]
        self._cut(both + [(b, a) for a, b in both], seconds)

    def _partition(self) -> None:
        self._divide(self._rng.uniform(1, 40))

    def _one_way(self) -> None:
        left, right = self._groups()
        self._cut([(a, b) for a in left for b in right], self._rng.uniform(1, 20))

    def _partial(self) -> None:
        left, right = self._groups()
        share = self._rng.random()
        pairs = [(a, b) for a in left for b in right if self._rng.random() < share]
        self._cut(pairs + [(b, a) for a, b in pairs], self._rng.uniform(1, 20))

    def _no_udp(self) -> None:
        without = self._cluster.network.without_udp
        address = self._any_host().address
        without[address] = None
        self._for(self._rng.uniform(2, 30), lambda: without.pop(address, None) and None)

    def _loss(self) -> None:
        network, before = self._cluster.network, self._scenario.link
        network.link = replace(before, loss=self._rng.uniform(0.1, 0.6))

        def over() -> None:
            network.link = before

        self._for(self._rng.uniform(2, 20), over)

    # Hosts and nodes

    def _any_host(self) -> Host:
        return self._cluster.hosts[self._rng.randrange(len(self._cluster.hosts))]

    def _stall(self) -> None:
        node = self._any_host().node
        if node is not None:
            seconds = self._rng.uniform(0.3, 15)
            node.clock.stalled_until = self._cluster.clock.now + seconds
            self._for(seconds, lambda: None)

    def _slow(self) -> None:
        node = self._any_host().node
        if node is not None:
            node.clock.step_s = self._rng.uniform(0.0005, 0.02)

            def over() -> None:
                node.clock.step_s = 0.0

            self._for(self._rng.uniform(3, 20), over)

    def _crash(self) -> None:
        self._go_down(self._any_host())

    def _power(self) -> None:
        self._go_down(self._any_host(), power=True)

    def _wipe(self) -> None:
        host = self._any_host()
        if host.node is not None:
            self._go_down(host)
            host.disk.wipe()
            self._referee.wiped(host)

    def _move(self) -> None:
        """A host has another address; not one that everybody is told to join: somebody must be where he was."""
        host = self._any_host()
        if host.node is not None and host.index >= self._scenario.seeds:
            self._go_down(host)
            host.moves += 1

    def _go_down(self, host: Host, *, power: bool = False) -> None:
        if host.node is None:
            return
        self._tell(f"{host.name} at {host.address} goes down")
        self._cluster.crash(host, power=power)
        if self._rng.random() < STAYS_DOWN and self._is_spare(host):
            self._down_for_good[host.name] = None
        else:
            self._later(self._rng.choice((0.05, 1.0, 20.0)) * self._rng.random(), lambda: self._come_up(host))

    def _is_spare(self, host: Host) -> bool:
        """It may stay down: others that everybody is told to join are left."""
        seeds = self._cluster.hosts[: self._scenario.seeds]
        left = [seed for seed in seeds if seed is not host and seed.name not in self._down_for_good]
        return bool(left)

    def _come_up(self, host: Host) -> None:
        self._cluster.power_on(host)
        self._start(host)

    def _restart_all(self) -> None:
        """A power cut; not often, since all dial all then, which takes long to simulate."""
        if self._power_cuts < POWER_CUTS_MAX:
            self._power_cuts += 1
            for host in self._cluster.hosts:
                self._go_down(host, power=True)

    def _leave(self) -> None:
        """A node leaves; perhaps because its network is bad, so that some never hear of it."""
        host = self._any_host()
        if host.node is not None and host.node.service.running:
            if self._rng.random() < UNHEARD and any(kind in NETWORK_FAULTS for kind in self._scenario.faults):
                self._divide(self._rng.uniform(1, 10))
            stopping = self._cluster.stop(host)
            stopping.addCallback(lambda _: self._later(self._rng.uniform(0, 10), lambda: self._come_up(host)))

    def _broken_disk(self) -> None:
        disk = self._any_host().disk
        disk.broken = "database or disk is full"
        self._later(self._rng.uniform(1, 20), disk.repair)

    def _hanging_disk(self) -> None:
        disk = self._any_host().disk
        disk.hangs = True
        self._later(self._rng.uniform(1, 20), disk.repair)

    def _clock(self) -> None:
        host = self._any_host()
        host.wall_offset_s += self._rng.uniform(-1, 1) * self._rng.choice((10.0, 3600.0, 86400.0))
        if host.node is not None:
            host.node.clock.wall_offset_s = host.wall_offset_s

    def _leap(self) -> None:
        """Somebody pushes a state, in the original's way, whose generation is as far ahead as is admitted."""
        node = self._any_host().node
        if node is not None and not node.parts.spread.learning:
            leap = GENERATION_LEAP_MAX if self._rng.random() < 0.5 else self._rng.randrange(1, GENERATION_LEAP_MAX)
            state = State(Generation(node.current.generation + leap), self._rng.randrange(10))
            node.clock.callLater(0, node.parts.spread.receive_original, state, node.clock.seconds())
