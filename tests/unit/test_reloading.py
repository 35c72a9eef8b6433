"""What a node does at SIGHUP."""

import os
import signal
from collections.abc import Callable

from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from onevalue.errors import ConfigError
from onevalue.reloading import Reloading


class StillReactor:
    """A reactor that runs what it is given when the test says so."""

    def __init__(self) -> None:
        self.when_running: list[Callable[[], None]] = []
        self.from_threads: list[Callable[[], None]] = []

    def callWhenRunning(self, what: Callable[[], None]) -> None:
        """See IReactorCore."""
        self.when_running.append(what)

    def callFromThread(self, what: Callable[[], None]) -> None:
        """See IReactorFromThreads."""
        self.from_threads.append(what)

    def run(self) -> None:
        """A turn, the first or another."""
        for calls in (self.when_running, self.from_threads):
            due, calls[:] = list(calls), []
            for call in due:
                call()


class ReloadingTests(SynchronousTestCase):
    """Real signals to this process, and a reactor that stands still."""

    def setUp(self) -> None:
        """A handler is there before."""
        self.former_heard = 0
        self.addCleanup(signal.signal, signal.SIGHUP, signal.signal(signal.SIGHUP, self._former))
        self.reactor = StillReactor()
        self.reloading = Reloading(self.reactor)
        self.called: list[str] = []

    def _former(self, _number: int, _frame: object) -> None:
        self.former_heard += 1

    def hang_up(self) -> None:
        """SIGHUP."""
        os.kill(os.getpid(), signal.SIGHUP)

    def test_observers_are_called_in_their_order_in_a_turn_of_the_reactor(self) -> None:
        """Once for each signal, and not inside the signal's handler."""
        for name in "ab":
            self.reloading.observe_reload(lambda name=name: self.called.append(name))  # type: ignore[misc]  # mypy and defaults of lambdas
        self.reloading.startService()
        self.reactor.run()
        self.hang_up()
        assert self.called == []
        self.reactor.run()
        assert self.called == ["a", "b"]
        self.hang_up()
        self.hang_up()
        self.reactor.run()
        assert self.called == ["a", "b"] * 3
        assert self.former_heard == 0

    def test_one_that_fails_does_not_keep_the_next_from_its_turn(self) -> None:
        """What cannot be taken up is told in one line of the level error; a fault of ours with its traceback."""

        def wrong() -> None:
            raise ConfigError("--token-file: /t is wrong in line 3")

        def faulty() -> None:
            raise ZeroDivisionError

        for observer in (wrong, faulty, lambda: self.called.append("c")):
            self.reloading.observe_reload(observer)
        self.reloading.startService()
        with capturedLogs() as lines:
            self.reloading.reload()
        assert self.called == ["c"]
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1  # type: ignore[no-untyped-call]  # trial's has no types
        [line] = [line for line in lines if line["log_level"] is LogLevel.error]
        assert line["why"] == "--token-file: /t is wrong in line 3"

    def test_the_signal_is_taken_only_while_the_reactor_runs(self) -> None:
        """Before, and after the stop, it does what it did before."""
        self.reloading.startService()
        self.hang_up()
        assert self.former_heard == 1
        self.reactor.run()
        self.hang_up()
        self.reloading.stopService()
        self.reactor.run()
        self.hang_up()
        assert (self.former_heard, self.called) == (2, [])
        assert signal.getsignal(signal.SIGHUP) == self._former

    def test_one_that_stopped_before_the_reactor_ran_takes_nothing(self) -> None:
        """It never will."""
        self.reloading.startService()
        self.reloading.stopService()
        self.reactor.run()
        assert signal.getsignal(signal.SIGHUP) == self._former

    def test_who_took_it_later_keeps_it(self) -> None:
        """A stop restores nothing over another's handler."""
        later = Reloading(self.reactor)
        for each in (self.reloading, later):
            each.startService()
            self.reactor.run()
        self.reloading.stopService()
        later.observe_reload(lambda: self.called.append("later"))
        self.hang_up()
        self.reactor.run()
        assert self.called == ["later"]
        later.stopService()
