"""Push/pull: two members exchange all that they know of all members, over a stream (wire README 3.2 and 4.8).

It owns what is sent, the version check, the merge, which goes in slices, and the schedule of the periodic exchange. It
must not know how a stream is opened, nor what the user state means.
"""

import math
from collections.abc import Callable, Generator, Iterator, Sequence
from itertools import chain
from typing import Final

from onevalue.swim.backlog import Backlog, Work
from onevalue.swim.common import Common
from onevalue.swim.delegate import Delegate
from onevalue.swim.events import PushPullDone, UserStateReceived
from onevalue.swim.members import MemberRecord
from onevalue.swim.states import MemberStates
from onevalue.swim.streams import StreamFailed, StreamOutcome, Streams
from onevalue.types import Address
from onevalue.wire.messages import Alive, Dead, Err, NodeState, NodeStatus, PushPull, Suspect
from onevalue.wire.stream import Outgoing

LONG_NODES: Final = 64
"""With more members than this, a push/pull takes long to encode."""

CHECK_COST: Final = 0.05
"""What it costs to look at the versions of a member, beside merging it."""

_SCALE_FROM_NODES: Final = 32
_TICK: Final = "push/pull tick"
_NO_VERSIONS: Final = bytes(6)
_Merged = Callable[[str | None], None]


def interval_s(base_s: float, nodes: int) -> float:
    """How long from one periodic exchange to the next in a list of `nodes` members."""
    if nodes <= _SCALE_FROM_NODES:
        return base_s
    return base_s * (math.ceil(math.log2(nodes) - math.log2(_SCALE_FROM_NODES)) + 1)


def version_fault(remote: Sequence[NodeState], local: Sequence[MemberRecord]) -> Generator[float, float, str | None]:
    """Why the two sides cannot speak with each other, as a sentence; None when they can. Yields what it has cost.

    All alive members together leave a range of protocol and of delegate versions; every member in any state must at
    present speak a version within it.
    """
    alive = chain(
        (node.vsn for node in remote if node.status is NodeStatus.ALIVE and node.vsn),
        (record.vsn or _NO_VERSIONS for record in local if record.status is NodeStatus.ALIVE),
    )
    low, high = [0, 0], [255, 255]
    for vsn in alive:
        low = [max(low[0], vsn[0]), max(low[1], vsn[3])]
        high = [min(high[0], vsn[1]), min(high[1], vsn[4])]
        yield CHECK_COST
    everyone: Iterator[NodeState | MemberRecord] = chain(remote, local)
    for member in everyone:
        vsn = member.vsn or _NO_VERSIONS
        for index, what in enumerate(("protocol", "delegate")):
            spoken = vsn[3 * index + 2]
            if not low[index] <= spoken <= high[index]:
                return f"{member.name!r} speaks {what} version {spoken}, and all members {low[index]} to {high[index]}"
        yield CHECK_COST
    return None


def as_message(entry: NodeState, local_name: str) -> Alive | Suspect | Dead:
    """An entry of a push/pull as the message that it is merged as; a dead member is only suspected (pitfall 18)."""
    if entry.status is NodeStatus.ALIVE:
        return Alive(entry.incarnation, entry.name, entry.addr, entry.port, entry.meta, entry.vsn)
    if entry.status is NodeStatus.LEFT:
        return Dead(entry.incarnation, entry.name, entry.name)
    return Suspect(entry.incarnation, entry.name, local_name)


def as_entry(record: MemberRecord) -> NodeState:
    """A member as it is told in a push/pull."""
    return NodeState(record.name, record.addr, record.port, record.incarnation, record.status, record.meta, record.vsn)


