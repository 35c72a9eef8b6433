"""How a cluster of some size would behave: one write, one crash, and what the network carries meanwhile.

For people who plan a cluster, and for the figures in docs/simulation.md. It measures, and judges nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import ceil
from random import Random

from onevalue.serf import events as told
from onevalue.simulation.cluster import Cluster, Host, Settings, SimNode, known_to_all
from onevalue.simulation.network import LATENCIES, Link

SEEDS_TO_JOIN = 3
"""A cold cluster joins the first hosts."""

WRITE_AT = 1 / 6
CRASH_AT = 1 / 2
"""Shares of the duration."""

VALUE = 4711

COLD_START_S = 1.0
"""Over so long the nodes of a cold cluster start."""

INCIDENT_S = 30.0
"""A healthy member that is called failed again within this time is the same incident."""

HEALTHY_S = 30.0
"""A node that has stood still is healthy again when so long has passed."""

PLAIN_EVENT = "plain"
"""A user event that our nodes treat as Serf agents treat every one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to simulate.

    Attributes:
        nodes: how many.
        loss: share of packets that vanish.
        latency: a name in LATENCIES.
        seed: sets all chance.
        duration_s: virtual time.
        cold: nobody knows anybody at the start.
        settings: of all nodes.
        plain: the write travels as a plain user event of memberlist's gossip, with no copies and no anti-entropy.
        crash: a node dies; with `power` its host too, so that nobody refuses calls.
        power: see there.
        stalling: share of nodes that stand still for up to `stall_s` again and again.
        stall_s: see there.
        writes_per_s: more writes, all the time; 0 for the one only.
        write: the one write happens.
    """

    nodes: int
    loss: float = 0.0
    latency: str = "lan"
    seed: int = 1
    duration_s: float = 60.0
    cold: bool = False
    settings: Settings = field(default_factory=lambda: Settings(with_journal=False))
    plain: bool = False
    crash: bool = True
    power: bool = True
    stalling: float = 0.0
    stall_s: float = 10.0
    writes_per_s: float = 0.0
    write: bool = True


@dataclass(slots=True)
class Outcome:
    """What happened; times in virtual seconds.

    Attributes:
        plan: what was simulated.
        written_at: when the write was acknowledged; None if it was not.
        got_at: for each node that got it, how long after that.
        crashed_at: when the node died; None if none did.
        detected: for each node that knew it then, how long after that.
        false_failures: incidents in which a running node was called failed.
        false_failures_healthy: those of them in which it had not stood still in the last HEALTHY_S either.
        packets, bytes: that all nodes sent, within `traffic_s`.
        traffic_s: node-seconds of that.
        traffic: bytes a node sent in each second.
        wall_s: real seconds that it took.
        steps: things that happened.
    """

    plan: Plan
    written_at: float | None = None
    got_at: list[float] = field(default_factory=list)
    crashed_at: float | None = None
    detected: list[float] = field(default_factory=list)
    false_failures: int = 0
    false_failures_healthy: int = 0
    packets: int = 0
    bytes: int = 0
    traffic_s: float = 0.0
    traffic: list[float] = field(default_factory=list)
    wall_s: float = 0.0
    steps: int = 0

    def to_json(self) -> dict[str, object]:
        """The figures; what was not observed is null."""
        nodes = self.plan.nodes
        return {
            "nodes": nodes,
            "loss": self.plan.loss,
            "seed": self.plan.seed,
            "virtual_s": self.plan.duration_s,
            "wall_s": round(self.wall_s, 3),
            "spread_s": {
                "p50": _rounded(reached(self.got_at, nodes - 1, 0.50)),
                "p99": _rounded(reached(self.got_at, nodes - 1, 0.99)),
                "last": _rounded(reached(self.got_at, nodes - 1, 1.0)),
            },
            "detect_s": {
                "first": _rounded(min(self.detected, default=None)),
                "last": _rounded(reached(self.detected, nodes - 1, 1.0)),
            },
            "false_failures": self.false_failures,
            "bytes_per_node_s": _rounded(self.bytes / self.traffic_s if self.traffic_s else None),
            "packets_per_node_s": _rounded(self.packets / self.traffic_s if self.traffic_s else None),
        }


def reached(times: Sequence[float], nodes: int, share: float) -> float | None:
    """When this share of so many other nodes had it; None if they never did."""
    wanted = ceil(share * nodes)
    return sorted(times)[wanted - 1] if 0 < wanted <= len(times) else None


def simulate(plan: Plan, progress: Callable[[float], None] = lambda _: None) -> Outcome:
    """The plan was carried out; `progress` is told the virtual time about each second of it."""
    return _Run(plan, progress).run()


class _Run:
    def __init__(self, plan: Plan, progress: Callable[[float], None]) -> None:
        self._plan = plan
        self._progress = progress
        self._rng = Random(f"{plan.seed} plan")
        link = Link(LATENCIES[plan.latency], loss=plan.loss)
        self._cluster = Cluster(plan.seed, plan.nodes, link, plan.settings, self._starting)
        self._outcome = Outcome(plan)
        self._crashed: Host | None = None
        self._incidents: dict[str, float] = {}
        self._counted: dict[str, tuple[int, int]] = {}

    def run(self) -> Outcome:
        plan, cluster, outcome = self._plan, self._cluster, self._outcome
        self._start()
        writer, victim = self._choose()
        if plan.write:
            cluster.clock.call(WRITE_AT * plan.duration_s, None, self._write, writer)
        if plan.crash and victim is not None:
            cluster.clock.call(CRASH_AT * plan.duration_s, None, self._crash, victim)
        if plan.writes_per_s:
            cluster.clock.call(1 / plan.writes_per_s, None, self._write_more)
        if plan.stalling:
            for host in cluster.hosts[: round(plan.stalling * plan.nodes)]:
                cluster.clock.call(self._rng.uniform(0, plan.stall_s), None, self._stall, host)
        seconds = ceil(plan.duration_s)
        for second in range(1, seconds + 1):
            cluster.clock.run_until(min(second, plan.duration_s))
            self._count()
            self._progress(cluster.clock.now)
        outcome.steps = cluster.clock.steps
        return outcome

    def _start(self) -> None:
        cluster, hosts = self._cluster, self._cluster.hosts
        if self._plan.cold:
            join = [host.address for host in hosts[:SEEDS_TO_JOIN]]
            for host in hosts:
                cluster.clock.call(self._rng.uniform(0, COLD_START_S), None, cluster.start, host, join)
        else:
            known = known_to_all(hosts)
            for host in hosts:
                cluster.start(host, known=known)

    def _choose(self) -> tuple[Host, Host | None]:
        """Who writes, and who crashes."""
        hosts = self._cluster.hosts
        if len(hosts) == 1:
            return hosts[0], None
        writer, victim = self._rng.sample(hosts, 2)
        return writer, victim

    def _starting(self, node: SimNode, _host: Host) -> None:
        if self._plan.plain:  # as an agent: nothing but gossip
            node.parts.broadcaster.disownServiceParent()  # type: ignore[no-untyped-call]  # Twisted's has no types
        if not self._plan.settings.with_journal:
            node.parts.keeper.disownServiceParent()  # type: ignore[no-untyped-call]  # likewise
        node.parts.store.observe(lambda _: self._changed(node))
        node.embedded.service.observe_engine(lambda event: self._told(node, event))

    def _write(self, host: Host) -> None:
        if host.node is None:
            return
        if self._plan.plain:
            self._outcome.written_at = self._cluster.clock.now
            host.node.embedded.service.send_event(PLAIN_EVENT, b"%d" % VALUE, coalesce=False)
            return

        def acknowledged(_: object) -> None:
            self._outcome.written_at = self._cluster.clock.now

        host.node.parts.writer.write(VALUE).addCallbacks(acknowledged, lambda _: None)

    def _write_more(self) -> None:
        plan, nodes = self._plan, self._cluster.nodes
        node = nodes[self._rng.randrange(len(nodes))]
        node.parts.writer.write(self._rng.randrange(1000)).addErrback(lambda _: None)
        self._cluster.clock.call(1 / plan.writes_per_s, None, self._write_more)

    def _crash(self, host: Host) -> None:
        self._outcome.crashed_at = self._cluster.clock.now
        self._crashed = host
        self._cluster.crash(host, power=self._plan.power)

    def _stall(self, host: Host) -> None:
        """The node stands still for a while, and again after a pause of four times as long, on average."""
        stall_s = self._rng.uniform(0, self._plan.stall_s)
        if host.node is not None:
            host.node.clock.stalled_until = self._cluster.clock.now + stall_s
        self._cluster.clock.call(stall_s + self._rng.uniform(0, 4 * self._plan.stall_s), None, self._stall, host)

    def _changed(self, node: SimNode) -> None:
        if node.current.value == VALUE and not self._plan.plain:
            self._got()

    def _got(self) -> None:
        written_at = self._outcome.written_at
        if written_at is not None:  # before that it is the writer itself
            self._outcome.got_at.append(self._cluster.clock.now - written_at)

    def _told(self, node: SimNode, event: told.SerfEvent) -> None:
        now, outcome = self._cluster.clock.now, self._outcome
        if isinstance(event, told.UserEvents) and self._plan.plain:
            self._got()
        elif isinstance(event, told.MemberFailed):
            name = event.member.name
            if self._crashed is not None and name == self._crashed.name and outcome.crashed_at is not None:
                outcome.detected.append(now - outcome.crashed_at)
            elif node.name != name:
                if now - self._incidents.get(name, -INCIDENT_S) >= INCIDENT_S:
                    outcome.false_failures += 1
                    outcome.false_failures_healthy += self._is_healthy(name)
                self._incidents[name] = now

    def _is_healthy(self, name: str) -> bool:
        """Whether this running node does not stand still, and has not done so for long."""
        clocks = [node.clock for node in self._cluster.nodes if node.name == name]
        ends = [clock.stalled_until + HEALTHY_S for clock in clocks if clock.stalled_until]
        return all(end <= self._cluster.clock.now for end in ends)

    def _count(self) -> None:
        """One more second of traffic, of those who were there for all of it."""
        endpoints = {node.name: node.endpoint for node in self._cluster.nodes}
        counted = {name: (each.packets, each.bytes_sent) for name, each in endpoints.items()}
        before, self._counted = self._counted, counted
        packets = sum(now - before.get(name, (0, 0))[0] for name, (now, _) in counted.items())
        size = sum(now - before.get(name, (0, 0))[1] for name, (_, now) in counted.items())
        if counted:
            self._outcome.packets += packets
            self._outcome.bytes += size
            self._outcome.traffic_s += len(counted)
            self._outcome.traffic.append(size / len(counted))


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 6)
