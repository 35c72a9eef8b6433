"""What a client of the agent RPC may do when, in which order it is answered, and when it loses its connection."""

import msgpack  # type: ignore[import-untyped]  # comes without types
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onevalue.rpc.connection import FAULT, GREETING_TIME_MAX_S
from onevalue.rpc.outgoing import BEHIND_TIME_MAX_S, UNSENT_SIZE_MAX
from onevalue.rpc.service import CONNECTIONS_MAX
from onevalue.wire import rpc_messages as rpc
from onevalue.wire.rpc_codec import REQUEST_SIZE_MAX, REQUESTS, encode_request
from onevalue.wire.rpc_messages import ErrorText
from tests.unit.rpc_bench import Client, RpcTestCase

HELLO = encode_request("handshake", 0, rpc.Handshake())
NOBODY = encode_request("get-coordinate", 9, rpc.GetCoordinate("nobody"))
EVENT = encode_request("event", 4, rpc.Event("deploy", b"", coalesce=False))
BODIES = {
    "handshake": rpc.Handshake(),
    "auth": rpc.Auth(""),
    "event": rpc.Event("e", b"", coalesce=False),
    "force-leave": rpc.ForceLeave("nobody", prune=False),
    "join": rpc.Join((), replay=False),
    "members-filtered": rpc.MembersFiltered({}, "", ""),
    "tags": rpc.Tags({}),
    "stream": rpc.Stream("*"),
    "monitor": rpc.Monitor("err"),
    "stop": rpc.Stop(1),
    "query": rpc.Query("q"),
    "respond": rpc.Respond(1, b""),
    **dict.fromkeys(("install-key", "use-key", "remove-key"), rpc.Key("")),
    "get-coordinate": rpc.GetCoordinate(""),
}


def headers(objects: list[object]) -> list[tuple[str, int]]:
    """Error and seq of each header among what came back."""
    return [(each["Error"], each["Seq"]) for each in objects if isinstance(each, dict) and "Error" in each]


class HandshakeTests(RpcTestCase):
    """Without a key."""

    def test_every_command_needs_a_handshake(self) -> None:
        """Each is refused, and the connection closed."""
        for command, struct in REQUESTS.items():
            if command != "handshake":
                client = Client(self)
                body = None if struct is None else BODIES[command]
                assert client.send(encode_request(command, 7, body)) == [
                    {"Error": ErrorText.HANDSHAKE_REQUIRED, "Seq": 7}
                ]
                assert client.is_closed, command

    def test_another_version_is_refused_and_this_one_may_follow(self) -> None:
        """The connection stays."""
        client = Client(self)
        sent = encode_request("handshake", 1, rpc.Handshake(2)) + encode_request("handshake", 2, rpc.Handshake())
        assert headers(client.send(sent)) == [(ErrorText.UNSUPPORTED_VERSION, 1), ("", 2)]
        assert not client.is_closed

    def test_a_second_handshake_is_refused(self) -> None:
        """And a second one of another version for its version."""
        client = self.client()
        assert headers(client.send(HELLO)) == [(ErrorText.DUPLICATE_HANDSHAKE, 0)]
        assert headers(client.send(encode_request("handshake", 1, rpc.Handshake(0)))) == [
            (ErrorText.UNSUPPORTED_VERSION, 1)
        ]
        assert not client.is_closed

    def test_an_unknown_command_closes_the_connection(self) -> None:
        """What follows is not looked at."""
        client = self.client()
        assert headers(client.send(msgpack.packb({"Command": "nix", "Seq": 3}) + NOBODY)) == [
            (ErrorText.UNSUPPORTED_COMMAND, 3)
        ]
        assert client.is_closed

    def test_where_there_is_no_key_only_the_empty_one_is_right(self) -> None:
        """As for Serf; it changes nothing."""
        client = self.client()
        assert headers(client.ask("auth", 1, rpc.Auth("x"))) == [(ErrorText.INVALID_TOKEN, 1)]
        assert client.ask("auth", 2, rpc.Auth("")) == []
        assert not client.is_closed

    def test_a_client_that_says_nothing_is_cut_off(self) -> None:
        """One that has done its handshake is not."""
        silent, greeted = Client(self), self.client()
        self.wait(GREETING_TIME_MAX_S + 0.2)
        assert silent.is_cut_off
        self.wait(600)
        assert not greeted.is_closed


