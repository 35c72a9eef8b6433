"""GET /v1/history: what the journal keeps, in answers of bounded size, no faster than clients read."""

import json
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IPushProducer
from zope.interface.verify import verifyObject

from onevalue.errors import JournalError
from onevalue.journal import HistoryEntry, NullJournal
from onevalue.journal_file import HISTORY_MAX_DEFAULT, HISTORY_MAX_LIMIT
from onevalue.store import Source, State
from onevalue.types import Generation
from onevalue.values import Value
from onevalue.web.history import (
    HISTORY_ANSWER_SIZE_MAX,
    HISTORY_ANSWERS_MAX,
    HISTORY_LIMIT_DEFAULT,
    PIECE_SIZE,
)
from tests.unit.test_web_v1 import ProblemTestCase
from tests.web_support import WebNode, Wire


class ReadJournal(NullJournal):
    """Has a history, the newest first; readings end at once, unless the test says that they wait."""

    history_max = HISTORY_MAX_DEFAULT

    def __init__(self, entries: Sequence[HistoryEntry] = ()) -> None:
        self.entries = list(entries)
        self.limits: list[int] = []
        self.waits = False
        self.waiting: list[Deferred[list[HistoryEntry]]] = []

    def history(self, limit: int) -> Deferred[list[HistoryEntry]]:
        """See IJournal."""
        self.limits.append(limit)
        if not self.waits:
            return succeed(self.entries[:limit])
        self.waiting.append(Deferred())
        return self.waiting[-1]


class FullJournal(NullJournal):
    """Reads nothing."""

    def history(self, limit: int) -> Deferred[list[HistoryEntry]]:  # noqa: ARG002  # as above
        """See IJournal."""
        return fail(JournalError("/d/journal.sqlite: the disk has not answered for 10 s"))


class SlowWire(Wire):
    """A client that takes only so much at once, as a socket does: the rest waits until it reads."""

    def writeSequence(self, data: Sequence[bytes]) -> None:
        """See ITransport."""
        super().writeSequence(data)  # type: ignore[no-untyped-call]  # Twisted has no types here
        if self.producer is not None and len(self.value()) > PIECE_SIZE:  # type: ignore[no-untyped-call]  # likewise
            self.producer.pauseProducing()

    def read(self) -> bytes:
        """The client takes what there is; what comes then is there at the next call."""
        data = self.take_bytes()
        if self.producer is not None:
            self.producer.resumeProducing()
        return data


def entry(generation: int, value: Value = 7, source: Source = Source.SET) -> HistoryEntry:
    """An accepted state."""
    return HistoryEntry(State(Generation(generation), value, "n2", 12.5), source)


def body_of(data: bytes) -> Any:
    """The JSON of a chunked response."""
    head, _, rest = data.partition(b"\r\n\r\n")
    assert b"Transfer-Encoding: chunked" in head, head
    body = b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        body, rest = body + rest[:length], rest[length + 2 :]
    return json.loads(body)


