"""A small simulated cluster as hypothesis plays with it: a referee watches, and what clients may rely on stands here.

It must not know what is done to the cluster, nor when.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import floor
from typing import Any

from twisted.python.failure import Failure

from onevalue.errors import ConflictError, ExhaustedError, NotDurableError, NotReadyError, WriteRefusedError
from onevalue.simulation.clock import NodeClock
from onevalue.simulation.cluster import Cluster, Host, Settings, SimNode
from onevalue.simulation.faults import CALM_LOSS_MAX
from onevalue.simulation.network import LATENCIES, Link
from onevalue.simulation.referee import Complaint, Referee
from onevalue.simulation.run import own_fault
from onevalue.spread.admission import GENERATION_LEAP_MAX
from onevalue.store import Change, Condition, State
from onevalue.types import Generation
from onevalue.values import Value

SETTLE_S = 150.0
"""Virtual seconds after the last fault within which all agree."""

STOP_S = 20.0
"""Virtual seconds that a node may take to stop, on a disk that works."""

SPREAD_S = 15.0
"""Virtual seconds in which a write is on all nodes of a cluster that is well."""

INITIAL = 42
"""The value of a cluster that nobody has written to; see `Cluster`."""


@dataclass(eq=False, slots=True)
class Ask:
    """A client's write on a node.

    Attributes:
        node: the run of the node that it was sent to.
        value: no other has it.
        named: the state that it demands; None: any.
        known: what it must stand above, as the referee says.
        state: as which it was acknowledged.
        error: why it was refused.
        at_once: it was refused before the journal can have seen it.
    """

    node: SimNode
    value: int
    known: State | None
    named: State | None = None
    state: State | None = None
    error: WriteRefusedError | None = None
    at_once: bool = True

    @property
    def is_told(self) -> bool:
        """The client knows how it ended."""
        return self.state is not None or self.error is not None


class Clients:
    """What clients do and see. `complaint` is the first thing that they may not see.

    They know a value by who asked for it, because all are different, and in no order.
    """

    def __init__(self, cluster: Cluster, referee: Referee) -> None:
        self.complaint: str | None = None
        self._cluster = cluster
        self._referee = referee
        self.last: Ask
        self._count = 0
        self._asks: dict[Value, Ask] = {}
        self._pushed: dict[Value, None] = {}
        self._seen: dict[Value, Generation] = {INITIAL: Generation(0)}
        self._back: dict[Value, None] = {}  # refused by a disk that had it yet, and with which its node began again
        self.acknowledged: dict[str, State] = {}  # by host: the newest that its disk must hold

    def new_value(self) -> int:
        """One that nobody has had, larger or smaller than those before."""
        self._count += 1
        assert self._count < 1009, "no value is left"
        return 1000 + self._count * 617 % 1009

    # What they do

    def ask(self, host: Host, demand: str) -> None:
        """One writes on the node of the host, in a turn of its own."""
        node = host.node
        assert node is not None, "a node that takes calls"
        ask = Ask(node, self.new_value(), self._referee.known(node))
        self._asks[ask.value] = self.last = ask
        node.clock.callLater(0, self._call, ask, host, demand)

    def _call(self, ask: Ask, host: Host, demand: str) -> None:
        store = ask.node.parts.store
        wanted = {"nothing": None, "head": store.head, "another": replace(store.head, value=["of nobody"])}
        ask.named = wanted.get(demand, store.current)
        writing = ask.node.parts.writer.write(ask.value, None if ask.named is None else Condition.of(ask.named.tag))
        writing.addCallbacks(self._made, self._refused, callbackArgs=(ask, host), errbackArgs=(ask,))
        ask.at_once = ask.error is not None

    def _made(self, state: State, ask: Ask, host: Host) -> None:
        name, before = host.name, self.acknowledged.get(host.name)
        self._must(not ask.is_told, f"{name} told {ask.value} twice")
        self._referee.acknowledged(ask.node, host, state, ask.known)
        self._must(state.value == ask.value, f"{name} acknowledged {state} for {ask.value}")
        self._must(state <= ask.node.current, f"{name} acknowledged {state} before it was visible")
        self._must(before is None or before.generation < state.generation, f"{name}: {state} stands not above {before}")
        if ask.named is not None:
            upon = state.generation == ask.named.generation + 1
            self._must(upon, f"{name} made {state}, which was to stand upon {ask.named}")
        ask.state = self.acknowledged[name] = state

    def _refused(self, failure: Failure, ask: Ask) -> None:
        error = failure.value
        assert isinstance(error, ConflictError | ExhaustedError | NotDurableError | NotReadyError), error
        self._must(not ask.is_told, f"{ask.node.name} told {ask.value} twice")
        ask.error = error
        conflict_is_right = not isinstance(ask.error, ConflictError) or ask.named is not None
        self._must(conflict_is_right, f"{ask.node.name} refused {ask.value}, which demanded nothing: {ask.error}")
        self._must(ask.value not in self._seen, f"{ask.node.name} refused {ask.value}, which was seen: {ask.error}")

    def push(self, node: SimNode, ahead: int) -> None:
        """One pushes a state in the original's way, so many generations ahead of what the node has then."""
        value = self.new_value()
        if ahead <= GENERATION_LEAP_MAX:
            self._pushed[value] = None

        def arrive() -> None:
            state = State(Generation(node.current.generation + ahead), value)
            node.parts.spread.receive_original(state, node.clock.seconds())

        node.clock.callLater(0, arrive)

    def wiped(self, host: Host) -> None:
        """What only its disk held is lost."""
        self.acknowledged.pop(host.name, None)

    @property
    def has_pushed(self) -> bool:
        """Nodes take somebody for an original program."""
        return bool(self._pushed)

    # What they see

    def starting(self, node: SimNode) -> None:
        """The node is about to start with what its disk holds: what its last run had under way is there, or not."""
        ask = self._asks.get(node.current.value)
        if ask is not None and ask.error is not None:
            is_open = isinstance(ask.error, NotDurableError) and not ask.at_once
            self._must(is_open, f"the disk of {node.name} has {node.current}, which was refused: {ask.error}")
            self._back[ask.value] = None
        self._sees(node, node.current)
        node.parts.store.observe(lambda change: self._changed(node, change))

    def second(self) -> None:
        """A second has passed: no node that could do anything is learning for longer than it may."""
        now, most_s = self._cluster.clock.now, self._cluster.settings.spread.join_timeout_s
        for node in self._cluster.nodes:
            if node.parts.spread.learning and node.service.running:
                waited_s = now - max(node.started_at, node.clock.stalled_until)
                self._must(waited_s <= most_s, f"{node.name} has taken no writes for {waited_s:g} s")

    def _changed(self, node: SimNode, change: Change) -> None:
        self._sees(node, change.new)

    def _sees(self, node: SimNode, state: State) -> None:
        ask = self._asks.get(state.value)
        if ask is None:
            known = state.value in self._pushed or state == State(Generation(0), INITIAL)
            self._must(known, f"{node.name} shows {state}, which nobody wrote, or may")
        elif ask.error is not None:
            allowed = state.value in self._back
            self._must(allowed, f"{node.name} shows {state}, which {ask.node.name} refused: {ask.error}")
        elif ask.node is not node and ask.node in self._cluster.nodes:
            self._must(ask.is_told, f"{node.name} shows {state}, which {ask.node.name} has not acknowledged")
        seen = self._seen.setdefault(state.value, state.generation)
        # Whoever meets an original program may raise the generation of a value.
        as_before = seen <= state.generation if self._pushed else seen == state.generation
        self._must(as_before, f"{node.name} shows {state}, which was seen at {seen}")

    def _must(self, holds: bool, what: str) -> None:
        """The nodes' own guards must not catch it: see the referee's."""
        if not holds and self.complaint is None:
            self.complaint = f"at {self._cluster.clock.now:.3f} s: {what}"

    def unsettled(self) -> str | None:
        """What a client still waits for, or has lost; None: nothing."""
        nodes = self._cluster.nodes
        for ask in self._asks.values():
            if ask.node in nodes and not ask.is_told:
                return f"{ask.node.name} has not told what became of {ask.value}"
        for name, state in self.acknowledged.items():
            for node in nodes:
                if node.current < state:
                    return f"{name} acknowledged {state}, {node.name} shows {node.current}"
        return None


