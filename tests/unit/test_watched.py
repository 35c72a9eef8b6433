"""A watched value is in memory, never goes back, says how stale it is, and comes back whatever happens to nodes."""

import math
import random
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.trial.unittest import SynchronousTestCase

from onevalue.client import TIMEOUT_S, Client, Reading
from onevalue.following import RETRY_MAX_S, RETRY_MIN_S, SILENCE_MAX_S
from onevalue.values import Value
from onevalue.watched import CLOSE_TIME_MAX_S
from tests.web_client import Net, event, state_json
from tests.web_support import logged_errors


class WatchedTests(SynchronousTestCase):
    """A client of two nodes that watches."""

    def setUp(self) -> None:
        self.net = Net()
        self.client = Client(self.net, ["http://10.0.0.1:81", "http://10.0.0.2:82"], rng=random.Random(1))
        self.watched = self.client.watch()

    def tearDown(self) -> None:
        stopping = self.watched.stop()
        self.net.advance(CLOSE_TIME_MAX_S)
        self.successResultOf(stopping)
        assert [call for call in self.net.getDelayedCalls() if call.active()] == []

    def test_before_the_first_state_there_is_none(self) -> None:
        """And nobody was ever heard."""
        watched = self.watched
        assert (watched.value, watched.generation, watched.tag, watched.reading) == (None, None, None, None)
        assert watched.staleness_s == math.inf
        ready = watched.ready()
        self.assertNoResult(ready)  # type: ignore[no-untyped-call]  # trial's has no types
        ready.addErrback(lambda failure: failure.trap(CancelledError))

    def test_the_value_is_an_attribute(self) -> None:
        """As soon as it is told; `ready` fires then, and later at once."""
        ready = self.watched.ready()
        peer = self.net.accept()
        assert b"GET /v1/watch HTTP/1.1" in peer.request
        peer.stream(event(5, "v1.2"))
        assert (self.watched.value, self.watched.generation) == ("v1.2", 5)
        assert self.watched.tag == state_json(5, "v1.2")["tag"]
        for each in [ready, self.watched.ready()]:
            assert self.successResultOf(each) is self.watched.reading

    def test_staleness_is_the_time_since_anything_came(self) -> None:
        """A heartbeat counts."""
        peer = self.net.accept()
        peer.stream(event(5, 1))
        self.net.advance(7.0)
        assert self.watched.staleness_s == 7.0
        peer.send(": beat\n\n")
        assert (self.watched.staleness_s, self.watched.value) == (0.0, 1)

    def test_observers_hear_each_newer_state(self) -> None:
        """Not older ones; not after they left; an error of one is logged and is not the others'."""
        seen: list[Any] = []

        def fail(_: Reading) -> None:
            raise ZeroDivisionError

        self.watched.observe(fail)
        leave = self.watched.observe(lambda reading: seen.append(reading.value))
        peer = self.net.accept()
        peer.stream(event(5, 1), event(4, 2), event(5, 1), event(6, 3))
        leave()
        leave()
        peer.send("", event(7, 4))
        assert seen == [1, 3]
        assert len(logged_errors(self, ZeroDivisionError)) == 3

    def test_changed_fires_once_with_the_next(self) -> None:
        """Its owner may cancel it, also while another fires."""
        peer = self.net.accept()
        peer.stream(event(5, 1))
        first, second, third = (self.watched.changed() for _ in range(3))
        values: list[Value] = []

        def changed(reading: Reading) -> None:
            values.append(reading.value)
            second.cancel()

        first.addCallback(changed)
        third.cancel()
        peer.send("", event(6, 2), event(7, 3))
        assert values == [2]
        for each in [second, third]:
            self.failureResultOf(each, CancelledError)  # type: ignore[no-untyped-call]  # trial's has no types

    def test_it_comes_back_to_the_next_node_and_never_goes_back(self) -> None:
        """With the tag of what it has; the value stays meanwhile, and the trouble is told."""
        first = self.net.accept()
        first.stream(event(5, 1))
        first.lose()
        self.net.advance(RETRY_MIN_S)
        peer = self.net.accept()
        assert "10.0.0.1" in str(self.watched.trouble)
        assert f"Last-Event-ID: {state_json(5, 1)['tag']}".lower().encode() in peer.request.lower()
        peer.stream(event(3, 0))
        assert (self.watched.value, self.watched.trouble) == (1, None)
        peer.send("", event(6, 2))
        assert self.watched.value == 2
        assert self.net.attempts == [81, 82]

    def test_whatever_a_node_does_the_next_one_is_tried(self) -> None:
        """No connection, no answer, a refusal, an end, nonsense, silence; for ever, and with patience."""
        ends = ["refused", "late", "404", "ended", "nonsense", "silent"]
        for round_, end in enumerate([*ends, *ends]):
            assert len(self.net.attempts) == round_ + 1, end
            if end == "refused":
                self.net.refuse()
            else:
                peer = self.net.accept()
                match end:
                    case "late":
                        self.net.advance(TIMEOUT_S)
                    case "404":
                        peer.answer(404, {"detail": "nothing there"})
                    case "ended":
                        peer.stream(event(1, 1))
                        peer.lose()
                    case "nonsense":
                        peer.stream(event(1, 1), b"data: 5\n\n")
                    case "silent":
                        peer.stream(event(1, 1))
                        self.net.advance(SILENCE_MAX_S)
                assert peer.closed or peer.lost, end
                peer.lose()
            assert self.watched.trouble is not None, end
            self.net.advance(RETRY_MAX_S)

    def test_heartbeats_keep_a_stream_and_make_pauses_short(self) -> None:
        """For as long as they come; the pause after the next failure is that of a first one."""
        for _ in range(6):
            self.net.refuse()
            self.net.advance(RETRY_MAX_S)
        peer = self.net.accept()
        peer.stream()
        for _ in range(5):
            self.net.advance(SILENCE_MAX_S - 1)
            peer.send(": beat\n\n")
        assert not peer.closed
        peer.lose()
        self.net.advance(RETRY_MIN_S)
        assert len(self.net.attempts) == 8

    def test_a_connection_that_does_not_close_is_left(self) -> None:
        """The next node is heard all the same."""
        peer = self.net.accept()
        peer.stream(event(1, 1))
        self.net.advance(SILENCE_MAX_S)
        assert peer.closed
        self.net.advance(CLOSE_TIME_MAX_S)
        self.net.advance(RETRY_MIN_S)
        self.net.accept().stream(event(2, 2))
        peer.send("", event(3, 3))
        assert self.watched.value == 2

    def test_stop_waits_until_the_connection_is_gone(self) -> None:
        """The value stays; nothing more is heard, and nobody is asked again."""
        peer = self.net.accept()
        peer.stream(event(1, 1))
        changed = self.watched.changed()
        stopping = [self.client.stop(), self.watched.stop()]
        for each in stopping:
            self.assertNoResult(each)  # type: ignore[no-untyped-call]  # trial's has no types
        self.failureResultOf(changed, CancelledError)  # type: ignore[no-untyped-call]  # trial's has no types
        assert peer.closed
        peer.send("", event(2, 2))
        peer.lose()
        for each in stopping:
            self.successResultOf(each)
        self.net.advance(60)
        assert (self.watched.value, len(self.net.attempts)) == (1, 1)
        self.successResultOf(self.watched.stop())

    def test_stop_ends_a_pause_and_an_attempt(self) -> None:
        """At once."""
        self.net.refuse()
        self.successResultOf(self.watched.stop())
        other = self.client.watch()
        self.net.accept()
        self.successResultOf(other.stop())
        assert len(self.net.attempts) == 2

    def test_an_observer_may_stop_it(self) -> None:
        """While it is told."""
        stopping: list[Any] = []
        self.watched.observe(lambda _: stopping.append(self.watched.stop()))
        peer = self.net.accept()
        peer.stream(event(1, 1))
        peer.lose()
        self.successResultOf(stopping[0])
