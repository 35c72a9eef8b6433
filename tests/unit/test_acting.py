"""`onevalue watch`: changes are heard for ever, and a command runs for them, one run at a time, the latest last."""

import json
import os
import random
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import IncompleteRead
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import pytest
from twisted.trial.unittest import SynchronousTestCase

from onevalue.commands.acting import ENVIRONMENT_VALUE_MAX, Latest, Runner, inherited
from onevalue.commands.hearing import changes
from onevalue.commands.nodes import Nodes
from onevalue.commands.watch import handling, line
from onevalue.errors import RefusedError
from onevalue.following import RETRY_MAX_S, RETRY_MIN_S
from onevalue.replies import Answer, Reading, reading_of
from tests.web_client import event, state_json


class EndError(Exception):
    """The script of a test is over."""


class ScriptedNodes:
    """Nodes whose streams are written down, as they are asked for: an error, an answer, or pieces."""

    def __init__(self, urls: list[str], *streams: Exception | Answer | list[bytes]) -> None:
        self.urls = urls
        self.asked: list[tuple[str, str | None]] = []
        self._streams = list(streams)

    @contextmanager
    def stream(self, url: str, path: str, headers: Mapping[str, str]) -> Iterator[Answer | Iterator[bytes]]:
        """See Nodes."""
        assert path == "/v1/watch"
        self.asked.append((url, headers.get("Last-Event-ID")))
        if not self._streams:
            raise EndError
        stream = self._streams.pop(0)
        if isinstance(stream, Exception):
            raise stream
        yield stream if isinstance(stream, Answer) else iter(stream)


class HearingTests(SynchronousTestCase):
    """Where changes come from."""

    def hear(self, nodes: ScriptedNodes) -> tuple[list[int], list[float], list[str], type[Exception]]:
        """Generations, pauses, what was told, and the error at the end."""
        heard: list[int] = []
        pauses: list[float] = []
        told: list[str] = []
        try:
            for reading in changes(cast("Nodes", nodes), random.Random(1), pauses.append, told.append):
                heard.append(reading.generation)  # noqa: PERF401  # what came before an error counts
        except (EndError, RefusedError) as error:
            return heard, pauses, told, type(error)
        raise AssertionError

    def test_the_next_node_is_heard_when_one_falls_silent(self) -> None:
        """From where the last left off; never back; people are told once, and again when it is over."""
        nodes = ScriptedNodes(
            ["a", "b"],
            [event(4, 1), event(5, 2)],
            ConnectionRefusedError(111, "Connection refused"),
            TimeoutError(),
            Answer(503, None, b"{}"),
            [event(3, 0) + event(6, 3)],
        )
        heard, pauses, told, _ = self.hear(nodes)
        assert heard == [4, 5, 6]
        tag = state_json(5, 2)["tag"]
        assert nodes.asked[:5] == [("a", None), *((url, tag) for url in "baba")][:5]
        assert told[:2] == ["a is not heard any more, trying again and again: the connection ended", "a is heard again"]
        assert all(0 < pause <= RETRY_MAX_S for pause in pauses)

    def test_a_node_that_was_never_heard_is_not_lost(self) -> None:
        """It cannot be heard; then it is."""
        _, _, told, _ = self.hear(ScriptedNodes(["a"], ConnectionRefusedError(111, "no"), [event(1, 1)]))
        assert told[:2] == ["a cannot be heard, trying again and again: no", "a is heard"]
        _, _, told, _ = self.hear(ScriptedNodes(["a"], IncompleteRead(b"")))
        assert told == [
            "a cannot be heard, trying again and again: the connection was closed in the middle of the answer"
        ]

    def test_a_cluster_that_was_reset_is_told_once(self) -> None:
        """Who goes on to hold a lower generation, that is; not who catches up."""
        beat = b": beat\n\n"
        for later, is_told in [
            ([event(0, 42), beat, beat], True),
            ([event(0, 42), event(1, 43), beat], True),
            ([event(4, 1), event(6, 2), beat], False),
            ([event(4, 1), event(5, 2), beat], False),
            ([event(5, 0), beat], False),
            ([event(4, 1)], False),
        ]:
            heard, _, told, _ = self.hear(ScriptedNodes(["a"], [event(5, 2)], later, [beat], later))
            sentences = [each for each in told if "reset" in each]
            assert (len(sentences), heard[0]) == (is_told, 5), later

    def test_pauses_are_short_again_after_something_came(self) -> None:
        """A node that is restarted now and then is heard again at once, however often that was."""
        bad: list[Exception | Answer | list[bytes]] = [OSError("reset") for _ in range(8)]
        _, pauses, _, _ = self.hear(ScriptedNodes(["a"], *bad, [b": beat\n\n"]))
        assert pauses[7] > RETRY_MAX_S / 2 - 1e-9
        assert pauses[8] <= RETRY_MIN_S

    def test_refusals_of_all_nodes_end_it(self) -> None:
        """Not of some; one that cannot do it now does not refuse."""
        refusal = Answer(401, None, b"{}")
        unable = Answer(503, None, b"{}")
        assert self.hear(ScriptedNodes(["a"], refusal))[3] is RefusedError
        assert self.hear(ScriptedNodes(["a", "b"], refusal, refusal))[3] is RefusedError
        others: list[Exception | Answer | list[bytes]] = [unable, OSError("reset"), [event(1, 1)], [b"data: 5\n\n"]]
        for other in others:
            assert self.hear(ScriptedNodes(["a", "b"], refusal, other, refusal))[3] is EndError

    def test_a_state_is_one_line(self) -> None:
        """Generation, time, origin, value."""
        assert line(reading_of(state_json(5, {"a": "b\n"}))) == '5  1970-01-01T00:00:12Z  n1  {"a": "b\\n"}'


