"""Probing: one member each interval; one probe cycle from the ping to its verdict (wire README 4.3).

A direct ping; without an ack in time, indirect pings through others and a stream ping; at the end of the interval,
scaled by the own health, a verdict: alive, or suspect. Nacks tell whether the others could hear this node at all
(Lifeguard). It must not know what being suspect leads to.
"""

from dataclasses import dataclass
from typing import Final

from onevalue.swim.common import Common
from onevalue.swim.events import AckReceived
from onevalue.swim.members import MemberRecord
from onevalue.swim.outbox import Outbox
from onevalue.swim.sequence import Sequencer
from onevalue.swim.states import MemberStates
from onevalue.swim.streams import StreamFailed, StreamOutcome, Streams
from onevalue.types import SequenceNumber
from onevalue.wire.codec import encode_message
from onevalue.wire.messages import Ack, IndirectPing, NodeStatus, Ping, Suspect

_PROTOCOL_WITH_TCP_PINGS: Final = 3
_PROTOCOL_WITH_NACKS: Final = 4

DOUBTS_MAX: Final = 3
"""Probes in a row that are dropped because this node stood still; the next is judged all the same."""

_TICK: Final = "probe tick"
_TIMEOUT: Final = "probe timeout"
_VERDICT: Final = "probe verdict"


@dataclass(slots=True)
class Probe:
    """One probe under way; `target` is what was known when it began, so that newer news are not overruled."""

    target: MemberRecord
    seq_no: SequenceNumber
    sent: float
    deadline: float
    asked_others: bool = False
    nacks_expected: int = 0
    nacks_received: int = 0
    stream_contact: bool = False
    refused: bool = False

    @property
    def failure_delta(self) -> int:
        """What a failed probe adds to the health score: the nacks that are missing, or 1 if none were expected."""
        if self.nacks_expected == 0:
            return 1
        return max(0, self.nacks_expected - self.nacks_received)


