"""The node as a whole: a port that is taken is one clear line, and stopping ends whatever one part does."""

import os
import re
from typing import Any

import pytest
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from onevalue.node import Node, Stop


class Part(Service):
    """A part that notes what happens to it."""

    def __init__(self, name: str, notes: list[str], fault: Exception | None = None) -> None:
        self.label = name
        self.notes = notes
        self.fault = fault

    def startService(self) -> None:
        """Noted."""
        if self.fault is not None:
            raise self.fault
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's has no types
        self.notes.append(f"start {self.label}")


class NodeTests(SynchronousTestCase):
    """Node, with parts of the test's own."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.notes: list[str] = []

    def noting(self, name: str, result: Any = None) -> Stop:
        """A step that notes that it was called."""

        def stop() -> Any:
            self.notes.append(name)
            if isinstance(result, Exception):
                raise result
            return result

        return Stop(stop, 2.0)

    def test_parts_start_in_order(self) -> None:
        """As they are given."""
        node = Node(self.clock, [Part("a", self.notes), Part("b", self.notes)], [])
        node.privilegedStartService()
        node.startService()
        assert self.notes == ["start a", "start b"]

    def test_a_taken_port_ends_the_process_with_status_1(self) -> None:
        """No traceback, and the parts behind it do not start."""
        fault = CannotListenError("127.0.0.1", 7946, OSError(98, "Address already in use"))
        node = Node(self.clock, [Part("a", self.notes, fault), Part("b", self.notes)], [])
        with pytest.raises(SystemExit) as ended:
            node.startService()
        assert ended.value.code == 1
        assert isinstance(ended.value, Exception)  # or twistd as a daemon would wait for ever
        assert "127.0.0.1 port 7946" in str(ended.value)
        assert not self.notes

    def test_whatever_cannot_be_had_is_one_clear_clause(self) -> None:
        """A socket in the file system, or in a folder that is not there, or all interfaces."""
        taken = OSError(98, "Address already in use")
        for fault, words in [
            (CannotListenError(None, b"/run/x", taken), "cannot listen on /run/x: [Errno 98] Address already in use"),
            (CannotListenError("", 80, taken), "cannot listen on all interfaces port 80: [Errno 98]"),
            (FileNotFoundError(2, "No such file or directory", "7", None, b"/x.lock"), "cannot listen: No such file"),
        ]:
            with pytest.raises(SystemExit, match=re.escape(words)) as ended:
                Node(self.clock, [Part("a", self.notes, fault)], []).startService()
            assert "b'" not in str(ended.value)

    def test_who_cannot_listen_is_told_what_to_do(self) -> None:
        """A port that is taken, an address of another host, a port that is root's."""
        for number, words in [(98, "ss -lntup"), (99, "does not have this address"), (13, "wants root")]:
            fault = CannotListenError("10.0.0.1", 80, OSError(number, os.strerror(number)))
            with pytest.raises(SystemExit, match=re.escape(words)):
                Node(self.clock, [Part("a", self.notes, fault)], []).startService()

    def test_each_step_waits_for_the_one_before(self) -> None:
        """Until its Deferred has fired."""
        first: Deferred[None] = Deferred()
        stopped = Node(self.clock, [], [self.noting("a", first), self.noting("b")]).stopService()
        assert self.notes == ["a"]
        first.callback(None)
        self.successResultOf(stopped)
        assert self.notes == ["a", "b"]
        assert not self.clock.getDelayedCalls()

    def test_a_step_that_fails_or_hangs_does_not_keep_the_next(self) -> None:
        """It is logged; nobody waits longer than the step may take."""
        hanging: Deferred[None] = Deferred()
        steps = [self.noting("raises", ZeroDivisionError()), self.noting("hangs", hanging), self.noting("last")]
        stopped = Node(self.clock, [], steps).stopService()
        assert self.notes == ["raises", "hangs"]
        self.clock.advance(2.0)
        self.successResultOf(stopped)
        assert self.notes[-1] == "last"
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1  # type: ignore[no-untyped-call]  # Twisted's has no types
        hanging.callback(None)  # too late, and no harm
        assert not self.clock.getDelayedCalls()

    def test_stopping_twice_stops_once(self) -> None:
        """Both who asked hear when it is over."""
        first: Deferred[None] = Deferred()
        node = Node(self.clock, [], [self.noting("a", first)])
        stops = [node.stopService(), node.stopService()]
        assert self.notes == ["a"]
        first.callback(None)
        for stopped in stops:
            self.successResultOf(stopped)
