"""Writes that a browser sends because a page of another site told it to are refused (Fetch Metadata, RFC 6454).

The original's GET /set lets any web page write. Browsers say where a request comes from: Sec-Fetch-Site to https and
loopback addresses, Origin with methods that write, Referer mostly. Programs (curl, Go, our nodes) send none of them.
What a browser sends without any of the three (a link followed under the policy no-referrer, over plain HTTP off
loopback) cannot be told from an address that somebody typed, and is let through.
"""

from urllib.parse import urlsplit

from twisted.web.iweb import IRequest

from onevalue.web.problems import ProblemError

_SAME_SITE = {b"same-origin", b"none"}  # "none": typed, or from a bookmark


def refuse_cross_site(request: IRequest) -> None:
    """Nothing, if this may write.

    Raises:
        ProblemError: 403; a page of another site sent it.
    """
    headers = request.requestHeaders
    sites = headers.getRawHeaders(b"Sec-Fetch-Site")
    if sites is not None:
        same = all(site in _SAME_SITE for site in sites)
    else:
        sources = headers.getRawHeaders(b"Origin") or [_origin(r) for r in headers.getRawHeaders(b"Referer", [])]
        same = not sources or all(source.lower() == _own_origin(request) for source in sources)
    if not same:
        raise ProblemError(403, "a page of another site may not write here; nothing was changed")


def _own_origin(request: IRequest) -> bytes:
    scheme = b"https" if request.isSecure() else b"http"
    return scheme + b"://" + (request.getHeader(b"Host") or b"").lower()


def _origin(referer: bytes) -> bytes:
    try:
        parts = urlsplit(referer)
    except ValueError:
        return b"null"
    return parts.scheme + b"://" + parts.netloc
