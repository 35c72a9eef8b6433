"""A write that is overtaken while it is being written: who asked for it hears so when no crash can bring it back.

And it is no history.
"""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from onevalue import journal_file
from onevalue.config import SpreadSettings
from onevalue.errors import ConflictError, ExhaustedError, JournalError, NotDurableError
from onevalue.journal import DURABLE_TIME_MAX_S, STALL_S, HistoryEntry, Journal, Work
from onevalue.journal_records import Transaction
from onevalue.keeper import Keeper
from onevalue.simulation.clock import Clock, NodeClock
from onevalue.simulation.disk import Disk
from onevalue.spread import Spread
from onevalue.store import GENERATION_MAX, Condition, Source, State, Store
from onevalue.writer import Writer
from tests.fakes import FakeMembership, at_once
from tests.spread_rig import state
from tests.unit.test_writer import WriterRig

CRASHES = 40
"""Moments of a run at which a crash is tried."""

RUNS = 60
"""Seeds of the disk, whose transactions take their time by chance."""


class OvertakenTests(WriterRig):
    """What the writer makes of it, with a journal that the test drives."""

    def test_it_is_refused_when_what_overtook_it_is_durable(self) -> None:
        """Not when that comes, nor when its own commit is over."""
        done = self.writer.write(60, Condition.of(state(5, 50).tag))
        self.store.merge(state(9, 90), Source.NOTIFY)
        self.pending(done)
        [(awaited, durable)] = self.journal.waiting
        assert awaited == state(9, 90)
        self.journal.end()
        self.pending(done)
        durable.callback(None)
        self.refused(done, ConflictError)
        self.successResultOf(self.writer.when_idle())

    def test_the_journal_is_told_what_was_overtaken(self) -> None:
        """So that it stands in no history: nobody ever held it."""
        self.writer.write(60)
        self.store.merge(state(9, 90), Source.NOTIFY)
        assert self.journal.disowned == [state(6, 60)]

    def test_one_that_was_not_being_written_is_refused_at_once(self) -> None:
        """No crash can bring it back."""
        self.writer.write(60)
        behind = self.writer.write(70, Condition.of(state(6, 60).tag))
        self.store.merge(state(9, 90), Source.NOTIFY)
        self.refused(behind, ConflictError)
        assert self.journal.waiting == []

    def test_if_the_journal_fails_its_outcome_is_open(self) -> None:
        """The error says so, and why."""
        done = self.writer.write(60, Condition.of(state(5, 50).tag))
        self.store.merge(state(9, 90), Source.NOTIFY)
        [(_, durable)] = self.journal.waiting
        durable.errback(JournalError("the disk is full"))
        error = self.refused(done, NotDurableError)
        for words in (state(9, 90).tag, "the disk is full", "is open"):
            assert words in str(error)

    def test_a_commit_that_fails_is_told_as_before(self) -> None:
        """By its own error, at once."""
        done = self.writer.write(60, Condition.of(state(5, 50).tag))
        self.journal.end("the disk is full")
        self.refused(done, NotDurableError)
        assert self.journal.waiting == []

    def test_no_generation_left_is_told_when_that_is_durable(self) -> None:
        """Whether or not the write was renumbered before."""
        done = self.writer.write(60)
        self.store.merge(state(GENERATION_MAX - 2, 1), Source.NOTIFY)
        self.store.merge(state(GENERATION_MAX, 1), Source.NOTIFY)
        self.pending(done)
        [(_, durable)] = self.journal.waiting
        durable.callback(None)
        self.refused(done, ExhaustedError)

    def test_who_gives_up_is_told_nothing(self) -> None:
        """And does no harm."""
        done = self.writer.write(60, Condition.of(state(5, 50).tag))
        done.addErrback(lambda _: None)
        self.store.merge(state(9, 90), Source.NOTIFY)
        done.cancel()
        [(_, durable)] = self.journal.waiting
        durable.callback(None)


class Host:
    """A node's store, writer and keeper upon the shipped journal and a simulated disk."""

    def __init__(self, seed: int, work: Callable[[NodeClock, Random], Work] | None = None) -> None:
        self.clock = Clock()
        self.node = NodeClock(self.clock)
        self.disk = Disk(Random(seed), write_s=0.01)
        reactor: Any = self.node  # as far as it is used
        self.journal = (
            self.disk.open(self.node)
            if work is None
            else Journal(Path("/memory"), self.disk.contents, work(self.node, Random(seed)), lambda: None, reactor)
        )
        self.store = Store(state(5, 50))
        spread = Spread(name="me", store=self.store, settings=SpreadSettings(), rng=Random(1))
        self.writer = Writer(
            store=self.store,
            journal=self.journal,
            spread=spread,
            clock=self.node.seconds,
            wall_clock=self.node.wall_clock,
            soon=at_once,
        )
        Keeper(reactor=reactor, store=self.store, membership=FakeMembership(), journal=self.journal).startService()
        self.told: str | None = None

    def run_for(self, seconds: float) -> None:
        """Time passes."""
        self.clock.run_until(self.clock.now + seconds)

    def write(self, value: int, upon: State | None = None) -> "Deferred[State]":
        """A client writes, and hears sooner or later how it ended: `told` is the last of it."""
        self.told = None

        def hear(result: object) -> None:
            self.told = type(getattr(result, "value", None)).__name__ if not isinstance(result, State) else "made"

        done = self.writer.write(value, None if upon is None else Condition.of(upon.tag))
        done.addBoth(hear)
        return done

    def crash(self) -> State | None:
        """The process ends; what the next one would start with."""
        self.node.is_dead = True
        self.run_for(1.0)
        return self.disk.state


