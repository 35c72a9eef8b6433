"""What becomes of the members as news arrives: alive, suspect, dead, and refuting what is wrong about this node.

`rules` judges, this file carries out: it owns the member table, the suspicions, the health score and memberlist's
broadcast queue. It knows no packet and no stream. Follows wire README 4.5 and memberlist's state.go.
"""

from dataclasses import replace
from functools import partial
from typing import Final

from onevalue.swim.address import is_addr
from onevalue.swim.awareness import Awareness
from onevalue.swim.common import Common
from onevalue.swim.events import (
    LeaveSent,
    MemberForgotten,
    MemberGone,
    MemberJoined,
    MemberSuspected,
    MemberUpdated,
    NameConflict,
    Refuted,
    SuspicionEnded,
)
from onevalue.swim.members import MemberRecord, MemberTable
from onevalue.swim.queue import BroadcastQueue
from onevalue.swim.rules import Verdict, judge_alive, judge_dead, judge_suspect, may_reclaim, next_incarnation
from onevalue.swim.suspicion import Suspicion, confirmations_wanted, timeout_min_s
from onevalue.types import Incarnation
from onevalue.wire.codec import encode_message
from onevalue.wire.messages import Alive, Dead, NodeStatus, Suspect

QUEUE_MAX: Final = 4096
"""Broadcasts that wait; above it those sent most often are dropped.

DEPARTURE (queue-max): memberlist's own queue has no bound.
"""

_REFUTATION_SLOT: Final = "refutation"
_OWN_LEAVE: Final = "own leave"


def _slot(name: str) -> str:
    return f"member {name}"


def _timer(name: str) -> str:
    return f"suspicion {name}"