class KeyTests(RpcTestCase):
    """With a key."""

    key = "sesame"

    def test_every_command_but_two_needs_the_key(self) -> None:
        """Each is refused once, its body is dropped, and the next request is understood."""
        client = self.client()
        for command, struct in REQUESTS.items():
            if command not in {"handshake", "auth"}:
                body = None if struct is None else BODIES[command]
                assert client.send(encode_request(command, 7, body)) == [
                    {"Error": ErrorText.AUTHENTICATION_REQUIRED, "Seq": 7}
                ]
        assert not client.is_closed
        assert client.ask("auth", 8, rpc.Auth("sesame")) == []
        assert headers(client.send(NOBODY)) == [("", 9)]

    def test_a_wrong_key_is_refused_and_the_right_one_may_follow(self) -> None:
        """A wrong one after the right one takes nothing away."""
        client = self.client()
        for wrong in ("", "sesam", "sesame ", "Sesame", "\udcff"):
            assert headers(client.ask("auth", 1, rpc.Auth(wrong))) == [(ErrorText.INVALID_TOKEN, 1)]
            assert self.rpc._monitor._lines.pop()[1].endswith("an RPC client has told a wrong key")
        assert client.ask("auth", 2, rpc.Auth("sesame")) == []
        assert headers(client.ask("auth", 3, rpc.Auth("no"))) == [(ErrorText.INVALID_TOKEN, 3)]
        assert headers(client.send(NOBODY)) == [("", 9)]

    def test_an_unknown_command_without_the_key_is_refused_for_that(self) -> None:
        """As by an agent, which tells nobody what it knows."""
        client = self.client()
        assert headers(client.send(msgpack.packb({"Command": "nix", "Seq": 3}))) == [
            (ErrorText.AUTHENTICATION_REQUIRED, 3)
        ]
        assert not client.is_closed

    def test_the_handshake_comes_before_the_key(self) -> None:
        """Else the connection is closed."""
        client = Client(self)
        assert headers(client.send(encode_request("auth", 1, rpc.Auth("sesame")))) == [
            (ErrorText.HANDSHAKE_REQUIRED, 1)
        ]
        assert client.is_closed

    def test_a_client_that_does_not_tell_the_key_is_cut_off(self) -> None:
        """Its handshake does not help; whoever has told it stays."""
        silent, known = self.client(), self.client()
        known.ask("auth", 1, rpc.Auth("sesame"))
        self.wait(GREETING_TIME_MAX_S + 0.2)
        assert silent.is_cut_off
        assert not known.is_closed

    def test_another_key_cuts_off_who_came_by_the_old_one(self) -> None:
        """The same one does nothing."""
        client = self.client()
        client.ask("auth", 1, rpc.Auth("sesame"))
        self.rpc.change_key("sesame")
        assert not client.is_closed
        self.rpc.change_key("other")
        assert client.is_cut_off
        again = self.client()
        assert headers(again.ask("auth", 1, rpc.Auth("sesame"))) == [(ErrorText.INVALID_TOKEN, 1)]
        assert again.ask("auth", 1, rpc.Auth("other")) == []


