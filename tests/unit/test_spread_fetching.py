"""Large values: told by their tags, fetched from those who hold them."""

from itertools import pairwise

from twisted.trial.unittest import SynchronousTestCase

from onevalue.exchange import STATE_SENT_SIZE_MAX, Statement, decode_statement, encode_statement
from onevalue.member import Member, UserEvent
from onevalue.spread.fetching import ATTEMPTS_MAX, GIVE_UP_S, HOLDERS_MAX, PAUSE_S, SPACING_S, WAIT_MAX_S
from onevalue.spread.rumour import EVENT_NAME, OWN_EVENT_SIZE_MAX, Announced, decode_event, encode_event
from onevalue.store import Source, State
from onevalue.types import Generation
from tests.spread_rig import Node, member, members, state

LARGE = "x" * (STATE_SENT_SIZE_MAX + 1)


def large(generation: int, origin: str = "b") -> State:
    """A state that is told by its tag."""
    return State(Generation(generation), LARGE, origin, 5.0)


def node_with(*others: Member, initial: State | None = None) -> Node:
    """A node that has met the others, and asked the one that it asks at once."""
    node = Node(initial=initial)
    node.meet(*others)
    for name in list(node.under_way):
        node.answer(name, None if name == "old" else state(0, 42))
    node.asked.clear()
    return node


def announcement(held: State, *, relay_wanted: bool = True) -> UserEvent:
    """The event that its origin makes."""
    return UserEvent(EVENT_NAME, encode_event(held), b"raw", relay_wanted)


