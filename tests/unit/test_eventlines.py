"""The lines of the log about members and events are for people: addresses and texts, no Python."""

from twisted.internet.task import Clock
from twisted.logger import Logger, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from onevalue.eventlines import PAYLOAD_SHOWN_MAX, happenings, write_lines
from onevalue.loglines import LimitedLog
from onevalue.serf import events as told
from onevalue.serf.dispute import Verdict
from onevalue.serf.members import MemberStatus, SerfMember
from onevalue.spread.rumour import EVENT_NAME
from onevalue.types import LamportTime


def event(name: str, payload: bytes) -> told.UserEvents:
    """One user event."""
    return told.UserEvents((told.ReceivedEvent(name, payload, LamportTime(5), b"", relay_wanted=True),))


class EventLinesTests(SynchronousTestCase):
    """What write_lines writes."""

    def lines(self, each: told.SerfEvent) -> list[str]:
        """The lines of one event, on node n1."""
        lines: list[str] = []
        log = Logger("test", observer=lambda event: lines.append(formatEvent(event)))  # type: ignore[arg-type]  # its kind of event is an Any
        write_lines(LimitedLog(log, Clock().seconds), each, "n1")
        return lines

    def test_members_have_their_address(self) -> None:
        """IPv4 and IPv6."""
        for addr, at in [(bytes([10, 0, 0, 2]), "10.0.0.2:7946"), (bytes(15) + b"\x01", "[::1]:7946")]:
            member = SerfMember("n2", addr, 7946, {}, MemberStatus.FAILED, False, LamportTime(1), 0.0)
            assert self.lines(told.MemberFailed(member)) == [f"member failed: n2 at {at}"]

    def test_a_conflict_tells_where_the_other_is(self) -> None:
        """Whoever has to rename it must find it."""
        [line] = self.lines(told.NameConflict("n1", bytes([10, 0, 0, 9]), 7946))
        assert line == "another node, at 10.0.0.9:7946, calls itself n1 too: give each node its own --name"

    def test_a_verdict_about_the_own_name_says_what_to_do(self) -> None:
        """Loudly, whoever won."""
        for verdict, answers, for_us, words in [
            (Verdict.LOST, 3, 1, "this node LOST its name n1: 1 of 3 members"),
            (Verdict.WON, 3, 2, "this node keeps its name n1, say 2 of 3 members"),
            (Verdict.UNDECIDED, 0, 0, "no member could say whose the name n1 is"),
        ]:
            [line] = self.lines(told.NameJudged(verdict, answers, for_us, ("10.0.0.9", 7946)))
            assert line.startswith(words)
            assert "10.0.0.9:7946" in line

    def test_a_member_that_is_back_says_how_long_it_was_gone(self) -> None:
        """In seconds; who is new does not."""
        member = SerfMember("n2", bytes([10, 0, 0, 2]), 7946, {}, MemberStatus.ALIVE, False, LamportTime(1), 0.0)
        for failed_s, more in [(None, ""), (12.34, ", 12.3 s after it failed")]:
            assert self.lines(told.MemberJoin(member, failed_s)) == [f"member joined: n2 at 10.0.0.2:7946{more}"]

    def test_refused_packets_tell_where_they_came_from(self) -> None:
        """With the reason: a wrong key is found by this line."""
        [line] = self.lines(told.PacketRefused(("10.0.0.9", 7946), "no key of the ring decrypts it"))
        assert line == "a packet from 10.0.0.9:7946 was refused: no key of the ring decrypts it"

    def test_payloads_are_text(self) -> None:
        """What is not UTF-8 or not printable is replaced, and what is long is cut."""
        assert self.lines(event("deploy", "v2 höchstens".encode())) == ["user event deploy at 5: v2 höchstens"]
        [line] = self.lines(event("deploy", b"\xff\x1b[31m\n" + b"x" * 1000))
        assert line.isprintable()
        assert len(line) <= len("user event deploy at 5: ") + PAYLOAD_SHOWN_MAX

    def test_value_events_are_left_to_the_store(self) -> None:
        """They come by the dozen."""
        assert self.lines(event(EVENT_NAME, b"{}")) == []

    def test_nobody_accuses_itself(self) -> None:
        """What this node reads of itself in a push/pull counts as said by the reader, but was said by another."""
        for by, shown in [("n2", "n2"), ("n1", "a member"), ("", "a member")]:
            assert self.lines(told.Refuted(by)) == [
                f"{shown} took this node for failed or changed, and was told otherwise"
            ]


class HappeningTests(SynchronousTestCase):
    """What the live page has of an event."""

    def test_it_has_the_words_of_the_log_with_a_kind_and_a_name(self) -> None:
        """Whom it is about, so that it can be found."""
        member = SerfMember("n2", bytes([10, 0, 0, 2]), 7946, {}, MemberStatus.FAILED, False, LamportTime(1), 0.0)
        expected: list[tuple[told.SerfEvent, str, str, str]] = [
            (told.MemberFailed(member), "failed", "n2", "member failed: n2 at 10.0.0.2:7946"),
            (told.MemberSuspected("n2", "n3"), "suspected", "n2", "n2 is suspected by n3"),
            (told.SuspicionEnded("n2"), "recovered", "n2", "n2 is alive after all"),
            (told.Refuted("n3"), "refuted", "n1", "n3 took this node for failed or changed, and was told otherwise"),
            (event("deploy", b"7"), "event", "", "user event deploy at 5: 7"),
        ]
        for each, kind, name, text in expected:
            [happening] = happenings(each, "n1")
            assert (happening.kind, happening.name, happening.text) == (kind, name, text)

    def test_conflicts_of_names_are_among_it(self) -> None:
        """With the node that has to be renamed."""
        [conflict] = happenings(told.NameConflict("n2", bytes([10, 0, 0, 9]), 7946), "n1")
        [judged] = happenings(told.NameJudged(Verdict.LOST, 3, 1, ("10.0.0.9", 7946)), "n1")
        assert (conflict.kind, conflict.name, judged.kind, judged.name) == ("conflict", "n2", "conflict", "n1")
        assert "10.0.0.9:7946" in conflict.text
        assert "LOST" in judged.text

    def test_what_anybody_can_cause_at_will_is_not(self) -> None:
        """Refused packets would push out all else; values are told elsewhere."""
        assert list(happenings(told.PacketRefused(("10.0.0.9", 7946), "no key"), "n1")) == []
        assert list(happenings(event(EVENT_NAME, b"{}"), "n1")) == []

    def test_names_are_printable(self) -> None:
        """Strangers choose them; braces are no formats."""
        [happening] = happenings(told.MemberSuspected("a\x1b[31m\n{name}", "b"), "n1")
        assert happening.text.isprintable()
        assert "{name}" in happening.text
