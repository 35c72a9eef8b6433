"""Names to addresses, by the reactor's resolver, within a deadline."""

from ipaddress import ip_address
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress, IHostResolution, IResolutionReceiver
from zope.interface import implementer

from onevalue.streams import Reactor

RESOLVE_TIME_MAX_S = 5.0
"""A name that is not known by then leads nowhere this time."""


def resolve(reactor: Reactor, host: str) -> Deferred[list[str]]:
    """Fires with the numeric hosts of a name, in the resolver's order; with none if it is not known in time."""
    try:
        return succeed([str(ip_address(host))])
    except ValueError:
        pass
    receiver = _Receiver()
    reactor.nameResolver.resolveHostName(receiver, host)
    return receiver.done.addTimeout(RESOLVE_TIME_MAX_S, reactor).addErrback(lambda _: [])


@implementer(IResolutionReceiver)
class _Receiver:
    """Collects what the resolver finds."""

    def __init__(self) -> None:
        self._hosts: list[str] = []
        self.done: Deferred[list[str]] = Deferred()

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        """Nothing to note."""

    def addressResolved(self, address: IAddress) -> None:
        """One more."""
        found: Any = address
        if found.host not in self._hosts:
            self._hosts.append(found.host)

    def resolutionComplete(self) -> None:
        """That is all."""
        if not self.done.called:
            self.done.callback(self._hosts)