class RequestTests(RpcTestCase):
    """What is no request."""

    def test_a_body_that_is_none_closes_the_connection_without_a_word(self) -> None:
        """Nothing has changed."""
        for body in (b"\x07", b"\xa1x", msgpack.packb({"Name": 7}), msgpack.packb({"Payload": {}}), b"\xc1"):
            client = self.client()
            assert client.send(msgpack.packb({"Command": "event", "Seq": 4}) + body + NOBODY) == []
            assert client.is_closed, body
        assert self.gossip.serf_side.stats()["event_time"] == "1"

    def test_a_header_that_is_none_closes_the_connection_without_a_word(self) -> None:
        """Whatever it is."""
        for data in (b"GET / HTTP/1.1\r\n\r\n", b"\xc1", msgpack.packb({"Command": "stats", "Seq": -1}), b"\x93\1\2\3"):
            client = self.client()
            assert client.send(data) == []
            assert client.is_closed, data

    def test_a_request_that_is_too_large_closes_the_connection(self) -> None:
        """Before all of it has come, so that no client grows the node."""
        client = self.client()
        data = encode_request("event", 4, rpc.Event("e", b"x" * (REQUEST_SIZE_MAX + 1), coalesce=False))
        assert client.send(data[: REQUEST_SIZE_MAX + 100]) == []
        assert client.is_closed

    def test_after_the_end_nothing_is_looked_at(self) -> None:
        """More bytes do nothing."""
        client = self.client()
        client.send(b"\xc1")
        assert client.send(EVENT) == []
        assert self.gossip.serf_side.stats()["event_time"] == "1"

    def test_a_fault_of_the_node_is_told_and_logged(self) -> None:
        """With the body of zeros that belongs to it; the connection stays."""
        client = self.client()
        self.rpc._around.commands._stats = None  # type: ignore[assignment]  # planted
        assert client.ask("stats", 4) == [{"Error": FAULT, "Seq": 4}, {}]
        assert len(self.flushLoggedErrors(TypeError)) == 1  # type: ignore[no-untyped-call]  # Twisted's has no types
        assert not client.is_closed

    @settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.one_of(st.binary(max_size=60), st.sampled_from([HELLO, NOBODY, EVENT])), max_size=6))
    def test_any_bytes_do_no_harm(self, pieces: list[bytes]) -> None:
        """They are answered, or close the connection; nothing is left of it."""
        client = Client(self)
        for piece in pieces:
            client.send(piece)
        client.lose()
        assert not self.rpc._connections


TEXT = st.one_of(st.sampled_from(["", "n1", "*", "user:a", "(", "err", "http", "::1"]), st.text(max_size=8))
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(), TEXT, st.binary(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=5,
)
FIELDS = st.sampled_from(
    [
        *("Version", "AuthKey", "Name", "Payload", "Coalesce", "Node", "Prune", "Existing", "Replay", "Tags", "Status"),
        *(
            "DeleteTags",
            "Type",
            "LogLevel",
            "Stop",
            "FilterNodes",
            "FilterTags",
            "RequestAck",
            "RelayFactor",
            "Timeout",
        ),
        *("ID", "Key"),
    ]
)
BODY = st.one_of(VALUES, st.dictionaries(FIELDS, st.one_of(TEXT, VALUES, st.dictionaries(TEXT, TEXT, max_size=2))))
REQUEST = st.tuples(st.sampled_from([each for each in REQUESTS if each != "leave"]), st.integers(0, 3), BODY)


class RequestFuzzTests(RpcTestCase):
    """Requests that make more or less sense."""

    @settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(REQUEST, max_size=5))
    def test_no_body_finds_a_fault(self, requests: list[tuple[str, int, object]]) -> None:
        """It is done, refused, or closes the connection; the node's own tag stays, and nothing is left."""
        client = self.client()
        found = []
        for command, seq, body in requests:
            data = msgpack.packb({"Command": command, "Seq": seq})
            found += client.send(data if REQUESTS[command] is None else data + msgpack.packb(body))
        client.lose()
        self.turn()
        assert FAULT not in [error for error, _ in headers(found)]
        assert self.own_tags()["http"] == "http:8080"
        assert not self.rpc._connections
        assert not self.gossip.serf_side._observers
        assert not self.rpc._monitor._watchers


class OrderTests(RpcTestCase):
    """One request after the other."""

    def test_pipelined_requests_are_answered_in_their_order(self) -> None:
        """Byte by byte too, and each header is followed by its body."""
        data = b"".join(encode_request("get-coordinate", n, rpc.GetCoordinate("n1" * (n % 2))) for n in range(1, 6))
        client = self.client()
        found: list[object] = client.send(data)
        for byte in data:
            found += client.send(bytes([byte]))
        for _ in range(5):
            found += client.more()
        assert [seq for _, seq in headers(found)] == [1, 2, 3, 4, 5] * 2
        assert [each["Ok"] for each in found[1::2]] == [True, False, True, False, True] * 2  # type: ignore[index]  # maps

    def test_a_request_that_takes_its_time_holds_up_the_next(self) -> None:
        """And no more is read meanwhile than what has come already."""
        client = self.client()
        assert client.send(encode_request("join", 1, rpc.Join(("somewhere",), replay=False)) + NOBODY) == []
        assert client.transport.producerState == "paused"
        self.names.answer(0)
        assert [seq for _, seq in headers(client.more())] == [1, 9]
        assert client.transport.producerState == "producing"

    def test_a_client_that_goes_away_meanwhile_does_no_harm(self) -> None:
        """What it asked for ends by itself."""
        client = self.client()
        client.send(encode_request("join", 1, rpc.Join(("somewhere",), replay=False)) + NOBODY)
        client.lose()
        self.names.answer(0)
        self.turn()
        assert not self.rpc._connections

    def test_a_client_that_does_not_read_gets_no_further_answer(self) -> None:
        """Until it has taken what it was sent."""
        client = self.client()
        client.protocol._outgoing.pauseProducing()
        assert client.send(NOBODY * 3) == []
        assert client.transport.producerState == "paused"
        client.protocol._outgoing.resumeProducing()
        assert [seq for _, seq in headers([*client.more(), *client.more()])] == [9, 9, 9]


