"""The client for Twisted programs: Twisted's own agent upon connections in memory, in virtual time."""

import json
import random
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import TimeoutError as ConnectTimeoutError
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from onevalue.client import (
    CONNECT_SHARE,
    TIMEOUT_S,
    Client,
    ConditionFailedError,
    OutcomeOpenError,
    OvertakenError,
    Reading,
    RefusedError,
    RemoteProtocolError,
    UnconfirmedError,
    UnfitValueError,
    UnreachableError,
)
from tests.web_client import Net, Peer, state_json

URLS = ["http://10.0.0.1:81", "http://10.0.0.2:82/"]
TAG = state_json(4, 1)["tag"]


class ClientTestCase(SynchronousTestCase):
    """A client of two nodes."""

    def setUp(self) -> None:
        self.net = Net()
        self.client = Client(self.net, URLS, token="secret", rng=random.Random(1))

    def tearDown(self) -> None:
        self.successResultOf(self.client.stop())
        assert [call for call in self.net.getDelayedCalls() if call.active()] == []

    def failure(self, failing: "Deferred[Any]", kind: type[Exception]) -> Any:
        """The error with which a request has ended."""
        failure: Failure = self.failureResultOf(failing, kind)  # type: ignore[no-untyped-call]  # trial's has no types
        return failure.value


