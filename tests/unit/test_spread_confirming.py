"""Writes that others are to hold: who is asked, who counts, and how it ends."""

from collections.abc import Sequence

import pytest
from twisted.trial.unittest import SynchronousTestCase

from onevalue.errors import BusyError
from onevalue.exchange import Statement
from onevalue.member import Member, Status
from onevalue.spread.confirming import CONFIRMATIONS_MAX, PARALLEL_MAX, PAUSE_S, SPARE, Confirmed
from onevalue.store import Source, State
from tests.spread_rig import Node, member, members, state


class Desk:
    """A node whose writes are to be confirmed by the `others`."""

    def __init__(self, others: Sequence[Member]) -> None:
        self.node = Node()
        self.node.meet(*others)
        for name in list(self.node.under_way):
            self.node.answer(name, state(0, 42))
        self.results: list[Confirmed] = []

    def write(self, value: int, needed: int, *, by_all: bool = False, within_s: float = 5.0) -> State:
        """A write that so many are to hold."""
        self.node.write(value)
        written = self.node.store.current
        until = self.node.now + within_s
        self.node.spread.confirm(written, needed, by_all=by_all, until=until, done=self.results.append)
        self.node.turn()
        return written

    def asked(self) -> list[str]:
        """Who is being asked to confirm, sorted."""
        return sorted(name for name, exchange in self.node.under_way.items() if exchange.confirm)

    def holds(self, name: str, held: State, *, durable: bool = True) -> None:
        """A member that is asked says what it holds."""
        exchange = self.node.under_way.pop(name)
        said = Statement(name, learning=False, state=held, durable=durable)
        self.node.spread.answered(exchange, said, self.node.now)
        self.node.turn()

    @property
    def only(self) -> Confirmed:
        """What came of the one write."""
        [result] = self.results
        return result


class AskingTests(SynchronousTestCase):
    """Who is asked."""

    def test_as_many_as_are_missing_and_one_more(self) -> None:
        """Not the whole cluster; with the whole state, and the wish to hear when it is durable."""
        desk = Desk(members(20))
        written = desk.write(7, 3)
        assert len(desk.asked()) == 2 + SPARE
        exchange = desk.node.under_way[desk.asked()[0]]
        said = desk.node.spread.statement_for(exchange)
        assert (said.confirm, said.state) == (True, written)

    def test_never_more_at_once_than_the_bound(self) -> None:
        """The others when some have answered."""
        desk = Desk(members(40))
        written = desk.write(7, 1, by_all=True)
        assert len(desk.asked()) == PARALLEL_MAX
        seen = desk.asked()
        while desk.asked():
            desk.holds(desk.asked()[0], written)
            seen += [name for name in desk.asked() if name not in seen]
        assert len(seen) == 40
        assert desk.only == Confirmed(41, 41, None, None)

    def test_a_write_that_wants_few_comes_while_many_are_asked(self) -> None:
        """Nobody more is asked for it: one of those who answer will do."""
        desk = Desk(members(40))
        desk.write(7, 1, by_all=True, within_s=1.0)
        desk.node.run(1.0)
        assert len(desk.results) == 1
        written = desk.write(8, 2)
        assert len(desk.asked()) == PARALLEL_MAX
        desk.holds(desk.asked()[0], written)
        assert desk.results[1] == Confirmed(2, 2, None, None)

    def test_not_always_the_same_members(self) -> None:
        """Any of them serves as well."""
        desk = Desk(members(20))
        seen: dict[str, None] = {}
        for value in range(30):
            written = desk.write(value, 2)
            seen |= dict.fromkeys(desk.asked())
            for name in desk.asked():
                desk.holds(name, written)
        assert len(seen) > 10

    def test_who_does_not_answer_is_asked_again_after_a_pause(self) -> None:
        """And meanwhile another."""
        desk = Desk(members(3))
        written = desk.write(7, 2)
        first, second = desk.asked()
        desk.node.fail(first)
        [third] = [name for name in desk.asked() if name not in {first, second}]
        desk.node.fail(second)
        desk.node.fail(third)
        assert desk.asked() == []
        desk.node.run(PAUSE_S)
        assert len(desk.asked()) == 2
        desk.holds(desk.asked()[0], written)
        assert desk.only.held == 2


