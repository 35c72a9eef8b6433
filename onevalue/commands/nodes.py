"""The nodes that a verb asks: where they are, how one proves who one is, and that another is asked when one fails.

It must not know what is asked.
"""

import argparse
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from onevalue import failover
from onevalue.commands import wire
from onevalue.commands.arguments import seconds
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
        *,
        confirmed: bool = False,
        deed: str = "it was written",
    ) -> Answer:
        """The answer to a request that changes something; see `failover.write`.

        Raises:
            UnreachableError: no node took it, nothing was changed.
            OutcomeOpenError: it may have been done.
        """
        plan = failover.write(self.urls, proposed, confirmed=confirmed, deed=deed)
        return self._carry_out(plan, self._with_body(request), more_s)

    def post(self, path: str, document: Mapping[str, Any], deed: str, more_s: float = 0.0) -> Answer:
        """The answer to a POST of the document, without the fields that are None; raises as `write`."""
        return self.write(_posting(path, document), more_s=more_s, deed=deed)

    def ask(self, path: str, document: Mapping[str, Any], more_s: float = 0.0) -> Answer:
        """Likewise, where a POST changes nothing; raises as `read`."""
        request = self._with_body(_posting(path, document))
        return self._carry_out(failover.read(self.urls), request, more_s)

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

    def _with_body(self, request: Request) -> Request:
        headers = self._headers({"Content-Type": "application/json", **request.headers})
        return Request(request.method, request.path, request.body, headers)

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
    where.add_argument(
        "--ca-file", metavar="FILE", help="certificates to trust with https, PEM ($ONEVALUE_CA_FILE, else the system's)"
    )
    where.add_argument(
        "--timeout", type=seconds, default=TIMEOUT_S, metavar="S", help=f"seconds that each node has ({TIMEOUT_S:g})"
    )
    parser.add_argument("--json", action="store_true", help="what the node says, as one JSON object on one line")


def nodes_of(options: argparse.Namespace, *, writes: bool = False) -> Nodes:
    """The nodes that the options and the environment mean; `writes`: with a token that may write.

    Raises:
        UsageError: a URL, the token, or the file of certificates is none.
        ConfigError: the file of tokens cannot be read, or others may read it.
    """
    given = options.url or [os.environ.get("ONEVALUE_URL") or DEFAULT_URL]
    urls = [url.strip() for text in given for url in text.split(",") if url.strip()]
    if not urls:
        raise UsageError("--url names no node")
    for url in urls:
        _check_url(url)
    ca_file: str | None = options.ca_file
    if ca_file is None and any(url.startswith("https:") for url in urls):
        ca_file = os.environ.get("ONEVALUE_CA_FILE") or None
    if ca_file is not None:
        _check_ca_file(ca_file)
    if options.token_file is not None:
        token: str | None = token_in(_tokens_in(options.token_file), writes=writes)
        if token is None:
            raise UsageError(f"--token-file {options.token_file} has no token that fits: a line `write TOKEN`")
    else:
        token = os.environ.get("ONEVALUE_TOKEN") or None
    if token is not None and not (token.isascii() and token.isprintable() and len(token) <= TOKEN_LENGTH_MAX):
        raise UsageError("the token is none: it has more than printable ASCII")
    return Nodes(urls, token, options.timeout, ca_file)


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


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        good = parts.scheme in wire.PORTS and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if not good or parts.username is not None or parts.query or parts.fragment or not url.isprintable() or " " in url:
        raise UsageError(f"--url {url!r} is none: write it as {DEFAULT_URL}")


def _check_ca_file(path: str) -> None:
    import ssl  # noqa: PLC0415  # it takes long to load

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError:
        raise UsageError(f"--ca-file {path} holds no certificate in PEM, or a broken one") from None
    except OSError as error:
        raise UsageError(f"--ca-file {path} cannot be read: {error.strerror}") from None


def _tokens_in(path: Path) -> str:
    """The text of a file of tokens, which only its owner may read, as with a node."""
    from onevalue.secretfile import loose_mode, named, read_secrets  # noqa: PLC0415  # it loads a database

    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    with named(f"--token-file {path}"):
        return read_secrets(
            path, "tokens", TOKEN_FILE_SIZE_MAX, loose_mode(path, Path(credentials) if credentials else None)
        )


def _posting(path: str, document: Mapping[str, Any]) -> Request:
    said = {name: value for name, value in document.items() if value is not None}
    return Request("POST", path, json.dumps(said).encode())
