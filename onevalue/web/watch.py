"""The route of the stream of changes: /v1/watch, server-sent events (WHATWG HTML, 9.2).

It must not know who else watches, nor how they are told.
"""

from klein import Klein
from twisted.internet.defer import Deferred

from onevalue.web.channel import LimitedRequest
from onevalue.web.eventstream import set_headers
from onevalue.web.watching import Watchers


class WatchRoutes:
    """The handlers; `add_to` an app."""

    def __init__(self, watchers: Watchers) -> None:
        self._watchers = watchers

    def add_to(self, app: Klein) -> None:
        """The routes are part of `app`."""
        app.route("/v1/watch", methods=["GET"])(self.watch)

    def watch(self, request: LimitedRequest) -> bytes | Deferred[bytes]:
        """The state, unless the client names it as the last that it got, then each change, until it goes."""
        if request.method == b"HEAD":
            set_headers(request)
            return b""
        last = request.getHeader(b"Last-Event-ID")
        return self._watchers.stream(request, None if last is None else last.decode("latin-1"))