class LatestTests(SynchronousTestCase):
    """What waits for a run."""

    def test_the_latest_state_takes_the_place_of_what_waited(self) -> None:
        """And each is taken once."""
        latest = Latest()
        readings = [reading_of(state_json(number, number)) for number in range(4)]
        for reading in readings[:3]:
            latest.put(reading)
        assert latest.take() is readings[2]
        latest.put(readings[3])
        assert latest.take() is readings[3]
        assert latest._bell.empty()  # else the next `take` would not wait

    def test_the_end_comes_before_what_waits(self) -> None:
        """Or the error that was the end."""
        latest = Latest()
        latest.put(reading_of(state_json(1, 1)))
        latest.end()
        assert latest.take() is None
        failed = Latest()
        failed.end(EndError())
        with pytest.raises(EndError):
            failed.take()


CHILD = """
import sys, signal, time
import os
path, test = sys.argv[1], int(sys.argv[2])
def end(*_):
    {end}
signal.signal(signal.SIGTERM, end)
os.kill(test, signal.SIGUSR1)
time.sleep(20)
{late}
"""
"""A process of a run that tells the test when it is there, and does `end` when it is told to end itself."""

PARENT = "import os, subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}, sys.argv[1], str(os.getppid())])"
"""The program of a run, which starts it."""