class GetTests(ClientTestCase):
    """Reads."""

    def test_get_gives_the_state(self) -> None:
        """All of it; the request bears the token, and wants no connection kept."""
        getting = self.client.get()
        peer = self.net.accept()
        for words in [b"GET /v1/value HTTP/1.1", b"Authorization: Bearer secret", b"Connection: close"]:
            assert words in peer.request
        self.assertNoResult(getting)  # type: ignore[no-untyped-call]  # trial's has no types
        peer.answer(200, {**state_json(5, {"a": 1}), "last_contact_s": 0.5})
        found: Reading = self.successResultOf(getting)
        assert (found.value, found.generation, found.tag) == ({"a": 1}, 5, state_json(5, {"a": 1})["tag"])
        assert found.document["last_contact_s"] == 0.5

    def test_the_tag_may_be_the_etag_alone(self) -> None:
        """As older nodes have it."""
        getting = self.client.get()
        told = state_json(5, 43)
        tag = told.pop("tag")
        self.net.accept().answer(200, told, ETag=f'"{tag}"')
        assert self.successResultOf(getting).tag == tag

    def test_the_next_node_is_asked_when_one_fails(self) -> None:
        """And first the next time."""
        getting = self.client.get()
        self.net.refuse()
        self.net.accept().answer(200, state_json(5, 43))
        assert self.successResultOf(getting).value == 43
        again = self.client.get()
        self.net.accept().answer(200, state_json(6, 44))
        assert self.successResultOf(again).value == 44
        assert self.net.attempts == [81, 82, 82]

    def test_every_step_has_a_deadline(self) -> None:
        """Connecting, the head of the answer, its body; then the next node's turn comes."""
        getting = self.client.get()
        assert self.net.tcpClients[0][3] == CONNECT_SHARE * TIMEOUT_S
        self.net.refuse(ConnectTimeoutError())  # as a real reactor does then
        peer = self.net.accept()
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", b"{")
        self.net.advance(TIMEOUT_S)
        assert peer.closed
        error = self.failure(getting, UnreachableError)
        assert str(error).startswith(f"{URLS[0]}: User timeout caused connection failure")
        assert str(error).endswith("; http://10.0.0.2:82: no answer in time")

    def test_a_silent_node_is_given_up(self) -> None:
        """Its connection is closed."""
        getting = self.client.get()
        peer = self.net.accept()
        self.net.advance(TIMEOUT_S)
        assert peer.closed
        self.net.refuse()
        self.failure(getting, UnreachableError)

    def test_nonsense_and_refusals_are_errors(self) -> None:
        """Each of its kind."""
        answers: list[object] = [5, [], {}]
        for nonsense in answers:
            getting = self.client.get()
            self.net.accept().answer(200, nonsense)
            self.failure(getting, RemoteProtocolError)
        getting = self.client.get()
        self.net.accept().answer(401, {"status": 401, "detail": "a token\x1b is wanted"})
        error = self.failure(getting, RefusedError)
        assert (error.status, str(error)) == (401, "401 a token  is wanted")

    def test_who_asks_may_cancel(self) -> None:
        """The connection is closed, and no other node is asked; at every step."""
        for step in range(3):
            net = Net()
            client = Client(net, URLS)
            getting = client.get()
            peers: list[Peer] = []
            if step > 0:
                peers.append(net.accept())
            if step > 1:
                peers[0].send("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", b"{")
            getting.cancel()
            self.failure(getting, CancelledError)
            assert [peer.closed for peer in peers] == [True] * len(peers)
            assert len(net.attempts) == 1
            assert [call for call in net.getDelayedCalls() if call.active()] == []

    def test_a_client_that_was_stopped_asks_nobody(self) -> None:
        """What was under way is cancelled."""
        getting = self.client.get()
        self.successResultOf(self.client.stop())
        self.failure(getting, CancelledError)
        self.failure(self.client.get(), UnreachableError)
        with pytest.raises(UnreachableError):
            self.client.watch()
        assert len(self.net.attempts) == 1

    def test_what_is_no_url_is_refused(self) -> None:
        """At once."""
        for urls in [[], ["10.0.0.1:8080"], "http://10.0.0.1:8080"]:
            with pytest.raises(ValueError, match="urls"):
                Client(self.net, urls)


class SetTests(ClientTestCase):
    """Writes."""

    def test_set_gives_the_new_state(self) -> None:
        """The value is the body; conditions and acknowledgements are asked for as the node wants them."""
        setting = self.client.set({"a": [1, "é"]}, if_match=TAG, ack="majority", timeout_s=2)
        peer = self.net.accept()
        head, _, body = peer.request.partition(b"\r\n\r\n")
        assert head.startswith(b"PUT /v1/value?ack=majority&timeout=2 HTTP/1.1\r\n")
        assert f'If-Match: "{TAG}"'.encode() in head
        assert b"Content-Type: application/json" in head
        assert json.loads(body) == {"a": [1, "é"]}
        peer.answer(200, state_json(5, {"a": [1, "é"]}))
        assert self.successResultOf(setting).generation == 5

    def test_what_is_no_json_is_not_sent(self) -> None:
        """NaN, objects of Python, and what would come back as something else."""
        round_: list[Any] = []
        round_.append(round_)
        deep: Any = 1
        for _ in range(65):
            deep = [deep]
        unfit: list[Any] = [float("nan"), [1e400], object(), {1: 2}, {"a": {None: 1}}, (1, 2), 2**63, "\ud800", b"x"]
        for value in [*unfit, {"a": 1, 2: 3}, round_, deep]:
            assert "nothing was sent" in str(self.failure(self.client.set(value), UnfitValueError))
        assert self.net.attempts == []

    def test_each_refusal_has_its_kind(self) -> None:
        """With what the node said."""
        said = {"detail": "no", "current": 1, "winner": 2, "acks": 3}
        for status, more, kind in [
            (412, {}, ConditionFailedError),
            (409, {}, OvertakenError),
            (504, {"written": 4}, UnconfirmedError),
            (413, {}, RefusedError),
        ]:
            setting = self.client.set(1)
            self.net.accept().answer(status, {**said, **more})
            assert self.failure(setting, kind).document == {**said, **more}

    def test_a_write_goes_on_while_nothing_was_sent(self) -> None:
        """And after 503."""
        setting = self.client.set(1)
        self.net.refuse()
        self.net.accept().answer(200, state_json(5, 1))
        self.successResultOf(setting)
        setting = self.client.set(2)
        self.net.accept().answer(503, {"detail": "learning"})
        self.net.accept().answer(200, state_json(6, 2))
        self.successResultOf(setting)

    def test_a_write_that_may_have_arrived_is_not_repeated(self) -> None:
        """The connection is lost, or the time is up."""
        for end in ["lost", "late"]:
            setting = self.client.set(1)
            peer = self.net.accept()
            peer.lose() if end == "lost" else self.net.advance(TIMEOUT_S)
            self.failure(setting, OutcomeOpenError)
        assert len(self.net.attempts) == 2

    def test_a_write_upon_one_state_is_repeated(self) -> None:
        """It makes the same state at the next node."""
        setting = self.client.set(1, if_match=TAG)
        self.net.accept().lose()
        self.net.accept().answer(412, {"detail": "no", "current": state_json(5, 1)})
        assert self.successResultOf(setting).generation == 5

    def test_what_is_repeated_must_be_confirmed_as_well(self) -> None:
        """That the state is there tells nothing of who else holds it; the error has it. This node alone is enough."""
        cases: list[tuple[int | str, type[Exception] | None]] = [("majority", OutcomeOpenError), (2, OutcomeOpenError)]
        for ack, kind in [*cases, (1, None)]:
            setting = self.client.set(1, if_match=TAG, ack=ack)
            self.net.accept().lose()
            self.net.accept().answer(412, {"detail": "no", "current": state_json(5, 1)})
            if kind is None:
                assert self.successResultOf(setting).generation == 5
            else:
                assert self.failure(setting, kind).document == {"written": state_json(5, 1)}

    def test_the_node_has_time_to_wait_for_others(self) -> None:
        """As much as was asked for, beside its own."""
        setting = self.client.set(1, ack=2, timeout_s=20)
        self.net.accept()
        self.net.advance(TIMEOUT_S + 19.9)
        self.assertNoResult(setting)  # type: ignore[no-untyped-call]  # trial's has no types
        self.net.advance(0.2)
        self.failure(setting, OutcomeOpenError)
