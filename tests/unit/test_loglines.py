"""Lines of the log about what others did: printable, and of a bounded number."""

from twisted.internet.task import Clock
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from onevalue.loglines import LINES_MAX, PERIOD_S, SHOWN_MAX, LimitedLog, shown


class LogLinesTests(SynchronousTestCase):
    """LimitedLog on a log that is kept."""

    def setUp(self) -> None:
        self.events: list[dict[str, object]] = []
        self.clock = Clock()
        log = Logger("test", observer=self.events.append)  # type: ignore[arg-type]  # its kind of event is an Any
        self.log = LimitedLog(log, self.clock.seconds)

    def test_texts_of_others_are_printable_and_short(self) -> None:
        """What a terminal would obey, or a file could not hold, is shown as a question mark."""
        assert shown("a\x1b[31m\nb\udcffc") == "a?[31m?b?c"
        assert len(shown("x" * 1000)) == SHOWN_MAX
        self.log.info("{name} {number}", name="n\n1", number=5)
        assert (self.events[0]["name"], self.events[0]["number"]) == ("n?1", 5)

    def test_a_flood_is_cut_and_counted(self) -> None:
        """Only so many lines pass in a period; the next one begins with how many were left out."""
        for _ in range(LINES_MAX + 7):
            self.log.info("a line")
        assert len(self.events) == LINES_MAX
        self.clock.advance(PERIOD_S)
        self.log.error("another")
        assert self.events[LINES_MAX]["count"] == 7
        assert self.events[LINES_MAX + 1]["log_level"] is LogLevel.error

    def test_a_clock_that_steps_back_does_not_silence_it(self) -> None:
        """A new period begins."""
        self.clock.advance(1000)
        for _ in range(LINES_MAX + 1):
            self.log.info("a line")
        self.clock.rightNow = 0.0
        self.log.info("heard")
        assert self.events[-1]["log_format"] == "heard"

    def test_failures_count_too(self) -> None:
        """A fault that repeats fills no disk."""
        for _ in range(LINES_MAX + 1):
            self.log.failure("{what} failed", Failure(ValueError()), what="it")
        assert len(self.events) == LINES_MAX
