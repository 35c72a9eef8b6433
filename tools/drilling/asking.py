"""One HTTP request, or a few on one connection, to a node on this machine or in a network of its own.

It must not know what is asked, nor why.
"""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

HTTP_PORT = 8080
ANSWER_TIME_MAX_S = 5.0
"""How long an answer may take. Nodes take milliseconds; other work on the machine may not make a drill fail."""

Place = Callable[[], AbstractContextManager[None]]
"""Sockets and processes that are made inside belong to that network."""

HERE: Place = nullcontext


@dataclass(frozen=True, slots=True)
class Answer:
    """Of an HTTP request."""

    status: int
    body: bytes

    @property
    def text(self) -> str:
        """The body, without the line feed at its end."""
        return self.body.decode("utf-8", "replace").strip()

    def json(self) -> Any:
        """The body as JSON; ValueError if it is none."""
        return json.loads(self.body)


def connect(host: str, place: Place = HERE, timeout_s: float = ANSWER_TIME_MAX_S) -> HTTPConnection:
    """An open connection, to be closed by the caller; OSError if there is none to be had."""
    connection = HTTPConnection(host, HTTP_PORT, timeout=timeout_s)
    connection.auto_open = 0  # it would connect anew outside of `place`
    with place():
        connection.connect()
    return connection


def ask_on(connection: HTTPConnection, path: str, method: str = "GET", body: bytes | None = None) -> Answer:
    """The answer to one request; OSError or HTTPException if none comes."""
    connection.request(method, path, body)
    response = connection.getresponse()
    return Answer(response.status, response.read())


def ask(
    host: str,
    path: str,
    method: str = "GET",
    body: bytes | None = None,
    *,
    place: Place = HERE,
    timeout_s: float = ANSWER_TIME_MAX_S,
) -> Answer:
    """The answer to one request on a connection of its own; OSError or HTTPException if none comes."""
    with closing(connect(host, place, timeout_s)) as connection:
        return ask_on(connection, path, method, body)
