"""What listens at an endpoint as a service: opened by whichever of Twisted's two starts comes first, and closed once.

It must not know what is served there.
"""

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IAddress, IListeningPort, IProtocolFactory, IStreamServerEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure


class ListeningService(Service):
    """Base of the services that clients connect to.

    Args:
        endpoint: where to listen.
    """

    stop_time_s: float
    """How long a stop takes at most; set by who derives from this, as are these two."""

    _log: Logger
    _factory: IProtocolFactory
    """Makes the protocols."""

    def __init__(self, endpoint: IStreamServerEndpoint) -> None:
        self._endpoint = endpoint
        self._listening: Deferred[IListeningPort] | None = None
        self._port: IListeningPort | None = None

    @property
    def port(self) -> IAddress:
        """The address that is listened on, once the service has started."""
        assert self._port is not None, "the service has not started"
        return self._port.getHost()

    def privilegedStartService(self) -> None:
        """Listens before twistd drops its privileges, so that ports below 1024 can be had.

        Raises:
            CannotListenError: the port is taken, or not ours to have; the service is not started.
        """
        self._listen()
        super().privilegedStartService()  # type: ignore[no-untyped-call]  # Twisted has no types here

    def startService(self) -> None:
        """Listens, unless `privilegedStartService` has done so.

        Raises:
            CannotListenError: as there.
        """
        self._listen()
        super().startService()  # type: ignore[no-untyped-call]  # Twisted has no types here

    def _about_to_listen(self) -> None:
        """Called before the first client can come."""

    def _not_listening(self) -> None:
        """Called when that has failed after all."""

    def _listens(self, port: IListeningPort) -> None:
        """Called with the open port."""
        self._port = port

    def _close_port(self) -> Deferred[None]:
        """Fires when nobody is admitted any more; what goes wrong is in the log."""
        self._listening, listening = None, self._listening
        if listening is not None:
            listening.cancel()  # for an endpoint that has not come to listen yet
        self._port, port = None, self._port
        closed = maybeDeferred(port.stopListening) if port is not None else maybeDeferred(lambda: None)
        closed.addErrback(lambda failure: self._log.failure("closing the port of {name}", failure, name=self.name))
        return closed

    def _listen(self) -> None:
        if self._listening is not None:
            return
        failures: list[Failure] = []
        self._about_to_listen()
        self._listening = self._endpoint.listen(self._factory)
        self._listening.addCallback(self._listens).addErrback(failures.append)
        if failures:
            self._listening = None
            self._not_listening()
            failures[0].raiseException()