class PushPulls:
    """The exchanges of this node: those that it starts, and its answers to others."""

    def __init__(self, states: MemberStates, streams: Streams, delegate: Delegate, common: Common) -> None:
        self._states = states
        self._streams = streams
        self._delegate = delegate
        self._common = common
        self._backlog = Backlog(common.timers, "push/pull backlog")

    @property
    def unmerged(self) -> int:
        """How many entries wait to be merged."""
        return len(self._backlog)

    def start(self, now: float) -> None:
        """The first periodic exchange comes after a random delay of up to one interval."""
        self._common.timers.set(_TICK, now + self._common.rng.random() * self._interval_s(), self._tick)

    def request(self, address: Address, *, join: bool, now: float) -> int:
        """An exchange with the member at `address` is under way; PushPullDone is told at its end. Returns its id."""

        def done(request_id: int, outcome: StreamOutcome, now: float) -> None:
            def merged(error: str | None) -> None:
                self._common.tell(PushPullDone(request_id, address, join, error))

            self._merge_answer(outcome, join, merged, now)

        deadline = now + self._common.settings.stream_timeout_s
        return self._streams.open(address, self._own_state(join), deadline, now, done, is_long=self._is_long)

    def answer(self, message: PushPull, now: float) -> Outgoing:
        """The own state as it was before; that of `message` is merged from now on, or refused as a whole."""
        reply = self._streams.reply(self._own_state(message.join), is_long=self._is_long)
        self._merge(message, message.join, lambda _: None, now)
        return reply

    def _interval_s(self) -> float:
        return interval_s(self._common.settings.push_pull_interval_s, len(self._states.table))

    def _tick(self, now: float) -> None:
        self._common.timers.set(_TICK, now + self._interval_s(), self._tick)
        local_name = self._states.local_name
        partners = self._states.table.choose(
            1, lambda record: record.status is NodeStatus.ALIVE and record.name != local_name, self._common.rng
        )
        for partner in partners:
            self.request(partner.address, join=False, now=now)

    @property
    def _is_long(self) -> bool:
        return len(self._states.table) > LONG_NODES

    def _own_state(self, join: bool) -> Callable[[], PushPull]:
        """What this node knows at this moment; records never change, so that the message can be made later."""
        records, user_state = self._states.table.records(), self._delegate.user_state(join)
        return lambda: PushPull(join, tuple(map(as_entry, records)), user_state)

    def _merge_answer(self, outcome: StreamOutcome, join: bool, merged: _Merged, now: float) -> None:
        if isinstance(outcome, PushPull):
            self._merge(outcome, join, merged, now)
        elif isinstance(outcome, StreamFailed):
            merged(outcome.reason)
        elif isinstance(outcome, Err):
            merged(f"the other side answered: {outcome.error}")
        else:
            merged(f"the other side answered with {type(outcome).__name__}, not with its members")

    def _merge(self, message: PushPull, join: bool, merged: _Merged, now: float) -> None:
        """It is merged behind those that wait, at once if it is short and none does; `merged` is told when it is."""
        if not self._backlog.add(len(message.nodes), lambda begun: self._merging(message, join, merged, begun), now):
            self._refuse("too much waits here to be merged", merged)

    def _merging(self, message: PushPull, join: bool, merged: _Merged, now: float) -> Work:
        """Every entry has been taken as the message that it amounts to; or nothing, because versions do not fit."""
        fault = yield from version_fault(message.nodes, self._states.table.records())
        if fault is not None:
            self._refuse(fault, merged)
            return
        for entry in message.nodes:
            self._take(as_message(entry, self._states.local_name), now)
            if entry.name == self._states.local_name and entry.status in {NodeStatus.SUSPECT, NodeStatus.DEAD}:
                self._states.seen_elsewhere(entry.addr, entry.port)
            now = yield 1.0
        self._common.counters["push_pulls"] += 1
        if message.user_state:
            self._common.tell(UserStateReceived(message.user_state, join))
        merged(None)

    def _refuse(self, why: str, merged: _Merged) -> None:
        self._common.counters["push_pulls_refused"] += 1
        merged(why)

    def _take(self, news: Alive | Suspect | Dead, now: float) -> None:
        if isinstance(news, Alive):
            self._states.alive(news, now)
        elif isinstance(news, Suspect):
            self._states.suspect(news, now)
        else:
            self._states.dead(news, now)