class EventTests(SynchronousTestCase):
    """The value event of a state that does not fit."""

    def test_what_fits_travels_in_it_and_what_does_not_is_announced(self) -> None:
        """By tag, origin and time; the payload is never longer than what an event may have."""
        for size in (1, OWN_EVENT_SIZE_MAX - 80, OWN_EVENT_SIZE_MAX, 60_000):
            held = State(Generation(7), "x" * size, "b", 5.0)
            payload = encode_event(held)
            told = decode_event(payload)
            assert len(payload) <= OWN_EVENT_SIZE_MAX
            if isinstance(told, State):
                assert told == held
            else:
                assert told == Announced(held.tag, held.generation, "b")
        assert isinstance(decode_event(encode_event(large(1))), Announced)
        assert isinstance(decode_event(encode_event(State(Generation(7), "x" * 100))), State)

    def test_an_announced_state_is_fetched_from_its_origin(self) -> None:
        """Soon, and it counts as come by the event; the announcement is passed on at once, as it came."""
        node = node_with(member("a"), member("b"), member("c"))
        node.spread.receive_events([announcement(large(3))], node.now)
        node.turn()
        assert [rumour.raw for _, rumour in node.rumours] == [b"raw"]
        began = node.now
        node.run(4 * SPACING_S)
        assert [name for _, name in node.asked] == ["b"]
        assert node.asked[0][0] - began <= 4 * SPACING_S
        node.answer("b", large(3))
        assert (node.store.current, node.sources) == (large(3), [Source.EVENT])
        assert node.spread.next_deadline() is None

    def test_what_is_known_or_older_is_neither_fetched_nor_passed_on(self) -> None:
        """Nor what would be too far ahead."""
        node = node_with(member("b"), initial=large(3))
        for held in (large(3), large(2), State(Generation(2**40), LARGE, "b")):
            node.spread.receive_events([announcement(held)], node.now)
        node.run(1.0)
        assert node.rumours == []
        assert node.spread.counters["fetches"] == 0

    def test_if_the_origin_does_not_answer_others_are_asked(self) -> None:
        """One at a time, with a pause, until one has it; not for ever."""
        node = node_with(*members(5), member("b"))
        node.spread.receive_events([announcement(large(3))], node.now)
        node.run(WAIT_MAX_S)
        node.fail("b")
        for _ in range(3):
            node.run(PAUSE_S)
            [name] = node.under_way
            assert name != "b" or len(node.asked) > 1
            node.answer(name, state(0, 42))
        node.run(PAUSE_S)
        [name] = node.under_way
        node.answer(name, large(3))
        assert node.store.current == large(3)
        times = [at for at, _ in node.asked]
        assert all(later - earlier >= PAUSE_S for earlier, later in pairwise(times))

    def test_it_gives_up_after_some_members(self) -> None:
        """Anti-entropy goes on in any case."""
        node = node_with(*members(5))
        node.spread.receive_events([announcement(large(3, "gone"))], node.now)
        for _ in range(2 * ATTEMPTS_MAX):
            node.run(WAIT_MAX_S)
            for name in list(node.under_way):
                node.fail(name)
        assert len(node.asked) == ATTEMPTS_MAX
        assert node.spread.next_deadline() is None

    def test_what_nobody_has_is_left_alone_for_a_while(self) -> None:
        """However often it is announced; then it is tried again."""
        node = node_with(*members(5))
        for _ in range(4):
            node.spread.receive_events([announcement(large(3, "gone"))], node.now)
            for _ in range(ATTEMPTS_MAX + 2):
                node.run(PAUSE_S)
                for name in list(node.under_way):
                    node.answer(name, state(0, 42))
        assert len(node.asked) == ATTEMPTS_MAX
        node.run(GIVE_UP_S)
        node.spread.receive_events([announcement(large(3, "gone"))], node.now)
        node.run(WAIT_MAX_S)
        assert len(node.asked) > ATTEMPTS_MAX

    def test_another_than_the_one_that_nobody_had_is_fetched_at_once(self) -> None:
        """Of the same generation, too."""
        node = node_with(*members(5), member("b"))
        node.spread.receive_events([announcement(large(3, "gone"))], node.now)
        for _ in range(ATTEMPTS_MAX + 2):
            node.run(WAIT_MAX_S)
            for name in list(node.under_way):
                node.answer(name, state(0, 42))
        other = State(Generation(3), "z" * 2000, "b", 5.0)
        node.spread.receive_events([announcement(other)], node.now)
        node.run(WAIT_MAX_S)
        assert list(node.under_way) == ["b"]
        assert node.spread.counters["fetches"] == ATTEMPTS_MAX + 1

    def test_two_of_one_generation_are_both_passed_on_and_fetched(self) -> None:
        """Nobody can tell by their tags which is the larger."""
        node = node_with(member("a"), member("b"))
        one, two = large(3, "a"), State(Generation(3), "z" * 2000, "b", 5.0)
        for each, raw in ((one, b"one"), (two, b"two"), (one, b"one again")):
            node.spread.receive_events([UserEvent(EVENT_NAME, encode_event(each), raw, relay_wanted=True)], node.now)
            node.turn()
        assert [rumour.raw for _, rumour in node.rumours] == [b"one", b"two"]
        node.run(WAIT_MAX_S)
        node.answer("a", one)
        node.run(WAIT_MAX_S)
        node.answer("b", two)
        assert node.store.current == two

    def test_a_newer_one_takes_its_place(self) -> None:
        """And what came another way is not fetched any more."""
        node = node_with(member("a"), member("b"))
        node.spread.receive_events([announcement(large(3, "a"))], node.now)
        node.spread.receive_events([announcement(large(4))], node.now)
        node.run(WAIT_MAX_S)
        assert list(node.under_way) == ["b"]
        node.answer("b", large(4))
        node.spread.receive_events([announcement(large(5))], node.now)
        node.store.merge(large(6), Source.ANTI_ENTROPY)
        node.run(WAIT_MAX_S)
        assert not node.under_way

    def test_an_older_one_does_not_take_its_place(self) -> None:
        """Nor is it passed on."""
        node = node_with(member("a"), member("b"))
        for held in (large(4), large(3, "a")):
            node.spread.receive_events([announcement(held)], node.now)
            node.turn()
        assert len(node.rumours) == 1
        node.run(WAIT_MAX_S)
        assert list(node.under_way) == ["b"]
        node.answer("b", large(4))
        node.run(WAIT_MAX_S)
        assert node.under_way == {}

    def test_what_is_learnt_meanwhile_ends_it_only_if_it_is_not_below(self) -> None:
        """A lower state, or a smaller one of the same generation, leaves it wanted; itself or a higher one does not."""
        for learnt, wanted in (
            (state(1, 1), True),
            (state(3, 1), True),
            (large(3), False),
            (state(4, 1), False),
        ):
            node = node_with(member("b"))
            node.spread.receive_events([announcement(large(3))], node.now)
            node.turn()
            node.store.merge(learnt, Source.ANTI_ENTROPY)
            node.run(WAIT_MAX_S)
            assert (list(node.under_way) == ["b"]) is wanted, learnt.tag

    def test_two_of_one_generation_are_both_over_when_a_higher_one_comes(self) -> None:
        """Neither is fetched any more."""
        node = node_with(member("a"), member("b"))
        for held in (large(3, "a"), State(Generation(3), "z" * 2000, "b", 5.0)):
            node.spread.receive_events([announcement(held)], node.now)
        node.store.merge(state(4, 1), Source.ANTI_ENTROPY)
        assert node.spread.next_deadline() is None
        node.run(WAIT_MAX_S)
        assert node.asked == []

    def test_all_who_hear_of_it_come_at_different_times(self) -> None:
        """Within SPACING_S for each member, WAIT_MAX_S at most: nobody is asked by a thousand at once."""
        for count in (10, 5000):
            longest = min(WAIT_MAX_S, SPACING_S * (count + 2))
            waits: list[float] = []
            for seed in range(20):
                node = Node(seed=seed)
                node.meet(member("b"), *members(count))
                node.answer("b", state(0, 42))
                node.spread.receive_events([announcement(large(3))], node.now)
                node.turn()
                assert node.under_way == {}
                waits.append((node.spread.next_deadline() or 0.0) - node.now)
            assert 0.0 <= min(waits) < longest / 2 < max(waits) <= longest

    def test_whoever_else_holds_it_is_asked_next(self) -> None:
        """In the order in which they said so, each once, before any other; and only so many are remembered."""
        node = node_with(member("b"), *members(40))
        holders = ["b", "b", "m00007", "m00007", "m00003"]
        for name in holders:
            node.spread.receive_statement(Node(name, initial=large(3)).spread.statement(), node.now)
        asked: list[str] = []
        node.run(WAIT_MAX_S)
        for _ in range(3):
            asked += node.under_way
            node.fail(asked[-1])
            node.run(PAUSE_S)
        assert asked == ["b", "m00007", "m00003"]
        for each in members(40):
            node.spread.receive_statement(Node(each.name, initial=large(4)).spread.statement(), node.now)
        wanted = node.spread._fetching._wanted
        assert wanted is not None
        assert wanted.holders == [each.name for each in members(HOLDERS_MAX)]

    def test_what_another_member_answers_meanwhile_does_not_end_the_question(self) -> None:
        """One is asked at a time, whatever rounds ask besides."""
        node = node_with(*members(5), member("b"))
        node.spread.receive_events([announcement(large(3))], node.now)
        node.run(WAIT_MAX_S)
        assert list(node.under_way) == ["b"]
        for name in node.round():
            node.answer(name, state(0, 42))
        node.run(10 * PAUSE_S)
        assert list(node.under_way) == ["b"]
        assert node.spread.counters["fetches"] == 1

    def test_an_equal_generation_is_fetched_once_and_compared(self) -> None:
        """The larger stays, whichever it is, and the other is not fetched again."""
        for ours, after in ((State(Generation(3), "a" * 2000), LARGE), (State(Generation(3), "z" * 2000), "z" * 2000)):
            node = node_with(member("b"), initial=ours)
            for _ in range(2):
                node.spread.receive_events([announcement(large(3))], node.now)
                node.run(WAIT_MAX_S)
                for name in list(node.under_way):
                    node.answer(name, large(3))
            assert node.store.current.value == after
            assert len(node.asked) == 1


