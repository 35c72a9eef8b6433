"""Who looks at an engine, and how they are told: of the members, of user events, of what people may want to know, and
that all addresses to join were tried.

An observer that raises harms nobody else. It must not know which engine it is, nor when there is something to tell.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager

from onevalue.member import Happening, UserEvent

HAPPENINGS_PER_TURN = 50
"""Events that are put into words for people in one turn: of thousands of members that come at once, no more is read."""


class Observers:
    """All who look at one engine.

    Args:
        guarded: what is done within it may fail: that is logged with these words, and goes no further.
    """

    def __init__(self, guarded: Callable[[str], AbstractContextManager[None]]) -> None:
        self._guarded = guarded
        self._members: list[Callable[[], None]] = []
        self._events: list[Callable[[Sequence[UserEvent]], None]] = []
        self._happenings: list[Callable[[Happening], None]] = []
        self._left = HAPPENINGS_PER_TURN
        self._nobody_else: bool | None = None
        self._waiting: list[Callable[[bool], None]] = []

    def observe_members(self, observer: Callable[[], None]) -> None:
        """See IMembership."""

        def guarded() -> None:
            with self._guarded("telling of members"):
                observer()

        self._members.append(guarded)

    def observe_events(self, observer: Callable[[Sequence[UserEvent]], None]) -> None:
        """See IMembership."""
        self._events.append(observer)

    def observe_happenings(self, observer: Callable[[Happening], None]) -> None:
        """See IMembership."""
        self._happenings.append(observer)

    def observe_addresses_tried(self, observer: Callable[[bool], None]) -> None:
        """See IMembership."""
        if self._nobody_else is None:
            self._waiting.append(observer)
        else:
            observer(self._nobody_else)

    @property
    def of_members(self) -> list[Callable[[], None]]:
        """Whom to tell, one after the other, that members have changed; they do not raise."""
        return list(self._members)

    def tell_events(self, events: Sequence[UserEvent]) -> None:
        """All who look for user events have these."""
        for observer in tuple(self._events):
            with self._guarded("telling of user events"):
                observer(events)

    @property
    def know_of_addresses(self) -> bool:
        """It was told that all addresses were tried."""
        return self._nobody_else is not None

    def tell_addresses_tried(self, *, nobody_else: bool) -> None:
        """All addresses were tried: whoever waits for that is told, and whoever asks from now on. Done once."""
        self._nobody_else = nobody_else
        waiting, self._waiting = self._waiting, []
        for observer in waiting:
            with self._guarded("telling that join addresses were tried"):
                observer(nobody_else)

    def begin_turn(self) -> None:
        """Of what happens from now on, again HAPPENINGS_PER_TURN are told."""
        self._left = HAPPENINGS_PER_TURN

    def tell_happenings(self, found: Callable[[], Iterable[Happening]]) -> None:
        """Whoever looks for them is told what has happened; it is not even put into words for nobody, or too often."""
        if not self._happenings or not self._left:
            return
        self._left -= 1
        for happening in found():
            for observer in self._happenings:
                with self._guarded("telling what happened"):
                    observer(happening)


class Observed:
    """The part of an IMembership that is about its observers, for engines; `_observers` has them."""

    _observers: Observers

    def observe_members(self, observer: Callable[[], None]) -> None:
        """See IMembership."""
        self._observers.observe_members(observer)

    def observe_events(self, observer: Callable[[Sequence[UserEvent]], None]) -> None:
        """See IMembership."""
        self._observers.observe_events(observer)

    def observe_happenings(self, observer: Callable[[Happening], None]) -> None:
        """See IMembership."""
        self._observers.observe_happenings(observer)

    def observe_addresses_tried(self, observer: Callable[[bool], None]) -> None:
        """See IMembership."""
        self._observers.observe_addresses_tried(observer)
