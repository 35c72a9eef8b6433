"""What this node does when it leaves: at each stage of the graceful leave what that stage is for (wire README 5.6).

`leave` says when a stage is over. It must not know how broadcasts and packets are sent.
"""

from collections.abc import Callable
from typing import Final

from onevalue.serf.events import LeaveDone, SerfEvent
from onevalue.serf.healing import Healing
from onevalue.serf.intake import Intake
from onevalue.serf.leave import GracefulLeave, LeaveStage
from onevalue.swim.core import Swim
from onevalue.swim.timers import Timers

INTENT_SENT: Final = "leave intent"
"""The token of the broadcast that tells of the leave."""


class Leaving:
    """Leaves once, when told to; a LeaveDone is the end of it, if others were there.

    Args:
        stages: of the leave.
        swim: which this node leaves.
        intake: says that this node leaves, and no longer contradicts who says so.
        healing: stopped by the leave.
        timers: for the ends of stages.
        tell: the owner.
    """

    def __init__(
        self,
        stages: GracefulLeave,
        swim: Swim,
        intake: Intake,
        healing: Healing,
        timers: Timers,
        tell: Callable[[SerfEvent], object],
    ) -> None:
        self._stages = stages
        self._swim = swim
        self._intake = intake
        self._healing = healing
        self._timers = timers
        self._tell = tell

    @property
    def stage(self) -> LeaveStage:
        """How far it is."""
        return self._stages.stage

    def begin(self, now: float) -> bool:
        """The leave has begun; a second call does nothing. True: nobody is there to hear of it, so it is over."""
        if self.stage is not LeaveStage.STAYING:
            return False
        alone = not self._swim.alive_others()
        self._healing.stopped = True
        self._intake.disputes_leaving = False
        self._intake.announce_leave(self._swim.local.name, now, token=INTENT_SENT)
        if alone:
            self._stages.finish(now)
            self._swim.leave(now)
        else:
            self._go_on(now)
        return alone

    def intent_sent(self, now: float) -> None:
        """The intent was gossiped as often as it should be."""
        if self.stage is LeaveStage.INTENT:
            self._go_on(now)

    def departure_sent(self, now: float) -> None:
        """So was SWIM's word of the departure."""
        if self.stage is LeaveStage.DEPARTURE:
            self._go_on(now)

    def _go_on(self, now: float) -> None:
        """The present stage is finished, or has had its time; the next one begins."""
        stage = self._stages.advance(now)
        if self._stages.deadline is not None:
            self._timers.set("leave", self._stages.deadline, self._go_on)
        if stage is LeaveStage.DEPARTURE:
            self._swim.leave(now)
        elif stage is LeaveStage.DONE:
            self._tell(LeaveDone())