class Game:
    """A cluster with its referee, its clients and a look at the log; what does not hold is raised in `pass_time`."""

    def __init__(self, seed: int, size: int, join: int, link: Link, configured: Settings) -> None:
        self.cluster = Cluster(seed, size, link, configured, self._starting)
        self.referee = Referee(self.cluster, fault_free=not link.loss and link.latency is LATENCIES["lan"])
        self.clients = Clients(self.cluster, self.referee)
        self.faults_of_ours: list[str] = []
        self._join = self.cluster.hosts[:join]

    def start(self, host: Host) -> None:
        """A node runs on the host."""
        if host.node is None:
            self.cluster.power_on(host)
            self.cluster.start(host, [each.address for each in self._join])

    def _starting(self, node: SimNode, host: Host) -> None:
        self.referee.starting(node, host, [each for each in self._join if each is not host])
        self.clients.starting(node)

    def pass_time(self, seconds: float) -> None:
        """So much time passes; safety is looked at after each step."""
        clock = self.cluster.clock
        end = clock.now + seconds
        while clock.now < end:
            second = floor(clock.now) + 1.0
            clock.run_until(min(end, second), self._after)
            if self._disturbed:
                self.referee.disturbed()
            if clock.now == second:
                self.referee.second()
                self.clients.second()
            self.check()

    def _after(self, clock: NodeClock) -> None:
        self.referee.after(clock)
        if self.clients.complaint is not None or self.faults_of_ours:
            self.check()

    def check(self) -> None:
        """Nobody complains."""
        if self.complaint is not None:
            raise Complaint(self.complaint)

    @property
    def complaint(self) -> str | None:
        """The first of anybody."""
        return self.referee.complaint or self.clients.complaint or next(iter(self.faults_of_ours), None)

    @property
    def _disturbed(self) -> bool:
        """Something keeps nodes from each other now."""
        network, now = self.cluster.network, self.cluster.clock.now
        stalled = any(node.clock.stalled_until >= now for node in self.cluster.nodes)
        return stalled or bool(network.cuts) or network.link.loss > CALM_LOSS_MAX

    def stop_faults(self) -> None:
        """Network, disks and hosts are well, and all nodes run; those that stand still go on when it is time."""
        cluster, network = self.cluster, self.cluster.network
        network.cuts.clear()
        network.link = replace(network.link, loss=0.0, copies=0.0)
        for host in cluster.hosts:
            host.disk.repair()
        go_on = max((node.clock.stalled_until for node in cluster.nodes), default=0.0)
        self.pass_time(max(0.0, go_on - cluster.clock.now))
        self.wait_until(lambda: self._still_stopping, STOP_S)
        for host in cluster.hosts:
            self.start(host)

    @property
    def _still_stopping(self) -> str | None:
        return next((f"{node.name} has not stopped" for node in self.cluster.nodes if not node.service.running), None)

    def settle(self) -> None:
        """All agree within SETTLE_S; then a write is taken, and soon on all nodes."""
        self.wait_until(lambda: self.referee.unsettled() or self.clients.unsettled(), SETTLE_S)
        if self.clients.has_pushed:  # a tie with an original program may still end in a write
            self.pass_time(self.cluster.settings.spread.tie_patience_s)
            self.wait_until(self.referee.unsettled, SPREAD_S)
        writer = self.cluster.hosts[-1]
        self.clients.ask(writer, "current")
        self.wait_until(lambda: self._not_written(writer), SPREAD_S)

    def _not_written(self, writer: Host) -> str | None:
        last = self.clients.last
        others = [node.name for node in self.cluster.nodes if last.state is None or node.current != last.state]
        return f"{last.value}, written on {writer.name}, is not on {' '.join(others)}: {last.error}" if others else None

    def wait_until(self, why_not: Callable[[], str | None], seconds: float) -> None:
        """Within so many virtual seconds nothing is wrong any more."""
        began = self.cluster.clock.now
        while (why := why_not()) is not None:
            if self.cluster.clock.now - began >= seconds:
                raise Complaint(f"after {seconds:g} s: {why}")
            self.pass_time(0.5)

    def look(self, event: Mapping[str, Any]) -> None:
        """An observer of the log: a fault in the nodes' own code is one, too."""
        if (fault := own_fault(event)) is not None:
            self.faults_of_ours.append(fault)