class HistoryTests(ProblemTestCase):
    """The answer."""

    def read(self, journal: NullJournal, query: str = "") -> Any:
        """The answer to one client."""
        return body_of(WebNode(journal=journal).start_request("GET", f"/v1/history{query}").take_bytes())

    def test_accepted_states_come_newest_first(self) -> None:
        """Each with all that is known of it, and how it came; and how many are kept at most."""
        newest, older = entry(3, 8, Source.ANTI_ENTROPY), entry(2)
        assert self.read(ReadJournal([newest, older])) == {
            "history": [
                {
                    "value": 8,
                    "generation": 3,
                    "origin": "n2",
                    "time": 12.5,
                    "tag": newest.state.tag,
                    "source": "anti-entropy",
                },
                {"value": 7, "generation": 2, "origin": "n2", "time": 12.5, "tag": older.state.tag, "source": "set"},
            ],
            "history_max": HISTORY_MAX_DEFAULT,
        }

    def test_without_a_journal_it_is_empty(self) -> None:
        """Nothing is kept, and the answer says so."""
        assert self.read(NullJournal()) == {"history": [], "history_max": 0}

    def test_the_limit_is_passed_on(self) -> None:
        """Or the default."""
        for query, limit in [
            ("", HISTORY_LIMIT_DEFAULT),
            ("?limit=1", 1),
            ("?limit=007", 7),
            (f"?limit={HISTORY_MAX_LIMIT}", HISTORY_MAX_LIMIT),
        ]:
            journal = ReadJournal([entry(number) for number in range(200, 0, -1)])
            assert len(self.read(journal, query)["history"]) == min(limit, 200)
            assert journal.limits == [limit]

    def test_what_is_no_limit_is_400(self) -> None:
        """The answer names the parameter and its bounds; the journal is not asked."""
        for text in ["0", "-1", "+1", "1.0", "ten", "", "%31%30%30%30%31", "9" * 5000, "%D9%A1", "1_0"]:
            journal = ReadJournal()
            response = WebNode(journal=journal).get(f"/v1/history?limit={text}")
            self.assert_problem(response, 400, f"limit must be an integer from 1 to {HISTORY_MAX_LIMIT}")
            assert journal.limits == []
        self.assert_problem(WebNode().get("/v1/history?limit=1&limit=1"), 400, "limit may be given once")

    def test_strange_names_do_not_break_the_answer(self) -> None:
        """An origin need not be UTF-8, a value may be any text."""
        strange = HistoryEntry(State(Generation(1), '"\0\u20ac', "x\udcff"), Source.EVENT)
        [shown] = self.read(ReadJournal([strange]))["history"]
        assert (shown["value"], shown["origin"]) == ('"\0\u20ac', "x\udcff")

    def test_head_is_get_without_the_body(self) -> None:
        """Its type is there."""
        response = WebNode(journal=ReadJournal([entry(1)])).request("HEAD", "/v1/history")
        assert (response.status, response.body) == (200, b"")
        assert response.headers["content-type"] == "application/json"

    def test_a_journal_that_cannot_be_read_is_503(self) -> None:
        """With its reason."""
        self.assert_problem(WebNode(journal=FullJournal()).get("/v1/history"), 503, "has not answered")


class LargeTests(ProblemTestCase):
    """Answers of megabytes."""

    def setUp(self) -> None:
        self.journal = ReadJournal([entry(number, "x" * 200_000) for number in range(40, 0, -1)])
        self.node = WebNode(journal=self.journal)

    def ask(self) -> SlowWire:
        """A client asks for it."""
        wire = self.node.connect(kind=SlowWire)
        assert isinstance(wire, SlowWire)
        self.node.send(wire, b"GET /v1/history HTTP/1.1\r\nHost: n1\r\n\r\n")
        return wire

    def test_the_oldest_are_left_out_of_what_is_too_large(self) -> None:
        """As many as fit are there, and the answer says that there are more."""
        wire, data = self.ask(), b""
        while not data.endswith(b"\r\n0\r\n\r\n"):
            data += wire.read()
        answer = body_of(data)
        kept = len(answer["history"])
        assert answer["truncated"] is True
        assert [each["generation"] for each in answer["history"]] == list(range(40, 40 - kept, -1))
        size = len(json.dumps(answer["history"][0]))
        assert kept == HISTORY_ANSWER_SIZE_MAX // size

    def test_an_answer_waits_for_its_reader(self) -> None:
        """One piece is there, and the next comes when it was read."""
        wire = self.ask()
        size = len(self.journal.entries[0].state.value)  # type: ignore[arg-type]  # a text
        for _ in range(3):
            assert size <= len(wire.read()) < 2 * size
        assert verifyObject(IPushProducer, wire.channel._requestProducer)  # type: ignore[union-attr]  # it is there

    def test_only_so_many_answers_are_under_way(self) -> None:
        """One more is 503 with Retry-After, until a client has read all, or is gone."""
        wires = [self.ask() for _ in range(HISTORY_ANSWERS_MAX)]
        refused = self.node.get("/v1/history")
        self.assert_problem(refused, 503, "read the history already")
        assert refused.headers["retry-after"] == "1"
        wires[0].lose()
        another = self.ask()
        self.assert_problem(self.node.get("/v1/history"), 503)
        while another.read():
            pass
        assert self.ask().read()

    def test_who_is_gone_while_the_journal_reads_is_forgotten(self) -> None:
        """The next one is served."""
        self.journal.waits = True
        for wire in [self.ask() for _ in range(HISTORY_ANSWERS_MAX)]:
            wire.lose()
        assert [reading.called for reading in self.journal.waiting] == [True] * HISTORY_ANSWERS_MAX
        for reading in self.journal.waiting:
            reading.callback([])  # too late
        self.journal.waits = False
        assert self.ask().read()
