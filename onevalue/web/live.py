"""The route of what the live page shows: /v1/live, server-sent events of several kinds (WHATWG HTML, 9.2).

It must not know what the kinds are, nor who else reads.
"""

from klein import Klein
from twisted.internet.defer import Deferred

from onevalue.web.channel import LimitedRequest
from onevalue.web.eventstream import set_headers
from onevalue.web.livefeed import LiveFeed


class LiveRoutes:
    """The handler; `add_to` an app."""

    def __init__(self, feed: LiveFeed) -> None:
        self._feed = feed

    def add_to(self, app: Klein) -> None:
        """The route is part of `app`."""
        app.route("/v1/live", methods=["GET"])(self.live)

    def live(self, request: LimitedRequest) -> bytes | Deferred[bytes]:
        """The newest of each kind, then whatever changes, until the client goes."""
        if request.method == b"HEAD":
            set_headers(request)
            return b""
        return self._feed.stream(request)
