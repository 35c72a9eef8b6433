"""The JSON routes under /v1, and health."""

import json

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from onevalue.journal import IJournal
from onevalue.membership import IMembership, Status
from onevalue.store import Source, State
from onevalue.types import Generation
from onevalue.web.cluster import MEMBERS_PER_TURN
from tests.fakes import FakeMembership, make_member
from tests.web_support import WALL_TIME_S, Response, SlowJournal, WebNode


class ContractTests(SynchronousTestCase):
    """The stand-ins of these tests."""

    def test_the_stand_ins_provide_what_they_stand_in_for(self) -> None:
        """Membership and journal have all methods, with the right arguments."""
        verifyObject(IMembership, FakeMembership())
        verifyObject(IJournal, SlowJournal())


class ProblemTestCase(SynchronousTestCase):
    """Knows the form of an error."""

    def assert_problem(self, response: Response, status: int, about: str = "") -> None:
        """The response is a problem document of RFC 9457."""
        assert response.status == status, response.body
        assert response.headers["content-type"] == "application/problem+json"
        problem = response.json
        assert problem["status"] == status
        assert (problem["type"], bool(problem["title"])) == ("about:blank", True)
        assert about in problem["detail"]


class ReadTests(ProblemTestCase):
    """GET /v1/value."""

    def test_the_value_comes_with_its_state_and_tag(self) -> None:
        """All of the state, how fresh the node is, and the tag as ETag."""
        state = State(Generation(3), 7, "n2", 12.5)
        node = WebNode(state=state)
        node.membership.contact_s = 0.25
        response = node.get("/v1/value")
        assert response.json == {
            "value": 7,
            "generation": 3,
            "origin": "n2",
            "time": 12.5,
            "tag": state.tag,
            "last_contact_s": 0.25,
        }
        assert (response.headers["etag"], response.headers["cache-control"]) == (f'"{state.tag}"', "no-cache")

    def test_a_node_that_is_alone_has_no_last_contact(self) -> None:
        """Null, so that an isolated node does not look fresh."""
        assert WebNode().get("/v1/value").json["last_contact_s"] is None

    def test_if_none_match_of_the_state_is_304(self) -> None:
        """Strong, weak, in a list, or any; of another state it is 200."""
        node = WebNode()
        tag = f'"{node.store.current.tag}"'
        for known, status in [(tag, 304), (f"W/{tag}", 304), (f'"x", {tag}', 304), ("*", 304), ('"x"', 200)]:
            response = node.get("/v1/value", If_None_Match=known)
            assert (response.status, response.headers["etag"]) == (status, tag), known

    def test_a_malformed_condition_is_400(self) -> None:
        """Tags stand in quotes."""
        self.assert_problem(WebNode().get("/v1/value", If_None_Match="3-abc"), 400, "If-None-Match")

    def test_head_is_get_without_the_body(self) -> None:
        """The tag is there."""
        response = WebNode().request("HEAD", "/v1/value")
        assert (response.status, response.body) == (200, b"")
        assert "etag" in response.headers


