"""The graceful leave, in order: leave intent, departure, a while of still answering; a state machine over `now`.

Follows wire README 5.6. A timeout only shortens a stage and never aborts the leave. It must not know what is sent, nor
how it is told that it was.
"""

from enum import IntEnum

from onevalue.config import SerfSettings


class LeaveStage(IntEnum):
    """How far the leave is; it only ever goes forward."""

    STAYING = 0
    INTENT = 1
    DEPARTURE = 2
    PROPAGATING = 3
    DONE = 4


class GracefulLeave:
    """Says when each stage is over; who asks does what the next stage needs."""

    def __init__(self, settings: SerfSettings) -> None:
        self._durations_s = {
            LeaveStage.INTENT: settings.broadcast_timeout_s,
            LeaveStage.DEPARTURE: settings.broadcast_timeout_s,
            LeaveStage.PROPAGATING: settings.leave_propagate_delay_s,
        }
        self._stage = LeaveStage.STAYING
        self._deadline: float | None = None

    @property
    def stage(self) -> LeaveStage:
        """The present stage."""
        return self._stage

    @property
    def deadline(self) -> float | None:
        """When the present stage ends at the latest; None before the leave and after it."""
        return self._deadline

    def advance(self, now: float) -> LeaveStage:
        """The next stage has begun, because the present one was finished; nothing happens after the last."""
        self._enter(LeaveStage(min(self._stage + 1, LeaveStage.DONE)), now)
        return self._stage

    def finish(self, now: float) -> None:
        """The leave is over at once: nobody is there to hear of it."""
        self._enter(LeaveStage.DONE, now)

    def _enter(self, stage: LeaveStage, now: float) -> None:
        self._stage = stage
        duration_s = self._durations_s.get(stage)
        self._deadline = None if duration_s is None else now + duration_s