class CrashTests(SynchronousTestCase):
    """A crash at any moment."""

    def overtaken(self, seed: int, after_s: float) -> Host:
        """Some time after a conditional write was overtaken, at a moment of its commit."""
        host = Host(seed)
        host.write(60, upon=host.store.current)
        host.run_for(Random(seed).uniform(0, 0.02))
        if host.told is None:
            host.store.merge(state(9, 90), Source.EVENT)
        host.run_for(after_s)
        return host

    def test_a_write_that_was_refused_never_comes_back(self) -> None:
        """Whenever the host crashes; what comes back was acknowledged, or nobody was told."""
        seen: dict[tuple[str | None, int | None], None] = {}
        for seed in range(RUNS):
            for step in range(CRASHES):
                host = self.overtaken(seed, 0.001 * step)
                found = host.crash()
                seen[host.told, None if found is None else found.generation] = None
                if found == state(6, 60):
                    assert host.told in {None, "made"}, f"refused with {host.told}, and back; seed {seed}, step {step}"
        # All of it happens: it is on the disk while nobody was told, and the refusal comes when something above is.
        assert {(None, 6), ("ConflictError", 9), ("made", 6)} <= set(seen)
        assert ("ConflictError", 6) not in seen

    def test_a_disk_that_does_not_answer_leaves_it_open(self) -> None:
        """The client hears so after STALL_S, not sooner and not never."""
        host = Host(1)
        host.disk.hangs = True
        host.write(60, upon=host.store.current)
        host.run_for(1.0)
        host.store.merge(state(9, 90), Source.EVENT)
        host.run_for(STALL_S - 1.1)
        assert host.told is None
        host.run_for(0.2)
        assert host.told == "NotDurableError"

    def test_a_disk_that_is_full_leaves_it_open(self) -> None:
        """Once a transaction has failed."""
        host = Host(1)
        host.write(60, upon=host.store.current)
        host.store.merge(state(9, 90), Source.EVENT)
        host.disk.broken = "database or disk is full"
        host.run_for(0.05)
        assert host.told == "NotDurableError"

    def test_a_node_that_stops_tells_before_it_ends(self) -> None:
        """The journal has what overtook the write when it is closed."""
        host = Host(1)
        host.write(60, upon=host.store.current)
        host.store.merge(state(9, 90), Source.EVENT)
        host.journal.close()
        host.run_for(0.1)
        assert (host.told, host.disk.state) == ("ConflictError", state(9, 90))

    def test_nobody_waits_for_ever(self) -> None:
        """Not even for a state that nobody has handed to the journal."""
        host = Host(1)
        waiting = host.journal.when_durable(state(9, 90))
        host.run_for(DURABLE_TIME_MAX_S - 0.1)
        self.assertNoResult(waiting)  # type: ignore[no-untyped-call]  # trial's has no types
        host.run_for(0.2)
        self.failureResultOf(waiting, JournalError)  # type: ignore[no-untyped-call]  # likewise


class Memory:
    """The shipped file's transactions in memory, each after some time."""

    def __init__(self, clock: NodeClock, rng: Random) -> None:
        self._clock, self._rng = clock, rng
        self._connection = sqlite3.connect(":memory:", isolation_level=None)
        journal_file._migrate(self._connection, 0)

    def write(self, transaction: Transaction) -> "Deferred[None]":
        """See Work."""
        written: Deferred[None] = Deferred()

        def write() -> None:
            journal_file.write(self._connection, transaction)
            self._connection.commit()
            self._clock.callLater(self._rng.uniform(0, 0.01), written.callback, None)

        self._clock.callLater(self._rng.uniform(0, 0.01), write)
        return written

    def read_history(self, limit: int) -> "Deferred[list[HistoryEntry]]":
        """See Work."""
        return succeed(journal_file.read_history(self._connection, limit))

    def close(self) -> "Deferred[None]":
        """See Work."""
        return succeed(None)

    def abandon(self) -> None:
        """See Work."""


def note(failure: Failure, values: list[int], value: int) -> None:
    """A write of this value was refused."""
    failure.trap(ConflictError)
    values.append(value)


class HistoryTests(SynchronousTestCase):
    """What clients hear of their writes, and what the history says, while others write too."""

    def test_the_history_has_what_was_acknowledged_and_nothing_that_was_refused(self) -> None:
        """However writes and what is learnt meet on their way to the disk."""
        ends = {"made": 0, "refused": 0}
        for seed in range(RUNS):
            host, rng = Host(seed, Memory), Random(seed)
            acknowledged, refused = list[State](), list[int]()
            for value in range(100, 140):
                if rng.random() < 0.4:
                    above = host.store.current.generation + rng.randrange(4)
                    host.store.merge(state(above, value), Source.EVENT)
                else:
                    upon = host.store.head if rng.random() < 0.3 else None
                    done = host.writer.write(value, None if upon is None else Condition.of(upon.tag))
                    done.addCallback(acknowledged.append).addErrback(note, refused, value)
                host.run_for(rng.choice((0.0, 0.0, 0.003, 0.01)))
            host.run_for(1.0)
            entries = self.successResultOf(host.journal.history(1000))
            found = [entry.state for entry in entries]
            assert not [each for each in acknowledged if each not in found], f"seed {seed}"
            assert not [each for each in found if each.value in refused], f"seed {seed}"
            own = [entry.state for entry in entries if entry.source is Source.SET]
            assert sorted(own) == sorted(acknowledged), f"seed {seed}"
            ends["made"] += len(acknowledged)
            ends["refused"] += len(refused)
        assert min(ends.values()) > RUNS
