"""The HTTP service of a node: builds the resource from the groups of routes, listens, and stops in bounded time.

It must not know what any route does.
"""

import os
import socket

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    IReactorTime,
    IStreamServerEndpoint,
)
from twisted.logger import Logger
from twisted.web.resource import IResource

from onevalue.addresses import host_port
from onevalue.listening import ListeningService
from onevalue.web.cluster import ClusterRoutes
from onevalue.web.context import Context
from onevalue.web.freshness import ShownContact
from onevalue.web.guard import Check, Guard
from onevalue.web.health import HealthRoutes
from onevalue.web.history import HistoryRoutes
from onevalue.web.hosts import HostCheck
from onevalue.web.live import LiveRoutes
from onevalue.web.livefeed import LiveFeed
from onevalue.web.lookout import Lookout
from onevalue.web.metrics import MetricsRoutes
from onevalue.web.openapi import OpenApiRoutes
from onevalue.web.original import OriginalRoutes
from onevalue.web.page import PageRoutes
from onevalue.web.places import Places
from onevalue.web.problems import ErrorLog, add_problems
from onevalue.web.remembered import RememberedAnswers
from onevalue.web.routes import Routes
from onevalue.web.server import CONNECTIONS_MAX, LimitedSite
from onevalue.web.traffic import Served, Traffic
from onevalue.web.v1 import V1Routes
from onevalue.web.watch import WatchRoutes
from onevalue.web.watching import WATCHERS_PERCENT_MAX, Watchers
from onevalue.web.writes import WriteRoutes

STOP_GRACE_S = 1.0
"""How long requests that are under way may go on when the service stops."""

ACCEPT_QUEUE_MAX = 1024
"""Connections that the system holds until they are taken. Of thousands that watch and come back at once, those that it
must turn away try again after a second, then two, and so on; Twisted's own bound is 50.
"""


def make_resource(
    context: Context,
    contact: ShownContact,
    traffic: Traffic,
    served: Served,
    watchers: Watchers,
    live: LiveFeed,
    error_log: ErrorLog,
) -> IResource:
    """The resource with all routes."""
    app = Routes()
    OriginalRoutes(context).add_to(app)
    V1Routes(context, contact, traffic, watchers).add_to(app)
    WatchRoutes(watchers).add_to(app)
    LiveRoutes(live).add_to(app)
    WriteRoutes(context).add_to(app)
    HistoryRoutes(context).add_to(app)
    ClusterRoutes(context).add_to(app)
    HealthRoutes(context).add_to(app)
    OpenApiRoutes(context).add_to(app)
    MetricsRoutes(context, traffic, served).add_to(app)
    PageRoutes().add_to(app)
    add_problems(app, context.store, error_log)
    return app.resource()


def make_site(reactor: IReactorTime, context: Context, connections_max: int = CONNECTIONS_MAX) -> LimitedSite:
    """The whole server, but for the port. What remembered answers depend on empties them from here, but for tokens."""
    remembered = RememberedAnswers(context.wall_clock)
    context.store.observe(lambda _: remembered.clear())
    contact = ShownContact(context.membership, context.wall_clock, remembered.clear)
    traffic = Traffic(connections_max=connections_max, watchers_max=connections_max * WATCHERS_PERCENT_MAX // 100)
    served = Served()
    error_log = ErrorLog(reactor, traffic)
    checks: list[Check] = [HostCheck([context.name, *context.host_names]), context.access]
    places = Places(traffic)
    watchers = Watchers(reactor, context.store, places)
    live = Lookout(context, contact, places).feed

    def end_waiting() -> None:
        watchers.end_all()
        live.end_all()

    return LimitedSite(
        Guard(make_resource(context, contact, traffic, served, watchers, live, error_log), checks, reactor, traffic),
        reactor,
        wall_clock=context.wall_clock,
        traffic=traffic,
        served=served,
        error_log=error_log,
        remembered=remembered,
        end_waiting=end_waiting,
    )


class WebService(ListeningService):
    """Answers HTTP at an endpoint.

    Args:
        reactor: for time.
        endpoint: where to listen.
        context: what the routes may use.
        connections_max: how many connections there may be.
    """

    stop_time_s = STOP_GRACE_S
    name = "web"
    _log = Logger(namespace="onevalue.web")

    def __init__(
        self,
        reactor: IReactorTime,
        endpoint: IStreamServerEndpoint,
        context: Context,
        connections_max: int = CONNECTIONS_MAX,
    ) -> None:
        super().__init__(endpoint)
        self._factory = self._site = make_site(reactor, context, connections_max)

    def tokens_changed(self) -> None:
        """What was made for the tokens of before counts no more: remembered answers, streams, reads that wait.

        Streams end, and those who may still read come back.
        """
        self._site.remembered.clear()
        self._site.end_waiting()

    def stopService(self) -> Deferred[None]:
        """Fires when the port is closed and all connections are gone, within about STOP_GRACE_S."""
        super().stopService()  # type: ignore[no-untyped-call]  # Twisted has no types here
        return self._close_port().addCallback(lambda _: self._site.stop(STOP_GRACE_S))

    def _about_to_listen(self) -> None:
        self._site.stopping = False

    def _listens(self, port: IListeningPort) -> None:
        super()._listens(port)
        _lengthen_queue(port)
        self._log.info("HTTP at {address}", address=_readable(port.getHost()))


def _lengthen_queue(port: IListeningPort) -> None:
    handle, length = getattr(port, "socket", None), getattr(port, "backlog", None)  # None: systemd has set it
    if isinstance(handle, socket.socket) and length is not None and length < ACCEPT_QUEUE_MAX:
        handle.listen(ACCEPT_QUEUE_MAX)  # once more: the system takes the new bound


def _readable(address: IAddress) -> str:
    """The address of a port, as people write it."""
    if isinstance(address, IPv4Address | IPv6Address):
        return host_port(address.host, address.port)
    return os.fsdecode(address.name) if isinstance(address, UNIXAddress) and address.name else str(address)
