"""Who holds what, how long a change took to be everywhere, when to ask, and what happened: the page's rings, pure."""

from twisted.trial.unittest import SynchronousTestCase

from onevalue.store import Change, Source, State
from onevalue.types import Generation
from onevalue.web.changes import CHANGES_MAX, HEARD_MAX, ORIGIN_TIME_MAX_S, VALUE_SHOWN_MAX, RecentChanges
from onevalue.web.happenings import HAPPENINGS_MAX, TEXT_SHOWN_MAX, Happenings
from onevalue.web.survey import ASK_INTERVAL_S, ASK_PAUSE_S, ASK_SOON_S, ASKED_MAX, Survey

ALL = ("n1", "n2", "n3")


def state(generation: int, value: object = 0, origin: str = "n1") -> State:
    """A state of this generation."""
    return State(Generation(generation), value, origin, 12.5)  # type: ignore[arg-type]  # any JSON


def tag(generation: int, digit: str = "0") -> str:
    """A tag of this generation."""
    return f"{generation}-{digit * 16}"


class SpreadingTests(SynchronousTestCase):
    """How long a change took to be everywhere, as node n1 sees it."""

    def setUp(self) -> None:
        self.changes = RecentChanges("n1")

    def add(self, new: State, now: float, *, measured: bool = True) -> None:
        """A change came now."""
        self.changes.add(Change(state(new.generation - 1), new, Source.EVENT), now, 1000.0 + now, measured=measured)

    def settle(self, present: tuple[str, ...], now: float = 13.0) -> bool:
        """Some change is pending no more, with these present."""
        return self.changes.settle(present, now)

    def spread(self) -> list[object]:
        """What is told of each change, the oldest first."""
        return [each["spread_s"] for each in self.changes.told()]

    def test_it_ends_when_the_last_of_those_present_had_it(self) -> None:
        """By what they say of how long they have held it, not by when they were asked."""
        first = state(1)
        self.add(first, 10.0)
        self.changes.heard("n2", first.tag, 10.5, 0.45)
        assert not self.settle(ALL)
        assert self.changes.pending
        self.changes.heard("n3", first.tag, 10.6, 0.35)
        assert self.settle(ALL)
        assert self.spread() == [0.25]
        assert not self.changes.pending
        assert not self.settle(ALL)

    def test_who_does_not_say_how_long_has_had_it_since_it_spoke(self) -> None:
        """An upper bound; a later answer does not make it longer."""
        self.add(state(1), 10.0)
        for at in (10.5, 12.5):
            self.changes.heard("n2", state(1).tag, at)
        self.settle(("n1", "n2"))
        assert self.spread() == [0.5]

    def test_a_later_state_counts_for_those_before(self) -> None:
        """Who holds more holds them too; another of the same generation does not."""
        self.add(state(1), 10.0)
        self.add(state(2), 11.0)
        self.changes.heard("n2", tag(2, "f"), 11.5, 0.25)
        self.settle(("n1", "n2"))
        assert self.spread() == [1.25, None]
        self.changes.heard("n2", tag(3), 12.0)
        self.settle(("n1", "n2"))
        assert self.spread() == [1.25, 1.0]

    def test_one_that_lost_is_everywhere_with_the_one_that_won(self) -> None:
        """Of two of one generation; else it would be asked after for ever."""
        self.add(state(1, 7), 10.0)
        self.add(state(1, 8), 11.0)
        self.changes.heard("n2", state(1, 8).tag, 11.5)
        self.settle(("n1", "n2"))
        assert self.spread() == [1.5, 0.5]
        assert not self.changes.pending

    def test_the_origin_holds_what_it_wrote_and_is_asked_since_when(self) -> None:
        """That the change arrived here does not tell how long it had been there."""
        written = state(1, origin="n2")
        self.add(written, 10.0)
        assert self.changes.holds("n2", written) is True
        assert not self.settle(("n1", "n2"))
        assert self.changes.pending
        self.changes.heard("n2", written.tag, 10.5, 0.75)
        assert self.settle(("n1", "n2"))
        assert self.spread() == [0.25]

    def test_an_origin_that_does_not_answer_is_not_awaited_for_ever(self) -> None:
        """Nobody knows then when it began: it is not measured, as it is told; one that others lack is still pending."""
        self.add(state(1, origin="n2"), 10.0)
        self.changes.heard("n3", state(1, origin="n2").tag, 10.5, 0.4)
        end = 10.0 + ORIGIN_TIME_MAX_S
        assert not self.settle(ALL, end - 0.1)
        assert not self.settle((*ALL, "n4"), end)
        assert self.settle(ALL, end)
        assert not self.changes.pending
        assert [(each["spread_s"], each["measured"]) for each in self.changes.told()] == [(None, False)]

    def test_an_origin_that_lost_what_it_wrote_does_not_hold_it(self) -> None:
        """It says so: it had no journal."""
        written = state(1, origin="n2")
        self.add(written, 10.0)
        self.changes.heard("n2", tag(0), 10.5)
        assert self.changes.holds("n2", written) is False

    def test_it_begins_where_the_change_was_first(self) -> None:
        """As that member says; this node may be the last to get it."""
        self.add(state(1, origin="n2"), 10.0)
        self.changes.heard("n2", state(1).tag, 10.5, 0.75)
        self.changes.heard("n3", state(1).tag, 10.5, 0.6)
        self.settle(ALL)
        assert self.spread() == [0.25]

    def test_who_has_failed_is_not_waited_for(self) -> None:
        """Those present count, as they are when it is settled."""
        self.add(state(1), 10.0)
        self.changes.heard("n2", state(1).tag, 10.1)
        assert not self.settle(ALL)
        assert self.settle(("n1", "n2"))

    def test_what_nobody_watched_is_not_measured(self) -> None:
        """Nor what was pending when the last page closed: it would seem to have taken until the next one."""
        self.add(state(1), 10.0, measured=False)
        self.add(state(2), 11.0)
        self.changes.stop_measuring()
        self.changes.heard("n2", state(2).tag, 500.0)
        assert not self.settle(("n1", "n2"))
        assert [(each["spread_s"], each["measured"]) for each in self.changes.told()] == [(None, False)] * 2

    def test_a_node_that_is_alone_measures_nothing(self) -> None:
        """There is nobody to spread to."""
        self.add(state(1), 10.0)
        assert not self.settle(("n1",))

    def test_it_is_known_who_holds_the_state_and_who_said_no(self) -> None:
        """An older answer than the state says nothing of it."""
        self.changes.heard("n2", tag(1), 5.0)
        self.changes.heard("n3", tag(3), 5.0)
        current = state(2)
        self.add(current, 10.0)
        assert [self.changes.holds(name, current) for name in (*ALL, "n4")] == [True, None, True, None]
        self.changes.heard("n2", tag(1), 10.1)
        assert self.changes.holds("n2", current) is False
        self.changes.heard("n2", current.tag, 10.2)
        assert self.changes.holds("n2", current) is True
        self.changes.keep(["n3"])
        assert self.changes.holds("n2", current) is None

    def test_an_answer_that_is_told_late_is_no_news(self) -> None:
        """Who has written since it answered holds what it wrote."""
        current = state(2, origin="n2")
        self.add(current, 10.3)
        self.changes.heard("n2", tag(1), 10.1)
        assert self.changes.holds("n2", current) is True

    def test_nonsense_is_not_heard(self) -> None:
        """A payload is anybody's."""
        for nonsense in ("", "7", "-1-0000000000000000", "x" * 1000):
            self.changes.heard("n2", nonsense, 5.0)
        assert self.changes.holds("n2", state(1)) is None

    def test_everything_is_bounded(self) -> None:
        """Changes, their values, and of whom something was heard; of those known the newest is kept."""
        for generation in range(1, CHANGES_MAX + 10):
            self.add(state(generation, "é" * 5000), float(generation))
        told = self.changes.told()
        assert (len(told), told[-1]["generation"]) == (CHANGES_MAX, CHANGES_MAX + 9)
        assert len(str(told[-1]["start"]).encode()) <= VALUE_SHOWN_MAX
        for number in range(HEARD_MAX + 10):
            self.changes.heard(f"m{number}", tag(1), 1.0)
        assert len(self.changes._heard) == HEARD_MAX
        self.changes.heard("m0", tag(999), 2.0)
        assert self.changes.holds("m0", state(500)) is True


