"""The routes of the original program, and the exchange between our own nodes."""

from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import provider

from onevalue.errors import JournalError
from onevalue.exchange import STATEMENT_SIZE_MAX, Statement, decode_statement, encode_statement
from onevalue.store import State
from onevalue.types import Generation
from tests.web_support import SlowJournal, WebNode, logged_errors

BAD_PATHS = [
    ("/set/abc", "is not an integer"),
    ("/set/9223372036854775808", "out of range"),
    ("/set/1_000", "is not an integer"),
    ("/set/%205", "is not an integer"),
    ("/set/%D9%A4%D9%A2", "is not an integer"),
    ("/notify/1/-5", "out of range"),
    ("/notify/x/y", "is not an integer"),
    ("/notify/1/9223372036854775807", "out of range"),
    ("/notify/9223372036854775808/1", "out of range"),
    ("/set/%FF", "not UTF-8"),
]


class ReadAndWriteTests(SynchronousTestCase):
    """/get and /set/{newVal}."""

    def test_get_answers_the_value_as_text_to_every_method(self) -> None:
        """The body is the value alone, with its length, as Go's fmt.Fprintf writes it."""
        node = WebNode()
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"]:
            response = node.request(method, "/get")
            assert (response.status, response.body) == (200, b"42"), method
            assert response.headers["content-type"] == "text/plain; charset=utf-8"
            assert response.headers["server"] == "onevalue"
            assert "transfer-encoding" not in response.headers

    def test_head_answers_the_headers_alone(self) -> None:
        """HEAD has the length of the body, and none."""
        response = WebNode().request("HEAD", "/get")
        assert (response.status, response.body, response.headers["content-length"]) == (200, b"", "2")

    def test_set_writes_and_echoes(self) -> None:
        """The new value is there at the next generation, whatever the method."""
        node = WebNode()
        for n, method in enumerate(["GET", "POST", "PUT"], start=1):
            response = node.request(method, f"/set/+{n}")
            assert (response.status, response.body) == (200, b"%d" % n)
            assert (node.store.current.value, node.store.current.generation) == (n, n)

    def test_set_echoes_only_when_durable(self) -> None:
        """Until the journal has it the client waits, and others read the old value."""
        journal = SlowJournal()
        node = WebNode(journal)
        wire = node.start_request("GET", "/set/7")
        assert (wire.take_bytes(), node.get("/get").body) == (b"", b"42")
        journal.commits[0].callback(None)
        assert [r.body for r in wire.take_responses()] == [b"7"]
        assert node.get("/get").body == b"7"

    def test_a_failing_journal_is_503(self) -> None:
        """The write was not made, and the answer says why."""
        journal = SlowJournal()
        node = WebNode(journal)
        wire = node.start_request("GET", "/set/7")
        journal.commits[0].errback(Failure(JournalError("the disk is full")))
        [response] = wire.take_responses()
        assert response.status == 503
        assert b"the disk is full" in response.body
        assert node.store.current.value == 42

    def test_a_learning_node_is_503_with_retry_after(self) -> None:
        """It takes no writes yet, and says when to come again; reading goes on."""
        node = WebNode()
        node.spread.start(node.clock.seconds(), somebody_to_ask=True)
        response = node.get("/set/7")
        assert (response.status, response.headers["retry-after"]) == (503, "5")
        assert node.get("/get").body == b"42"

    def test_the_last_generation_is_409(self) -> None:
        """With no generation left above, the write is refused for good."""
        node = WebNode(state=State(Generation(2**63 - 1), 1))
        assert node.get("/set/7").status == 409

    def test_a_client_that_leaves_does_not_undo_its_write(self) -> None:
        """The write goes on, and nothing is logged as an error."""
        journal = SlowJournal()
        node = WebNode(journal)
        wire = node.start_request("GET", "/set/7")
        wire.lose()
        journal.commits[0].callback(None)
        assert node.store.current.value == 7
        assert logged_errors(self) == []


class BadInputTests(SynchronousTestCase):
    """What is out of bounds changes nothing."""

    def test_bad_input_is_400_with_the_reason_as_text(self) -> None:
        """For GET and POST alike; the value and the generation stay, and nothing is logged as an error."""
        node = WebNode()
        before = node.store.current
        for path, reason in BAD_PATHS:
            for method in ["GET", "POST"]:
                response = node.request(method, path)
                assert response.status == 400, path
                assert reason in response.body.decode(), path
                assert response.headers["content-type"] == "text/plain; charset=utf-8"
        assert node.store.current is before
        assert logged_errors(self) == []

    def test_an_unknown_path_is_404_as_text(self) -> None:
        """Also a trailing slash, another case, and a slash that was escaped."""
        for path in ["/page", "/nothing", "/get/", "/set/", "/set/1/2", "/notify/1", "/Get", "/set/1%2F2"]:
            response = WebNode().get(path)
            assert response.status == 404, path
            assert response.headers["content-type"] == "text/plain; charset=utf-8"