class WriteTests(ProblemTestCase):
    """PUT /v1/value."""

    def test_a_write_answers_with_its_state(self) -> None:
        """The answer is the state as written, with its tag."""
        node = WebNode()
        response = node.put(b" 43\n")
        assert response.status == 200
        assert response.json == {
            "value": 43,
            "generation": 1,
            "origin": "n1",
            "time": WALL_TIME_S,
            "tag": node.store.current.tag,
            "last_contact_s": None,
        }
        assert response.headers["etag"] == f'"{node.store.current.tag}"'

    def test_any_json_value_is_written(self) -> None:
        """And read back as it was, as JSON and as text."""
        node = WebNode()
        for body in [b"43.5", b"true", b"null", b'"v1.2"', b'[1,{"a":[]}]', b'{"a":1,"b":"\xc3\xa9"}']:
            assert node.put(b" " + body + b"\n").status == 200
            assert node.get("/v1/value").json["value"] == json.loads(body)
            assert node.get("/get").body == body

    def test_what_is_no_strict_json_is_400(self) -> None:
        """The answer says what is wrong, and nothing changes."""
        node = WebNode()
        bodies = [b"", b"abc", b"NaN", b"+1", b"01", b"1_000", b"9223372036854775808", b"9" * 6000, b"[" * 60000]
        bodies += [b"\xff", "٤٢".encode(), "43".encode("utf-16"), b'{"a":1,"a":2}', b'"\\ud800"', b"1e999"]
        for body in bodies:
            self.assert_problem(node.put(body), 400, "")
        self.assert_problem(node.put(b'{"a":1,"a":2}'), 400, 'an object has "a" twice')
        assert node.store.current.generation == 0

    def test_a_value_that_is_too_large_is_413_with_the_limit(self) -> None:
        """As it was sent, or as it would be kept; nothing changes."""
        node = WebNode(value_size_max=12)
        assert node.put(b'"0123456789"').status == 200
        for body in [b'"01234567890"', b" " * 12 + b"1", b"[1e15,1e15]"]:
            self.assert_problem(node.put(body), 413, "at most 12 bytes")
        assert node.store.current.generation == 1
        assert node.get("/v1/status").json["value_size_max"] == 12

    def test_if_none_match_of_another_state_writes(self) -> None:
        """Of this one, or any: 412."""
        node = WebNode()
        tag = node.store.current.tag
        for known in [f'"{tag}"', f'W/"{tag}"', f'"x", "{tag}"', "*"]:
            self.assert_problem(node.put(b"43", If_None_Match=known), 412)
        assert node.put(b"43", If_None_Match='"x"').status == 200

    def test_if_match_of_the_state_writes_upon_it(self) -> None:
        """Alone, in a list, or any."""
        for form in ['"{}"', '"x", "{}"', "*"]:
            node = WebNode()
            assert node.put(b"43", If_Match=form.format(node.store.current.tag)).status == 200, form

    def test_if_match_of_another_state_is_412_with_the_current_one(self) -> None:
        """Also a weak tag, which never matches a write; nothing changes."""
        node = WebNode()
        tag = node.store.current.tag
        for condition in ['"0-0000000000000000"', f'W/"{tag}"', '"x", "y"']:
            response = node.put(b"43", If_Match=condition)
            self.assert_problem(response, 412)
            assert (response.json["current"]["tag"], response.json["current"]["value"]) == (tag, 42)
        assert node.store.current.generation == 0
        self.assert_problem(node.put(b"43", If_Match="3-abc"), 400, "If-Match")

    def test_if_match_is_judged_upon_the_writes_that_wait(self) -> None:
        """Of two conditional writes upon one state, the second is 412 while the first is not yet durable."""
        journal = SlowJournal()
        node = WebNode(journal)
        condition = {"If-Match": f'"{node.store.current.tag}"'}
        first = node.start_request("PUT", "/v1/value", b"1", condition)
        self.assert_problem(node.put(b"2", If_Match=condition["If-Match"]), 412)
        journal.commits[0].callback(None)
        assert [r.status for r in first.take_responses()] == [200]

    def test_a_conditional_write_that_is_overtaken_is_412(self) -> None:
        """A state learnt during the commit comes first; it is told when that state is durable."""
        journal = SlowJournal()
        node = WebNode(journal)
        wire = node.start_request("PUT", "/v1/value", b"1", {"If-Match": f'"{node.store.current.tag}"'})
        node.store.merge(State(Generation(9), 9), Source.EVENT)
        assert wire.take_responses() == []
        journal.end_waits()
        [response] = wire.take_responses()
        self.assert_problem(response, 412)
        assert response.json["current"]["generation"] == 9

    def test_another_content_type_is_415(self) -> None:
        """None at all is fine, and so are parameters, and what curl says of any -d."""
        node = WebNode()
        self.assert_problem(node.put(b"43", Content_Type="text/plain"), 415, "application/json")
        assert node.put(b"43", Content_Type="Application/JSON; charset=utf-8").status == 200
        assert node.request("PUT", "/v1/value", b"44").status == 200
        assert node.put(b"45", Content_Type="application/x-www-form-urlencoded").status == 200

    def test_a_learning_node_is_503(self) -> None:
        """A problem with Retry-After."""
        node = WebNode()
        node.spread.start(node.clock.seconds(), somebody_to_ask=True)
        response = node.put(b"43")
        self.assert_problem(response, 503, "learning")
        assert response.headers["retry-after"] == "5"


