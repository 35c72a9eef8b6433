"""Rounds of gossip: when they are made, and to whom they go.

One follows the other at the interval; what is urgent has rounds out of turn. What the packets hold is `outbox`'s
affair, which this file must not know. Follows memberlist's state.go (gossip).
"""

from typing import Final

from onevalue.swim.common import Common
from onevalue.swim.members import MemberRecord
from onevalue.swim.outbox import Outbox
from onevalue.swim.stall import SelfDoubt
from onevalue.swim.states import MemberStates
from onevalue.wire.messages import NodeStatus

URGENT_ROUNDS: Final = 2
"""Rounds of gossip that are made at once for what is urgent and was heard. With one, at 5% loss a member in 300 hears
nothing."""

URGENT_ROUND_PAUSE_S: Final = 0.05
"""From rounds out of turn to the next ones, whatever floods us with what is urgent."""

_GOSSIP: Final = "gossip"


class Gossip:
    """Makes no round before `start`."""

    def __init__(self, states: MemberStates, outbox: Outbox, doubt: SelfDoubt, common: Common) -> None:
        self._states = states
        self._outbox = outbox
        self._doubt = doubt
        self._common = common
        self._started = False
        self._urgent_at = float("-inf")

    def start(self, now: float) -> None:
        """Rounds are made from now on, the first within the interval: nodes that start at once need not go in step."""
        self._started = True
        self._await(now + self._common.rng.random() * self._common.settings.gossip_interval_s)

    def at_once(self, now: float) -> None:
        """One round is made, however many there were: whoever asks for it bounds how often."""
        if self._started:
            self._round(now)

    def urgently(self, now: float) -> None:
        """`URGENT_ROUNDS` are made, unless some were a moment ago.

        DEPARTURE (urgent-gossip): memberlist gossips at intervals only. It is sent as often as else, but sooner.
        """
        if now - self._urgent_at >= URGENT_ROUND_PAUSE_S:
            self._urgent_at = now
            for _ in range(URGENT_ROUNDS):
                self.at_once(now)

    def _due(self, now: float) -> None:
        self._await(now + self._common.settings.gossip_interval_s)
        self._round(now)

    def _await(self, at: float) -> None:
        self._doubt.expect(at)
        self._common.timers.set(_GOSSIP, at, self._due)

    def _round(self, now: float) -> None:
        """Random members get what the queues hold, until they are empty."""

        def suits(record: MemberRecord) -> bool:
            if record.name == self._states.local_name or record.status is NodeStatus.LEFT:
                return False
            return not record.is_gone or now - record.changed <= self._common.settings.gossip_to_the_dead_s

        for record in self._states.table.choose(self._common.settings.gossip_nodes, suits, self._common.rng):
            if not self._outbox.gossip_to(record):
                return