class SurveyTests(SynchronousTestCase):
    """When all are asked."""

    def setUp(self) -> None:
        self.survey = Survey()

    def test_nothing_is_asked_before_somebody_wants_it(self) -> None:
        """Nobody looks."""
        assert self.survey.next_question(3) is None

    def test_a_change_is_followed_by_a_question(self) -> None:
        """Soon; many changes are one question, and the next waits."""
        for now in (100.0, 100.01):
            self.survey.want(now)
        assert self.survey.next_question(3) == 100.0 + ASK_SOON_S
        self.survey.asked(100.02)
        self.survey.want(100.03)
        assert self.survey.next_question(3) is None
        self.survey.ended(100.5, all_hold_it=True)
        assert self.survey.next_question(3) == 100.02 + ASK_PAUSE_S

    def test_it_is_asked_now_and_then_when_nothing_changes(self) -> None:
        """And again after the pause while some lack it."""
        self.survey.want(100.0)
        self.survey.asked(100.0)
        self.survey.ended(100.1, all_hold_it=True)
        assert self.survey.next_question(3) == 100.0 + ASK_INTERVAL_S
        self.survey.asked(110.0)
        self.survey.ended(110.1, all_hold_it=False)
        assert self.survey.next_question(3) == 110.0 + ASK_PAUSE_S

    def test_large_clusters_are_not_asked(self) -> None:
        """Nor is a node that is alone."""
        self.survey.want(100.0)
        assert [self.survey.next_question(count) for count in (1, ASKED_MAX + 1)] == [None, None]
        assert self.survey.next_question(ASKED_MAX) is not None


class HappeningTests(SynchronousTestCase):
    """The ring of what happened."""

    def test_what_repeats_is_one_entry(self) -> None:
        """With how often, and the time of the last."""
        ring = Happenings()
        for wall_time in (1.0, 2.0, 3.0):
            ring.add("refuted", "n2 was told otherwise", wall_time, "n1")
        ring.add("failed", "member failed: n2", 4.0, "n2")
        told = [(each["seq"], each["kind"], each["times"], each["time"]) for each in ring.told()]
        assert told == [(1, "refuted", 3, 3.0), (2, "failed", 1, 4.0)]

    def test_it_is_bounded(self) -> None:
        """Entries, and their texts; numbers go on."""
        ring = Happenings()
        for number in range(HAPPENINGS_MAX + 5):
            ring.add("event", f"{number} " + "x" * 1000, 1.0)
        told = ring.told()
        assert (len(told), told[-1]["seq"]) == (HAPPENINGS_MAX, HAPPENINGS_MAX + 5)
        assert len(str(told[-1]["text"])) == TEXT_SHOWN_MAX
