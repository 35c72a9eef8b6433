"""A small simulated cluster under whatever hypothesis does to it, so that what fails shrinks to its few causes.

The referee of the simulator watches; beside it stands here what the clients of the cluster may rely on.
"""

import gc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import floor
from typing import Any

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
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from onevalue.config import LAN, LOCAL, SwimSettings
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
from tests.long import takes_long
from tests.strategies import LONG_LAW

LIVES = settings(LONG_LAW, derandomize=True, max_examples=55, stateful_step_count=20)
"""The same lives each time: a campaign of the simulator looks at more of them."""

SETTLE_S = 150.0
"""Virtual seconds after the last fault within which all agree."""

STOP_S = 20.0
"""Virtual seconds that a node may take to stop, on a disk that works."""

SPREAD_S = 15.0
"""Virtual seconds in which a write is on all nodes of a cluster that is well."""

INITIAL = 42
"""The value of a cluster that nobody has written to; see `Cluster`."""

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
