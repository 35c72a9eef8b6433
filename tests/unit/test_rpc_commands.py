"""What each command of the agent RPC does to the node, and what it answers; one that is refused changes nothing."""

import os
from typing import Any

from twisted.internet.error import ConnectionRefusedError  # noqa: A004  # Twisted has its own
from twisted.python.failure import Failure

from onevalue.rpc.commands import DONE_PAUSE_S, MEMBERS_PER_STEP
from onevalue.rpc.service import LEFT_PAUSE_S
from onevalue.rpc.session import QUERIES_MAX
from onevalue.serf.asking import QUERY_TIME_MAX_S
from onevalue.serf.dialler import TARGETS_MAX
from onevalue.serf.filters import FILTERS_MAX
from onevalue.wire import rpc_messages as rpc
from onevalue.wire.key_text import encode_key
from onevalue.wire.rpc_codec import encode_request
from tests.unit.rpc_bench import TAGS, Client, RpcTestCase

OLD, NEW = bytes(range(32)), bytes(range(100, 116))


def names(answer: list[Any]) -> list[str]:
    """Of the members in an answer."""
    [body] = answer
    return [each["Name"] for each in body["Members"]]


class MembersTests(RpcTestCase):
    """members, members-filtered, get-coordinate, stats."""

    def filtered(self, name: str = "", status: str = "", **tags: str) -> list[Any]:
        """What a new client gets."""
        return self.client().ask("members-filtered", 1, rpc.MembersFiltered(tags, status, name))

    def test_members_come_with_all_that_serf_knows(self) -> None:
        """This node is one of them; versions are zeros where a member has not told them."""
        self.hear_of("n2", role="db")
        protocols = {"ProtocolMin": 1, "ProtocolMax": 5, "ProtocolCur": 2}
        delegates = {"DelegateMin": 2, "DelegateMax": 5, "DelegateCur": 5}
        what = {"Name": "n1", "Addr": bytes([10, 0, 0, 1]), "Port": 7946, "Status": "alive", "Tags": TAGS}
        [body] = self.client().ask("members", 1)
        assert body["Members"][0] == {**what, **protocols, **delegates}
        assert (body["Members"][1]["Name"], body["Members"][1]["Tags"]) == ("n2", {"role": "db"})
        assert self.gossip.serf_side.versions("nobody") == bytes(6)

    def test_many_members_come_step_by_step(self) -> None:
        """Sorted by name; see also the tests of turns."""
        for index in range(3 * MEMBERS_PER_STEP):
            self.hear_of(f"m{index:03}", 3)
        found = names(self.client().ask("members", 1))
        assert found == [*[f"m{index:03}" for index in range(3 * MEMBERS_PER_STEP)], "n1"]

    def test_expressions_must_match_as_a_whole(self) -> None:
        """Name, status and tags; a tag that is lacking is empty; an alternative is loose at its ends, as in Serf."""
        self.hear_of("n2", role="db")
        assert names(self.filtered("n.")) == ["n1", "n2"]
        assert names(self.filtered("n")) == []
        assert names(self.filtered("n|x")) == ["n1", "n2"]
        assert names(self.filtered(role="d.")) == ["n2"]
        assert names(self.filtered(http="")) == ["n2"]
        assert names(self.filtered(status="alive", role="web", http="http.*")) == ["n1"]
        assert names(self.filtered(status="failed|left")) == []

    def test_what_is_no_expression_closes_the_connection_without_a_word(self) -> None:
        """Nor more of them than are matched, nor one that is beyond the bounds."""
        too_many = {f"t{index}": "x" for index in range(FILTERS_MAX + 1)}
        for body in [
            rpc.MembersFiltered({}, "", "("),
            rpc.MembersFiltered({}, "(", ""),
            rpc.MembersFiltered({"role": "("}, "", ""),
            rpc.MembersFiltered(too_many, "", ""),
            rpc.MembersFiltered({}, "", "x" * 600),
        ]:
            client = self.client()
            assert client.ask("members-filtered", 1, body) == []
            assert client.is_closed

    def test_a_coordinate_is_told_where_it_is_known(self) -> None:
        """Of this node, and of nobody else yet."""
        client = self.client()
        [body] = client.ask("get-coordinate", 1, rpc.GetCoordinate("n1"))
        assert body["Ok"]
        assert body["Coord"] == {"Vec": [0.0] * 8, "Error": 1.5, "Adjustment": 0.0, "Height": 1e-5}
        [body] = client.ask("get-coordinate", 2, rpc.GetCoordinate("n2"))
        assert (body["Ok"], body["Coord"]["Height"]) == (False, 0.0)

    def test_stats_have_the_names_of_an_agent(self) -> None:
        """All sections, all texts."""
        self.hear_of("n2")
        [body] = self.client().ask("stats", 1)
        assert list(body) == ["agent", "runtime", "serf", "tags", "event_handlers"]
        assert body["agent"] == {"name": "n1"}
        assert sorted(body["runtime"]) == ["arch", "cpu_count", "goroutines", "max_procs", "os", "version"]
        assert sorted(body["serf"]) == [
            *("coordinate_resets", "encrypted", "event_queue", "event_time", "failed", "health_score"),
            *("intent_queue", "left", "member_time", "members", "query_queue", "query_time"),
        ]
        assert (body["serf"]["members"], body["serf"]["encrypted"]) == ("2", "false")
        assert (body["tags"], body["event_handlers"]) == (TAGS, {})


