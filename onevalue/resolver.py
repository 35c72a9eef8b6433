"""Names to addresses, by the reactor's resolver, within a deadline.

The resolver asks in the reactor's few threads, which read long gossip messages too, and a dead name server holds each
of them for half a minute: so there is a bound on lookups, and no name is asked for twice at a time.
"""

from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress, IHostResolution, IResolutionReceiver
from zope.interface import implementer

from onevalue.streams import Reactor

RESOLVE_TIME_MAX_S = 5.0
"""A name that is not known by then leads nowhere this time."""

LOOKUPS_MAX = 6
"""Lookups that may hold a thread at the same time, of the ten that the reactor has; more lead nowhere this time."""

LOOKUP_FORGOTTEN_S = 60.0
"""A lookup that has not ended by then never will."""


class Resolver:
    """Finds numeric hosts."""

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor
        self._asked: dict[str, float] = {}  # when each lookup began that has not ended

    def resolve(self, host: str) -> Deferred[list[str]]:
        """Fires with the numeric hosts of a name, in the resolver's order; with none if it is not known in time.

        Never fails; cancelled, it fires with none.
        """
        try:
            return succeed([str(ip_address(host))])
        except ValueError:
            pass
        now = self._reactor.seconds()
        self._asked = {name: at for name, at in self._asked.items() if now - at < LOOKUP_FORGOTTEN_S}
        if host in self._asked or len(self._asked) >= LOOKUPS_MAX or not _can_be_asked(host):
            return succeed([])
        self._asked[host] = now
        receiver = _Receiver(lambda: self._asked.pop(host, None))
        self._reactor.nameResolver.resolveHostName(receiver, host)
        return receiver.done.addTimeout(RESOLVE_TIME_MAX_S, self._reactor).addErrback(lambda _: [])


def _can_be_asked(host: str) -> bool:
    # The resolver would log a traceback for such a name, and never end.
    try:
        return bool(host.encode("idna"))
    except UnicodeError:
        return False


@implementer(IResolutionReceiver)
class _Receiver:
    """Collects what the resolver finds."""

    def __init__(self, ended: Callable[[], object]) -> None:
        self._ended = ended
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
        self._ended()
        if not self.done.called:
            self.done.callback(self._hosts)
