"""The nodes that a verb asks: where they are, how one proves who one is, and that another is asked when one fails.

It must not know what is asked.
"""

import argparse
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from onevalue import failover
from onevalue.commands import wire
from onevalue.commands.verb import UsageError
from onevalue.commands.wire import Request
from onevalue.failover import Plan
from onevalue.following import SILENCE_MAX_S
from onevalue.replies import Answer
from onevalue.store import State

DEFAULT_URL = "http://127.0.0.1:8080"

TIMEOUT_S = 10.0
"""The default of --timeout: what one node has for one request, beside the time that the request itself asks for."""

TOKEN_FILE_SIZE_MAX = 65536
"""Bytes of a token file."""

TOKEN_LENGTH_MAX = 1024
"""Characters of a token."""


@dataclass(frozen=True)
class Nodes:
    """The nodes, in the order in which they are asked.

    Attributes:
        urls: at least one, `http://host:port` or `https://host:port`.
        token: sent to each; None: none is.
        timeout_s: what one node has for one request.
        ca_file: whom to trust beside no other, PEM; None: whom the system trusts.
    """

    urls: Sequence[str]
    token: str | None = None
    timeout_s: float = TIMEOUT_S
    ca_file: str | None = None

    def read(self, path: str, more_s: float = 0.0) -> Answer:
        """The answer to a GET, with a status below 500, which may take `more_s` longer.

        Raises:
            UnreachableError: no node gave one.
        """
        return self._carry_out(failover.read(self.urls), Request("GET", path, headers=self._headers()), more_s)

    def write(
        self,
        request: Request,
        proposed: State | None = None,
        more_s: float = 0.0,
    ) -> Answer:
        """The answer to a request that changes something; see `failover.write`.

        Raises:
            UnreachableError: no node took it, nothing was changed.
            OutcomeOpenError: it may have been done.
        """
        headers = self._headers({"Content-Type": "application/json", **request.headers})
        request = Request(request.method, request.path, request.body, headers)
        return self._carry_out(failover.write(self.urls, proposed), request, more_s)

    def post(self, path: str, document: Mapping[str, Any], more_s: float = 0.0) -> Answer:
        """The answer to a POST of the document, without the fields that are None; raises as `write`."""
        said = {name: value for name, value in document.items() if value is not None}
        return self.write(Request("POST", path, json.dumps(said).encode()), more_s=more_s)

    def stream(
        self, url: str, path: str, headers: Mapping[str, str]
    ) -> AbstractContextManager[Answer | Iterator[bytes]]:
        """See `wire.streaming`, of one node."""
        request = Request("GET", path, headers=self._headers(headers))
        return wire.streaming(url, request, self.timeout_s, SILENCE_MAX_S, self.ca_file)

    def _carry_out(self, plan: Plan, request: Request, more_s: float) -> Answer:
        try:
            url = next(plan)
            while True:
                url = plan.send(wire.exchange(url, request, self.timeout_s + more_s, self.ca_file))
        except StopIteration as end:
            answer: Answer = end.value
            return answer

    def _headers(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        proof = {} if self.token is None else {"Authorization": f"Bearer {self.token}"}
        return {**proof, **(more or {})}


def add_node_options(parser: argparse.ArgumentParser) -> None:
    """The options of all verbs that ask a node."""
    where = parser.add_argument_group("where to ask")
    where.add_argument(
        "--url",
        action="append",
        metavar="URL[,URL...]",
        help=f"of nodes, asked in this order when one fails; may be repeated ($ONEVALUE_URL, else {DEFAULT_URL})",
    )
    where.add_argument("--token-file", type=Path, metavar="FILE", help="proves who asks ($ONEVALUE_TOKEN is the token)")
    where.add_argument("--ca-file", metavar="FILE", help="certificates to trust with https, PEM (the system's)")
    where.add_argument(
        "--timeout", type=seconds, default=TIMEOUT_S, metavar="S", help=f"seconds that each node has ({TIMEOUT_S:g})"
    )
    parser.add_argument("--json", action="store_true", help="what the node says, as one JSON object on one line")


def nodes_of(options: argparse.Namespace, *, writes: bool = False) -> Nodes:
    """The nodes that the options and the environment mean; `writes`: with a token that may write.

    Raises:
        UsageError: a URL, or the token, is none.
    """
    given = options.url or [os.environ.get("ONEVALUE_URL") or DEFAULT_URL]
    urls = [url.strip() for text in given for url in text.split(",") if url.strip()]
    if not urls:
        raise UsageError("--url names no node")
    for url in urls:
        _check_url(url)
    if options.ca_file is not None and not os.access(options.ca_file, os.R_OK):
        raise UsageError(f"--ca-file {options.ca_file} cannot be read")
    if options.token_file is not None:
        token: str | None = token_in(_text_of(options.token_file), writes=writes)
        if token is None:
            raise UsageError(f"--token-file {options.token_file} has no token that fits: a line `write TOKEN`")
    else:
        token = os.environ.get("ONEVALUE_TOKEN") or None
    if token is not None and not (token.isascii() and token.isprintable() and len(token) <= TOKEN_LENGTH_MAX):
        raise UsageError("the token is none: it has more than printable ASCII")
    return Nodes(urls, token, options.timeout, options.ca_file)


def token_in(text: str, *, writes: bool) -> str | None:
    """The first token in a file that fits: `write TOKEN`, or TOKEN alone, or, unless one `writes`, `read TOKEN`."""
    for line in text.splitlines():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) == 1:
            return words[0]
        if words[0] == "write" or (words[0] == "read" and not writes):
            return words[1]
    return None


def seconds(text: str) -> float:
    """Argparse's type of a time: more than 0 seconds."""
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"more than 0 seconds, not {text}")
    return number


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        good = parts.scheme in wire.PORTS and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if not good or parts.username is not None or parts.query or parts.fragment or not url.isprintable() or " " in url:
        raise UsageError(f"--url {url!r} is none: write it as {DEFAULT_URL}")


def _text_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(TOKEN_FILE_SIZE_MAX + 1)
    except OSError as error:
        raise UsageError(f"--token-file {path} cannot be read: {error.strerror}") from None
    if len(data) > TOKEN_FILE_SIZE_MAX:
        raise UsageError(f"--token-file {path} has more than {TOKEN_FILE_SIZE_MAX} bytes")
    return data.decode("utf-8", "replace")