class MemberStates:
    """The members, and what this node says about them."""

    def __init__(self, local: MemberRecord, common: Common) -> None:
        self.table = MemberTable()
        self.queue = BroadcastQueue(common.settings.retransmit_mult, QUEUE_MAX)
        self.awareness = Awareness(common.settings.awareness_max_multiplier)
        self.leaving = False
        self._leave_told = False
        self.local_name = local.name
        self._common = common
        self._suspicions: dict[str, Suspicion] = {}
        self.table.put(local, common.rng)

    @property
    def local(self) -> MemberRecord:
        """This node's own record."""
        record = self.table.get(self.local_name)
        assert record is not None, "the own record is never forgotten"
        return record

    @property
    def suspicions(self) -> int:
        """How many members are under suspicion here."""
        return len(self._suspicions)

    def is_other(self, record: MemberRecord) -> bool:
        """It is another member, alive or under suspicion."""
        return record.name != self.local_name and not record.is_gone

    def announce(self, meta: bytes, now: float) -> None:
        """This node is alive with this meta and a new incarnation, and gossips that; nothing if it is leaving."""
        if self.leaving:
            return
        local = self.local
        incarnation = next_incarnation(local.incarnation, local.incarnation)
        self.alive(Alive(incarnation, local.name, local.addr, local.port, meta, local.vsn), now, own=True)

    def leave(self, now: float) -> None:
        """This node has left and gossips that; LeaveSent is told when it was sent often enough or nobody is there."""
        if self.leaving:
            return
        self.leaving = True
        self.dead(Dead(self.local.incarnation, self.local_name, self.local_name), now)
        if not any(self.is_other(record) for record in self.table.records()):
            self._tell_leave_sent()

    def settle(self) -> None:
        """What the queue finished is told upward; called after packets were built."""
        if _OWN_LEAVE in self.queue.take_finished():
            self._tell_leave_sent()

    def _tell_leave_sent(self) -> None:
        if not self._leave_told:
            self._leave_told = True
            self._common.tell(LeaveSent())

    def alive(self, news: Alive, now: float, *, own: bool = False) -> None:
        """An alive message has been judged, and applied and gossiped on if it is news."""
        if not news.node or not is_addr(news.addr):
            self._common.counters["malformed"] += 1
            return
        news = replace(news, port=news.port or self.local.port)
        known = self.table.get(news.node)
        if known is None and self.table.is_full:
            self._common.counters["members_refused"] += 1
            return
        local = news.node == self.local_name
        reclaim = known is not None and may_reclaim(known, self._common.settings.dead_node_reclaim_s, now)
        verdict = judge_alive(known, news, local=local, own=own, leaving=self.leaving, reclaim=reclaim)
        if verdict is Verdict.CONFLICT and known is not None:
            self._common.counters["conflicts"] += 1
            self._common.tell(NameConflict(known, news.addr, news.port))
        elif verdict is Verdict.REFUTE:
            self._refute(news.incarnation, "")
        elif verdict is Verdict.ACCEPT:
            self._accept_alive(known, news, now)

    def seen_elsewhere(self, addr: bytes, port: int) -> None:
        """A member knows the own name with this address, though not alive there: a conflict, if it is another address.

        The message that such an entry of a push/pull amounts to carries no address, so it only accuses.
        """
        if (addr, port or self.local.port) != (self.local.addr, self.local.port) and not self.leaving:
            self._common.counters["conflicts"] += 1
            self._common.tell(NameConflict(self.local, addr, port or self.local.port))

    def insist(self) -> None:
        """This node gossips again that it is alive, where it is."""
        if not self.leaving:
            self.queue.add(encode_message(_alive(self.local)), slot=_REFUTATION_SLOT)

    def suspect(self, news: Suspect, now: float) -> None:
        """A suspect message has been judged: applied, counted as a confirmation, refuted, or dropped."""
        known = self.table.get(news.node)
        local, suspected = news.node == self.local_name, news.node in self._suspicions
        verdict = judge_suspect(known, news, local=local, suspected=suspected)
        if verdict is Verdict.CONFIRM:
            self._confirm(news)
        elif verdict is Verdict.REFUTE:
            self._refute(news.incarnation, news.accuser)
        elif verdict is Verdict.ACCEPT and known is not None:
            self._gossip(news)
            record = replace(known, incarnation=news.incarnation, status=NodeStatus.SUSPECT, changed=now)
            self.table.put(record, self._common.rng)
            self._common.counters["suspicions"] += 1
            self._begin_suspicion(record, news.accuser, now)
            self._common.tell(MemberSuspected(record, news.accuser))

    def refused(self, name: str, now: float) -> None:
        """The host of this member has said that nobody listens there; a suspicion about it need not last long."""
        suspicion = self._suspicions.get(name)
        if suspicion is not None:
            suspicion.refused()
            self._await_end(name, max(now, suspicion.deadline))

    def put_off_suspicions(self, until: float) -> None:
        """No suspicion of now ends before `until`, but for those that were put off too often."""
        for name, suspicion in self._suspicions.items():
            if suspicion.put_off(until):
                self._await_end(name, suspicion.deadline)

    def dead(self, news: Dead, now: float) -> None:
        """A dead message has been judged: applied as dead or left, refuted, or dropped."""
        known = self.table.get(news.node)
        local = news.node == self.local_name
        verdict = judge_dead(known, news, local=local, leaving=self.leaving)
        if verdict is Verdict.REFUTE:
            self._refute(news.incarnation, news.accuser)
        elif verdict is Verdict.ACCEPT and known is not None:
            self._end_suspicion(news.node)
            self._gossip(news, token=_OWN_LEAVE if local else None)
            status = NodeStatus.LEFT if news.node == news.accuser else NodeStatus.DEAD
            record = replace(known, incarnation=news.incarnation, status=status, changed=now)
            self.table.put(record, self._common.rng)
            self._common.tell(MemberGone(record))

    def forget_gone(self, now: float) -> None:
        """Other members that have been dead or left for longer than they get gossip are forgotten (README 4.3)."""
        forgotten = [
            record.name
            for record in self.table.records()
            if record.is_gone
            and record.name != self.local_name
            and now - record.changed > self._common.settings.gossip_to_the_dead_s
        ]
        if forgotten:
            self.table.forget(forgotten)
        for name in forgotten:
            self._common.tell(MemberForgotten(name))

    def _accept_alive(self, known: MemberRecord | None, news: Alive, now: float) -> None:
        self._end_suspicion(news.node)
        self._gossip(news)
        was_gone = known is None or known.is_gone
        record = MemberRecord(
            name=news.node,
            addr=news.addr,
            port=news.port,
            meta=news.meta,
            vsn=news.vsn if known is None else news.vsn or known.vsn,
            incarnation=news.incarnation,
            status=NodeStatus.ALIVE,
            changed=known.changed if known is not None and known.status is NodeStatus.ALIVE else now,
        )
        self.table.put(record, self._common.rng)
        if known is not None and known.status is NodeStatus.SUSPECT:
            self._common.tell(SuspicionEnded(record))
        if was_gone:  # row 10
            self._common.tell(MemberJoined(record))
        elif known is not None and known.meta != record.meta:
            self._common.tell(MemberUpdated(record))

    def _refute(self, accused: Incarnation, by: str) -> None:
        """This node says again that it is alive, with an incarnation above what it is accused of."""
        local = self.local
        record = replace(local, incarnation=next_incarnation(local.incarnation, accused))
        self.table.put(record, self._common.rng)
        self.awareness.adjust(1)
        self._common.counters["refutations"] += 1
        self.queue.add(encode_message(_alive(record)), slot=_REFUTATION_SLOT)
        self._common.tell(Refuted(by))

    def _gossip(self, news: Alive | Suspect | Dead, token: str | None = None) -> None:
        self.queue.add(encode_message(news), slot=_slot(news.node), token=token)

    def _begin_suspicion(self, record: MemberRecord, accuser: str, now: float) -> None:
        nodes, settings = len(self.table), self._common.settings
        min_s = timeout_min_s(settings.suspicion_mult, nodes, settings.probe_interval_s)
        suspicion = Suspicion(
            accuser,
            wanted=confirmations_wanted(settings.suspicion_mult, nodes),
            min_s=min_s,
            max_s=settings.suspicion_max_timeout_mult * min_s,
            now=now,
        )
        self._suspicions[record.name] = suspicion
        self._await_end(record.name, suspicion.deadline)

    def _confirm(self, news: Suspect) -> None:
        suspicion = self._suspicions[news.node]
        if suspicion.confirm(news.accuser):
            self._gossip(news)
            self._await_end(news.node, suspicion.deadline)

    def _await_end(self, name: str, deadline: float) -> None:
        self._common.timers.set(_timer(name), deadline, partial(self._suspicion_fires, name))  # small, of thousands

    def _suspicion_fires(self, name: str, now: float) -> None:
        """Nobody refuted in time, so the member is dead as far as this node knows."""
        known = self.table.get(name)
        if known is not None:
            self.dead(Dead(known.incarnation, name, self.local_name), now)

    def _end_suspicion(self, name: str) -> None:
        if self._suspicions.pop(name, None) is not None:
            self._common.timers.cancel(_timer(name))


def _alive(record: MemberRecord) -> Alive:
    return Alive(record.incarnation, record.name, record.addr, record.port, record.meta, record.vsn)