class TagTests(RpcTestCase):
    """tags."""

    def test_deletes_come_before_sets(self) -> None:
        """A tag in both is set; deleting one that is not there does nothing."""
        client = self.client()
        assert client.ask("tags", 1, rpc.Tags({"role": "db", "a": "b"}, ("role", "none"))) == []
        assert self.own_tags() == {"http": "http:8080", "role": "db", "a": "b"}
        assert client.ask("tags", 2, rpc.Tags({}, ("role", "a"))) == []
        assert self.own_tags() == {"http": "http:8080"}

    def test_what_is_refused_changes_nothing(self) -> None:
        """The node's own tag, one without a name, and more than all members can carry."""
        client = self.client()
        for tags, deletes, why in [
            ({"a": "b"}, ("http",), "set by the node itself"),
            ({"a": "b", "http": "-"}, (), "set by the node itself"),
            ({"a": "b", "": "c"}, (), "must have a name"),
            ({"a": "x" * 600}, ("role",), "512"),
        ]:
            [header] = client.ask("tags", 1, rpc.Tags(tags, deletes))
            assert why in header["Error"]
            assert self.own_tags() == TAGS


class ForceTests(RpcTestCase):
    """force-leave and leave."""

    def test_a_member_is_forced_out(self) -> None:
        """It is leaving until it contradicts; an unknown name does no harm."""
        self.hear_of("n2")
        client = self.client()
        assert client.ask("force-leave", 1, rpc.ForceLeave("n2", prune=False)) == []
        assert client.ask("force-leave", 2, rpc.ForceLeave("nobody", prune=True)) == []
        assert names(client.ask("members-filtered", 3, rpc.MembersFiltered({}, "leaving", ""))) == ["n2"]

    def test_this_node_is_not_forced_out(self) -> None:
        """It says what to do instead."""
        [header] = self.client().ask("force-leave", 1, rpc.ForceLeave("n1", prune=False))
        assert "use leave" in header["Error"]

    def test_leave_is_answered_when_the_node_has_left(self) -> None:
        """That is when the service is stopped; a little later the connection ends, or when the client ends it."""
        client, other = self.client(), self.client()
        assert client.send(b"\x82\xa7Command\xa5leave\xa3Seq\x05") == []
        assert self.leaves == 1
        self.wait(5)
        assert client.more() == []
        stopped = self.rpc.stopService()
        assert client.more() == [{"Error": "", "Seq": 5}]
        assert client.send(encode_request("stats", 6)) == []
        assert (client.is_closed, other.is_closed, other.more()) == (False, False, [])
        self.wait(LEFT_PAUSE_S + 0.1)
        assert (client.is_closed, other.is_closed, other.more()) == (True, True, [])
        self.assertNoResult(stopped)  # type: ignore[no-untyped-call]  # Twisted's has no types
        client.lose()
        other.lose()
        self.successResultOf(stopped)