class Prober:
    """Probes one member after the other; at most one probe is under way, and ticks during it are skipped."""

    def __init__(
        self, states: MemberStates, outbox: Outbox, streams: Streams, sequencer: Sequencer, common: Common
    ) -> None:
        self._states = states
        self._outbox = outbox
        self._streams = streams
        self._sequencer = sequencer
        self._common = common
        self.probe: Probe | None = None
        self._soon: str | None = None
        self._doubts = 0
        self._was_soon = False  # the last probe was out of turn: the next is not, or others would never be probed

    def start(self, now: float) -> None:
        """The first probe begins after a random delay of up to one interval."""
        self._common.timers.set(
            _TICK, now + self._common.rng.random() * self._common.settings.probe_interval_s, self._tick
        )

    def ack(self, message: Ack, now: float) -> bool:
        """The probe under way has succeeded, if the ack is for it; only a direct and timely one tells a round trip."""
        probe = self.probe
        if probe is None or probe.seq_no != message.seq_no:
            return False
        if not probe.asked_others:
            member = self._states.table.get(probe.target.name) or probe.target
            round_trip_s = max(0.0, now - probe.sent)
            self._common.round_trips.observe(round_trip_s)
            self._common.tell(AckReceived(member, round_trip_s, message.payload))
        self._end(-1)
        return True

    def nack(self, seq_no: SequenceNumber) -> None:
        """A helper could not reach the target either; that it says so shows that this node is heard."""
        if self.probe is not None and self.probe.seq_no == seq_no:
            self.probe.nacks_received += 1

    def probe_soon(self, name: str) -> None:
        """This member is probed before its turn, next or after the next, unless another is wanted so too by then."""
        self._soon = name

    def doubt(self) -> None:
        """This node has stood still: the probe under way tells nothing of its target, which is probed anew instead."""
        probe = self.probe
        if probe is None or self._doubts >= DOUBTS_MAX:
            return
        self._doubts += 1
        self._common.counters["probes_dropped"] += 1
        self._forget_probe()
        self.probe_soon(probe.target.name)

    def _tick(self, now: float) -> None:
        target = self._next_target(now) if self.probe is None else None
        if target is not None:
            self._begin(target, now)
        # After _begin: when both fall on one moment, the verdict must come before the tick that begins the next probe.
        self._common.timers.set(_TICK, now + self._common.settings.probe_interval_s, self._tick)

    def _next_target(self, now: float) -> MemberRecord | None:
        """The next other member in turn that is not gone; at the end of the round those long gone are forgotten."""
        table = self._states.table
        soon, self._was_soon = (None if self._was_soon or self._soon is None else table.get(self._soon)), False
        if soon is not None:
            self._soon = None
            if self._states.is_other(soon):
                self._was_soon = True
                return soon
        for _ in range(len(table) + 1):
            record = table.next_in_turn()
            if record is None:
                self._states.forget_gone(now)
                table.shuffle(self._common.rng)
            elif self._states.is_other(record):
                return record
        return None

    def _begin(self, target: MemberRecord, now: float) -> None:
        interval_s = self._states.awareness.scale(self._common.settings.probe_interval_s)
        probe = Probe(target, self._sequencer.next(), now, now + interval_s)
        self.probe = probe
        self._common.counters["probes"] += 1
        self._common.timers.set(_TIMEOUT, now + self._common.settings.probe_timeout_s, self._ask_others)
        self._common.timers.set(_VERDICT, probe.deadline, self._judge)
        local = self._states.local
        ping = encode_message(Ping(probe.seq_no, target.name, local.addr, local.port, local.name))
        if target.status is NodeStatus.ALIVE:
            self._outbox.send(ping, target.address)
        else:  # so that it can refute at once
            suspect = Suspect(target.incarnation, target.name, local.name)
            self._outbox.send_alone([ping, encode_message(suspect)], target.address)

    def _ask_others(self, now: float) -> None:
        """No ack in time: others are asked to ping, and a stream is tried."""
        probe = self.probe
        if probe is None:
            return
        probe.asked_others = True
        target, local = probe.target, self._states.local
        helpers = self._states.table.choose(
            self._common.settings.indirect_checks,
            lambda record: record.status is NodeStatus.ALIVE and record.name not in {local.name, target.name},
            self._common.rng,
        )
        for helper in helpers:
            nack = helper.protocol_max >= _PROTOCOL_WITH_NACKS
            probe.nacks_expected += nack
            request = IndirectPing(
                probe.seq_no, target.addr, target.port, target.name, nack, local.addr, local.port, local.name
            )
            self._outbox.send(encode_message(request), helper.address)
        if self._common.settings.tcp_pings and target.protocol_max >= _PROTOCOL_WITH_TCP_PINGS:
            self._ping_by_stream(probe, now)

    def _ping_by_stream(self, probe: Probe, now: float) -> None:
        local = self._states.local
        ping = Ping(probe.seq_no, probe.target.name, local.addr, local.port, local.name)

        def done(_request_id: int, outcome: StreamOutcome, _now: float) -> None:
            probe.stream_contact = isinstance(outcome, Ack) and outcome.seq_no == probe.seq_no
            probe.refused = isinstance(outcome, StreamFailed) and outcome.refused

        self._streams.open(probe.target.address, lambda: ping, probe.deadline, now, done)

    def _judge(self, now: float) -> None:
        """The time is up: contact by stream still counts, else the member is suspect."""
        probe = self.probe
        if probe is None:
            return
        if probe.stream_contact:
            self._common.counters["probes_by_stream"] += 1
            self._end(-1)
            return
        self._common.counters["probes_failed"] += 1
        self._end(probe.failure_delta)
        self._states.suspect(Suspect(probe.target.incarnation, probe.target.name, self._states.local_name), now)
        if probe.refused:
            self._states.refused(probe.target.name, now)

    def _end(self, health_delta: int) -> None:
        self._doubts = 0
        self._forget_probe()
        self._states.awareness.adjust(health_delta)

    def _forget_probe(self) -> None:
        self.probe = None
        self._common.timers.cancel(_TIMEOUT)
        self._common.timers.cancel(_VERDICT)
