"""The referee: what must hold of a simulated cluster at every step, and what once the faults have stopped.

It looks at the nodes from outside, by what any operator could see of them and of their disks. It must not change
anything, nor know which faults are made; whoever makes them says when the network is whole.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from onevalue.member import Status
from onevalue.serf import events as told
from onevalue.serf.broadcasts import QUEUE_MAX as SERF_QUEUE_MAX
from onevalue.simulation.clock import NodeClock
from onevalue.simulation.cluster import Cluster, Host, SimNode
from onevalue.simulation.network import Endpoint
from onevalue.spread.confirming import Confirmed
from onevalue.store import State
from onevalue.swim.states import QUEUE_MAX as SWIM_QUEUE_MAX

WIPED_S = 10.0
"""Who confirmed a write may have lost its disk so long before the writer hears that enough have."""

SHOWN_MAX = 40
"""Characters of a value in a complaint."""

STABLE_S = 10
"""While the network is whole, what all held so long ago is known to whoever takes writes."""


class Complaint(AssertionError):  # noqa: N818  # what a referee makes
    """Something does not hold; says what, where and when."""


@dataclass(slots=True)
class _Watched:
    """What was last seen of one running node."""

    node: SimNode
    host: Host
    current: State
    incarnation: int
    elders: tuple[SimNode, ...]  # whom it was told to join, and who had been running for long when it started


class Referee:
    """Watches all nodes of a cluster, from their starts.

    Args:
        cluster: whose.
        fault_free: nothing at all is done to the network and the nodes, so that nobody may be called failed.
    """

    def __init__(self, cluster: Cluster, *, fault_free: bool) -> None:
        self.fault_free = fault_free
        self.complaint: str | None = None
        self._cluster = cluster
        self._watched: dict[NodeClock, _Watched] = {}
        self._durable: dict[str, State] = {}  # by host: the largest that its disk has held
        self._wiped: dict[str, float] = {}  # by host: when its disk was lost last
        self._acknowledged: dict[str, State] = {}  # by host: the largest own write that its disk must hold
        self._probes: dict[NodeClock, int] = {}  # how many each had made when the faults stopped
        self._whole_s = 0  # for so many seconds nothing has kept the nodes from each other, and all know all
        self._held: deque[State] = deque(maxlen=STABLE_S)  # the largest state of all, in each of those seconds

    # What happens

    def starting(self, node: SimNode, host: Host, join: Sequence[Host]) -> None:
        """A node is about to start, with what its disk holds, and will look for those on the hosts `join`."""
        others = [each.node for each in join if each.node is not None]
        elders = tuple(other for other in others if self._cluster.clock.now - other.started_at > STABLE_S)
        self._watched[node.clock] = _Watched(node, host, node.current, 0, elders)
        acknowledged = self._acknowledged.get(host.name)
        if acknowledged is not None and node.current < acknowledged:
            self._complain(f"{host.name} starts with {_shown(node.current)}, but acknowledged {_shown(acknowledged)}")
        node.endpoint.on_packet = self._packet
        node.embedded.service.observe_engine(lambda event: self._told(node, event))

    def wiped(self, host: Host) -> None:
        """The disk of the host is lost, and all that was acknowledged by it alone."""
        self._durable.pop(host.name, None)
        self._wiped[host.name] = self._cluster.clock.now
        self._acknowledged.pop(host.name, None)

    def known(self, node: SimNode) -> State | None:
        """What a write on this node that begins now must stand above, because somebody could tell it; None: nothing."""
        stable = self._held[0] if len(self._held) == STABLE_S else None
        if stable is None:
            return None
        running, elders = self._cluster.nodes, self._watched[node.clock].elders
        return stable if any(elder in running and stable <= elder.current for elder in elders) else None

    def acknowledged(self, node: SimNode, host: Host, state: State, known: State | None) -> None:
        """An own write of the node was acknowledged; `known` is what it had to stand above when it began."""
        if self._cluster.settings.with_journal:
            durable = host.disk.state
            if durable is None or durable < state:
                self._complain(f"{host.name} acknowledged {_shown(state)}, its disk has {_shown(durable)}")
            before = self._acknowledged.get(host.name)
            self._acknowledged[host.name] = state if before is None or before < state else before
        if known is not None and state <= known:
            line = f"{node.name} acknowledged {_shown(state)}, though others have held {_shown(known)} for long"
            self._complain(f"{line}: it is lost")

    def confirmed(self, node: SimNode, state: State, confirmed: Confirmed) -> None:
        """A write of the node was confirmed by so many: their disks hold it, or what has won against it since."""
        now = self._cluster.clock.now
        held = [each for each in self._durable.values() if state <= each]
        wiped = [name for name, at in self._wiped.items() if now - at <= WIPED_S]
        if self._cluster.settings.with_journal and confirmed.held > len(held) + len(wiped):
            line = f"{node.name} says that {confirmed.held} hold {_shown(state)}, and {len(held)} disks do"
            self._complain(line)

    def disturbed(self) -> None:
        """Something keeps nodes from each other, or did a moment ago."""
        self._whole_s = 0
        self._held.clear()

    def calm(self) -> None:
        """The faults have stopped: from now on every node must go on with its work."""
        self._probes = {node.clock: _probes(node) for node in self._cluster.nodes}

    # What must hold

    def after(self, clock: NodeClock) -> None:
        """Something was done on a node: what can only grow has not shrunk."""
        if self.complaint is not None:
            raise Complaint(self.complaint)
        watched = self._watched.get(clock)
        if watched is None:
            return
        current = watched.node.current
        if current is not watched.current:
            if current < watched.current:
                self._complain(f"{watched.host.name} went from {_shown(watched.current)} back to {_shown(current)}")
            watched.current = current
        incarnation = watched.node.embedded.serf.swim.local.incarnation
        if incarnation < watched.incarnation:
            self._complain(f"{watched.host.name} went from incarnation {watched.incarnation} back to {incarnation}")
        watched.incarnation = incarnation
        durable = watched.host.disk.state
        if durable is not None:
            before = self._durable.get(watched.host.name)
            if durable is not before:
                if before is not None and durable < before:
                    self._complain(f"the disk of {watched.host.name} went from {_shown(before)} to {_shown(durable)}")
                self._durable[watched.host.name] = durable

    def second(self) -> None:
        """A second has passed: queues are bounded, and whether all know all is noted."""
        nodes = self._cluster.nodes
        for node in nodes:
            self._check_bounds(node)
        if self._whole_s or self.unsettled_members() is None:
            self._whole_s += 1
            if nodes:
                self._held.append(max((node.current for node in nodes), key=lambda state: state.order))

    def unsettled(self) -> str | None:
        """Why the nodes do not agree yet, a sentence; None when they do in all that they must."""
        nodes = self._cluster.nodes
        for node in nodes:
            if node.parts.spread.learning:
                return f"{node.name} takes no writes"
            if len(nodes) > 1 and _probes(node) == self._probes.get(node.clock, -1):
                return f"{node.name} has probed nobody since"
        states = {node.current.order: node for node in nodes}
        if len(states) > 1:
            one, other, *_ = states.values()
            return f"{one.name} holds {_shown(one.current)}, and {other.name} {_shown(other.current)}"
        if self._cluster.settings.with_journal:
            for host in self._cluster.hosts:  # at generation 0 there is nothing to keep
                if host.node is not None and host.node.current.generation and host.disk.state != host.node.current:
                    return (
                        f"the disk of {host.name} has {_shown(host.disk.state)}, its node {_shown(host.node.current)}"
                    )
        return self.unsettled_members()

    def unsettled_members(self) -> str | None:
        """Why the nodes do not know each other, a sentence; None when each knows who runs, and where, and who not."""
        running = {host.name: host.address for host in self._cluster.hosts if host.node is not None}
        for node in self._cluster.nodes:
            alive = {each.name: each.address for each in node.embedded.service.members() if each.status is Status.ALIVE}
            if alive != running:
                return f"{node.name} {_difference(alive, running)}"
        return None

    def _told(self, node: SimNode, event: told.SerfEvent) -> None:
        if not self.fault_free or not isinstance(event, told.MemberFailed):
            return
        running = [host.name for host in self._cluster.hosts if host.node is not None and host.node.service.running]
        if event.member.name in running:
            self._complain(f"{node.name} calls {event.member.name} failed, and nothing was done to it")

    def _packet(self, endpoint: Endpoint, data: bytes) -> None:
        limit = self._cluster.settings.swim.packet_size_max
        if len(data) > limit:
            self._complain(f"a packet of {endpoint.host} has {len(data)} bytes, not {limit} at most")

    def _check_bounds(self, node: SimNode) -> None:
        status = cast("Mapping[str, Any]", node.embedded.serf.status())
        queues = [(name, length, SERF_QUEUE_MAX) for name, length in status["queues"].items()]
        queues.append(("swim", status["swim"]["queue"], SWIM_QUEUE_MAX))
        for name, length, bound in queues:
            if length > bound:
                self._complain(f"the queue {name} of {node.name} has {length} entries, not {bound} at most")

    def _complain(self, what: str) -> None:
        """The run ends with the first complaint, after this step: the nodes' own guards must not catch it."""
        if self.complaint is None:
            self.complaint = f"at {self._cluster.clock.now:.3f} s: {what}"


def _probes(node: SimNode) -> int:
    return node.embedded.serf.swim.counters["probes"]


def _difference(alive: dict[str, str], running: dict[str, str]) -> str:
    missing = [name for name in running if name not in alive]
    wrong = [name for name in alive if name not in running]
    moved = [name for name, address in alive.items() if running.get(name, address) != address]
    parts = [("misses", missing), ("takes for alive", wrong), ("looks elsewhere for", moved)]
    return ", ".join(f"{word} {' '.join(names[:5])}" for word, names in parts if names)


def _shown(state: State | None) -> str:
    return "nothing" if state is None else f"{state.text[:SHOWN_MAX].decode(errors='replace')} at {state.generation}"