class CountingTests(SynchronousTestCase):
    """Who counts."""

    def test_a_member_counts_that_holds_the_write_durably(self) -> None:
        """Once; not before it says that it is durable, and not with less, of the same generation or below."""
        desk = Desk(members(4))
        written = desk.write(7, 3)
        one, two, three = desk.asked()
        desk.holds(one, written, durable=False)
        desk.holds(two, state(0, 42))
        [four] = [name for name in desk.asked() if name != three]
        desk.holds(four, state(1, 3))
        desk.holds(three, written)
        assert desk.results == []
        desk.node.run(PAUSE_S)
        assert three not in desk.asked()
        desk.holds(desk.asked()[0], written)
        assert desk.only == Confirmed(3, 3, None, None)

    def test_what_stands_above_counts_and_is_told(self) -> None:
        """The newest of what members hold."""
        desk = Desk(members(3))
        desk.write(7, 3)
        one, two, _ = desk.asked()
        desk.holds(one, state(5, 50))
        desk.holds(two, state(6, 60))
        assert desk.only == Confirmed(3, 3, state(6, 60), None)

    def test_the_newest_is_told_in_whatever_order_members_answer(self) -> None:
        """An older one that comes later does not take its place."""
        desk = Desk(members(3))
        desk.write(7, 3)
        one, two, _ = desk.asked()
        desk.holds(one, state(6, 60))
        desk.holds(two, state(5, 50))
        assert desk.only == Confirmed(3, 3, state(6, 60), None)

    def test_another_value_of_the_same_generation_ends_it(self) -> None:
        """Whoever holds it, this node too."""
        desk = Desk(members(3))
        desk.write(7, 4)
        desk.holds(desk.asked()[0], state(1, 9))
        assert desk.only == Confirmed(1, 4, None, state(1, 9))
        desk = Desk(members(3))
        desk.write(7, 4)
        desk.node.store.merge(state(1, 8), Source.EVENT)
        assert desk.only.winner == state(1, 8)
        desk.node.run(60.0)

    def test_another_value_has_won_also_if_others_stand_above_it_by_now(self) -> None:
        """The write was made upon by nobody."""
        desk = Desk(members(3))
        desk.write(7, 4)
        desk.node.store.merge(state(5, 50), Source.EVENT)
        desk.holds(desk.asked()[0], state(1, 9))
        assert desk.only == Confirmed(1, 4, state(5, 50), state(1, 9))

    def test_a_member_may_say_by_the_tag_alone_what_it_holds(self) -> None:
        """As it does of a large value: of the write, it counts; of one above, it counts, and nobody knows which."""
        for named in (None, f"9-{'0' * 16}"):
            desk = Desk([member("a")])
            desk.node.write("x" * 5000)
            written, until = desk.node.store.current, desk.node.now + 5.0
            desk.node.spread.confirm(written, 2, by_all=False, until=until, done=desk.results.append)
            desk.node.turn()
            said = Statement("a", learning=False, state=None, named=named or written.tag, durable=True)
            desk.node.spread.answered(desk.node.under_way.pop("a"), said, desk.node.now)
            assert desk.only == Confirmed(2, 2, None, None)

    def test_what_came_before_it_was_asked_for_counts_too(self) -> None:
        """The write may have been overtaken by then, or have lost."""
        desk = Desk(members(3))
        for came, superseded_by, winner in ((state(5, 50), state(5, 50), None), (state(6, 60), None, state(6, 60))):
            desk.node.write(7)
            written = desk.node.store.current
            assert desk.node.store.merge(came, Source.EVENT)
            until = desk.node.now + 1.0
            desk.node.spread.confirm(written, 4, by_all=False, until=until, done=desk.results.append)
            desk.node.turn()
            desk.node.run(1.0)
            assert desk.results.pop() == Confirmed(1, 4, superseded_by, winner)

    def test_all_are_our_own_nodes_that_are_there_at_the_time(self) -> None:
        """Neither agents, nor who failed; also those that cannot be asked, so that it never holds then."""
        others = [member("a"), member("agent", http=None), member("b", status=Status.FAILED), member("c", http="-")]
        desk = Desk(others)
        written = desk.write(7, 1, by_all=True)
        assert desk.asked() == ["a"]
        desk.holds("a", written)
        desk.node.run(5.0)
        assert desk.only == Confirmed(2, 3, None, None)

    def test_who_comes_later_is_none_of_all(self) -> None:
        """It is not asked, and its word does not stand for one that is missing."""
        desk = Desk([member("a"), member("b")])
        written = desk.write(7, 1, by_all=True)
        desk.node.meet(member("a"), member("b"), member("late"))
        desk.holds("a", written)
        assert desk.asked() == ["b"]
        while "late" not in desk.node.round():
            desk.node.run(PAUSE_S)
        desk.holds("late", written)
        assert desk.results == []
        desk.holds("b", written)
        assert desk.only == Confirmed(3, 3, None, None)

    def test_without_a_journal_this_node_does_not_count(self) -> None:
        """So many others must hold the write."""
        desk = Desk(members(3))
        desk.node.write(7)
        written, until = desk.node.store.current, desk.node.now + 5.0
        desk.node.spread.confirm(written, 2, by_all=False, until=until, done=desk.results.append, durable=False)
        desk.node.turn()
        one, two, _ = desk.asked()
        desk.holds(one, written)
        assert desk.results == []
        desk.holds(two, written)
        assert desk.only == Confirmed(2, 2, None, None)

    def test_alone_all_is_one(self) -> None:
        """There is nobody to wait for."""
        desk = Desk([])
        desk.write(7, 1, by_all=True)
        assert desk.only == Confirmed(1, 1, None, None)

    def test_one_answer_serves_all_writes_that_wait(self) -> None:
        """The newest state is what is sent, and who holds it holds what stands below."""
        desk = Desk([member("a")])
        for value in (7, 8, 9):
            written = desk.write(value, 2)
        assert desk.asked() == ["a"]
        desk.holds("a", written)
        assert [result.held for result in desk.results] == [2, 2, 2]
        assert [result.superseded_by for result in desk.results] == [written, written, None]

    def test_a_write_that_comes_while_a_member_is_asked_does_not_wait_for_a_pause(self) -> None:
        """The member was told of the one before, and could not have confirmed more."""
        desk = Desk([member("a")])
        first = desk.write(7, 2)
        second = desk.write(8, 2)
        desk.holds("a", first)
        assert desk.asked() == ["a"]
        desk.holds("a", second)
        assert [result.held for result in desk.results] == [2, 2]

    def test_an_answer_in_another_name_does_not_count(self) -> None:
        """The member has another name by now, or it is this node itself, under an old name."""
        desk = Desk([member("a")])
        written = desk.write(7, 2)
        exchange = desk.node.under_way.pop("a")
        for name in ("me", "b"):
            said = Statement(name, learning=False, state=written, durable=True)
            desk.node.spread.answered(exchange, said, desk.node.now)
        assert desk.results == []

    def test_who_holds_it_and_has_not_written_it_is_not_sent_it_again(self) -> None:
        """A large value: the tag will do."""
        desk = Desk([member("a")])
        large = "x" * 5000
        desk.node.write(large)
        written = desk.node.store.current
        desk.node.spread.confirm(written, 2, by_all=False, until=desk.node.now + 5, done=desk.results.append)
        desk.node.turn()
        assert desk.node.spread.statement_for(desk.node.under_way["a"]).state == written
        desk.holds("a", written, durable=False)
        desk.node.run(PAUSE_S)
        assert desk.node.spread.statement_for(desk.node.under_way["a"]).state is None


