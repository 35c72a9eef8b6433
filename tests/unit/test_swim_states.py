"""What news does to the members: suspicion, refutation, reclaim, forgetting, leaving, and the events of each."""

from unittest.mock import patch

import pytest
from twisted.trial.unittest import SynchronousTestCase

from onevalue.errors import LocalProtocolError
from onevalue.swim.events import (
    LeaveSent,
    MemberForgotten,
    MemberGone,
    MemberJoined,
    MemberSuspected,
    MemberUpdated,
    NameConflict,
    Refuted,
    SuspicionEnded,
)
from onevalue.swim.members import MemberRecord
from onevalue.swim.rules import INCARNATION_MAX
from onevalue.types import Incarnation
from onevalue.wire.messages import Alive, Dead, NodeStatus, Suspect
from tests.unit.swim_bench import Bench, addr_of, address_of, alive
from tests.unit.swim_net import PORT, VSN


def _suspect(name: str, incarnation: int = 1, accuser: str = "x") -> Suspect:
    return Suspect(Incarnation(incarnation), name, accuser)


def _dead(name: str, incarnation: int = 1, accuser: str = "x") -> Dead:
    return Dead(Incarnation(incarnation), name, accuser)


def _known(bench: Bench, name: str) -> MemberRecord:
    record = bench.swim.member(name)
    assert record is not None
    return record


def _kinds(bench: Bench) -> list[type]:
    return [type(event) for event in bench.events()]


class NewsTests(SynchronousTestCase):
    """News about others."""

    def test_a_member_joins_is_updated_suspected_cleared_dies_and_returns(self) -> None:
        """Each change of a life is told once, in order."""
        bench = Bench()
        bench.hear(alive("b"), alive("b"))
        assert _kinds(bench) == [MemberJoined]
        bench.hear(alive("b", 2, meta=b"new"), alive("b", 3, meta=b"new"))
        assert _kinds(bench) == [MemberUpdated]
        bench.hear(_suspect("b", 3))
        assert _kinds(bench) == [MemberSuspected]
        bench.hear(alive("b", 4, meta=b"new"))
        assert _kinds(bench) == [SuspicionEnded]
        bench.hear(_dead("b", 4))
        assert _kinds(bench) == [MemberGone]
        assert _known(bench, "b").status is NodeStatus.DEAD
        bench.hear(_dead("b", 4, "b"))
        assert _known(bench, "b").status is NodeStatus.DEAD
        bench.hear(alive("b", 5))
        assert _kinds(bench) == [MemberJoined]
        bench.hear(_dead("b", 5, "b"))
        assert _known(bench, "b").status is NodeStatus.LEFT

    def test_what_is_taken_is_gossiped_on_and_what_is_not_is_not(self) -> None:
        """One slot a member: the newest news replaces the older."""
        bench = Bench("bc")
        bench.wait(5.0)
        bench.sent()
        bench.hear(alive("b", 2), _suspect("b", 2), _suspect("c", 0), alive("c", 1))
        bench.wait(0.3)
        news = [message for message, _ in bench.sent() if isinstance(message, Alive | Suspect)]
        assert set(news) == {_suspect("b", 2)}

    def test_a_port_of_0_is_the_own_port(self) -> None:
        """Such an alive message is no conflict with the member at that port."""
        bench = Bench("b")
        bench.hear(Alive(Incarnation(2), "b", addr_of("b"), 0, b"", VSN))
        assert (_known(bench, "b").port, _known(bench, "b").incarnation) == (PORT, 2)

    def test_a_port_that_is_told_is_that_of_the_member(self) -> None:
        """Members need not all use one."""
        bench = Bench()
        bench.hear(Alive(Incarnation(1), "b", addr_of("b"), 7999, b"", VSN))
        assert _known(bench, "b").address == (address_of("b")[0], 7999)
        bench.hear(Alive(Incarnation(2), "b", addr_of("b"), PORT, b"", VSN))
        assert [type(event) for event in bench.events()] == [MemberJoined, NameConflict]

    def test_a_member_without_a_name_or_an_address_is_none(self) -> None:
        """It is counted as malformed, and changes nothing."""
        bench = Bench("b")
        before = bench.swim.members()
        odd = [("", addr_of("c")), ("c", b""), ("b", b"")]
        for name, addr in odd:
            bench.hear(Alive(Incarnation(9), name, addr, PORT, b"", VSN))
        assert bench.swim.members() == before
        assert bench.swim.counters["malformed"] == len(odd)
        assert bench.events() == []

    def test_a_known_member_that_tells_no_versions_keeps_its_own(self) -> None:
        """And one that tells others has these."""
        bench = Bench("b")
        bench.hear(alive("b", 2, vsn=b""))
        assert (_known(bench, "b").incarnation, _known(bench, "b").vsn) == (2, VSN)
        newer = bytes([1, 5, 3, 2, 5, 4])
        bench.hear(alive("b", 3, vsn=newer))
        assert _known(bench, "b").vsn == newer

    def test_the_mapped_form_is_kept_as_it_came_and_dialled_as_ipv4(self) -> None:
        """Sixteen bytes stay sixteen bytes."""
        bench = Bench()
        mapped = bytes(10) + b"\xff\xff" + addr_of("b")
        bench.hear(alive("b", addr=mapped))
        assert (_known(bench, "b").addr, _known(bench, "b").address) == (mapped, address_of("b"))

    def test_a_used_name_from_another_address_is_a_conflict_and_changes_nothing(self) -> None:
        """It is told, for others and for the own name."""
        bench = Bench("b")
        before = bench.swim.members()
        bench.hear(alive("b", 9, addr=addr_of("q")), alive("a", 9, addr=addr_of("q")))
        events = [event for event in bench.events() if isinstance(event, NameConflict)]
        assert [(event.existing.name, event.addr) for event in events] == [("b", addr_of("q")), ("a", addr_of("q"))]
        assert bench.swim.members() == before

    def test_the_name_of_the_left_and_of_the_long_dead_may_come_back_from_elsewhere(self) -> None:
        """At once after leaving, a second after death; with any incarnation."""
        bench = Bench("bc")
        bench.hear(_dead("b", 1, "b"), _dead("c"))
        bench.hear(alive("b", 1, addr=addr_of("q")), alive("c", 1, addr=addr_of("r")))
        assert (_known(bench, "b").addr, _known(bench, "c").addr) == (addr_of("q"), addr_of("c"))
        bench.wait(1.1)
        bench.hear(alive("c", 1, addr=addr_of("r")))
        assert (_known(bench, "c").addr, _known(bench, "c").status) == (addr_of("r"), NodeStatus.ALIVE)

    def test_a_flood_of_names_stops_at_the_bound(self) -> None:
        """What is above is counted; those known are not harmed."""
        bench = Bench("b")
        with patch.object(bench.swim._states.table, "_members_max", 10):
            for number in range(40):
                bench.hear(Alive(Incarnation(1), f"forged {number}", addr_of("b"), 1000 + number, b"", VSN))
            assert (len(bench.swim.members()), bench.swim.counters["members_refused"]) == (10, 32)
            bench.hear(alive("b", 2))
        assert _known(bench, "b").incarnation == 2

    def test_the_gone_are_forgotten_after_their_time_and_nobody_else(self) -> None:
        """Dead or left for 30 s, at the next end of a round of probes; the living and this node stay."""
        bench = Bench("bcd")
        bench.hear(_dead("b"), _dead("c", 1, "c"))
        for _ in range(290):
            bench.wait(0.1)
            bench.hear(alive("d", int(_known(bench, "d").incarnation) + 1))
        assert [record.name for record in bench.swim.members()] == ["a", "b", "c", "d"]
        bench.events()
        for _ in range(40):
            bench.wait(0.1)
            bench.hear(alive("d", int(_known(bench, "d").incarnation) + 1))
        forgotten = [event.name for event in bench.events() if isinstance(event, MemberForgotten)]
        assert forgotten == ["b", "c"]
        assert [record.name for record in bench.swim.members()] == ["a", "d"]


