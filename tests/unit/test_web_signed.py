"""POST /notify and the original's pushes in a cluster with a key: who is listened to, and what the others are told."""

import json
import os

import pytest
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import provider

from onevalue.errors import UndecipherableError
from onevalue.exchange import Statement, decode_statement, encode_statement
from onevalue.loglines import LINES_MAX
from onevalue.signing import NONCE_HEADER, SIGNATURE_HEADER, Signer
from onevalue.store import State
from onevalue.types import Generation
from onevalue.wire.envelope import Envelope
from tests.unit.test_wire_envelope import NEW, OLD, envelope
from tests.web_support import Response, WebNode, Wire

STATEMENT = Statement("n2", False, State(Generation(4), 8, "n2", 12.0))
BODY = encode_statement(STATEMENT)


def tell(node: WebNode, sender: Envelope | None = None, **changed: str | None) -> Response:
    """The answer to a statement that is signed so; headers are changed, or left out if None; underscores are dashes."""
    headers = {} if sender is None else Signer(sender, os.urandom).request(BODY)
    headers |= {name.replace("_", "-"): value or "" for name, value in changed.items()}
    return node.request("POST", "/notify?notifier=n2", BODY, {name: v for name, v in headers.items() if v})


def counted(node: WebNode) -> tuple[int, int]:
    """How many statements and pushes were refused, as /v1/status shows it."""
    spread = node.get("/v1/status").json["spread"]
    return spread["statements_unauthenticated"], spread["originals_refused"]