class JoinTests(RpcTestCase):
    """join."""

    def join(self, client: Client, *existing: str, replay: bool = False) -> list[Any]:
        """What comes back at once."""
        return client.ask("join", 1, rpc.Join(existing, replay=replay))

    def test_nobody_to_join_is_no_error(self) -> None:
        """As for Serf."""
        assert self.join(self.client()) == [{"Num": 0}]

    def test_why_nobody_answered_is_told_of_each_address(self) -> None:
        """With the count that belongs to it."""
        client = self.client()
        assert self.join(client, "10.0.0.2", "10.0.0.3:99", "no where") == []
        for _, _, factory, _, _ in self.reactor.tcpClients:
            refused = Failure(ConnectionRefusedError("nobody"))
            factory.clientConnectionFailed(None, refused)  # type: ignore[arg-type]  # nobody looks at the connector
        header, body = client.more()
        assert header["Error"].startswith("3 errors occurred:\n\t* Failed to join 10.0.0.2: ")
        assert "\n\t* Failed to join no where: has no host\n" in header["Error"]
        assert body == {"Num": 0}

    def test_more_addresses_than_can_be_dialled_are_refused(self) -> None:
        """Nothing is dialled."""
        header, body = self.join(self.client(), *["10.0.0.2"] * (TARGETS_MAX + 1))
        assert f"at most {TARGETS_MAX}" in header["Error"]
        assert body == {"Num": 0}
        assert not self.reactor.tcpClients


class QueryTests(RpcTestCase):
    """query."""

    def test_acks_answers_and_the_end_come_one_by_one(self) -> None:
        """After the response, the end a little later; then nothing more."""
        self.gossip.answer_query("uptime", lambda payload: payload + b" days")
        client = self.client()
        found = client.ask("query", 1, rpc.Query("uptime", b"7", request_ack=True))
        assert len(found) == 4
        self.wait(DONE_PAUSE_S + 0.1)
        found += client.more()
        assert found[::2] == [{"Error": "", "Seq": 1}] * 3
        assert found[1::2] == [
            {"From": "n1", "Payload": None, "Type": "ack"},
            {"From": "n1", "Payload": b"7 days", "Type": "response"},
            {"From": "", "Payload": None, "Type": "done"},
        ]

    def test_what_comes_at_once_is_told_after_the_response(self) -> None:
        """Where packets of the node to itself arrive before its call returns."""
        [port] = self.reactor.udp_ports
        self.patch(port, "write", self.receive)  # type: ignore[no-untyped-call]  # Twisted's has no types
        self.gossip.answer_query("q", lambda _: b"here")
        client = self.client()
        found = client.send(encode_request("query", 1, rpc.Query("q", request_ack=True)))
        assert [each.get("Type") for each in found] == [None, None, "ack", None, "response"]
        self.wait(DONE_PAUSE_S + 0.1)
        assert client.more()[1:] == [{"From": "", "Payload": None, "Type": "done"}]
        assert client.protocol._session._queries == {}

    def test_a_query_lasts_as_long_as_it_says(self) -> None:
        """If not all have answered."""
        client = self.client()
        assert client.ask("query", 1, rpc.Query("q", timeout_ns=2_000_000_000)) == []
        self.wait(1.9)
        assert client.more() == []
        self.wait(0.2 + DONE_PAUSE_S)
        assert client.more()[1:] == [{"From": "", "Payload": None, "Type": "done"}]

    def test_a_client_that_has_gone_is_not_told_the_end(self) -> None:
        """Nothing is left of it."""
        self.gossip.answer_query("uptime", lambda _: b"7 days")
        client, before = self.client(), len(self.reactor.getDelayedCalls())
        client.ask("query", 1, rpc.Query("uptime"))
        client.lose()
        assert len(self.reactor.getDelayedCalls()) == before

    def test_members_are_chosen_by_name_and_tag(self) -> None:
        """Who is not chosen does not answer."""
        self.gossip.answer_query("q", lambda _: b"here")
        for query, answers in [
            (rpc.Query("q", filter_nodes=("n1", "n2")), 1),
            (rpc.Query("q", filter_nodes=("n2",)), 0),
            (rpc.Query("q", filter_tags={"role": "w"}), 1),
            (rpc.Query("q", filter_tags={"role": "db"}), 0),
        ]:
            client = self.client()
            found = client.ask("query", 1, query)
            self.wait(5)
            assert [each["Type"] for each in [*found, *client.more()][1::2]] == ["response"] * answers + ["done"]

    def test_what_is_refused_is_not_asked(self) -> None:
        """Serf's own names, wrong expressions, wrong times, what is too long; no record follows."""
        client = self.client()
        for query, why in [
            (rpc.Query("_serf_list-keys"), "Serf's own"),
            (rpc.Query("_serf_ping", b"x"), "Serf's own"),
            (rpc.Query("q", filter_tags={"role": "("}), "expression"),
            (rpc.Query("q", timeout_ns=-1), "more than 0"),
            (rpc.Query("q", timeout_ns=int((QUERY_TIME_MAX_S + 1) * 1e9)), "at most"),
            (rpc.Query("q", b"x" * 2000), "bytes"),
        ]:
            [header] = client.ask("query", 1, query)
            assert why in header["Error"]
        self.wait(10)
        assert client.more() == []

    def test_only_so_many_queries_of_a_client_are_under_way(self) -> None:
        """When one has ended there is room; those of a client that has gone have ended."""
        client = self.client()
        for seq in range(QUERIES_MAX):
            assert client.ask("query", seq, rpc.Query("q", timeout_ns=60_000_000_000)) == []
        [header] = client.ask("query", 90, rpc.Query("q"))
        assert "under way" in header["Error"]
        assert self.client().ask("query", 1, rpc.Query("q", timeout_ns=1_000_000_000)) == []
        self.wait(1.1)
        client.lose()
        assert len(self.serf._queries) == 0