class SuspicionTests(SynchronousTestCase):
    """A suspicion, from the first accuser to its end."""

    def _death(self, confirm: str) -> float:
        """When b is dead after x suspected it and those of `confirm` agreed; six members in all."""
        bench = Bench("bcdef")
        bench.hear(_suspect("b"))
        began = bench.now
        bench.hear(*(_suspect("b", 1, accuser) for accuser in confirm))
        with patch.object(bench.swim._prober, "_next_target", return_value=None):
            while _known(bench, "b").status is NodeStatus.SUSPECT:
                bench.wait(0.01)
        return bench.now - began

    def test_confirmations_by_different_members_shorten_it(self) -> None:
        """24 s alone, 4 s with two others; the first accuser and repetitions count for nothing."""
        for confirm, expected in [("", 24.0), ("x", 24.0), ("cc", 11.381), ("cd", 4.0), ("cdef", 4.0)]:
            assert abs(self._death(confirm) - expected) < 0.02, confirm

    def test_confirmations_that_count_are_gossiped_on(self) -> None:
        """Each unchanged, in the name of its accuser; a duplicate is not."""
        bench = Bench("bcdef")
        bench.hear(_suspect("b"))
        for accuser, expected in [("c", 1), ("c", 0), ("d", 1), ("e", 0)]:
            bench.swim._states.queue.take(0, 100000, 1)
            before = bench.swim._states.queue._added
            bench.hear(_suspect("b", 1, accuser))
            assert bench.swim._states.queue._added - before == expected, accuser

    def test_a_refutation_ends_it_for_good(self) -> None:
        """No deadline of the old suspicion kills the member later."""
        bench = Bench("bc")
        bench.hear(_suspect("b"))
        bench.hear(alive("b", 2))
        with patch.object(bench.swim._prober, "_next_target", return_value=None):
            bench.wait(100.0)
        assert _known(bench, "b").status is NodeStatus.ALIVE
        assert bench.swim.status()["suspicions"] == 0