class NotifyTests(SynchronousTestCase):
    """/notify in both forms."""

    def test_a_larger_state_from_an_original_is_merged_and_logged(self) -> None:
        """The answer is this node's state as JSON; the log line is the original's, and no notifier can forge one."""
        lines: list[str] = []

        @provider(ILogObserver)
        def observer(event: LogEvent) -> None:
            lines.append(formatEvent(event))

        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        node = WebNode()
        response = node.get("/notify/7/3?notifier=old%0Aone")
        answer = response.json
        assert (response.status, response.headers["content-type"]) == (200, "application/json")
        assert (answer["value"], answer["generation"], answer["changed"]) == (7, 3, True)
        assert node.get("/get").body == b"7"
        assert "NewVal: 7 Gen: 3 Notifier: old?one" in lines

    def test_a_smaller_state_is_answered_with_ours(self) -> None:
        """200 whatever the method, with the state that won."""
        node = WebNode(state=State(Generation(9), 5))
        for method in ["GET", "POST", "PUT"]:
            answer = node.request(method, "/notify/7/3").json
            assert (answer["value"], answer["generation"], answer["changed"]) == (5, 9, False)

    def test_a_state_far_ahead_does_not_freeze_the_value(self) -> None:
        """A stranger's leap is refused, with 200 and the reason, and writes go on."""
        node = WebNode()
        answer = node.get("/notify/666/9223372036854775806").json
        assert (answer["value"], answer["changed"]) == (42, False)
        assert "ahead of ours" in answer["refused"]
        assert node.get("/set/1").body == b"1"

    def test_our_nodes_exchange_statements(self) -> None:
        """A pushed state is merged; the answer is this node's statement and what became of the push."""
        node = WebNode()
        statement = Statement("n2", False, State(Generation(4), 8, "n2", 12.0))
        response = node.request("POST", "/notify?notifier=n2", encode_statement(statement))
        assert (response.status, response.headers["content-type"]) == (200, "application/json")
        assert decode_statement(response.body) == Statement("n1", False, statement.state)
        assert (response.json["changed"], response.json["refused"]) == (True, None)
        assert (node.store.current.value, node.store.current.origin) == (8, "n2")

    def test_a_malformed_statement_is_400(self) -> None:
        """With the reason, and nothing changes; a form is not read as one."""
        node = WebNode()
        for body in [b"", b"{", b"[]", b'{"name":"n2"}', b"\xff", b"[" * 60000, b" " * (STATEMENT_SIZE_MAX + 1)]:
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            response = node.request("POST", "/notify", body, headers)
            assert (response.status, response.headers["content-type"]) == (400, "text/plain; charset=utf-8")
            assert b"statement" in response.body or b"learning, confirm and durable must be" in response.body
        assert node.store.current.generation == 0

    def test_notify_without_segments_takes_post_alone(self) -> None:
        """405 says so."""
        response = WebNode().get("/notify")
        assert (response.status, response.headers["allow"]) == (405, "POST")


class CrossSiteTests(SynchronousTestCase):
    """Browsers say where a request comes from; programs say nothing."""

    ROUTES = (
        ("GET", "/set/7", b""),
        ("PUT", "/v1/value", b"7"),
        ("POST", "/notify", encode_statement(Statement("n2", False, State(Generation(1), 7)))),
        ("GET", "/notify/7/1", b""),
    )
    REFUSED = (
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://n1:8080"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "https://n1:8080"},
        {"Origin": "http://n1:8081"},
        {"Referer": "http://evil.example/page"},
        {"Referer": "http://[broken"},
    )
    ALLOWED: tuple[dict[str, str], ...] = (
        {},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Origin": "http://n1:8080"},
        {"Origin": "http://N1:8080"},
        {"Referer": "http://n1:8080/"},
    )

    def test_a_write_from_another_site_is_403_on_every_writing_route(self) -> None:
        """And nothing changes."""
        node = WebNode()
        for method, path, body in self.ROUTES:
            for headers in self.REFUSED:
                assert node.request(method, path, body, headers).status == 403, (path, headers)
        assert node.store.current.generation == 0

    def test_a_write_from_here_or_from_a_program_is_made(self) -> None:
        """Each writing route changes the value."""
        for method, path, body in self.ROUTES:
            for headers in self.ALLOWED:
                node = WebNode()
                assert node.request(method, path, body, headers).status == 200, (path, headers)
                assert node.store.current.value == 7

    def test_reading_from_another_site_is_nobodys_harm(self) -> None:
        """Reading routes do not ask; browsers keep the answer from the page."""
        assert WebNode().get("/get", Sec_Fetch_Site="cross-site").status == 200


class UnexpectedErrorTests(SynchronousTestCase):
    """Bugs on our side."""

    def test_an_unexpected_error_is_500_with_an_id_that_the_log_has(self) -> None:
        """The client learns the id and nothing of the error; floods are counted but not logged."""
        node = WebNode()
        self.patch(node.membership, "members", lambda: 1 / 0)  # type: ignore[no-untyped-call]  # Twisted has no types here
        bodies = [node.get("/v1/members").json for _ in range(30)]
        assert {body["status"] for body in bodies} == {500}
        assert "ZeroDivisionError" not in str(bodies)
        assert bodies[0]["error_id"] in bodies[0]["detail"]
        assert len(logged_errors(self, ZeroDivisionError)) == 10
        assert node.site.traffic.errors == 30
        node.clock.advance(61)
        node.get("/v1/members")
        assert len(logged_errors(self, ZeroDivisionError)) == 1

    def test_an_unexpected_error_of_a_write_is_500_too(self) -> None:
        """A Deferred that fails is answered the same way, as text on the original routes."""
        node = WebNode()
        self.patch(node.store, "propose", lambda *_, **__: 1 / 0)  # type: ignore[no-untyped-call]  # likewise
        response = node.get("/set/1")
        assert (response.status, response.headers["content-type"]) == (500, "text/plain; charset=utf-8")
        assert len(logged_errors(self, ZeroDivisionError)) == 1