class RunnerTests(SynchronousTestCase):
    """Real runs of a real program."""

    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "seen"
        self.told: list[str] = []

    def runner(self, program: str) -> Runner:
        """Runs a Python program, which has the path of a file as its argument."""
        return Runner([sys.executable, "-c", program, str(self.path)], self.told.append, {"PATH": os.environ["PATH"]})

    def see(self, reading: Reading) -> tuple[str, dict[str, str]]:
        """Standard input and environment of a run."""
        program = "import json, os, sys; json.dump([sys.stdin.read(), dict(os.environ)], open(sys.argv[1], 'w'))"
        self.runner(program).run(reading)
        assert self.told == []
        stdin, environ = json.loads(self.path.read_text())
        return stdin, {name: value for name, value in environ.items() if name.startswith("ONEVALUE_")}

    def test_a_run_has_the_state(self) -> None:
        """The value on standard input as JSON, and all of it in the environment."""
        reading = reading_of(state_json(5, {"a": "é"}))
        assert self.see(reading) == (
            '{"a": "é"}\n',
            {
                "ONEVALUE_VALUE": '{"a": "é"}',
                "ONEVALUE_GENERATION": "5",
                "ONEVALUE_TAG": reading.tag,
                "ONEVALUE_ORIGIN": "n1",
                "ONEVALUE_TIME": "12.5",
            },
        )

    def test_a_large_value_is_on_standard_input_only(self) -> None:
        """The environment has a limit."""
        for size, there in [(ENVIRONMENT_VALUE_MAX - 2, True), (ENVIRONMENT_VALUE_MAX - 1, False), (1_000_000, False)]:
            stdin, environ = self.see(reading_of(state_json(5, "x" * size)))
            assert (len(stdin), "ONEVALUE_VALUE" in environ) == (size + 3, there)

    def test_a_run_that_fails_is_told_and_is_all(self) -> None:
        """Whatever it does with its input."""
        reading = reading_of(state_json(5, "x" * 1_000_000))
        self.runner("import sys; sys.exit(3)").run(reading)
        self.runner("import os; os.kill(os.getpid(), 9)").run(reading)
        Runner(["/nonexistent/program"], self.told.append, {}).run(reading)
        assert [sentence.split(" ", 1)[1] for sentence in self.told] == [
            f"failed with status 3, with {reading.tag}",
            f"was ended by signal 9, with {reading.tag}",
            "cannot be run: No such file or directory",
        ]

    def test_a_run_that_begins_when_it_should_end_is_told_so(self) -> None:
        """SIGTERM; kill is for one that does not listen, and without a run both do nothing."""
        runner = self.runner("import time; time.sleep(60)")
        runner.kill()
        runner.stop()
        runner.run(reading_of(state_json(5, 1)))
        assert "signal 15" in self.told[0]

    def test_all_processes_of_a_run_are_told_to_end(self) -> None:
        """Also one that the program has started and that outlives it: it is waited for."""
        runner = self.runner(
            PARENT.format(child=CHILD.format(end="time.sleep(0.2); open(path, 'w').close(); sys.exit()", late=""))
        )
        with handling({signal.SIGUSR1: lambda *_: runner.stop()}):
            runner.run(reading_of(state_json(5, 1)))
        assert self.path.exists()
        assert "signal 15" in self.told[0]

    def test_no_process_of_a_run_is_left_when_it_was_killed(self) -> None:
        """One that does not listen has its end at last: here the other end of a pipe, which it would write into."""
        os.mkfifo(self.path)
        child = "import sys; pipe = open(sys.argv[1], 'w')" + CHILD
        child = child.format(end="os.kill(test, signal.SIGUSR2)", late="pipe.write('too late')")
        runner = self.runner(PARENT.format(child=child))
        with handling({signal.SIGUSR1: lambda *_: runner.stop(), signal.SIGUSR2: lambda *_: runner.kill()}):
            reading_end = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
            runner.run(reading_of(state_json(5, 1)))
        os.set_blocking(reading_end, True)
        with os.fdopen(reading_end, "rb") as pipe:
            assert pipe.read() == b""

    def test_secrets_and_old_states_are_not_passed_on(self) -> None:
        """The rest of the environment is."""
        self.patch(os, "environ", {"ONEVALUE_TOKEN": "secret", "ONEVALUE_VALUE": "1", "ONEVALUE_URL": "u", "A": "b"})  # type: ignore[no-untyped-call]  # trial's has no types
        assert inherited() == {"ONEVALUE_URL": "u", "A": "b"}
