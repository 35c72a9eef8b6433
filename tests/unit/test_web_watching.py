"""GET /v1/watch: who hears what, and when."""

import json

from onevalue.store import Source, State
from onevalue.types import Generation
from onevalue.web.channel import RESPONSE_TIME_MAX_S
from onevalue.web.eventstream import HEARTBEAT, RETRY_MS
from onevalue.web.rounds import TELL_PAUSE_PER_WATCHER_S
from onevalue.web.server import SWEEP_INTERVAL_S
from onevalue.web.turns import DONE_PER_TURN
from onevalue.web.watching import HEARTBEAT_INTERVAL_S, PREAMBLE
from tests.watch_support import WATCH, WatchTestCase, events, unchunked
from tests.web_support import logged_errors


class StreamTests(WatchTestCase):
    """What is heard."""

    def test_the_current_state_comes_first(self) -> None:
        """At once, after the head, the time to wait before a new try, and a comment."""
        data = self.watch(taken=False).take_bytes()
        head, _, body = data.partition(b"\r\n\r\n")
        for line in [
            b"HTTP/1.1 200 OK",
            b"Content-Type: text/event-stream",
            b"Cache-Control: no-store",
            b"X-Accel-Buffering: no",
            b"Transfer-Encoding: chunked",
        ]:
            assert line in head.split(b"\r\n"), line
        content = unchunked(body)
        assert content.startswith(PREAMBLE + b"retry: 2000\n\n")
        assert events(content) == [(self.node.store.current.tag, 42)]

    def test_an_event_is_the_state_on_one_line(self) -> None:
        """With the tag as its id, and nothing but the state."""
        wire = self.watch()
        state = self.change(43)
        self.settle()
        first, second, *rest = unchunked(wire.take_bytes()).split(b"\n")
        assert (first, rest) == (b"id: " + state.tag.encode(), [b"", b""])
        assert json.loads(second.removeprefix(b"data: ")) == {
            "value": 43,
            "generation": 1,
            "origin": "n2",
            "time": 12.5,
            "tag": state.tag,
        }

    def test_each_change_follows_in_the_next_turn(self) -> None:
        """And stands in order."""
        wire = self.watch()
        for value in (1, 2, 3):
            self.change(value)
            self.settle()
            assert self.heard(wire) == [value]

    def test_own_writes_are_heard(self) -> None:
        """They are changes as any other."""
        wire = self.watch()
        assert self.node.put(b"7").status == 200
        self.settle()
        assert self.heard(wire) == [7]

    def test_changes_of_one_turn_are_one_event(self) -> None:
        """Only the latest state counts."""
        wire = self.watch()
        for value in range(100):
            self.change(value)
        self.settle()
        assert self.heard(wire) == [99]

    def test_what_changes_nothing_wakes_nobody(self) -> None:
        """An older state, or the same once more, makes neither events nor work."""
        wire = self.watch()
        state = self.change(5)
        self.settle()
        assert self.heard(wire) == [5]
        calls = len(self.node.clock.getDelayedCalls())
        for known in (state, State(Generation(0), 42)):
            assert not self.node.store.merge(known, Source.NOTIFY)
        assert len(self.node.clock.getDelayedCalls()) == calls
        self.settle()
        assert wire.take_bytes() == b""

    def test_who_has_the_state_already_gets_the_next_one_only(self) -> None:
        """Last-Event-ID is its tag: the stream begins at once all the same, with a comment."""
        tag = self.node.store.current.tag.encode()
        wire = self.watch(WATCH[:-2] + b"Last-Event-ID: " + tag + b"\r\n\r\n", taken=False)
        assert unchunked(wire.take_bytes().partition(b"\r\n\r\n")[2]) == PREAMBLE + b"retry: %d\n\n" % RETRY_MS
        self.change(43)
        self.settle()
        assert self.heard(wire) == [43]

    def test_who_has_another_state_gets_the_current_one(self) -> None:
        """Whatever stands in Last-Event-ID."""
        for last in (b"9-0123456789abcdef", b"", b"\xff", b"nonsense"):
            wire = self.watch(WATCH[:-2] + b"Last-Event-ID: " + last + b"\r\n\r\n", taken=False)
            assert events(unchunked(wire.take_bytes().partition(b"\r\n\r\n")[2])) == [(self.node.store.current.tag, 42)]

    def test_a_head_request_does_not_stream(self) -> None:
        """It gets the head of the stream, and takes no place."""
        [response] = self.node.dial(WATCH.replace(b"GET", b"HEAD")).take_responses(head=True)
        assert (response.status, response.headers["content-type"]) == (200, "text/event-stream")
        assert self.node.site.traffic.watchers == 0

    def test_http_1_0_has_no_chunks(self) -> None:
        """The stream is what follows the head, until the connection closes."""
        wire = self.watch(b"GET /v1/watch HTTP/1.0\r\n\r\n", taken=False)
        head, _, content = wire.take_bytes().partition(b"\r\n\r\n")
        assert b"chunked" not in head
        assert events(content) == [(self.node.store.current.tag, 42)]
        self.change(43)
        self.settle()
        assert [value for _, value in events(wire.take_bytes())] == [43]

    def test_a_stream_has_no_end(self) -> None:
        """The deadlines of answers are not for it."""
        wire = self.watch()
        self.node.clock.pump([SWEEP_INTERVAL_S] * int(10 * RESPONSE_TIME_MAX_S))
        assert not wire.lost
        wire.take_bytes()
        self.change(43)
        self.settle()
        assert self.heard(wire) == [43]


