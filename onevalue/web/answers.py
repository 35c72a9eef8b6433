"""How answers are written: text as Go's fmt.Fprintf to a ResponseWriter gives it, and JSON.

Each sets the headers of a request and returns the body for Klein to send.
"""

import json
from collections.abc import Mapping

from twisted.web.iweb import IRequest

TEXT = b"text/plain; charset=utf-8"
JSON = b"application/json"


def answer_text(request: IRequest, body: bytes) -> bytes:
    """The answer is this text; its status stays as set."""
    request.setHeader(b"Content-Type", TEXT)
    request.setHeader(b"Content-Length", b"%d" % len(body))
    return body


def answer_json(request: IRequest, obj: Mapping[str, object]) -> bytes:
    """The answer is this object; its status stays as set. Caches must ask again each time."""
    return answer_json_bytes(request, json.dumps(obj, allow_nan=False).encode())


def answer_json_bytes(request: IRequest, body: bytes) -> bytes:
    """The answer is this JSON text; its status stays as set. Caches must ask again each time."""
    request.setHeader(b"Content-Type", JSON)
    request.setHeader(b"Cache-Control", b"no-cache")
    request.setHeader(b"Content-Length", b"%d" % len(body))
    return body
