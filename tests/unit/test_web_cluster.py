"""The routes about the cluster: queries, events, force-leave, keys; who may manage these, and what is refused."""

import base64
import json
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.trial.unittest import SynchronousTestCase

from onevalue.bounds import QUERY_TIME_MAX_S
from onevalue.errors import BusyError, LocalProtocolError
from onevalue.member import KeyResult, QueryRequest, QueryResult, Status
from onevalue.web.cluster import KEY_ACTIONS
from onevalue.wire.key_text import encode_key, fingerprint
from tests.fakes import make_member
from tests.web_support import Response, WebNode

KEY = bytes(range(32))
KEY_BODY = json.dumps({"key": encode_key(KEY)}).encode()
THIS_HOST = "127.0.0.1"
FAR = "10.0.0.9"


class ClusterTestCase(SynchronousTestCase):
    """A node with two members."""

    def setUp(self) -> None:
        self.node = WebNode()
        self.node.membership.set_members(make_member("n1"), make_member("n2", "10.0.0.2"))

    def post(self, path: str, fields: object, peer: str = FAR, headers: dict[str, str] | None = None) -> Response:
        """The answer to a POST of a JSON object."""
        body = json.dumps(fields).encode()
        lines = {"Host": "n1", "Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})}
        head = f"POST {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        [response] = self.node.dial(head.encode() + b"\r\n" + body, peer).take_responses()
        return response

    def refused(self, path: str, fields: object, status: int, words: str, peer: str = THIS_HOST) -> None:
        """Such a request is refused with these words, and nobody is asked anything."""
        response = self.post(path, fields, peer)
        assert (response.status, words in response.json["detail"]) == (status, True), response.body
        asked = self.node.membership
        assert [*asked.queries, *asked.sent_events, *asked.forced, *asked.key_changes] == []


class QueryTests(ClusterTestCase):
    """POST /v1/query and /v1/event."""

    def test_a_query_is_asked_and_answered_when_it_has_ended(self) -> None:
        """With all that it says; payloads as text where they are, and in base64."""
        fields = {
            "name": "which",
            "payload_base64": base64.b64encode(b"\xff\x00").decode(),
            "nodes": ["n1", "n2"],
            "tags": {"role": "^db"},
            "ack": True,
            "relay_factor": 2,
            "timeout_s": 1.5,
        }
        body = json.dumps(fields).encode()
        wire = self.node.start_request("POST", "/v1/query", body)
        assert wire.take_responses() == []
        asked = QueryRequest("which", b"\xff\x00", ("n1", "n2"), {"role": "^db"}, True, 2, 1.5)
        assert self.node.membership.queries == [asked]
        self.node.membership.query_result.callback(QueryResult(("n2",), (("n2", b"yes"), ("n1", b"\xff"))))
        [response] = wire.take_responses()
        assert response.json == {
            "acks": ["n2"],
            "answers": [
                {"from": "n2", "payload": "yes", "payload_base64": "eWVz"},
                {"from": "n1", "payload_base64": "/w=="},
            ],
        }

    def test_a_query_of_a_client_that_is_gone_is_given_up(self) -> None:
        """It does not go on for nobody."""
        given_up: list[Deferred[QueryResult]] = []
        self.node.membership.query_result = Deferred(given_up.append)
        wire = self.node.start_request("POST", "/v1/query", b'{"name":"which"}')
        wire.lose()
        assert len(given_up) == 1

    def test_what_cannot_be_asked_is_told(self) -> None:
        """As the membership says it."""
        self.node.membership.query_result.errback(LocalProtocolError("too long"))
        response = self.post("/v1/query", {"name": "which"})
        assert (response.status, response.json["detail"]) == (400, "too long")

    def test_fields_of_a_wrong_kind_are_named(self) -> None:
        """Missing, unknown, of another type, out of range, two payloads, and no object at all."""
        for fields, words in [
            ({}, "name is missing"),
            ({"name": 5}, "name must be str"),
            ({"name": "a", "color": 1}, "'color'"),
            ({"name": "a", "ack": 1}, "ack must be bool"),
            ({"name": "a", "relay_factor": True}, "relay_factor must be int"),
            ({"name": "a", "timeout_s": 0}, "timeout_s"),
            ({"name": "a", "timeout_s": QUERY_TIME_MAX_S + 1}, "timeout_s"),
            ({"name": "a", "nodes": [1]}, "nodes must hold texts"),
            ({"name": "a", "tags": {"a": 1}}, "tags must hold texts"),
            ({"name": "a", "payload": "x", "payload_base64": "eA=="}, "exclude"),
            ({"name": "a", "payload_base64": "!"}, "not base64"),
            ({"name": "\ud800"}, "surrogate"),
            ([], "a JSON object"),
        ]:
            self.refused("/v1/query", fields, 400, words)

    def test_an_event_is_sent(self) -> None:
        """With its payload; the name of the value's events is not for people."""
        response = self.post("/v1/event", {"name": "deploy", "payload": "7", "coalesce": True})
        assert (response.status, response.json) == (200, {"sent": "deploy"})
        assert self.node.membership.sent_events == [("deploy", b"7", True)]
        self.node.membership.sent_events.clear()
        self.refused("/v1/event", {"name": "onevalue"}, 400, "PUT /v1/value")

    def test_a_page_of_another_site_may_do_nothing(self) -> None:
        """As for writes."""
        for path in ("/v1/query", "/v1/event", "/v1/force-leave", "/v1/keys/install"):
            response = self.post(path, {"name": "n2"}, THIS_HOST, {"Sec-Fetch-Site": "cross-site"})
            assert response.status == 403, path
        response = self.post("/v1/query", {"name": "n2"}, headers={"Content-Type": "text/plain"})
        assert response.status == 415


class ForceLeaveTests(ClusterTestCase):
    """POST /v1/force-leave."""

    def test_a_member_is_made_to_leave(self) -> None:
        """And forgotten, if that is wanted."""
        self.node.membership.set_members(make_member("n1"), make_member("n2", status=Status.FAILED))
        assert self.post("/v1/force-leave", {"name": "n2"}).json == {"name": "n2", "prune": False}
        assert self.post("/v1/force-leave", {"name": "n2", "prune": True}).status == 200
        assert self.node.membership.forced == [("n2", False), ("n2", True)]

    def test_one_that_is_alive_is_not(self) -> None:
        """It would contradict; the answer does not say that anything was done."""
        self.node.membership.set_members(make_member("n1"), make_member("n2"))
        self.refused("/v1/force-leave", {"name": "n2"}, 409, "n2 is alive")
        assert self.node.membership.forced == []

    def test_an_unknown_member_is_not(self) -> None:
        """A typing error must not go round the cluster."""
        self.refused("/v1/force-leave", {"name": "n3"}, 404, "n3")


class MembersTests(ClusterTestCase):
    """GET /v1/members."""

    def test_round_trips_are_told_from_any_member(self) -> None:
        """From this node unless another is named; null where too little is known."""
        self.node.membership.round_trips = {("n1", "n2"): 0.25}
        listed = self.node.get("/v1/members").json
        assert (listed["rtt_from"], [m["rtt_s"] for m in listed["members"]]) == ("n1", [0.0, 0.25])
        listed = self.node.get("/v1/members?rtt_from=n2").json
        assert (listed["rtt_from"], [m["rtt_s"] for m in listed["members"]]) == ("n2", [None, 0.0])
        assert self.node.get("/v1/members?rtt_from=n3").status == 404


class KeyTests(ClusterTestCase):
    """GET /v1/keys and POST /v1/keys/{action}."""

    def result(self, *, answers: int = 2, errors: int = 0, **more: dict[str, str]) -> KeyResult:
        """What two members say."""
        return KeyResult(2, answers, errors, more.get("messages", {}), {fingerprint(KEY): 2}, {fingerprint(KEY): 2})

    def test_keys_are_listed_by_fingerprint(self) -> None:
        """And how many have each."""
        self.node.membership.key_result.callback(self.result())
        head = b"GET /v1/keys HTTP/1.1\r\nHost: n1\r\n\r\n"
        [response] = self.node.dial(head, THIS_HOST).take_responses()
        assert response.json["keys"] == {fingerprint(KEY): 2}
        assert (response.json["nodes"], response.json["answers"]) == (2, 2)
        assert self.node.membership.key_changes == [("list", b"", 0)]

    def test_each_action_asks_all_members(self) -> None:
        """With the key itself."""
        for action in ("install", "use", "remove"):
            self.node.membership.key_result = Deferred()
            self.node.membership.key_result.callback(self.result())
            response = self.post(f"/v1/keys/{action}", {"key": encode_key(KEY), "relay_factor": 1}, THIS_HOST)
            assert response.status == 200
            assert encode_key(KEY).encode() not in response.body
            assert self.node.membership.key_changes.pop() == (action, KEY, 1)

    def test_a_refusal_and_a_silence_are_errors(self) -> None:
        """That tell how far it came."""
        for result, status, words in [
            (self.result(errors=1, messages={"n2": "no"}), 409, "1 of 2 members refused"),
            (self.result(answers=1), 504, "only 1 of 2 members answered"),
        ]:
            self.node.membership.key_result = Deferred()
            self.node.membership.key_result.callback(result)
            response = self.post("/v1/keys/use", {"key": encode_key(KEY)}, THIS_HOST)
            assert (response.status, words in response.json["detail"]) == (status, True)
            assert response.json["messages"] == dict(result.messages)

    def test_fields_are_looked_at_whether_they_matter_or_not(self) -> None:
        """`force` is for removing, and must be right all the same."""
        for action in KEY_ACTIONS:
            self.refused(f"/v1/keys/{action}", {"key": encode_key(KEY), "force": {}}, 400, "force must be bool")

    def test_no_key_is_removed_while_somebody_is_missing(self) -> None:
        """Who failed, or is lost, may know no other; unless it is wanted all the same."""
        failed = make_member("n2", "10.0.0.2", status=Status.FAILED)
        for members, lost in [((make_member("n1"), failed), []), ((make_member("n1"),), [failed])]:
            self.node.membership.set_members(*members)
            self.node.membership.lost_members = lost
            self.refused("/v1/keys/remove", {"key": encode_key(KEY)}, 409, "(n2)")
        self.node.membership.key_result.callback(self.result())
        response = self.post("/v1/keys/remove", {"key": encode_key(KEY), "force": True}, THIS_HOST)
        assert response.status == 200

    def test_a_busy_node_says_so(self) -> None:
        """503, for all that asks the members."""
        for path, fields in [("query", {"name": "a"}), ("keys/use", {"key": encode_key(KEY)})]:
            waiting: Deferred[Any] = fail(BusyError("wait"))
            self.node.membership.query_result = self.node.membership.key_result = waiting
            response = self.post(f"/v1/{path}", fields, THIS_HOST)
            assert (response.status, response.headers["retry-after"]) == (503, "1")
        self.node.membership.key_result = fail(BusyError("wait"))
        [response] = self.node.dial(b"GET /v1/keys HTTP/1.1\r\nHost: n1\r\n\r\n", THIS_HOST).take_responses()
        assert response.status == 503

    def test_keys_are_managed_from_this_host_only(self) -> None:
        """Loopback of both families, and the node's own address; else the key would cross the network."""
        self.refused("/v1/keys/install", {"key": encode_key(KEY)}, 403, "own host", peer="10.0.0.9")
        head = b"GET /v1/keys HTTP/1.1\r\nHost: n1\r\n\r\n"
        [response] = self.node.dial(head, "10.0.0.9").take_responses()
        assert response.status == 403
        assert self.node.membership.key_changes == []

    def test_what_is_no_key_is_refused_and_not_shown(self) -> None:
        """It may be almost one."""
        for text in ("c2VjcmV0", "secret!"):
            self.refused("/v1/keys/install", {"key": text}, 400, "16, 24 or 32")
            assert text not in str(self.post("/v1/keys/install", {"key": text}, THIS_HOST).body)
        self.refused("/v1/keys/steal", {"key": encode_key(KEY)}, 404, "install, use, remove")
