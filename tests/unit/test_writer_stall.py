"""A disk that does not answer: who waits behind the commit under way hears so, and the node can stop all the same."""

from random import Random
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from onevalue.config import SpreadSettings
from onevalue.errors import NotDurableError
from onevalue.journal import STALL_S, IJournal, NullJournal
from onevalue.node import Node, Stop
from onevalue.spread import Spread
from onevalue.store import Source, State, Store
from onevalue.writer import Writer
from tests.fakes import at_once
from tests.spread_rig import state
from tests.unit.test_journal import Opened, Steps
from tests.unit.test_writer import HandDrivenJournal


class StallTests(SynchronousTestCase):
    """The writer behind a journal whose disk hangs."""

    def setUp(self) -> None:
        self.journal = HandDrivenJournal()
        self.store = Store(state(5, 50))
        self.writer = Writer(
            store=self.store,
            journal=IJournal(self.journal),
            spread=Spread(name="me", store=self.store, settings=SpreadSettings(), rng=Random(1)),
            clock=Clock().seconds,
            wall_clock=lambda: 1234.5,
            soon=at_once,
        )

    def refused(self, done: Deferred[State]) -> str:
        """Why it was not durable."""
        failure: Failure = self.failureResultOf(done, NotDurableError)  # type: ignore[no-untyped-call]  # trial's has no types
        return failure.getErrorMessage()

    def pending(self, done: Deferred[Any]) -> None:
        """It has not fired yet."""
        self.assertNoResult(done)  # type: ignore[no-untyped-call]  # as above

    def test_who_waits_behind_a_stalled_commit_is_refused(self) -> None:
        """At once, with the reason; the write in the commit waits for its outcome."""
        first, second = self.writer.write(60), self.writer.write(70)
        self.journal.stall("the disk hangs")
        assert self.refused(second) == "the disk hangs"
        self.pending(first)
        assert self.store.head == state(6, 60)

    def test_writes_during_a_stall_are_refused(self) -> None:
        """Until the disk has answered; then they are made."""
        first = self.writer.write(60)
        self.journal.stall("the disk hangs")
        assert self.refused(self.writer.write(70)) == "the disk hangs"
        self.journal.end()
        assert self.successResultOf(first) == state(6, 60)
        second = self.writer.write(80)
        self.journal.end()
        assert self.successResultOf(second) == state(7, 80)
        assert self.journal.commits == [[state(6, 60)], [state(7, 80)]]

    def test_a_stall_of_something_else_refuses_nothing(self) -> None:
        """Without a commit of its own under way the writer tries; the journal knows best."""
        self.journal.stall("the disk hangs")
        self.writer.write(60)
        assert self.journal.commits == [[state(6, 60)]]

    def test_a_node_stops_although_the_disk_hangs(self) -> None:
        """Being idle has a deadline, and the next part stops after it."""
        clock, closed = Clock(), []
        self.writer.write(60)
        node = Node(clock, [], [Stop(self.writer.when_idle, 1.0), Stop(lambda: closed.append(True), 1.0)])
        stopped = node.stopService()
        self.pending(stopped)
        clock.advance(1.0)
        self.successResultOf(stopped)
        assert closed == [True]
        self.journal.end()  # too late to matter to anybody
        assert not clock.getDelayedCalls()

    def test_no_journal_never_stalls(self) -> None:
        """It takes the observer, and forgets it."""
        assert verifyObject(IJournal, NullJournal())
        NullJournal().observe_stall(lambda _: None)


class JournalStallTests(Opened):
    """The real journal tells of a stall."""

    @inlineCallbacks
    def test_observers_hear_why(self) -> Steps:
        """Once, when the disk has not answered for STALL_S; the transaction ends when it does."""
        told: list[str] = []
        self.journal.observe_stall(told.append)
        go_on = self.hang()
        under_way = self.journal.append([state(6, 60)], Source.SET)
        self.clock.advance(STALL_S)
        assert told == [self.journal.trouble]
        go_on()
        yield under_way
        assert len(told) == 1
