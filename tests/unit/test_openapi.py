"""The description at /v1/openapi.json: it is OpenAPI, it has the routes that there are, and answers are as it says."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import jsonschema_rs
import schemathesis
from klein.resource import KleinResource
from twisted.internet.defer import fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from onevalue import web
from onevalue.errors import BusyError
from onevalue.exchange import Statement, encode_statement
from onevalue.member import KeyResult, QueryResult, Status
from onevalue.store import GENERATION_MAX, Source, State
from onevalue.types import Generation
from onevalue.web.channel import REQUEST_TIME_MAX_S
from onevalue.web.guard import Guard
from onevalue.web.openapi import document
from onevalue.web.openapi_parts import REASONS
from onevalue.web.problems import _STATUS
from onevalue.wire.envelope import Envelope
from onevalue.wire.keyring import Keyring
from tests.fakes import make_member
from tests.unit.test_web_writes import Cluster
from tests.web_support import Response, WebNode, logged_errors

WEB = Path(web.__path__[0])
DOCUMENT = document("1.2.3", 65536)
KEY = b'{"key": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}'
HERE = {"Host": "n1", "Content-Type": "application/json"}
ELSEWHERE = {"Origin": "http://elsewhere.example"}


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path and description of each operation."""
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def operation(method: str, path: str) -> dict[str, Any]:
    """What is described of this one."""
    return cast("dict[str, Any]", DOCUMENT["paths"][path][method.lower()])


def resolved(part: dict[str, Any]) -> dict[str, Any]:
    """A part of the description, or the component that it names."""
    if "$ref" not in part:
        return part
    _, kind, name = part["$ref"].removeprefix("#/").split("/")
    return cast("dict[str, Any]", DOCUMENT["components"][kind][name])


def refs(part: object) -> Iterator[str]:
    """The components that a part of the description names."""
    if isinstance(part, dict):
        yield from ([part["$ref"]] if "$ref" in part else [])
        part = list(part.values())
    if isinstance(part, list):
        for each in part:
            yield from refs(each)