class NoSuchRouteTests(ProblemTestCase):
    """Errors of routing are problems too."""

    def test_an_unknown_path_is_404(self) -> None:
        """Under /v1 in JSON."""
        for path in ["/v1", "/v1/", "/v1/nothing", "/v1/value/"]:
            self.assert_problem(WebNode().get(path), 404)

    def test_a_wrong_method_is_405_with_allow(self) -> None:
        """All methods of the path are named."""
        for path, allow in [
            ("/v1/value", "GET, HEAD, PUT"),
            ("/v1/members", "GET, HEAD"),
            ("/v1/status", "GET, HEAD"),
        ]:
            response = WebNode().request("DELETE", path)
            self.assert_problem(response, 405, allow)
            assert response.headers["allow"] == allow


class MembersAndStatusTests(SynchronousTestCase):
    """What the node knows of its cluster, and of itself."""

    def test_many_members_are_written_over_some_turns(self) -> None:
        """And all are there."""
        node = WebNode()
        names = [f"m{index:05}" for index in range(2 * MEMBERS_PER_TURN + 1)]
        node.membership.set_members(make_member("n1"), *(make_member(name) for name in names))
        wire = node.start_request("GET", "/v1/members")
        node.clock.advance(0)
        [response] = wire.take_responses()
        assert [member["name"] for member in response.json["members"]] == [*names, "n1"]

    def test_members_are_listed_in_serfs_words(self) -> None:
        """With the address of their HTTP service, null for those that have none of ours."""
        node = WebNode()
        node.membership.set_members(
            make_member("n1", http="http:8080", role="web"),
            make_member("n2", "fd00::2", suspect=True, http="https:8443"),
            make_member("n3", "10.0.0.3", status=Status.FAILED),
            make_member("n4", "10.0.0.4", status=Status.LEFT, http="-"),
        )
        members = node.get("/v1/members").json["members"]
        assert members[0] == {
            "name": "n1",
            "address": "127.0.0.1",
            "port": 7946,
            "http": "http://127.0.0.1:8080",
            "status": "alive",
            "suspect": False,
            "tags": {"http": "http:8080", "role": "web"},
            "rtt_s": 0.0,
        }
        assert [m["http"] for m in members[1:]] == ["https://[fd00::2]:8443", None, None]
        assert [m["status"] for m in members] == ["alive", "alive", "failed", "left"]
        assert [m["suspect"] for m in members] == [False, True, False, False]

    def test_status_tells_what_an_operator_asks_first(self) -> None:
        """Name, version, age, readiness, members by state, the state, the journal, what is open."""
        node = WebNode()
        node.membership.set_members(make_member("n1"), make_member("n2", status=Status.FAILED))
        status = node.get("/v1/status").json
        assert (status["name"], status["version"], status["uptime_s"]) == ("n1", "1.2.3", 10.0)
        assert (status["ready"], status["learning"]) == (True, False)
        assert status["members"] == {"alive": 1, "leaving": 0, "left": 0, "failed": 1, "suspect": 0}
        assert (status["state"]["tag"], status["state"]["value"]) == (node.store.current.tag, 42)
        assert (status["journal"]["kind"], status["engine"]["kind"]) == ("none", "fake")
        assert (status["value_file"], status["rpc"]) == (None, None)
        assert status["exposure"] == ["gossip on 10.0.0.1:7946 is unencrypted"]
        assert status["http"]["connections"] == 1
        assert status["spread"] == node.spread.counters

    def test_health_is_always_ok_and_readiness_is_whether_it_takes_writes(self) -> None:
        """Alive but not ready is who learns or stops; one whose journal is in trouble is ready and says so."""
        node = WebNode()
        assert [node.get(path).status for path in ("/healthz", "/readyz")] == [200, 200]
        node.journal.trouble = "the disk is full"
        assert b"the disk is full" in node.get("/readyz").body
        node.spread.start(node.clock.seconds(), somebody_to_ask=True)
        assert [node.get(path).status for path in ("/healthz", "/readyz")] == [200, 503]
        assert not node.get("/v1/status").json["ready"]
        node.clock.advance(5)
        node.spread.handle_timer(node.clock.seconds())
        assert node.get("/readyz").status == 200
        node.context.writer.close()
        assert [node.get(path).status for path in ("/healthz", "/readyz")] == [200, 503]
        assert b"stopping" in node.get("/readyz").body
        assert not node.get("/v1/status").json["ready"]
        assert node.get("/set/7").status == 503
