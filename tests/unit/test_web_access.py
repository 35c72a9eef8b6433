"""Tokens: which request needs which, on every route there is; and what is said to whom has none."""

import re
from typing import cast

from klein.resource import KleinResource
from twisted.trial.unittest import SynchronousTestCase

from onevalue.tokenfile import Tokens, parse_tokens
from onevalue.web.access import REALM, Need, http_exposure, need_of
from onevalue.web.guard import Guard
from tests.web_support import Response, WebNode

WRITE, READ, WRONG = "write-token-of-tests", "read-token-of-tests+/=", "some-token-of-nobody"
WRITE_ONLY, BOTH = parse_tokens(f"write {WRITE}"), parse_tokens(f"write {WRITE}\nread {READ}")
OPEN_HTTP, CLOSED_HTTP = "tcp:8080", "tcp:8080:interface=127.0.0.1"

NEEDS: dict[tuple[str, str], Need] = {
    ("any", "/get"): Need.READ,
    ("any", "/set/<new_value>"): Need.WRITE,
    ("any", "/notify/<value>/<generation>"): Need.NOTHING,
    ("POST", "/notify"): Need.NOTHING,
    ("GET", "/v1/value"): Need.READ,
    ("PUT", "/v1/value"): Need.WRITE,
    ("GET", "/v1/status"): Need.READ,
    ("GET", "/v1/watch"): Need.READ,
    ("GET", "/v1/live"): Need.READ,
    ("GET", "/"): Need.NOTHING,
    ("GET", "/page/<name>"): Need.NOTHING,
    ("GET", "/v1/history"): Need.READ,
    ("GET", "/v1/openapi.json"): Need.READ,
    ("GET", "/v1/members"): Need.READ,
    ("POST", "/v1/query"): Need.WRITE,
    ("POST", "/v1/event"): Need.WRITE,
    ("POST", "/v1/force-leave"): Need.WRITE,
    ("GET", "/v1/keys"): Need.WRITE,
    ("POST", "/v1/keys/<action>"): Need.WRITE,
    ("GET", "/metrics"): Need.READ,
    ("GET", "/healthz"): Need.NOTHING,
    ("GET", "/readyz"): Need.NOTHING,
}
"""What each route needs; a new route is to be put here by whoever makes it."""

ANY_METHOD = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW")


def routes(node: WebNode) -> list[tuple[str, str]]:
    """Method, or any, and rule of each route."""
    resource = cast("KleinResource", cast("Guard", node.site.resource).resource)
    return [
        (method, rule.rule)
        for rule in resource._app.url_map.iter_rules()
        for method in sorted((rule.methods or {"any"}) - {"HEAD"})
    ]


def with_tokens(tokens: Tokens | None) -> WebNode:
    """A node with these tokens."""
    node = WebNode()
    node.context.access.tokens = tokens
    return node


def path_of(rule: str) -> str:
    """A path of this rule: good or bad, no route may run for it."""
    return re.sub(r"<[^>]*>", "7", rule.replace("<action>", "use"))


def ask(node: WebNode, method: str, path: str, *authorization: str) -> Response:
    """The response to a request with these headers."""
    wire = node.start_request(method, path, headers=dict(zip(["Authorization"], authorization, strict=False)))
    head, _, body = wire.take_bytes().partition(b"\r\n\r\n")  # some go on without end
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return Response(int(first.split(" ")[1]), headers, body)