class StatementTests(SynchronousTestCase):
    """POST /notify under a key."""

    def test_what_is_signed_is_taken_and_its_answer_signed(self) -> None:
        """With any key of the ring, and the label; the answer is signed with the primary, for this request."""
        node = WebNode(envelope=envelope(NEW, OLD, label=b"blue"))
        sender = Signer(envelope(OLD, NEW, label=b"blue"), os.urandom)
        headers = sender.request(BODY)
        response = node.request("POST", "/notify", BODY, headers)
        assert (response.status, response.json["changed"]) == (200, True)
        assert decode_statement(response.body) == Statement("n1", False, STATEMENT.state)
        assert node.store.current == STATEMENT.state
        signature = response.headers[SIGNATURE_HEADER.lower()]
        sender.check_answer(headers[NONCE_HEADER], signature, response.body)
        with pytest.raises(UndecipherableError):
            Signer(envelope(OLD, label=b"blue"), os.urandom).check_answer(
                headers[NONCE_HEADER], signature, response.body
            )
        assert counted(node) == (0, 0)

    def test_what_is_not_signed_with_the_key_is_403_and_changes_nothing(self) -> None:
        """The text says why; it is counted; and the answer tells nothing of what this node holds."""
        node = WebNode(envelope=envelope(OLD, label=b"blue"))
        ours = envelope(OLD, label=b"blue")
        before = node.store.current
        cases: list[tuple[Response, bytes]] = [
            (tell(node), b"has no signature"),
            (tell(node, envelope(NEW, label=b"blue")), b"cluster's key and label?"),
            (tell(node, envelope(OLD, label=b"red")), b"cluster's key and label?"),
            (tell(node, envelope(OLD)), b"cluster's key and label?"),
            (tell(node, envelope(OLD, label=b"blue", outgoing=False)), b"has no signature"),
            (tell(node, ours, OneValue_Nonce=None), b"OneValue-Nonce must be 32 hex digits"),
            (tell(node, ours, OneValue_Nonce="0" * 31), b"OneValue-Nonce must be 32 hex digits"),
            (tell(node, ours, OneValue_Nonce="0" * 8000), b"OneValue-Nonce must be 32 hex digits"),
            (tell(node, ours, OneValue_Nonce="0" * 32), b"cluster's key and label?"),
            (tell(node, ours, OneValue_Signature="0" * 63), b"OneValue-Signature must be 64 hex digits"),
            (tell(node, ours, OneValue_Signature="\xff" * 64), b"OneValue-Signature must be 64 hex digits"),
            (tell(node, ours, OneValue_Signature="0" * 64), b"cluster's key and label?"),
        ]
        for response, why in cases:
            assert (response.status, response.headers["content-type"]) == (403, "text/plain; charset=utf-8")
            assert why in response.body, response.body
            assert SIGNATURE_HEADER.lower() not in response.headers
        assert node.store.current is before
        assert counted(node) == (len(cases), 0)

    def test_another_body_than_was_signed_is_403(self) -> None:
        """Also one that means the same, and one that is no statement: it is not even read."""
        node = WebNode(envelope=envelope(OLD))
        for body in (BODY.replace(b'"value":8', b'"value":9'), json.dumps(json.loads(BODY)).encode(), b"{"):
            headers = Signer(envelope(OLD), os.urandom).request(BODY)
            assert node.request("POST", "/notify", body, headers).status == 403
        assert node.store.current.generation == 0

    def test_two_signatures_are_none(self) -> None:
        """Which of them should count? No node sends two."""
        node = WebNode(envelope=envelope(OLD))
        headers = Signer(envelope(OLD), os.urandom).request(BODY)
        lines = "".join(f"{name}: {value}\r\n" * 2 for name, value in headers.items())
        head = f"POST /notify HTTP/1.1\r\nHost: n1\r\n{lines}Content-Length: {len(BODY)}\r\n\r\n"
        wire: Wire = node.dial(head.encode() + BODY)
        [response] = wire.take_responses()
        assert response.status == 403
        assert node.store.current.generation == 0

    def test_a_malformed_statement_of_a_member_is_400(self) -> None:
        """As without a key."""
        node = WebNode(envelope=envelope(OLD))
        headers = Signer(envelope(OLD), os.urandom).request(b"{}")
        assert node.request("POST", "/notify", b"{}", headers).status == 400

    def test_a_request_that_comes_again_changes_nothing(self) -> None:
        """States only grow: an old statement is merged into what is larger already, whoever sends it again."""
        node = WebNode(envelope=envelope(OLD))
        headers = Signer(envelope(OLD), os.urandom).request(BODY)
        assert node.request("POST", "/notify", BODY, headers).json["changed"]
        node.get("/set/9")
        newest = node.store.current
        again = node.request("POST", "/notify", BODY, headers)
        assert (again.status, again.json["changed"]) == (200, False)
        assert node.store.current is newest

    def test_a_key_that_is_changed_counts_from_the_next_request_on(self) -> None:
        """The envelope is the one that gossip uses."""
        ours = envelope(OLD)
        node = WebNode(envelope=ours)
        assert tell(node, envelope(NEW)).status == 403
        assert ours.keyring is not None
        ours.keyring = ours.keyring.installed(NEW)
        assert tell(node, envelope(NEW)).status == 200
        ours.keyring = ours.keyring.used(NEW).removed(OLD)
        assert tell(node, envelope(OLD)).status == 403

    def test_refusals_are_logged_with_their_reason_at_a_limited_rate(self) -> None:
        """A node with a wrong key is found in the log, and whoever floods us does not fill it."""
        lines: list[str] = []

        @provider(ILogObserver)
        def observer(event: LogEvent) -> None:
            lines.append(formatEvent(event))

        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        node = WebNode(envelope=envelope(OLD))
        for _ in range(LINES_MAX + 50):
            assert tell(node).status == 403
        refusals = [
            line for line in lines if line.startswith("POST /notify of 10.0.0.9 was refused: the statement has")
        ]
        assert len(refusals) == LINES_MAX

    def test_during_the_move_anything_is_taken(self) -> None:
        """Unsigned, or signed with what this node does not know; a signed answer goes to whoever sent a nonce."""
        for sender, answer_is_signed in ((None, False), (envelope(NEW), True), (envelope(OLD, outgoing=False), True)):
            node = WebNode(envelope=envelope(OLD, incoming=False))
            response = tell(node, sender)
            assert (response.status, response.json["changed"]) == (200, True)
            assert (SIGNATURE_HEADER.lower() in response.headers) == answer_is_signed
            assert counted(node) == (0, 0)

    def test_without_a_key_signatures_are_ignored(self) -> None:
        """And nothing is signed."""
        response = tell(WebNode(), envelope(OLD))
        assert response.status == 200
        assert SIGNATURE_HEADER.lower() not in response.headers


class OriginalTests(SynchronousTestCase):
    """/notify/{value}/{generation}: an original program cannot sign."""

    def test_a_key_shuts_original_peers_out(self) -> None:
        """With every method, 403 and the reason as text; whatever they push, nothing changes."""
        node = WebNode(envelope=envelope(OLD))
        for method in ("GET", "POST", "PUT"):
            for path in ("/notify/7/3?notifier=old", "/notify/x/y"):
                response = node.request(method, path)
                assert (response.status, response.headers["content-type"]) == (403, "text/plain; charset=utf-8")
                assert response.body.startswith(b"this cluster has a key")
        assert node.request("HEAD", "/notify/7/3").status == 403
        assert node.store.current.generation == 0
        assert counted(node) == (0, 7)

    def test_they_are_heard_during_the_move_and_without_a_key(self) -> None:
        """A cluster that is about to lose its originals keeps them until keys are demanded."""
        for one in (envelope(), envelope(OLD, incoming=False), envelope(OLD, incoming=False, outgoing=False)):
            node = WebNode(envelope=one)
            assert node.get("/notify/7/3").json["changed"]
            assert counted(node) == (0, 0)

    def test_people_still_read_and_write(self) -> None:
        """A key is between nodes; clients have none."""
        node = WebNode(envelope=envelope(OLD))
        assert [node.get(path).body for path in ("/set/7", "/get")] == [b"7", b"7"]
        assert node.put(b"8").status == 200