class StatementTests(SynchronousTestCase):
    """Anti-entropy does not carry a large value to and fro all the time."""

    def test_a_large_value_is_told_by_its_tag(self) -> None:
        """Over the wire too; a small one in full."""
        said = Node(initial=large(3)).spread.statement()
        heard = decode_statement(encode_statement(said))
        assert (heard.state, heard.tag, heard.generation) == (None, large(3).tag, 3)
        assert len(encode_statement(said)) < 100
        small = state(3, "x" * (STATE_SENT_SIZE_MAX - 2))
        assert decode_statement(encode_statement(Node(initial=small).spread.statement())).state == small

    def test_who_has_less_gets_the_whole_in_the_answer(self) -> None:
        """Who has the same, or more, gets the tag."""
        node = Node(initial=large(3))
        for held, whole in (
            (state(2, 1), True),
            (large(2), True),
            (State(Generation(3), "z" * 2000), True),
            (large(3), False),
            (large(4), False),
        ):
            told = node.spread.answer_to(Node("b", initial=held).spread.statement(), node.spread.held)
            assert (told.state is not None) is whole, held.tag
            assert told.tag == large(3).tag

    def test_who_hears_of_more_fetches_it_from_the_speaker(self) -> None:
        """The outcome of the push says that nothing changed yet."""
        node = node_with(member("a"), member("b"))
        outcome = node.spread.receive_statement(Node("b", initial=large(3)).spread.statement(), node.now)
        assert (outcome.changed, outcome.refused) == (False, None)
        node.run(WAIT_MAX_S)
        assert list(node.under_way) == ["b"]
        node.answer("b", large(3))
        assert (node.store.current, node.sources) == (large(3), [Source.NOTIFY])

    def test_an_announcement_too_far_ahead_is_refused(self) -> None:
        """As a state would be, and members are asked what they hold."""
        node = node_with(member("a"), member("b"))
        told = Statement("b", learning=False, state=None, named=f"{2**40}-0123456789abcdef")
        outcome = node.spread.receive_statement(told, node.now)
        assert outcome.refused is not None
        node.turn()
        assert sorted(node.under_way) == ["a", "b"]
        for name in list(node.under_way):
            node.answer(name, state(0, 42))
        node.run(WAIT_MAX_S)
        assert node.spread.counters["fetches"] == 0

    def test_two_nodes_come_to_hold_the_same_large_value(self) -> None:
        """Whichever begins, by what they say to each other."""
        for first in ("one", "two"):
            one, two = Node("one", initial=large(3)), Node("two", initial=State(Generation(3), "a" * 3000))
            asker, asked = (one, two) if first == "one" else (two, one)
            for node, other in ((one, "two"), (two, "one")):
                node.meet(member(other))
            asker.round()
            for _ in range(4):
                for this, that in ((asker, asked), (asked, asker)):
                    for name, exchange in list(this.under_way.items()):
                        said = decode_statement(encode_statement(this.spread.statement_for(exchange)))
                        that.spread.receive_statement(said, that.now)
                        answer = decode_statement(encode_statement(that.spread.answer_to(said, that.spread.held)))
                        this.spread.answered(this.under_way.pop(name), answer, this.now)
                        this.run(WAIT_MAX_S)
                        that.run(WAIT_MAX_S)
            assert one.store.current == two.store.current == large(3), first


