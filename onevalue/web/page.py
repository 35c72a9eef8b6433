"""The files of the live page: `/` and `/page/NAME`, from a table of what is in the folder `page` beside this file.

The table is made when the first of them is asked for, so a node that nobody looks at does not hold it; what is not in
it is not there, whatever a path looks like. The files hold nothing of the node, so no token is needed for them. It must
not know what the page shows.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from klein import Klein
from twisted.web.iweb import IRequest

from onevalue.web.conditions import are_of, tags_of
from onevalue.web.problems import ProblemError

FOLDER = Path(__file__).with_name("page")
INDEX = "index.html"

MEDIA_TYPES = {
    ".html": b"text/html; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".css": b"text/css; charset=utf-8",
    ".svg": b"image/svg+xml",
    ".txt": b"text/plain; charset=utf-8",
}
"""What is served; other files of the folder are not."""

SECURITY_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
    b"trusted-types 'none'"
)
"""Nothing from elsewhere, nothing inline, no text that becomes markup (CSP 3, Trusted Types)."""

HEADERS = {
    b"Content-Security-Policy": SECURITY_POLICY,
    b"X-Content-Type-Options": b"nosniff",
    b"Referrer-Policy": b"no-referrer",
    b"Cross-Origin-Resource-Policy": b"same-origin",
    b"Cache-Control": b"no-cache",  # kept, but asked for again each time: it must fit the node
}


@dataclass(frozen=True, slots=True)
class File:
    """A file as it is served."""

    media_type: bytes
    body: bytes
    tag: str


class PageRoutes:
    """The handlers; `add_to` an app."""

    def __init__(self) -> None:
        self._files: dict[str, File] | None = None

    def add_to(self, app: Klein) -> None:
        """The routes are part of `app`."""
        app.route("/", methods=["GET"])(self.index)
        app.route("/page/<name>", methods=["GET"])(self.file)

    def index(self, request: IRequest) -> bytes:
        """The page."""
        return self.file(request, INDEX)

    def file(self, request: IRequest, name: str) -> bytes:
        """One of its files, or 304 if the client has it."""
        if self._files is None:
            self._files = load()
        file = self._files.get(name)
        if file is None:
            raise ProblemError(404, "there is nothing at this path")
        for header, value in HEADERS.items():
            request.setHeader(header, value)
        request.setHeader(b"ETag", f'"{file.tag}"'.encode())
        if are_of(tags_of(request, "If-None-Match"), file.tag):
            request.setResponseCode(304)
            return b""
        request.setHeader(b"Content-Type", file.media_type)
        request.setHeader(b"Content-Length", b"%d" % len(file.body))
        return file.body


def load() -> dict[str, File]:
    """All files that are served, by their names."""
    found = {}
    for path in sorted(FOLDER.iterdir()):
        media_type = MEDIA_TYPES.get(path.suffix)
        if media_type is not None and path.is_file():
            body = path.read_bytes()
            found[path.name] = File(media_type, body, hashlib.sha256(body).hexdigest()[:16])
    return found