class EndTests(SynchronousTestCase):
    """It ends."""

    def test_when_the_time_is_up_with_what_there_is(self) -> None:
        """Nobody is asked any more."""
        desk = Desk(members(2))
        written = desk.write(7, 3, within_s=1.0)
        desk.holds(desk.asked()[0], written)
        desk.node.run(0.99)
        assert desk.results == []
        desk.node.run(0.02)
        assert desk.only == Confirmed(2, 3, None, None)
        desk.node.fail(desk.asked()[0])
        desk.node.run(10.0)
        assert desk.asked() == []
        assert desk.node.spread.next_deadline() is None

    def test_when_the_node_stops_all_hear_how_far_they_are(self) -> None:
        """Once, and at once."""
        desk = Desk(members(3))
        written = desk.write(7, 3, within_s=1.0)
        desk.holds(desk.asked()[0], written)
        desk.node.spread.give_up_confirming()
        assert desk.only == Confirmed(2, 3, None, None)
        desk.node.run(2.0)
        assert len(desk.results) == 1

    def test_too_many_are_refused(self) -> None:
        """At once, and nobody is told later."""
        desk = Desk([])
        for _ in range(CONFIRMATIONS_MAX):
            desk.write(7, 2)
        assert not desk.node.spread.confirms
        with pytest.raises(BusyError):
            desk.write(7, 2)
        desk.node.run(5.0)
        assert len(desk.results) == CONFIRMATIONS_MAX
        assert desk.node.spread.confirms