def ask(node: WebNode, method: str, url: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Response:
    """The answer to a client of this host."""
    lines = {**HERE, **({"Content-Length": str(len(body))} if body else {}), **(headers or {})}
    head = f"{method} {url} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    [response] = node.dial(head.encode() + b"\r\n" + body, "127.0.0.1").take_responses()
    return response


class DocumentTests(SynchronousTestCase):
    """The form of the description."""

    def test_it_is_openapi(self) -> None:
        """By the schema of OpenAPI 3.1, and each schema in it by that of JSON Schema."""
        schemathesis.openapi.from_dict(DOCUMENT).validate()
        for name, schema in DOCUMENT["components"]["schemas"].items():
            assert jsonschema_rs.meta.is_valid({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}), (
                name
            )

    def test_each_component_is_there_and_is_used(self) -> None:
        """Errors are made for all, whether some route has them or not."""
        there = [f"#/components/{kind}/{name}" for kind, found in DOCUMENT["components"].items() for name in found]
        named = list(dict.fromkeys(refs(DOCUMENT)))
        assert [name for name in named if name not in there] == []
        unused = [name for name in there if name not in named]
        assert [name for name in unused if not re.search(r"/responses/|/securitySchemes/", name)] == []

    def test_each_operation_has_a_name_of_its_own_and_a_summary(self) -> None:
        """Names are what generated clients call their functions."""
        names = [each["operationId"] for _, _, each in operations()]
        assert len(names) == len(dict.fromkeys(names))
        assert [each["operationId"] for _, _, each in operations() if not each["summary"]] == []

    def test_parameters_of_paths_are_described(self) -> None:
        """Each in braces, and no other."""
        for _, path, each in operations():
            named = [found["name"] for found in each.get("parameters", []) if found["in"] == "path"]
            assert named == re.findall(r"\{([^}]*)\}", path)

    def test_bounds_are_imported(self) -> None:
        """None is written out once more."""
        sources = [path.read_text(encoding="utf-8") for path in WEB.glob("openapi*.py")]
        assert sources
        numbers = [line for source in sources for line in re.findall(r"^[A-Z_]+ = [0-9].*", source, re.MULTILINE)]
        assert numbers == []


class RouteTests(SynchronousTestCase):
    """Description and routes are the same."""

    def test_each_route_is_described_and_the_other_way_round(self) -> None:
        """By method and path; those for any method by GET, and HEAD goes without saying."""
        routes = []
        resource = cast("KleinResource", cast("Guard", WebNode().site.resource).resource)
        for rule in resource._app.url_map.iter_rules():
            path = re.sub(r"<[^>]*>", "{}", rule.rule)
            routes += [f"{method} {path}" for method in sorted((rule.methods or {"GET"}) - {"HEAD"})]
        described = [f"{method} {re.sub(r'{[^}]*}', '{}', path)}" for method, path, _ in operations()]
        assert sorted(routes) == sorted(described)

    def test_each_error_that_is_raised_has_its_reason(self) -> None:
        """Whatever status the routes and the channel name."""
        sources = "".join(path.read_text(encoding="utf-8") for path in WEB.glob("*.py"))
        raised = [int(status) for status in re.findall(r"(?:ProblemError|refuse)\(\s*(\d{3})\b", sources)]
        raised += [int(status) for status in re.findall(r"return (\d{3}), ", sources)]
        assert len(raised) > 20
        assert [status for status in raised if status not in {*REASONS, 405}] == []

    def test_a_write_has_all_errors_of_writing(self) -> None:
        """The ones that errors of the store and the writer mean."""
        for method, path in [("PUT", "/v1/value"), ("GET", "/set/{newVal}")]:
            declared = operation(method, path)["responses"]
            assert [status for status in [*_STATUS.values(), 403] if str(status) not in declared] == [], path
        assert "412" in operation("PUT", "/v1/value")["responses"]


class ServedTests(SynchronousTestCase):
    """GET /v1/openapi.json."""

    def test_it_is_served(self) -> None:
        """As JSON, with the version of the node and how large its values may be."""
        response = WebNode(value_size_max=1000).get("/v1/openapi.json")
        assert (response.status, response.headers["content-type"]) == (200, "application/json")
        assert response.json == json.loads(json.dumps(document("1.2.3", 1000)))
        assert "1000 bytes" in response.json["components"]["schemas"]["Value"]["description"]
        assert response.json["info"]["version"] == "1.2.3"

    def test_who_has_it_need_not_get_it_again(self) -> None:
        """304 for its tag; another description has another."""
        node = WebNode()
        tag = node.get("/v1/openapi.json").headers["etag"]
        response = node.get("/v1/openapi.json", If_None_Match=tag)
        assert (response.status, response.headers["etag"], response.body) == (304, tag, b"")
        assert WebNode(value_size_max=1).get("/v1/openapi.json", If_None_Match=tag).status == 200


class AnswerTests(SynchronousTestCase):
    """What a node answers is what the description says that it may answer."""

    def described(self, status: int, method: str, path: str, response: Response) -> None:
        """The response has this status, and is described: status, headers, type, body."""
        assert response.status == status, response
        found = resolved(operation(method, path)["responses"][str(status)])
        for name, header in found.get("headers", {}).items():
            assert name.lower() in response.headers or not resolved(header).get("required"), name
        if "content" not in found:
            assert response.body == b""
            return
        [(media_type, content)] = found["content"].items()
        assert response.headers["content-type"].partition(";")[0] == media_type
        body = response.body.decode() if media_type == "text/plain" else response.json
        jsonschema_rs.validate({**content["schema"], "components": DOCUMENT["components"]}, body)

    def test_answers_to_readers(self) -> None:
        """Of a node with two members that has heard one of them."""
        node = WebNode(state=State(Generation(3), {"a": [1, None]}, "n2", 12.5))
        node.membership.set_members(make_member("n1", http="http:8080"), make_member("n2", "10.0.0.2"))
        node.membership.contact_s = 0.25
        known = {"If-None-Match": "*"}
        for status, path, url, headers in [
            (200, "/v1/value", "", {}),
            (304, "/v1/value", "", known),
            (400, "/v1/value", "", {"If-None-Match": "x"}),
            (413, "/v1/value", "", {"Content-Length": "999999999"}),
            (431, "/v1/value", "", {"X": "x" * 9000}),
            (200, "/v1/members", "?rtt_from=n2", {}),
            (404, "/v1/members", "?rtt_from=nobody", {}),
            (200, "/v1/status", "", {}),
            (200, "/v1/openapi.json", "", {}),
            (304, "/v1/openapi.json", "", known),
            (200, "/get", "", {}),
            (400, "/get", "", {"Host": "a b"}),
            (414, "/get", "?" + "x" * 9000, {}),
            (200, "/healthz", "", {}),
            (200, "/readyz", "", {}),
        ]:
            self.described(status, "GET", path, ask(node, "GET", path + url, b"", headers))

    def test_answers_to_writers(self) -> None:
        """Of a node that is alone; of one with no generation left; of one that learns."""
        node, last, learner = (
            WebNode(value_size_max=100),
            WebNode(state=State(Generation(GENERATION_MAX), 1)),
            WebNode(),
        )
        learner.spread.start(learner.clock.seconds(), somebody_to_ask=True)
        for status, asked, url, body, headers in [
            (200, node, "", b'{"b": 1}', {}),
            (200, node, "?ack=1&timeout=2", b"1.5", {"If-Match": "*"}),
            (400, node, "", b"{", {}),
            (403, node, "", b"1", ELSEWHERE),
            (409, last, "", b"1", {}),
            (412, node, "", b"1", {"If-Match": '"x"'}),
            (413, node, "", b"1" * 101, {}),
            (415, node, "", b"1", {"Content-Type": "text/html"}),
            (503, learner, "", b"1", {}),
        ]:
            self.described(status, "PUT", "/v1/value", ask(asked, "PUT", "/v1/value" + url, body, headers))
        for status, asked, value, headers in [
            (200, node, "-7", {}),
            (400, node, "x", {}),
            (403, node, "7", ELSEWHERE),
            (404, node, "7%2f8", {}),
            (409, last, "7", {}),
            (503, learner, "7", {}),
        ]:
            self.described(status, "GET", "/set/{newVal}", ask(asked, "GET", f"/set/{value}", b"", headers))
        self.described(503, "GET", "/readyz", ask(learner, "GET", "/readyz"))

    def test_answers_to_writers_who_wait_for_others(self) -> None:
        """They hold it, or more; they do not; another value won."""
        held, above, missing, lost = Cluster("n2"), Cluster("n2"), Cluster("n2"), Cluster("n2")
        wires = [each.put("?ack=2&timeout=2") for each in (held, above, missing, lost)]
        held.say()
        above.say(State(Generation(9), 90, "n2"))
        missing.wait(2.1)
        lost.node.store.merge(State(Generation(1), 8, "n2"), Source.EVENT)
        lost.node.clock.advance(0)
        for status, wire in zip((200, 200, 504, 409), wires, strict=True):
            [response] = wire.take_responses()
            self.described(status, "PUT", "/v1/value", response)

    def test_answers_to_nodes(self) -> None:
        """Statements with a state, or with a tag; what the original pushes."""
        node, sealed = WebNode(), WebNode(envelope=Envelope(keyring=Keyring([bytes(16)], bytes)))
        small = encode_statement(Statement("n2", learning=False, state=State(Generation(3), 30, "n2")))
        named = encode_statement(Statement("n2", learning=False, state=None, named="3-0123456789abcdef"))
        large = encode_statement(Statement("n2", learning=False, state=State(Generation(4), "x" * 2000, "n2")))
        for status, asked, body in [(200, node, small), (200, node, named), (200, node, large), (200, node, large)]:
            self.described(status, "POST", "/notify", ask(asked, "POST", "/notify", body))
        for status, asked, body in [(400, node, b"{}"), (403, sealed, small)]:
            self.described(status, "POST", "/notify", ask(asked, "POST", "/notify", body))
        path = "/notify/{curVal}/{curGeneration}"
        for status, asked, url in [
            (200, node, "/notify/9/9"),
            (400, node, "/notify/9/x"),
            (403, sealed, "/notify/9/9"),
        ]:
            self.described(status, "GET", path, ask(asked, "GET", url))

    def test_answers_about_the_cluster(self) -> None:
        """Queries, events, force-leave."""
        node, busy = WebNode(), WebNode()
        node.membership.set_members(make_member("n1"), make_member("n2"))
        node.membership.query_result = succeed(QueryResult(("n1",), (("n1", b"x"), ("n2", b"\xff"))))
        busy.membership.query_result = fail(BusyError("too many queries"))
        for status, asked, path, body, headers in [
            (200, node, "/v1/query", b'{"name": "a", "ack": true, "nodes": null}', {}),
            (400, node, "/v1/query", b'{"name": "a", "timeout_s": 26}', {}),
            (503, busy, "/v1/query", b'{"name": "a"}', {}),
            (200, node, "/v1/event", b'{"name": "a", "payload": "b"}', {}),
            (403, node, "/v1/event", b'{"name": "a"}', ELSEWHERE),
            (415, node, "/v1/event", b'{"name": "a"}', {"Content-Type": "text/html"}),
            (200, node, "/v1/force-leave", b'{"name": "n1", "prune": true}', {}),
            (404, node, "/v1/force-leave", b'{"name": "n9"}', {}),
            (409, node, "/v1/force-leave", b'{"name": "n2"}', {}),
        ]:
            self.described(status, "POST", path, ask(asked, "POST", path, body, headers))

    def test_answers_about_keys(self) -> None:
        """All did it; some refused, did not answer, are missing; a client that is not of this host."""
        for status, result in [
            (200, KeyResult(2, 2, 0, {}, {"0123456789abcdef": 2}, {"0123456789abcdef": 2})),
            (409, KeyResult(2, 2, 1, {"n2": "no"}, {}, {})),
            (504, KeyResult(2, 1, 0, {}, {}, {})),
        ]:
            node = WebNode()
            node.membership.key_result = succeed(result)
            self.described(status, "GET", "/v1/keys", ask(node, "GET", "/v1/keys"))
            self.described(status, "POST", "/v1/keys/{action}", ask(node, "POST", "/v1/keys/use", KEY))
        node.membership.set_members(make_member("n1"), make_member("n2", status=Status.FAILED))
        self.described(409, "POST", "/v1/keys/{action}", ask(node, "POST", "/v1/keys/remove", KEY))
        self.described(404, "POST", "/v1/keys/{action}", ask(node, "POST", "/v1/keys/lose", KEY))
        self.described(400, "POST", "/v1/keys/{action}", ask(node, "POST", "/v1/keys/use", b"{}"))
        self.described(403, "GET", "/v1/keys", node.get("/v1/keys"))

    def test_answers_to_what_goes_wrong(self) -> None:
        """A fault of ours; a client that is too slow."""
        node = WebNode()
        slow = [node.dial(f"GET {path} HTTP/1.1\r\nX: ".encode()) for path in ("/v1/value", "/get")]
        node.clock.advance(REQUEST_TIME_MAX_S + 1)
        for path, wire in zip(("/v1/value", "/get"), slow, strict=True):
            [response] = wire.take_responses()
            self.described(408, "GET", path, response)
        self.patch(node.membership, "members", lambda: 1 / 0)  # type: ignore[no-untyped-call]  # Twisted has no types here
        self.described(500, "GET", "/v1/members", node.get("/v1/members"))
        assert len(logged_errors(self, ZeroDivisionError)) == 1
