"""The log as `serf monitor` shows it: the newest lines first, then each as it comes, in Serf's form."""

import re
import threading
from typing import Any

import pytest
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from onevalue.rpc.monitor import LINE_LENGTH_MAX, LINES_MAX, Monitor
from onevalue.wire import rpc_messages as rpc
from onevalue.wire.rpc_messages import ErrorText
from tests.unit.rpc_bench import RpcTestCase


class ThreadReactor(MemoryReactorClock):
    """Keeps what threads want of it."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Twisted's has no types
        self.wanted: list[tuple[Any, Any]] = []

    def callFromThread(self, call: Any, line: Any) -> None:
        """See IReactorFromThreads."""
        self.wanted.append((call, line))


class MonitorTests(SynchronousTestCase):
    """The observer."""

    def setUp(self) -> None:
        self.reactor = ThreadReactor()
        self.monitor = Monitor(self.reactor)
        self.log = Logger("onevalue.test", observer=self.monitor)
        self.told: list[str] = []

    def test_a_line_has_serfs_form(self) -> None:
        """Time, level, who says it, and what; on one line."""
        self.monitor.begin("info", self.told.append)
        self.log.info("two\nlines of {who}", who="me")
        assert re.fullmatch(r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[INFO\] onevalue.test: two lines of me", self.told[0])

    def test_levels_are_serfs(self) -> None:
        """Each with those above it, in any case."""
        for level, count in [("trace", 5), ("Debug", 5), ("INFO", 4), ("warn", 3), ("err", 2)]:
            told: list[str] = []
            stop = self.monitor.begin(level, told.append)
            del told[:]
            for write in (self.log.debug, self.log.info, self.log.warn, self.log.error, self.log.critical):
                write("line")
            stop()
            assert len(told) == count, level
        for level in ("", "warning", "nix"):
            with pytest.raises(ValueError, match=f"Unknown log level: {level.upper()}"):
                self.monitor.begin(level, self.told.append)

    def test_a_failure_is_one_line(self) -> None:
        """With its message, without its traceback."""
        self.monitor.begin("err", self.told.append)
        self.log.failure("it failed", Failure(ZeroDivisionError("by nothing")))
        [line] = self.told
        assert line.endswith("[ERR] onevalue.test: it failed: by nothing")

    def test_the_newest_lines_are_told_first(self) -> None:
        """As many as are remembered, and then what comes, until it is stopped."""
        for number in range(LINES_MAX + 10):
            self.log.info("line {number}", number=number)
        self.log.debug("not shown")
        stop = self.monitor.begin("info", self.told.append)
        self.log.info("new")
        stop()
        self.log.info("after the end")
        assert self.told[0].endswith("line 11")
        assert self.told[-2:][0].endswith(f"line {LINES_MAX + 9}")
        assert self.told[-1].endswith("new")
        assert len(self.told) == LINES_MAX

    def test_a_line_is_bounded(self) -> None:
        """And printable."""
        self.monitor.begin("info", self.told.append)
        self.log.info("{text}", text="\x1b[31m" + "x" * 10_000)
        assert len(self.told[0]) < LINE_LENGTH_MAX + 100
        assert "\x1b" not in self.told[0]

    def test_who_logs_when_told_does_not_feed_himself_for_ever(self) -> None:
        """It is told of its own line after the first one; in one turn only so often."""

        def tell(line: str) -> None:
            self.told.append(line)
            self.log.info("told")

        self.monitor.begin("info", tell)
        self.log.info("first")
        assert self.told[0].endswith("first")
        assert len(self.told) == LINES_MAX

    def test_lines_of_other_threads_are_told_on_the_reactors(self) -> None:
        """Not in the thread that logs."""
        self.monitor.begin("info", self.told.append)
        thread = threading.Thread(target=self.log.info, args=("from afar",))
        thread.start()
        thread.join()
        assert self.told == []
        [(call, line)] = self.reactor.wanted
        call(line)
        assert self.told[0].endswith("from afar")


class MonitorCommandTests(RpcTestCase):
    """The command."""

    log = Logger("onevalue.test")

    def test_a_client_is_told_of_the_log(self) -> None:
        """Remembered lines first, each a record; until it stops it."""
        self.log.info("before")
        client = self.client()
        old = [each["Log"] for each in client.ask("monitor", 1, rpc.Monitor("info"))[1::2]]
        assert old[-1].endswith("before")
        self.log.info("after")
        header, record = client.more()
        assert (header, record["Log"].endswith("after")) == ({"Error": "", "Seq": 1}, True)
        assert client.ask("stop", 2, rpc.Stop(1)) == []
        self.log.info("later")
        assert client.more() == []

    def test_a_connection_has_one_monitor(self) -> None:
        """Another is refused until it has stopped; so is an unknown level, which takes no place."""
        client = self.client()
        [header] = client.ask("monitor", 1, rpc.Monitor("nix"))
        assert header["Error"] == "Unknown log level: NIX"
        assert client.ask("monitor", 2, rpc.Monitor("err")) == []
        [header] = client.ask("monitor", 3, rpc.Monitor("err"))
        assert header["Error"] == ErrorText.MONITOR_EXISTS
        client.ask("stop", 4, rpc.Stop(2))
        assert client.ask("monitor", 5, rpc.Monitor("err")) == []
        client.lose()
        assert self.rpc._monitor._watchers == {}
