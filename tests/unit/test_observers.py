"""Who looks at an engine is told, whatever the others do, and not too much."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from twisted.trial.unittest import SynchronousTestCase

from onevalue.member import Happening, UserEvent
from onevalue.observers import HAPPENINGS_PER_TURN, Observers

EVENT = UserEvent("deploy", b"7", b"", relay_wanted=False)


class ObserversTests(SynchronousTestCase):
    """Observers, some of which fail."""

    def setUp(self) -> None:
        """One that fails stands before one that notes what it hears."""
        self.faults: list[str] = []
        self.heard: list[object] = []
        self.observers = Observers(self._guarded)

    @contextmanager
    def _guarded(self, what: str) -> Iterator[None]:
        try:
            yield
        except ValueError:
            self.faults.append(what)

    def _fail(self, _: object = None) -> None:
        raise ValueError

    def test_who_fails_harms_nobody_else(self) -> None:
        """Whatever is told."""
        self.observers.observe_members(self._fail)
        self.observers.observe_members(lambda: self.heard.append("members"))
        self.observers.observe_events(self._fail)
        self.observers.observe_events(self.heard.append)
        self.observers.observe_happenings(self._fail)
        self.observers.observe_happenings(self.heard.append)
        happening = Happening("failed", "n2 failed", "n2")
        for tell in self.observers.of_members:
            tell()
        self.observers.tell_events([EVENT])
        self.observers.tell_happenings(lambda: [happening])
        assert self.heard == ["members", [EVENT], happening]
        assert self.faults == ["telling of members", "telling of user events", "telling what happened"]

    def test_that_addresses_were_tried_is_told_once_and_to_who_asks_later(self) -> None:
        """Whoever fails harms nobody else."""
        self.observers.observe_addresses_tried(self._fail)
        self.observers.observe_addresses_tried(self.heard.append)
        assert (self.heard, self.observers.know_of_addresses) == ([], False)
        self.observers.tell_addresses_tried(nobody_else=True)
        self.observers.observe_addresses_tried(self.heard.append)
        assert (self.heard, self.observers.know_of_addresses) == ([True, True], True)
        assert self.faults == ["telling that join addresses were tried"]

    def test_who_comes_while_events_are_told_hears_the_next_ones(self) -> None:
        """And not these."""

        def first(_: Sequence[UserEvent]) -> None:
            self.observers.observe_events(self.heard.append)

        self.observers.observe_events(first)
        self.observers.tell_events([EVENT])
        assert self.heard == []

    def test_in_one_turn_no_more_is_put_into_words_than_people_read(self) -> None:
        """In the next one again; and nothing is for nobody."""
        asked: list[None] = []

        def found() -> list[Happening]:
            asked.append(None)
            return [Happening("joined", "")]

        self.observers.tell_happenings(found)
        assert asked == []
        self.observers.observe_happenings(self.heard.append)
        for _ in range(HAPPENINGS_PER_TURN + 5):
            self.observers.tell_happenings(found)
        assert len(asked) == len(self.heard) == HAPPENINGS_PER_TURN
        self.observers.begin_turn()
        self.observers.tell_happenings(found)
        assert len(asked) == HAPPENINGS_PER_TURN + 1