class SendingTests(SynchronousTestCase):
    """Who cannot come for a large value is sent it."""

    def sent(self, node: Node, name: str) -> bool:
        """Whether the member that is asked now is told the whole state."""
        said = node.spread.statement_for(node.under_way[name])
        assert said.tag == node.store.current.tag
        return said.state is not None

    def test_at_the_next_exchange_if_it_has_not_come(self) -> None:
        """The first one tells the tag; later ones the tag again, as soon as the member has it."""
        node = Node(initial=large(3))
        node.meet(member("b"))
        for whole, held in ((False, state(0, 42)), (True, large(3)), (False, large(3))):
            node.round()
            assert self.sent(node, "b") is whole
            node.answer("b", held)
            assert not node.under_way

    def test_at_once_if_this_node_cannot_be_asked(self) -> None:
        """As its tag says; but never again and again to who does not take it."""
        node = Node(initial=large(3))
        node.spread.members_changed([member("b"), member("me", http="-")], node.now)
        node.turn()
        assert not self.sent(node, "b")
        node.answer("b", state(0, 42))
        assert self.sent(node, "b")
        node.answer("b", state(0, 42))
        assert not node.under_way

    def test_who_has_it_is_not_asked_at_once_again(self) -> None:
        """A node that cannot be asked has nothing to send to who holds the same, or more."""
        for held in (large(3), large(4)):
            node = Node(initial=large(3))
            node.spread.members_changed([member("b"), member("me", http="-")], node.now)
            node.turn()
            node.answer("b", held)
            assert not node.under_way, held.tag

    def test_what_it_fetched_it_is_not_sent(self) -> None:
        """It has it by then."""
        node = node_with(member("b"), initial=large(3))
        node.round()
        node.answer("b", state(0, 42))
        node.spread.answer_to(Node("b", initial=state(0, 42)).spread.statement(), node.spread.held)
        node.round()
        assert not self.sent(node, "b")