class SliceTests(WatchTestCase):
    """Many are told in several turns."""

    def test_only_some_are_told_in_a_turn(self) -> None:
        """In between the node answers others."""
        wires = [self.watch() for _ in range(2 * DONE_PER_TURN + 10)]
        self.change(43)
        told = []
        for _ in range(4):
            assert self.node.get("/healthz").status == 200
            told.append(sum(self.heard(wire) == [43] for wire in wires))
            self.clock.turn()
        assert told == [0, DONE_PER_TURN, DONE_PER_TURN, 10]

    def test_who_comes_later_gets_the_latest(self) -> None:
        """A change while others are told: the rest hear of it alone, the first of both, and nobody goes back."""
        wires = [self.watch() for _ in range(DONE_PER_TURN + 10)]
        self.change(1)
        self.clock.turn()
        self.change(2)
        self.settle()
        heard = [self.heard(wire) for wire in wires]
        assert heard.count([1, 2]) == DONE_PER_TURN
        assert heard.count([2]) == 10

    def test_there_is_a_pause_between_two_tellings(self) -> None:
        """With many, half of the time is for all else; what changes meanwhile is told once."""
        wires = [self.watch() for _ in range(DONE_PER_TURN)]
        self.change(1)
        self.clock.turn(5)
        for value in (2, 3):
            self.change(value)
            self.clock.turn(5)
            assert {tuple(self.heard(wire)) for wire in wires} == {(1,) if value == 2 else ()}
        self.node.clock.advance(TELL_PAUSE_PER_WATCHER_S * len(wires))
        self.settle()
        assert {tuple(self.heard(wire)) for wire in wires} == {(3,)}

    def test_those_who_go_meanwhile_are_not_told(self) -> None:
        """And do not keep the others from hearing."""
        wires = [self.watch() for _ in range(DONE_PER_TURN + 10)]
        self.change(1)
        for wire in wires[:-1]:
            wire.lose()
        self.settle()
        assert self.heard(wires[-1]) == [1]
        assert logged_errors(self) == []


class HeartbeatTests(WatchTestCase):
    """Comments keep a silent stream open."""

    def test_a_comment_comes_regularly(self) -> None:
        """On each stream, in several turns, and nothing else while nothing changes."""
        wires = [self.watch() for _ in range(DONE_PER_TURN + 1)]
        for _ in range(2):
            self.clock.advance(HEARTBEAT_INTERVAL_S)
            beats = []
            for _ in range(4):
                beats.append([unchunked(wire.take_bytes()) for wire in wires].count(HEARTBEAT))
                self.clock.turn()
            assert beats == [0, DONE_PER_TURN, 1, 0]
        assert HEARTBEAT.startswith(b":")

    def test_a_client_that_does_not_read_gets_none(self) -> None:
        """What waits for it does not grow."""
        wire = self.stall()
        for value in range(10):
            self.change(value)
            self.settle()
        before = wire.unsent()
        self.node.clock.advance(HEARTBEAT_INTERVAL_S)
        self.settle()
        assert wire.unsent() == before

    def test_no_timer_remains_when_the_last_has_gone(self) -> None:
        """Whether all is told, or a change is being told, or there is a pause."""
        for turns in range(4):
            wires = [self.watch() for _ in range(DONE_PER_TURN + 10)]
            self.change(self.node.store.current.generation)
            self.clock.turn(turns)
            for wire in wires:
                wire.lose()
            assert not self.node.clock.getDelayedCalls()
