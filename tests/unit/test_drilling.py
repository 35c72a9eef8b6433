"""The judge of the failure drills, and those who collect its evidence: what is broken is found.

The drills themselves are run in tests/e2e/test_drills.py.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path
from threading import Thread
from unittest import mock

import pytest
from twisted.trial.unittest import SynchronousTestCase

from tools.drilling import program
from tools.drilling.asking import HTTP_PORT
from tools.drilling.catalogue import Drill
from tools.drilling.exercise import Exercise
from tools.drilling.judging import Evidence, Restart, faults
from tools.drilling.nodes import Node, free_address
from tools.drilling.reading import Reader
from tools.drilling.records import Reads, Written
from tools.drilling.story import Story
from tools.drilling.waiting import DrillError, until
from tools.drilling.writing import Writes

WITHIN_S = 10.0


def written(generation: int, value: int, node: str = "n1") -> Written:
    """A state as the node has acknowledged it."""
    return Written(generation, value, f"{generation}-{value}", node)


KEPT = Evidence(
    acknowledged=[written(1, 10), written(2, 20), written(2, 21, "n2")],
    histories={"n1": frozenset({"1-10", "2-20", "2-21"}), "n2": frozenset({"2-21"})},
    final={"n1": written(2, 21), "n2": written(2, 21, "n2")},
    restarts=[Restart("n1", held=(2, 21), acknowledged=(2, 20))],
    reads={"n1": Reads(answered=5), "n2": Reads(answered=5)},
)


class JudgeTests(SynchronousTestCase):
    """A sentence for each promise that was broken."""

    def test_kept_promises_have_no_faults(self) -> None:
        """An acknowledged write that another has overtaken is not lost."""
        assert faults(KEPT) == []

    def test_nodes_must_agree(self) -> None:
        """In the end."""
        [fault] = faults(replace(KEPT, final={"n1": written(2, 21), "n2": written(3, 5)}))
        assert "same state" in fault

    def test_what_was_acknowledged_must_be_on_the_disk_of_the_node(self) -> None:
        """That others have it is not enough, unless the disk itself was lost."""
        histories = {**KEPT.histories, "n1": frozenset({"1-10", "2-21"})}
        [fault] = faults(replace(KEPT, histories=histories))
        assert "n1 acknowledged 2-20" in fault
        assert faults(replace(KEPT, histories={"n2": histories["n2"]})) == []

    def test_the_final_state_may_not_be_below_an_acknowledged_one(self) -> None:
        """Also where the generation is the same, and the value smaller."""
        final = {"n1": written(2, 20), "n2": written(2, 20)}
        found = faults(replace(KEPT, final=final))
        assert len(found) == 2
        assert all("below it" in fault for fault in found)

    def test_a_node_may_not_come_back_with_less_than_it_acknowledged(self) -> None:
        """From its disk."""
        [fault] = faults(replace(KEPT, restarts=[Restart("n1", held=(2, 19), acknowledged=(2, 20))]))
        assert "n1 came back" in fault

    def test_reads_may_neither_fail_nor_go_back(self) -> None:
        """And there must have been some."""
        broken = Reads(answered=5, failures=["no answer"] * 9, steps_back=["went back"])
        found = faults(replace(KEPT, reads={"n1": broken, "n2": Reads()}))
        assert found[0] == "n1: went back"
        assert found[-2:] == ["n1: and 7 more of that kind", "n2 answered no read at all"]


class Scripted(BaseHTTPRequestHandler):
    """Shows the generation that the test wants, or fails."""

    protocol_version = "HTTP/1.1"
    generation: int | None = 1

    def do_GET(self) -> None:
        """Of /get and /v1/value."""
        if self.generation is None:
            self.send_error(500)
            return
        state = json.dumps({"value": 5, "generation": self.generation})
        body = (state if self.path == "/v1/value" else "5").encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""


class ReaderTests(SynchronousTestCase):
    """A reader against a server that breaks the promises."""

    @contextmanager
    def reading(self) -> Iterator[Reader]:
        """A reader at work."""
        host = free_address()
        server = ThreadingHTTPServer((host, HTTP_PORT), Scripted)
        serving = Thread(target=server.serve_forever)
        serving.start()
        Scripted.generation = 1
        reader = Reader(Node("n1", host, Path()))
        reader.start()
        try:
            yield reader
        finally:
            reader.end()
            server.shutdown()
            serving.join()
            server.server_close()

    def shows(self, reader: Reader, generation: int | None) -> None:
        """The server shows it, and the reader has read at least once since, answered or not."""
        Scripted.generation = generation
        before = reader.tried
        until(lambda: reader.tried > before + 1, WITHIN_S, "it reads on")

    def test_a_step_back_is_found(self) -> None:
        """Once for each."""
        with self.reading() as reader:
            for generation in (2, 1, 3):
                self.shows(reader, generation)
        assert len(reader.reads.steps_back) == 1
        assert "from value 5 at generation 2 to 5 at 1" in reader.reads.steps_back[0]

    def test_a_failure_is_found(self) -> None:
        """Unless the node is down by intention."""
        with self.reading() as reader:
            reader.expect_silence()
            self.shows(reader, None)
            assert reader.reads.failures == []
            reader.expect_answers()
            self.shows(reader, None)
        assert reader.reads.failures

    def test_a_node_that_ended_may_begin_with_less(self) -> None:
        """It says then what the node had shown."""
        with self.reading() as reader:
            self.shows(reader, 7)
            reader.expect_silence()
            self.shows(reader, None)
            assert reader.forget() == (7, 5)
            self.shows(reader, 6)
        assert reader.reads.steps_back == []


class WritesTests(SynchronousTestCase):
    """What came of writes."""

    def test_a_write_that_nobody_answers_is_not_acknowledged(self) -> None:
        """Nor refused: it is open."""
        writes = Writes()
        assert not writes.write(Node("n1", free_address(), Path()), 5)
        assert (writes.acknowledged, writes.refused, writes.unanswered) == ([], {}, 1)


class ProgramTests(SynchronousTestCase):
    """The operator's program."""

    def run_drill(self, *drills: Drill) -> tuple[int, str]:
        """Exit status and output when these are the only drills."""
        with mock.patch.object(program, "DRILLS", drills), mock.patch("sys.stdout", StringIO()) as output:
            return program.main([drill.name for drill in drills]), output.getvalue()

    def test_a_drill_that_does_not_hold_is_status_1(self) -> None:
        """And the fault is told."""

        def broken(exercise: Exercise) -> None:
            exercise.story.demand([], "there is nothing")

        status, output = self.run_drill(Drill("broken", "nothing", broken))
        assert status == 1
        assert "FAULT  there is nothing" in output
        assert "broken: DOES NOT HOLD" in output

    def test_a_drill_that_cannot_go_on_does_not_hold(self) -> None:
        """What was waited for is told."""

        def stuck(exercise: Exercise) -> None:
            until(lambda: exercise.nodes, 0.0, "there are nodes")

        status, output = self.run_drill(Drill("stuck", "nothing", stuck))
        assert status == 1
        assert "not within 0 s: there are nodes" in output

    def test_a_drill_whose_needs_are_not_there_is_skipped(self) -> None:
        """With the reason; that is no failure where others ran, but by itself it shows nothing."""
        absent = Drill("absent", "nothing", lambda _: None, lambda: "it needs the moon")
        status, output = self.run_drill(absent)
        assert status == 1
        assert "absent: skipped: it needs the moon" in output
        status, output = self.run_drill(Drill("easy", "nothing", lambda _: None), absent)
        assert status == 0
        assert "absent: skipped: it needs the moon" in output

    def test_an_unknown_name_is_wrong_usage(self) -> None:
        """Nothing runs."""
        with redirect_stderr(StringIO()) as complaint, pytest.raises(SystemExit) as ended:
            program.main(["flood"])
        assert ended.value.code == 2
        assert "no such drill: flood" in complaint.getvalue()


class WaitingTests(SynchronousTestCase):
    """Waiting."""

    def test_what_does_not_come_is_named(self) -> None:
        """With what came last, also if that is an error."""

        def fails() -> bool:
            raise OSError("refused")

        with pytest.raises(DrillError, match=r"not within 0 s: peace .*refused"):
            until(fails, 0.0, "peace")

    def test_an_excerpt_is_bounded_and_names_no_folder(self) -> None:
        """Of a drill, which is another each time."""
        lines: list[str] = []
        story = Story(lines.append, Path("/somewhere"))
        story.seen("n1, log", "/somewhere/n1/journal.sqlite: " + "full " * 200)
        assert lines[0].startswith("  see    n1, log: n1/journal.sqlite: full")
        assert len(lines[0]) < 500
        assert lines[0].endswith("...")
