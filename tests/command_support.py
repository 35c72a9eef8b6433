"""Runs verbs of `onevalue` in this process, at a real node in memory, or at what a test has written down."""

import io
import json
import os
import sys
from typing import Any
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from onevalue import cli
from onevalue.commands import wire
from onevalue.commands.wire import Request
from onevalue.failover import Outcome
from onevalue.replies import Answer
from onevalue.store import State
from onevalue.types import Generation
from onevalue.values import Value
from tests.web_support import WebNode

URL = "http://127.0.0.1:8080"


def state_json(generation: int, value: Value) -> dict[str, Any]:
    """A state as a node tells it."""
    state = State(Generation(generation), value, "n1", 1_700_000_000.0)
    return {**state.to_json(), "tag": state.tag}


def answer(status: int, obj: object) -> Answer:
    """A node's answer."""
    return Answer(status, None, json.dumps(obj).encode())


class CommandTestCase(SynchronousTestCase):
    """Runs verbs where requests go to `self.node`, or to a script by method and path."""

    def setUp(self) -> None:
        self.node = WebNode(state=State(Generation(4), 42, "n2", 1_700_000_000.0))
        self.asked: list[tuple[str, Request, float]] = []
        self.ca_files: list[str | None] = []
        self.script: dict[str, list[Outcome]] = {}
        self.environ = {"PATH": os.environ["PATH"]}

    def exchange(self, url: str, request: Request, timeout_s: float, ca_file: str | None) -> Outcome:
        """In place of `wire.exchange`."""
        self.ca_files.append(ca_file)
        self.asked.append((url, request, timeout_s))
        scripted = self.script.get(f"{request.method} {request.path.partition('?')[0]}")
        if scripted:
            return scripted.pop(0)
        wire_ = self.node.start_request(request.method, request.path, request.body or b"", dict(request.headers))
        [response] = wire_.take_responses()
        return Answer(response.status, response.headers.get("etag"), response.body)

    def run_(self, *arguments: str, stdin: bytes = b"", out: io.StringIO | None = None) -> tuple[int, str, str]:
        """Status, standard output and standard error."""
        out, err = out or io.StringIO(), io.StringIO()
        given = io.TextIOWrapper(io.BytesIO(stdin))
        with (
            patch.object(sys, "stdout", out),
            patch.object(sys, "stderr", err),
            patch.object(sys, "stdin", given),
            patch.object(wire, "exchange", self.exchange),
            patch.dict(os.environ, self.environ, clear=True),
        ):
            try:
                status = cli.main(arguments)
            except SystemExit as usage:
                status = int(usage.code or 0)
        return status, out.getvalue(), err.getvalue()

    def usage(self, *arguments: str, stdin: bytes = b"") -> str:
        """The usage error to which these arguments lead; nobody is asked."""
        status, out, err = self.run_(*arguments, stdin=stdin)
        assert (status, out, self.asked) == (2, "", [])
        return err
