"""One run of a campaign, under the eyes of a referee; what fails can be run again by its seed.

A run: a cluster starts, is written to, and suffers the faults of its scenario; then the faults stop, and
within SETTLE_S all nodes must agree. It must not know how the nodes work.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from twisted.internet.defer import TimeoutError  # noqa: A004  # Twisted has its own
from twisted.logger import LogLevel, globalLogPublisher
from twisted.python.failure import Failure

from onevalue.errors import WriteRefusedError
from onevalue.exchange import STATE_SENT_SIZE_MAX
from onevalue.simulation.cluster import Cluster, Host, SimNode
from onevalue.simulation.faults import Faults
from onevalue.simulation.referee import Complaint, Referee
from onevalue.simulation.scenario import Scenario
from onevalue.store import Condition, State
from onevalue.values import Value

SETTLE_S: Mapping[str, float] = {"local": 150.0, "lan": 150.0, "wan": 400.0}
"""Virtual seconds after the last fault within which all must agree, by profile."""

EAGER, EAGER_S = 0.8, 0.01
"""To this share of nodes that start somebody writes within so long: whoever waited for it."""

STARTS_S = 2.0
"""Over so long the nodes start."""

LARGE = "x" * (STATE_SENT_SIZE_MAX + 1)
"""In a value that is announced, and fetched."""

CONFIRMED_S = 5.0
"""How long a write waits for other nodes."""

REPEATED_WRITES = 5
"""Nodes that write at the same moment, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How one run ended.

    Attributes:
        scenario: what was run.
        complaint: what did not hold; None: all did.
        settled_s: after the last fault, until all agreed; None if they did not.
        writes: how many were acknowledged.
        steps: things that happened.
        digest: the same for the same run.
    """

    scenario: Scenario
    complaint: str | None
    settled_s: float | None
    writes: int
    steps: int
    digest: int


def own_fault(event: Mapping[str, Any]) -> str | None:
    """What an event of the log says of a fault in the nodes' own code; None if it is of something else."""
    failure: Failure | None = event.get("log_failure")
    if failure is not None and failure.check(TimeoutError) is not None:
        return None  # what a node that stands still may well say, when it leaves
    if event["log_level"] is not LogLevel.critical and failure is None:
        return None
    return "a fault of ours: " + ("" if failure is None else failure.getTraceback())


class Run:
    """One run of a scenario; `tell` gets a line for each fault that is made."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.tell: Callable[[str], object] = lambda _: None
        self._settled_s: float | None = None
        self._writes = 0
        self._rng = Random(f"{scenario.seed} run")
        self.cluster = Cluster(scenario.seed, scenario.nodes, scenario.link, scenario.settings, self._starting)
        self._referee = Referee(self.cluster, fault_free=scenario.fault_free)
        self._faults = Faults(scenario, self.cluster, self._referee, self._start, self._say)
        self._writing = True
        self._of_writes = Random(f"{scenario.seed} of writes")

    def play(self) -> Verdict:
        """The scenario was run, to its end or to the first complaint; a fault in the nodes' own code is one, too."""
        broken: list[str] = []

        def look(event: Mapping[str, Any]) -> None:
            if (fault := own_fault(event)) is not None:
                broken.append(fault)

        complaint: str | None = None
        globalLogPublisher.addObserver(look)  # type: ignore[arg-type]  # an observer
        try:
            self._run()
        except Complaint as made:
            complaint = str(made)
        finally:
            globalLogPublisher.removeObserver(look)  # type: ignore[arg-type]  # an observer
        return Verdict(
            scenario=self.scenario,
            complaint=complaint or next(iter(broken), None),
            settled_s=self._settled_s,
            writes=self._writes,
            steps=self.cluster.clock.steps,
            digest=self.cluster.network.digest,
        )

    def _run(self) -> None:
        scenario, clock = self.scenario, self.cluster.clock
        for host in self.cluster.hosts:
            clock.call(self._rng.uniform(0, STARTS_S), None, self._start, host)
        clock.call(STARTS_S, None, self._faults.begin)
        self._write_later()
        self._pass(scenario.faults_s)
        self._writing = False
        self._faults.stop()
        self._referee.calm()
        stopped = clock.now
        settle_s = SETTLE_S[scenario.profile]
        while (why := self._referee.unsettled()) is not None:
            if clock.now - stopped >= settle_s:
                raise Complaint(f"{settle_s:g} s after the last fault: {why}")
            self._pass(1.0)
        self._settled_s = clock.now - stopped

    def _say(self, text: str) -> None:
        self.tell(text)

    def _pass(self, seconds: float) -> None:
        clock = self.cluster.clock
        end = clock.now + seconds
        while clock.now < end:
            clock.run_until(min(end, clock.now + 1.0), self._referee.after)
            if self._faults.disturbed():
                self._referee.disturbed()
            self._referee.second()
            if self._referee.complaint is not None:
                raise Complaint(self._referee.complaint)

    @property
    def _seeds(self) -> list[Host]:
        return self.cluster.hosts[: self.scenario.seeds]

    def _start(self, host: Host) -> None:
        if host.node is None:
            self.cluster.start(host, [seed.address for seed in self._seeds])

    def _starting(self, node: SimNode, host: Host) -> None:
        self._referee.starting(node, host, [seed for seed in self._seeds if seed is not host])
        if self._writing and self._rng.random() < EAGER:
            node.clock.callLater(self._rng.uniform(0, EAGER_S), self._write, host, self._rng.randrange(10))

    # Writes

    def _write_later(self) -> None:
        self.cluster.clock.call(self._rng.expovariate(1 / self.scenario.write_pause_s), None, self._write_some)

    def _write_some(self) -> None:
        if not self._writing:
            return
        count = self._rng.randrange(1, REPEATED_WRITES + 1) if self._rng.random() < 0.3 else 1
        hosts = [host for host in self.cluster.hosts if self._takes_calls(host)]
        for host in self._rng.sample(hosts, min(count, len(hosts))):
            self._write(host, self._rng.randrange(10), conditional=self._rng.random() < 0.2)
        self._write_later()

    def _takes_calls(self, host: Host) -> bool:
        return host.node is not None and host.node.clock.stalled_until <= self.cluster.clock.now

    def _write(self, host: Host, value: Value, *, conditional: bool = False) -> None:
        node = host.node
        if node is None or not node.service.running:
            return
        known = self._referee.known(node)
        if self._of_writes.random() < self.scenario.large:
            value = [value, LARGE]
        needed = self._of_writes.randrange(1, 4) if self._of_writes.random() < self.scenario.confirmed else 0

        def acknowledged(state: State) -> None:
            self._writes += 1
            self._referee.acknowledged(node, host, state, known)
            if needed:
                self._confirm(node, state, needed)

        # As from a client: in a turn of its own.
        node.clock.callLater(
            0, self._call, node, value, Condition.of(node.current.tag) if conditional else None, acknowledged
        )

    def _confirm(self, node: SimNode, state: State, needed: int) -> None:
        """So many nodes are to hold the write, this one counted; with 1, all that it knows."""
        node.parts.spread.confirm(
            state,
            needed,
            by_all=needed == 1,
            until=node.clock.seconds() + CONFIRMED_S,
            done=lambda confirmed: self._referee.confirmed(node, state, confirmed),
        )

    def _call(
        self, node: SimNode, value: Value, condition: Condition | None, acknowledged: Callable[[State], None]
    ) -> None:
        writing = node.parts.writer.write(value, condition)
        writing.addCallbacks(acknowledged, lambda failure: failure.trap(WriteRefusedError) and None)
