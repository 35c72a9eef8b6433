"""Who may do what over HTTP: by which token, and what is open to whom, as sentences for people.

A request is judged by its method and path, before any route runs. What is open and what reads is named here; all else
writes, so a route that nobody thought of here is closed. `/notify` is the nodes' own: the cluster's key vouches for it
(`signing`). Tokens are bearer tokens (RFC 6750). It must not know what any route does, nor where tokens come from.
"""

import re
from enum import Enum

from twisted.web.iweb import IRequest

from onevalue.addresses import http_encrypted, http_open_to_others
from onevalue.tokenfile import Right, Tokens
from onevalue.web.problems import ProblemError

REALM = 'Bearer realm="onevalue"'

_OPEN = (b"/healthz", b"/readyz")
_PAGE = re.compile(rb"/(?:page/[^/]+)?")  # files of the program: they hold nothing of the node
_NODES = re.compile(rb"/notify(?:/[^/]+/[^/]+)?")
_KEYS = re.compile(rb"/v1/keys(?:/.*)?", re.DOTALL)  # asked of all members, and of nobody's business who only reads
_BEARER = re.compile(rb"bearer +([!-~]+) *", re.IGNORECASE)  # a scheme is the same in capitals (RFC 9110, 11.1)


class Need(Enum):
    """What a request needs where there are tokens."""

    NOTHING = "nothing"
    READ = "read"
    WRITE = "write"


def need_of(method: bytes, path: bytes) -> Need:
    """What a request of this method for this path needs; the path as the routes see it (`routed_path`)."""
    if path in _OPEN or _NODES.fullmatch(path):
        return Need.NOTHING
    if method in (b"GET", b"HEAD") and _PAGE.fullmatch(path):
        return Need.NOTHING
    if path == b"/get":  # the original's, for any method
        return Need.READ
    if method in (b"GET", b"HEAD") and path == b"/metrics":
        return Need.READ
    if method in (b"GET", b"HEAD") and path.startswith(b"/v1/") and not _KEYS.fullmatch(path):
        return Need.READ
    return Need.WRITE


def routed_path(request: IRequest) -> bytes:
    """The path by which a route is chosen: decoded, also what stood for a slash, and with one slash at its head."""
    return b"/" + b"/".join(request.postpath).lstrip(b"/")


class Access:
    """Judges requests by the tokens that count.

    Attributes:
        tokens: those that count now; None: all is open.
    """

    def __init__(self, tokens: Tokens | None = None) -> None:
        self.tokens = tokens

    def __call__(self, request: IRequest) -> None:
        """Nothing, if the request may go on.

        Raises:
            ProblemError: 401, there is no token or a wrong one; 403, it is only good to read. Nothing was changed.
        """
        need = need_of(request.method, routed_path(request))
        tokens = self.tokens
        if tokens is None or need is Need.NOTHING or (need is Need.READ and not tokens.count(Right.READ)):
            return
        sent = request.requestHeaders.getRawHeaders(b"Authorization", [])
        bearer = _BEARER.fullmatch(sent[0]) if len(sent) == 1 else None
        right = None if bearer is None else tokens.right_of(bearer[1])
        if right is None:
            raise _unauthorized(need, sent_one=bool(bearer) or len(sent) > 1)
        if need is Need.WRITE and right is not Right.WRITE:
            raise ProblemError(
                403,
                "this token may only read; send one that may write",
                {"WWW-Authenticate": f'{REALM}, error="insufficient_scope"'},
            )


def _unauthorized(need: Need, *, sent_one: bool) -> ProblemError:
    """The challenge; without an error code where no token was sent, as RFC 6750, 3.1, wants it."""
    if sent_one:
        detail = "the token is none of this node's, or no longer: see its --token-file"
        return ProblemError(401, detail, {"WWW-Authenticate": f'{REALM}, error="invalid_token"'})
    detail = f"this needs a token that may {need.value}: send the header Authorization: Bearer TOKEN"
    return ProblemError(401, detail, {"WWW-Authenticate": REALM})


def http_exposure(http: str, tokens: Tokens | None, *, nodes_sign: bool) -> list[str]:
    """A sentence for each thing that the HTTP service leaves open.

    Args:
        http: the strports description of the service.
        tokens: those that count; None: all is open.
        nodes_sign: pushes to /notify must be signed with the cluster's key.
    """
    open_to_others = http_open_to_others(http)
    if tokens is None:
        alike = f"HTTP on {http} is open: whoever reaches it can read and write the value"
        return [alike] if open_to_others else []
    sentences = []
    if not nodes_sign:  # on loopback too: tokens there are against others on this host
        sentences.append(
            f"HTTP on {http} has tokens, but /notify does not ask for any: whoever reaches it can push a value, until"
            " the cluster has a key (--key-file), and verifies"
        )
    if open_to_others and not tokens.count(Right.READ):
        sentences.append(
            f"HTTP on {http} is open to read, for lack of a token to read: whoever reaches it can read the value"
        )
    if open_to_others and not http_encrypted(http):
        sentences.append(
            f"HTTP on {http} is not encrypted: whoever listens on the way learns the tokens, until it is ssl:..."
        )
    return sentences
