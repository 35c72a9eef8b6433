"""The HTTP server: how many connections there may be, and who looks at their deadlines.

One delayed call a second looks at all connections while there are any, instead of one timer for each. There is no
access log: it would grow without a bound. It must not know the routes, nor how a request is read (that is `channel`).
"""

from collections import Counter, deque
from collections.abc import Callable
from ipaddress import ip_address

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime
from twisted.web.resource import IResource
from twisted.web.server import Request, Site

from onevalue.web.channel import LimitedChannel, LimitedRequest
from onevalue.web.problems import ErrorLog
from onevalue.web.remembered import RememberedAnswers
from onevalue.web.remembering import RememberingChannel
from onevalue.web.traffic import Served, Traffic

CONNECTIONS_MAX = 10_000
"""Open connections where the system lets this process open so many files; more are closed at once."""

FILES_RESERVED = 224
"""Open files for all but HTTP: gossip, journal, log, calls to other nodes. Of the usual limit of 1024, 800 are left."""

CONNECTIONS_PER_ADDRESS_PERCENT_MAX = 50
"""Of the connections that there may be, so many of one address off this host, so that no single one can hold all."""

SWEEP_INTERVAL_S = 1.0
"""How often deadlines are looked at."""


class LimitedSite(Site):
    """Answers HTTP on any number of ports, within the limits of this package.

    Args:
        resource: the one that answers.
        reactor: for time.
        wall_clock: for the Date of answers.
        traffic: is counted here.
        served: answers are counted here.
        error_log: of the errors that the resource does not answer itself.
        end_waiting: called when the server stops; all that would go on for long is then answered.
        remembered: answers that are given again without asking the resource.

    Attributes:
        stopping: no connection is taken any more, and each request is the last of its connection.
    """

    noisy = False  # at start and stop it would tell its Python name
    protocol: type[LimitedChannel] = RememberingChannel  # type: ignore[assignment]  # Twisted's own adds HTTP/2
    reactor: IReactorTime
    resource: IResource

    def __init__(
        self,
        resource: IResource,
        reactor: IReactorTime,
        *,
        wall_clock: Callable[[], float],
        traffic: Traffic,
        served: Served,
        error_log: ErrorLog,
        remembered: RememberedAnswers,
        end_waiting: Callable[[], None],
    ) -> None:
        super().__init__(  # type: ignore[no-untyped-call]  # Twisted has no types here
            resource, requestFactory=LimitedRequest, timeout=None, reactor=reactor
        )
        self.wall_clock = wall_clock
        self.traffic = traffic
        self.served = served
        self.error_log = error_log
        self.remembered = remembered
        self.stopping = False
        self.bodies_size = 0  # bytes of all bodies, see `channel.BODIES_SIZE_MAX`
        self.end_waiting = end_waiting
        self._channels: dict[LimitedChannel, str | None] = {}  # with the host that is counted, if it is
        self._per_host: Counter[str] = Counter()
        self._large: deque[LimitedRequest] = deque()  # those that wait for their turn; each on a connection that counts
        self._large_again_s = 0.0  # not before this time is the next of them processed
        self._sweep_call: IDelayedCall | None = None
        self._stops: list[Deferred[None]] = []

    # Connections come and go ----------------------------------------------------------------------------------------

    def buildProtocol(self, addr: IAddress | None) -> LimitedChannel | None:  # type: ignore[override]  # see `protocol`
        """The channel of a new connection; None, and it is closed at once, if there are too many."""
        host = _counted_host(addr)
        limit = self.traffic.connections_max
        full = len(self._channels) >= limit or (
            host is not None and self._per_host[host] >= limit * CONNECTIONS_PER_ADDRESS_PERCENT_MAX // 100
        )
        if full or self.stopping:
            self.traffic.connections_refused += 1
            return None
        channel: LimitedChannel = super().buildProtocol(addr)  # type: ignore[no-untyped-call]  # likewise
        return channel

    def channel_opened(self, channel: LimitedChannel) -> None:
        """The channel counts, and its deadline is looked at."""
        host = _counted_host(channel.getPeer())  # type: ignore[no-untyped-call]  # likewise
        self._channels[channel] = host
        if host is not None:
            self._per_host[host] += 1
        self.traffic.connections = len(self._channels)
        if self._sweep_call is None:
            self._sweep_call = self.reactor.callLater(SWEEP_INTERVAL_S, self._sweep)

    def channel_closed(self, channel: LimitedChannel) -> None:
        """The channel counts no more."""
        host = self._channels.pop(channel, None)
        if host is not None:
            self._per_host[host] -= 1
            if not self._per_host[host]:
                del self._per_host[host]
        self.traffic.connections = len(self._channels)
        if not self._channels:
            if self._sweep_call is not None:
                self._sweep_call.cancel()
                self._sweep_call = None
            stops, self._stops = self._stops, []
            for done in stops:
                done.callback(None)

    def _sweep(self) -> None:
        self._sweep_call = self.reactor.callLater(SWEEP_INTERVAL_S, self._sweep)
        now = self.reactor.seconds()
        for channel in list(self._channels):
            if now >= channel.deadline:
                channel.expire()

    # Large requests -------------------------------------------------------------------------------------------------

    def process_in_turn(self, request: LimitedRequest) -> None:
        """The request will be processed, in a turn of the reactor in which no other of its kind is.

        Then those have as much time that ask for little: half of all time is theirs, however many large ones come.
        """
        self._large.append(request)
        if len(self._large) == 1:
            self._await_large_turn()

    def _await_large_turn(self) -> None:
        self.reactor.callLater(max(0.0, self._large_again_s - self.reactor.seconds()), self._process_one)

    def _process_one(self) -> None:
        request, begun_s = self._large[0], self.reactor.seconds()
        try:
            if not request.lost:
                request.process()
        finally:
            ended_s = self.reactor.seconds()
            self._large_again_s = ended_s + (ended_s - begun_s)
            self._large.popleft()
            if self._large:
                self._await_large_turn()

    # The end --------------------------------------------------------------------------------------------------------

    def stop(self, grace_s: float) -> Deferred[None]:
        """Fires when all connections are gone: the idle now, the others after their request or `grace_s` seconds.

        Requests that wait, and streams, are ended now.
        """
        self.stopping = True
        self.remembered.clear()  # for good: no connection is kept from now on
        done: Deferred[None] = Deferred()
        if not self._channels:
            done.callback(None)
            return done
        self._stops.append(done)
        abort = self.reactor.callLater(grace_s, self._abort_all)
        done.addCallback(lambda _: abort.cancel() if abort.active() else None)
        for channel in list(self._channels):
            channel.finish_up()
        self.end_waiting()
        return done

    def _abort_all(self) -> None:
        for channel in list(self._channels):
            channel.abort()

    # What Twisted's Site does beside, and this one does not ---------------------------------------------------------

    def startFactory(self) -> None:
        """No access log is opened."""

    def stopFactory(self) -> None:
        """No access log is closed."""

    def log(self, request: Request) -> None:  # type: ignore[override]  # Twisted names the base class
        """No access log is written."""

    def acceptableProtocols(self) -> list[bytes]:
        """What a TLS endpoint offers: HTTP/1.1 only, for which the limits are made."""
        return [b"http/1.1"]


def connections_admitted(files_max: int) -> int:
    """How many connections a process may have that can open so many files; 1 at least."""
    return max(1, min(CONNECTIONS_MAX, files_max - FILES_RESERVED))


def _counted_host(addr: object) -> str | None:
    """The host of an address that counts against the limit of one address; None for this host and local sockets."""
    host = getattr(addr, "host", None)
    if not isinstance(host, str):
        return None
    try:
        return None if ip_address(host).is_loopback else host
    except ValueError:
        return host
