"""Ties with the original program, which never learns a state of its own generation."""

from twisted.trial.unittest import SynchronousTestCase

from onevalue.config import SpreadSettings
from onevalue.errors import ConflictError
from onevalue.spread import PushOutcome
from onevalue.store import Condition, State, Write
from tests.spread_rig import Node, member, state

PATIENCE_S = SpreadSettings().tie_patience_s


class TieTests(SynchronousTestCase):
    """When an original has pushed a losing value at our generation, and ours has stood since, we raise ours."""

    def setUp(self) -> None:
        """A node that holds 30 at generation 3, and an original that holds 29."""
        self.node = Node(initial=state(3, 30))
        self.begun = self.node.now

    def push(self, one: State) -> PushOutcome:
        """The original pushes what it holds."""
        return self.node.spread.receive_original(one, self.node.now)

    def test_a_tie_is_raised_after_its_patience(self) -> None:
        """Once, with the state that stood; not before."""
        assert not self.push(state(3, 29)).changed
        assert self.node.spread.next_deadline() == self.begun + PATIENCE_S
        self.node.run(PATIENCE_S - 0.01)
        assert self.node.raised == []
        self.node.run(100.0)
        assert self.node.raised == [(self.begun + PATIENCE_S, state(3, 30))]
        assert self.node.spread.next_deadline() is None

    def test_further_pushes_do_not_put_it_off(self) -> None:
        """The original pushes all the time."""
        for _ in range(8):
            self.push(state(3, 29))
            self.node.run(1.0)
        assert [at for at, _ in self.node.raised][:1] == [self.begun + PATIENCE_S]

    def test_if_the_write_fails_the_next_push_begins_anew(self) -> None:
        """At most one try in each patience."""
        for _ in range(21):
            self.push(state(3, 29))
            self.node.run(1.0)
        assert 2 <= len(self.node.raised) <= 4

    def test_it_is_no_tie(self) -> None:
        """An older generation learns ours; the same state is ours; a larger one becomes ours."""
        for pushed in (state(2, 99), state(3, 30), state(3, 31), state(4, 0)):
            self.push(pushed)
            self.node.run(PATIENCE_S + 1)
        assert self.node.raised == []

    def test_our_own_nodes_make_no_ties(self) -> None:
        """They learn ours from the answer."""
        said = Node("other", initial=state(3, 29)).spread.statement()
        self.node.spread.receive_statement(said, self.node.now)
        self.node.run(PATIENCE_S + 1)
        assert self.node.raised == []

    def test_a_change_ends_it(self) -> None:
        """The new generation reaches the original; a new value at the same generation waits its own patience."""
        self.push(state(3, 29))
        self.node.run(1.0)
        self.node.spread.receive_statement(Node("other", initial=state(4, 1)).spread.statement(), self.node.now)
        self.node.run(PATIENCE_S + 1)
        assert self.node.raised == []

    def test_a_larger_value_at_the_same_generation_waits_its_own_patience(self) -> None:
        """The tie is with the state that stands now."""
        self.push(state(3, 29))
        self.node.run(4.0)
        self.push(state(3, 35))
        self.push(state(3, 29))
        self.node.run(4.9)
        assert self.node.raised == []
        self.node.run(0.2)
        assert [one for _, one in self.node.raised] == [state(3, 35)]

    def test_a_raise_never_overwrites_a_newer_state(self) -> None:
        """Written upon the state that it raises: one that comes while it waits for the journal stands."""
        self.push(state(3, 29))
        self.node.run(PATIENCE_S)
        [(_, raised)] = self.node.raised
        ended: list[Write] = []
        self.node.store.propose(
            raised.value, origin="", time=0.0, done=ended.append, condition=Condition.of(raised.tag)
        )
        self.node.store.begin_commit()
        self.node.spread.receive_statement(Node("other", initial=state(4, 99)).spread.statement(), self.node.now)
        self.node.store.end_commit()
        assert self.node.store.head == self.node.store.current == state(4, 99)
        assert isinstance(ended[0].error, ConflictError)

    def test_two_nodes_that_raise_at_once_make_the_same_state(self) -> None:
        """So the raise itself is no new conflict."""
        nodes = [Node("b", initial=state(3, 30)), Node("c", initial=state(3, 30))]
        for node in nodes:
            node.meet(member("old", None))
            node.spread.receive_original(state(3, 29), node.now)
            node.run(PATIENCE_S)
            [(_, raised)] = node.raised
            node.write(raised.value)
        assert nodes[0].store.current == nodes[1].store.current == state(4, 30)
