"""The route /metrics, for Prometheus. What is shown is `exposition`'s, which is loaded at the first scrape.

It must not know what there is to show.
"""

from functools import cached_property
from typing import TYPE_CHECKING

from klein import Klein
from twisted.web.iweb import IRequest

from onevalue.measured import Measured
from onevalue.web.context import Context
from onevalue.web.traffic import Served, Traffic

if TYPE_CHECKING:
    from onevalue.web.exposition import Exposition


class MetricsRoutes:
    """The handlers; `add_to` an app. What is to be measured of the store is measured from here on."""

    def __init__(self, context: Context, traffic: Traffic, served: Served) -> None:
        self._context = context
        self._traffic = traffic
        self._served = served
        self._measured = Measured(context.store, context.wall_clock)

    def add_to(self, app: Klein) -> None:
        """The routes are part of `app`."""
        app.route("/metrics", methods=["GET"])(self.metrics)

    def metrics(self, request: IRequest) -> bytes:
        """All families, in the text format that the client prefers."""
        accept = request.requestHeaders.getRawHeaders(b"Accept", [b""])[-1]
        body, content_type = self._exposition.text(accept.decode("latin-1"))
        request.setHeader(b"Content-Type", content_type.encode())
        request.setHeader(b"Cache-Control", b"no-store")
        request.setHeader(b"Content-Length", b"%d" % len(body))
        return body

    @cached_property
    def _exposition(self) -> "Exposition":
        from onevalue.web.exposition import Exposition, Sources  # noqa: PLC0415  # see above

        return Exposition(Sources(self._context, self._traffic, self._served, self._measured))
