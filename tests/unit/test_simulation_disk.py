"""The simulated disk under the shipped journal: what is durable when, and what survives."""

from random import Random

from twisted.trial.unittest import SynchronousTestCase

from onevalue.errors import JournalError
from onevalue.journal import LamportClocks, Peer
from onevalue.simulation.clock import Clock, NodeClock
from onevalue.simulation.disk import Disk
from onevalue.store import Source, State
from onevalue.types import Generation

ONE, TWO = State(Generation(1), 1), State(Generation(2), 2)


class DiskTests(SynchronousTestCase):
    """One host."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.node = NodeClock(self.clock)
        self.disk = Disk(Random(1), write_s=0.01)
        self.journal = self.disk.open(self.node)

    def run_for(self, seconds: float) -> None:
        """Time passes."""
        self.clock.run_until(self.clock.now + seconds)

    def test_what_is_acknowledged_is_there_before_that(self) -> None:
        """The larger state stays, in whatever order they come."""
        done = self.journal.append([TWO], Source.SET)
        self.assertNoResult(done)  # type: ignore[no-untyped-call]  # Twisted's has no types
        self.run_for(0.02)
        self.successResultOf(done)
        assert self.disk.state == TWO
        self.successResultOf(self.journal.append([], Source.SET))
        self.journal.append([ONE], Source.SET)
        self.run_for(1.0)
        assert self.disk.state == TWO

    def test_peers_and_clocks_are_there_for_the_next_process(self) -> None:
        """With the state; a wiped disk has nothing."""
        self.journal.learn(ONE, Source.EVENT)
        self.journal.save_peers([Peer("n2", "10.0.0.2", 7946)])
        self.journal.save_clocks(LamportClocks(1, 2, 3))
        self.run_for(3.0)
        contents = self.disk.open(NodeClock(self.clock)).contents
        assert (contents.state, contents.clocks) == (ONE, LamportClocks(1, 2, 3))
        assert [peer.name for peer in contents.peers] == ["n2"]
        self.disk.wipe()
        assert self.disk.open(NodeClock(self.clock)).contents.state is None

    def test_a_process_that_dies_first_has_written_nothing(self) -> None:
        """And is told nothing."""
        done = self.journal.append([ONE], Source.SET)
        self.node.is_dead = True
        self.run_for(1.0)
        self.assertNoResult(done)  # type: ignore[no-untyped-call]  # Twisted's has no types
        assert self.disk.state is None

    def test_a_broken_disk_refuses_until_it_is_repaired(self) -> None:
        """What was refused is not there; what is learnt waits."""
        self.disk.broken = "disk is full"
        refused = self.journal.append([ONE], Source.SET)
        self.journal.learn(TWO, Source.EVENT)
        self.run_for(5.0)
        self.failureResultOf(refused, JournalError)  # type: ignore[no-untyped-call]  # Twisted's has no types
        assert self.disk.state is None
        self.disk.repair()
        self.run_for(31.0)
        assert self.disk.state == TWO

    def test_a_disk_that_hangs_keeps_all_waiting(self) -> None:
        """Until it is repaired."""
        self.disk.hangs = True
        done = self.journal.append([ONE], Source.SET)
        self.run_for(5.0)
        self.assertNoResult(done)  # type: ignore[no-untyped-call]  # Twisted's has no types
        self.disk.repair()
        self.run_for(0.1)
        self.successResultOf(done)

    def test_there_is_no_history(self) -> None:
        """Whoever asks hears so; closing ends all."""
        self.failureResultOf(self.journal.history(3), JournalError)  # type: ignore[no-untyped-call]  # Twisted's has no types
        self.successResultOf(self.journal.close())