class KeyTests(RpcTestCase):
    """install-key, use-key, remove-key, list-keys with keys."""

    keys = (OLD,)

    def asked(self, command: str, key: bytes | None = None) -> list[Any]:
        """What a new client gets."""
        return self.client().ask(command, 1, None if key is None else rpc.Key(encode_key(key)))

    def test_keys_are_rotated(self) -> None:
        """Each step is told with how many did it; the list has the keys themselves, as an agent's has."""
        done = {"Messages": {}, "NumNodes": 1, "NumResp": 1, "NumErr": 0, "Keys": None}
        assert self.asked("install-key", NEW) == [done]
        assert self.asked("list-keys") == [{**done, "Keys": {encode_key(OLD): 1, encode_key(NEW): 1}}]
        assert self.asked("use-key", NEW) == [done]
        assert self.asked("remove-key", OLD) == [done]
        assert self.envelope.keyring is not None
        assert self.envelope.keyring.keys == (NEW,)

    def test_a_key_that_is_none_is_refused(self) -> None:
        """Without asking anybody, and without showing it."""
        for text in ("", "xx", "c2hvcnQ=", os.urandom(5).hex()):
            header, body = self.client().ask("use-key", 1, rpc.Key(text))
            assert "a key is base64" in header["Error"]
            assert not text or text not in header["Error"]
            assert (body["NumNodes"], body["Keys"]) == (0, None)

    def test_what_members_refuse_is_told(self) -> None:
        """The only key cannot be removed."""
        header, body = self.asked("remove-key", OLD)
        assert header["Error"] == "1/1 nodes reported failure"
        assert (body["NumErr"], list(body["Messages"])) == (1, ["n1"])

    def test_members_that_are_silent_are_told_of(self) -> None:
        """When the time is up."""
        self.hear_of("n2")
        client = self.client()
        assert client.ask("list-keys", 1) == []
        self.wait(10)
        header, body = client.more()
        assert header["Error"] == "1/2 nodes reported success"
        assert (body["NumNodes"], body["NumResp"], body["Keys"]) == (2, 1, {encode_key(OLD): 1})


class NoKeyTests(RpcTestCase):
    """The same without keys."""

    def test_a_node_without_keys_says_so(self) -> None:
        """As an error of the one that was asked."""
        header, body = self.client().ask("list-keys", 1)
        assert header["Error"] == "1/1 nodes reported failure"
        assert body["Keys"] == {}
        assert "no keyring" in body["Messages"]["n1"]