class LocalTests(SynchronousTestCase):
    """News about this node."""

    def test_start_is_alive_with_incarnation_1_and_gossiped(self) -> None:
        """The first one that it meets hears of it."""
        bench = Bench()
        assert (bench.swim.local.status, bench.swim.local.incarnation) == (NodeStatus.ALIVE, 1)
        bench.hear(alive("b"))
        bench.wait(0.3)
        assert alive("a", 1) in [message for message, _ in bench.sent()]

    def test_accusations_are_refuted_upwards(self) -> None:
        """Above what one is accused of, in a slot of its own, at the price of one point of health."""
        table: list[tuple[Suspect | Dead | Alive, int]] = [
            (_suspect("a", 1), 2),
            (_suspect("a", 7), 8),
            (_dead("a", 3), 4),
            (_dead("a", 3, "a"), 4),
            (alive("a", 5), 6),
            (alive("a", 1, meta=b"not mine"), 2),
        ]
        for accusation, incarnation in table:
            bench = Bench("b")
            bench.hear(accusation)
            assert (bench.swim.local.incarnation, bench.swim.health_score) == (incarnation, 1), accusation
            assert len(bench.events_of(Refuted)) == 1
            assert bench.swim.local.status is NodeStatus.ALIVE
            bench.wait(0.3)
            assert alive("a", incarnation) in [message for message, _ in bench.sent()]

    def test_a_refutation_does_not_replace_other_news_about_this_node(self) -> None:
        """New meta, then a refutation: both wait, and both are sent."""
        bench = Bench("b")
        bench.swim.update_meta(b"tags", bench.now)
        bench.hear(_suspect("a", 5))
        bench.wait(0.3)
        sent = [message for message, _ in bench.sent()]
        assert alive("a", 2, meta=b"tags") in sent
        assert alive("a", 6, meta=b"tags") in sent

    def test_old_accusations_are_ignored(self) -> None:
        """What was refuted once costs nothing more."""
        bench = Bench("b")
        bench.hear(_suspect("a", 1))
        bench.events()
        bench.hear(_suspect("a", 1), _dead("a", 1), alive("a", 1), alive("a", 2))
        assert (bench.events(), bench.swim.local.incarnation, bench.swim.health_score) == ([], 2, 1)

    def test_the_largest_incarnation_ends_the_counting_but_not_the_node(self) -> None:
        """Nothing overflows the 32 bits of the wire."""
        bench = Bench("b")
        bench.hear(_suspect("a", INCARNATION_MAX))
        bench.swim.update_meta(b"m", bench.now)
        assert bench.swim.local.incarnation == INCARNATION_MAX
        bench.wait(1.0)

    def test_new_meta_has_a_new_incarnation_and_travels(self) -> None:
        """It is told as an update of this node, and too much of it changes nothing."""
        bench = Bench("b")
        bench.swim.update_meta(b"tags", bench.now)
        assert [type(event) for event in bench.events()] == [MemberUpdated]
        with pytest.raises(LocalProtocolError):
            bench.swim.update_meta(bytes(513), bench.now)
        bench.wait(0.3)
        assert alive("a", 2, meta=b"tags") in [message for message, _ in bench.sent()]
        assert bench.swim.local.meta == b"tags"

    def test_leaving_is_said_often_enough_and_then_told(self) -> None:
        """A dead message from and about itself; LeaveSent once; it is not refuted afterwards, and answers go on."""
        bench = Bench("b")
        bench.swim.leave(bench.now)
        assert [type(event) for event in bench.events()] == [MemberGone]
        assert bench.swim.local.status is NodeStatus.LEFT
        bench.wait(3.0)
        departures = [entry for entry in bench.sent() if entry[0] == _dead("a", 1, "a")]
        assert (len(departures), len(bench.events_of(LeaveSent))) == (4, 1)
        bench.hear(_suspect("a", 9), _dead("a", 9), alive("a", 9))
        bench.swim.leave(bench.now)
        bench.swim.update_meta(b"late", bench.now)
        assert (bench.swim.local.incarnation, bench.events()) == (1, [])

    def test_a_node_that_left_long_ago_still_knows_itself(self) -> None:
        """Others that are gone are forgotten, the own record never."""
        bench = Bench("bc")
        bench.hear(_dead("c"))
        bench.swim.leave(bench.now)
        bench.wait(100.0)
        assert bench.swim.member("c") is None
        assert bench.swim.local.status is NodeStatus.LEFT

    def test_leaving_with_nobody_there_is_told_at_once(self) -> None:
        """Also when all others are gone."""
        for peers in ("", "b"):
            bench = Bench(peers)
            bench.hear(*(_dead(name) for name in peers))
            bench.swim.leave(bench.now)
            assert len(bench.events_of(LeaveSent)) == 1
            bench.hear(alive("c"))
            bench.wait(5.0)
            assert _dead("a", 1, "a") in [message for message, _ in bench.sent()]
            assert bench.events_of(LeaveSent) == []
