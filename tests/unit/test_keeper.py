"""The keeper: the journal follows what this node learns beside its own writes."""

from collections.abc import Sequence

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from onevalue.journal import PEERS_MAX, Contents, LamportClocks, NullJournal, Peer
from onevalue.keeper import CLOCKS_INTERVAL_S, Keeper
from onevalue.membership import Status
from onevalue.store import Source, State, Store
from onevalue.types import Generation
from tests.fakes import FakeMembership, make_member


class NotingJournal(NullJournal):
    """Keeps what it is told to keep."""

    def __init__(self) -> None:
        self.learnt: list[tuple[int, Source]] = []
        self.peers: list[list[str]] = []
        self.places: dict[str, str] = {}
        self.clocks: list[LamportClocks] = []

    def learn(self, state: State, source: Source) -> None:
        """See IJournal."""
        self.learnt.append((state.generation, source))

    def save_peers(self, peers: Sequence[Peer]) -> None:
        """See IJournal."""
        self.peers.append([peer.name for peer in peers])
        self.places = {peer.name: peer.http for peer in peers}

    def save_clocks(self, clocks: LamportClocks) -> None:
        """See IJournal."""
        self.clocks.append(clocks)


class TickingMembership(FakeMembership):
    """Clocks that the test sets; None is a fault."""

    ticks: tuple[int, int, int] | None = (1, 2, 3)

    def clocks(self) -> tuple[int, int, int]:
        """See IMembership."""
        if self.ticks is None:
            raise ZeroDivisionError
        return self.ticks


class KeeperTests(SynchronousTestCase):
    """Keeper, in virtual time."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.store = Store(State(Generation(0), 42))
        self.membership = TickingMembership()
        self.journal = NotingJournal()
        self.keeper = Keeper(reactor=self.clock, store=self.store, membership=self.membership, journal=self.journal)
        self.keeper.startService()

    def test_no_more_peers_are_made_than_the_journal_keeps(self) -> None:
        """However many members there are."""
        self.membership.set_members(*(make_member(f"m{index:05}") for index in range(PEERS_MAX + 100)))
        assert self.journal.peers == [[f"m{index:05}" for index in range(PEERS_MAX)]]

    def test_who_is_lost_stays_a_peer(self) -> None:
        """It failed long ago and is no member any more; but after a restart it is looked for all the same."""
        self.membership.set_members(make_member("n1"), make_member("n2"), make_member("n3", status=Status.FAILED))
        self.membership.lost_members = [make_member("n3", status=Status.FAILED)]
        self.membership.set_members(make_member("n1"), make_member("n2"))
        assert self.journal.peers[-1] == ["n2", "n3"]
        self.membership.lost_members = []
        self.membership.set_members(make_member("n1"), make_member("n2"))
        assert self.journal.peers[-1] == ["n2"]

    def test_learnt_states_are_kept(self) -> None:
        """With their source; own writes were durable before anybody saw them, and are not kept again."""
        self.store.merge(State(Generation(1), 5), Source.EVENT)
        self.store.merge(State(Generation(2), 6), Source.SET)
        assert self.journal.learnt == [(1, Source.EVENT)]

    def test_peers_are_those_to_look_for_after_a_restart(self) -> None:
        """All but this node and those that left; kept when they change, not at each telling."""
        members = [
            make_member("n1"),
            make_member("n2"),
            make_member("n3", status=Status.FAILED),
            make_member("n4", status=Status.LEFT),
        ]
        self.membership.set_members(*members)
        self.membership.set_members(*members)
        assert self.journal.peers == [["n2", "n3"]]
        self.membership.set_members(make_member("n1"))
        assert self.journal.peers[1:] == [[]]

    def test_clocks_are_kept_when_they_move(self) -> None:
        """Looked at each interval, and a last time at the stop."""
        for _ in range(4):
            self.clock.advance(CLOCKS_INTERVAL_S)
        assert self.journal.clocks == [LamportClocks(1, 2, 3)]
        self.membership.ticks = (4, 5, 6)
        self.keeper.stopService()
        assert self.journal.clocks[1:] == [LamportClocks(4, 5, 6)]
        assert not self.clock.getDelayedCalls()

    def test_the_time_of_the_own_leave_is_kept_too(self) -> None:
        """The leave intent comes after the stop; the next join intent must be later than that."""
        self.keeper.stopService()
        self.membership.ticks = (9, 2, 3)
        self.keeper.keep_clocks()
        assert self.journal.clocks[-1] == LamportClocks(9, 2, 3)

    def test_a_fault_is_not_the_last_look(self) -> None:
        """It is logged, and the next look comes."""
        self.membership.ticks = None
        self.clock.advance(CLOCKS_INTERVAL_S)
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1  # type: ignore[no-untyped-call]  # Twisted's has no types
        self.membership.ticks = (1, 1, 1)
        self.clock.advance(CLOCKS_INTERVAL_S)
        assert self.journal.clocks == [LamportClocks(1, 1, 1)]

    def test_stopping_twice_or_unstarted_does_no_harm(self) -> None:
        """No loop is left."""
        self.keeper.stopService()
        self.keeper.stopService()
        Keeper(reactor=self.clock, store=self.store, membership=self.membership, journal=self.journal).stopService()
        assert not self.clock.getDelayedCalls()

    def test_where_peers_served_http_last_is_kept(self) -> None:
        """Though they tell it no more: a node beside an agent that stops takes its tag away, and comes back."""
        self.membership.set_members(make_member("n2", http="http:8080"), make_member("n3"))
        assert self.journal.places == {"n2": "http:8080", "n3": ""}
        self.membership.set_members(make_member("n2"), make_member("n3", http="-"))
        assert self.journal.places == {"n2": "http:8080", "n3": "-"}

    def test_members_that_leave_while_this_node_does_stay_peers(self) -> None:
        """Once stopped it forgets nobody: a cluster that is stopped at once finds itself again."""
        self.membership.set_members(make_member("n2"))
        self.keeper.stopService()
        self.membership.set_members(make_member("n2", status=Status.LEFT))
        assert self.journal.peers == [["n2"]]
        self.store.merge(State(Generation(3), 1), Source.EVENT)
        assert self.journal.learnt == [(3, Source.EVENT)]

    def test_peers_of_the_last_run_stay_until_they_are_seen(self) -> None:
        """A crash before they return must not leave this node alone; who is forgotten after that is no peer.

        They stand behind those who are here: the journal keeps the first so many.
        """
        kept = tuple(Peer(name, "127.0.0.2", 7946) for name in ("n2", "n3"))
        self.journal.contents = Contents(None, kept, None)
        Keeper(reactor=self.clock, store=self.store, membership=self.membership, journal=self.journal).startService()
        self.membership.set_members(make_member("n1"), make_member("n2"), make_member("n4"))
        assert self.journal.peers[-1] == ["n2", "n4", "n3"]
        self.membership.set_members(make_member("n1"), make_member("n3"))
        assert self.journal.peers[-1] == ["n3"]