class RouteTests(SynchronousTestCase):
    """Every route, by what it needs."""

    def test_the_table_has_every_route(self) -> None:
        """None that is not in it, and none in it that is no more."""
        assert sorted(routes(WebNode())) == sorted(NEEDS)

    def test_each_route_asks_for_what_it_needs(self) -> None:
        """By all methods that it takes: 401 without a token, and the challenge; 403 for one that may only read."""
        for (method, rule), need in NEEDS.items():
            for each in ANY_METHOD if method == "any" else ((method, "HEAD") if method == "GET" else (method,)):
                statuses = []
                for authorization in ((), (f"Bearer {WRONG}",), (f"Bearer {READ}",), (f"Bearer {WRITE}",)):
                    node = with_tokens(BOTH)
                    status = ask(node, each, path_of(rule), *authorization).status
                    statuses.append(status if status in {401, 403} else 200)
                    if status in {401, 403}:
                        assert node.store.current.value == 42
                here = 403 if "/v1/keys" in rule else 200  # keys are for this host only, and the client is not on it
                expected = {
                    Need.NOTHING: [200, 200, 200, 200],
                    Need.READ: [401, 401, 200, 200],
                    Need.WRITE: [401, 401, 403, here],
                }[need]
                assert statuses == expected, (each, rule)

    def test_reads_are_open_where_no_token_is_to_read(self) -> None:
        """To everybody, with a wrong token too; writes are not."""
        for (method, rule), need in NEEDS.items():
            for authorization in ((), (f"Bearer {WRONG}",)):
                response = ask(
                    with_tokens(WRITE_ONLY), "GET" if method == "any" else method, path_of(rule), *authorization
                )
                assert (response.status == 401) == (need is Need.WRITE), rule

    def test_without_tokens_all_is_open(self) -> None:
        """As if this were not here."""
        for method, rule in NEEDS:
            response = ask(with_tokens(None), "GET" if method == "any" else method, path_of(rule))
            assert response.status not in {401, 421}, rule
            assert response.status != 403 or "/v1/keys" in rule, rule

    def test_a_route_that_nobody_thought_of_is_closed(self) -> None:
        """Whatever its method and path are, it needs a token to write; below /v1, to read at least."""
        for method in ANY_METHOD:
            for path in (
                "/page",
                "/page/a/b",
                "/page/../set/7",
                "/new",
                "/metrics/",
                "/v1",
                "/v2/value",
                "/set",
                "/healthz/x",
                "/notify/1",
                "/notify/1/2/3",
            ):
                assert need_of(method.encode(), path.encode()) is Need.WRITE, (method, path)
            page = Need.NOTHING if method in {"GET", "HEAD"} else Need.WRITE
            assert (need_of(method.encode(), b"/"), need_of(method.encode(), b"/page/x")) == (page, page)
            expected = Need.READ if method in {"GET", "HEAD"} else Need.WRITE
            for path in ("/v1/new", "/v1/new/x", "/v1/keysmith"):
                assert need_of(method.encode(), path.encode()) is expected, (method, path)
            assert need_of(method.encode(), b"/v1/keys/new\n") is Need.WRITE

    def test_no_spelling_of_a_path_gets_around_it(self) -> None:
        """What the routes take for a path that writes is one, however it is escaped."""
        for path in ("/%73et/7", "/%2Fset/7", "/set%2F7", "/%2f%2fset/7", "/set/7?x=/healthz", "/healthz%2F..%2Fset/7"):
            node = with_tokens(WRITE_ONLY)
            assert ask(node, "GET", path).status == 401, path
            assert node.store.current.value == 42
        for path in ("/%73et/7", "/%2Fset/7", "/set%2F7"):
            node = with_tokens(WRITE_ONLY)
            assert ask(node, "GET", path, f"Bearer {WRITE}").status == 200, path
        for path in ("/v1%2Fvalue", "/%2Fv1/value", "/%67et", "/%2f/get"):
            assert ask(with_tokens(BOTH), "GET", path).status == 401, path
            assert ask(with_tokens(BOTH), "GET", path, f"Bearer {READ}").status == 200, path


class ChallengeTests(SynchronousTestCase):
    """What is said to whom has no token, or a wrong one (RFC 6750, 3)."""

    def test_a_token_is_sent_as_bearer(self) -> None:
        """The scheme in any case, spaces around the token; nothing else counts."""
        for sent in ("Bearer {}", "bearer {}", "BEARER   {}  "):
            assert ask(with_tokens(BOTH), "GET", "/get", sent.format(READ)).status == 200, sent
        for sent in ("{}", "Basic {}", "Bearer{}", "Bearer {} {}", 'Bearer "{}"', "Token {}", "Bearer {},", "Bearer"):
            assert ask(with_tokens(BOTH), "GET", "/get", sent.format(READ, READ)).status == 401, sent

    def test_the_challenge_names_an_error_only_if_a_token_was_sent(self) -> None:
        """As RFC 6750, 3.1, has it; another scheme is no token."""
        invalid = f'{REALM}, error="invalid_token"'
        for sent, challenge in [((), REALM), (("Basic eDp5",), REALM), ((f"Bearer {WRONG}",), invalid)]:
            response = ask(with_tokens(BOTH), "PUT", "/v1/value", *sent)
            assert response.headers["www-authenticate"] == challenge
        assert REALM == 'Bearer realm="onevalue"'
        response = ask(with_tokens(BOTH), "PUT", "/v1/value", f"Bearer {READ}")
        assert response.headers["www-authenticate"] == f'{REALM}, error="insufficient_scope"'

    def test_two_tokens_are_none(self) -> None:
        """Which one counts could be seen differently by somebody in between."""
        node = with_tokens(BOTH)
        head = f"Host: n1\r\nAuthorization: Bearer {WRITE}\r\n".encode()
        twice = head + f"Authorization: Bearer {READ}\r\n".encode()
        [response] = node.dial(b"GET /set/7 HTTP/1.1\r\n" + twice + b"\r\n").take_responses()
        assert (response.status, node.store.current.value) == (401, 42)

    def test_the_answer_has_the_form_of_its_path(self) -> None:
        """A problem document under /v1, else a line of text; it says what to do, and HEAD has no body."""
        problem = ask(with_tokens(BOTH), "PUT", "/v1/value")
        assert problem.headers["content-type"] == "application/problem+json"
        assert (problem.json["status"], problem.json["title"]) == (401, "Unauthorized")
        assert "a token that may write" in problem.json["detail"]
        text = ask(with_tokens(BOTH), "GET", "/get")
        assert text.headers["content-type"].startswith("text/plain")
        assert b"a token that may read" in text.body
        assert ask(with_tokens(BOTH), "HEAD", "/get").status == 401
        assert "may only read" in ask(with_tokens(BOTH), "PUT", "/v1/value", f"Bearer {READ}").json["detail"]

    def test_the_token_is_shown_nowhere(self) -> None:
        """In no answer, header or line of the log; a refusal is told and counted."""
        lines: list[str] = []
        node = with_tokens(BOTH)
        guard = cast("Guard", node.site.resource)
        self.patch(guard._refusals, "info", lambda line, **fields: lines.append(line.format(**fields)))  # type: ignore[no-untyped-call]  # trial's has no types
        for method, path, token in (
            ("PUT", "/v1/value", WRONG),
            ("GET", "/set/7", READ),
            ("GET", "/set/7?a=b", WRONG),
            ("GET", "/v1/status", READ),
        ):
            response = ask(node, method, path, f"Bearer {token}")
            assert token not in f"{response.headers}{response.body!r}{lines}"
        assert lines[1] == "GET /set/7 of 10.0.0.9 was refused: this token may only read; send one that may write"
        assert len(lines) == node.site.traffic.requests_denied == 3

    def test_a_check_that_fails_closes(self) -> None:
        """An error of ours lets nobody in."""

        class Broken:
            def count(self, _: object) -> int:
                raise ZeroDivisionError

            right_of = count

        node = with_tokens(cast("Tokens", Broken()))
        assert ask(node, "GET", "/set/7", f"Bearer {WRITE}").status == 500
        assert node.store.current.value == 42
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1  # type: ignore[no-untyped-call]  # trial's has no types