class BusyTests(RpcTestCase):
    """A client that asks for much does not hold up the node."""

    key = "sesame"

    def test_each_answer_has_its_turn(self) -> None:
        """Also refusals: nothing is done while bytes come in."""
        client = Client(self)
        client.protocol.dataReceived(HELLO)
        assert not client.transport.value()
        assert headers(client.more()) == [("", 0)]
        client.protocol.dataReceived(encode_request("members", 1) * 100)
        assert not client.transport.value()
        assert client.transport.producerState == "paused"
        assert len(client.more()) == 100
        assert client.transport.producerState == "producing"

    def test_a_client_that_sends_no_more_is_answered_to_the_end(self) -> None:
        """Then the connection ends, with its streams."""
        client = Client(self)
        client.protocol.dataReceived(HELLO + encode_request("auth", 1, rpc.Auth("sesame")) + NOBODY)
        client.protocol.dataReceived(encode_request("stream", 2, rpc.Stream("*")))
        client.protocol.readConnectionLost()
        assert not client.is_closed
        assert [seq for _, seq in headers(client.more())] == [0, 1, 9, 2]
        assert client.is_closed
        assert not self.gossip.serf_side._observers
        greeted = self.client()
        greeted.protocol.readConnectionLost()
        assert greeted.is_closed

    def test_a_client_that_has_gone_is_not_answered(self) -> None:
        """What it asked for is not done."""
        client = Client(self)
        client.protocol.dataReceived(HELLO + encode_request("members", 1))
        client.lose()
        assert client.more() == []


class SlowTests(RpcTestCase):
    """A client that does not read never grows the node."""

    def test_a_client_that_does_not_read_for_long_is_cut_off(self) -> None:
        """One that reads in time is not."""
        slow, fast = self.client(), self.client()
        for client in (slow, fast):
            client.protocol._outgoing.pauseProducing()
        self.wait(BEHIND_TIME_MAX_S / 2)
        fast.protocol._outgoing.resumeProducing()
        self.wait(BEHIND_TIME_MAX_S / 2 + 0.2)
        assert slow.is_cut_off
        assert not fast.is_closed
        assert self.rpc._monitor._lines[-1][1].endswith("an RPC client that did not read was cut off")

    def test_a_client_for_whom_too_much_waits_is_cut_off(self) -> None:
        """Records are not dropped without a word."""
        client = self.client()
        client.ask("stream", 1, rpc.Stream("user"))
        client.protocol._outgoing.pauseProducing()
        record = bytes(1 << 20)
        for _ in range(UNSENT_SIZE_MAX >> 20):
            assert not client.is_cut_off
            client.protocol._tell(1, record)
        assert client.is_cut_off
        client.protocol._tell(1, record)
        client.lose()
        assert len(self.rpc._around.commands._subscriptions) == 0

    def test_what_is_written_while_it_reads_does_not_count(self) -> None:
        """However much that is in all."""
        client = self.client()
        client.ask("stream", 1, rpc.Stream("user"))
        for _ in range(2 * UNSENT_SIZE_MAX >> 20):
            client.protocol._tell(1, bytes(1 << 20))
            client.transport.clear()
        assert not client.is_closed

    def test_only_so_many_clients_are_admitted(self) -> None:
        """One more is closed at once; when one goes there is room."""
        clients = [self.client() for _ in range(CONNECTIONS_MAX)]
        assert self.rpc.buildProtocol(None) is None
        clients[0].lose()
        self.client()