class ReloadTests(SynchronousTestCase):
    """Tokens that change while a node runs."""

    def test_the_tokens_of_the_moment_count(self) -> None:
        """For the next request, also on a connection that is open."""
        node = with_tokens(WRITE_ONLY)
        request = f"GET /set/7 HTTP/1.1\r\nHost: n1\r\nAuthorization: Bearer {WRITE}\r\n\r\n".encode()
        wire = node.dial(request)
        assert [r.status for r in wire.take_responses()] == [200]
        node.context.access.tokens = parse_tokens(f"write {WRONG}")
        node.send(wire, request)
        assert [r.status for r in wire.take_responses()] == [401]
        node.context.access.tokens = None
        node.send(wire, request)
        assert [r.status for r in wire.take_responses()] == [200]


class CrossSiteTests(SynchronousTestCase):
    """A browser and tokens."""

    def test_a_page_of_another_site_may_not_write_with_a_token_either(self) -> None:
        """It would need one, and may not even try: the preflight has no answer that lets it."""
        origin = {"Origin": "https://evil.example", "Access-Control-Request-Method": "PUT"}
        preflight = with_tokens(BOTH).request("OPTIONS", "/v1/value", headers=origin)
        assert preflight.status == 401
        assert not [name for name in preflight.headers if name.startswith("access-control")]
        node = with_tokens(BOTH)
        response = node.request("GET", "/set/7", headers={**origin, "Authorization": f"Bearer {WRITE}"})
        assert (response.status, node.store.current.value) == (403, 42)


class ExposureTests(SynchronousTestCase):
    """What is open is said."""

    def test_sentences(self) -> None:
        """Each thing for itself: to read, to write, to listen, to push."""
        tls = "ssl:8443:privateKey=k:certKey=c"
        for http, tokens, nodes_sign, words in [
            (OPEN_HTTP, None, False, ["can read and write"]),
            (OPEN_HTTP, None, True, ["can read and write"]),
            (CLOSED_HTTP, None, False, []),
            (OPEN_HTTP, WRITE_ONLY, True, ["can read the value", "learns the tokens"]),
            (OPEN_HTTP, BOTH, True, ["learns the tokens"]),
            (OPEN_HTTP, BOTH, False, ["/notify", "learns the tokens"]),
            (tls, None, True, ["can read and write"]),
            (tls, WRITE_ONLY, True, ["can read the value"]),
            (tls, BOTH, True, []),
            (tls, BOTH, False, ["--key-file"]),
            (CLOSED_HTTP, BOTH, True, []),
            (CLOSED_HTTP, BOTH, False, ["--key-file"]),
            ("unix:/run/x", BOTH, True, []),
        ]:
            sentences = http_exposure(http, tokens, nodes_sign=nodes_sign)
            assert len(sentences) == len(words), (http, sentences)
            assert [word for word, sentence in zip(words, sentences, strict=True) if word not in sentence] == []
            assert all(http in sentence for sentence in sentences)
