"""Joining: looks up the addresses that are to be joined, has them dialled, and tells when that is over.

A thin shell between `Dialler`, which decides what is due, and the core, which makes the push/pulls. Each lookup has its
deadline in `resolver`, each push/pull in the core.
"""

from collections.abc import Callable, Sequence
from functools import partial

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from onevalue.addresses import split_host_port
from onevalue.config import GOSSIP_PORT_DEFAULT
from onevalue.resolver import Resolver
from onevalue.serf.dialler import Dialler
from onevalue.streams import Reactor
from onevalue.types import Address

Choose = Callable[[Sequence[Address]], Sequence[Address]]


class Joiner:
    """All attempts of one node to join somebody.

    Args:
        reactor: its clock, resolver and threads.
        dialler: the join addresses.
        begin: a push/pull with an address begins; returns its id, of which `ended` is told later.
        changed: called after each step that the rest of the engine must look at.
    """

    _log = Logger(namespace="onevalue.gossip")

    def __init__(
        self, *, reactor: Reactor, dialler: Dialler, begin: Callable[[Address], int], changed: Callable[[], None]
    ) -> None:
        self._reactor = reactor
        self._dialler = dialler
        self._resolver = Resolver(reactor)
        self._begin = begin
        self._changed = changed
        self._lookups: list[Deferred[list[str]]] = []
        self._waiting: dict[int, Deferred[int]] = {}
        self._stopped = False

    def dial(self) -> None:
        """An attempt at each join address that is due is under way; the dialler hears when it is over."""
        for target in self._dialler.due(self._reactor.seconds()):
            attempt: Deferred[int] = maybeDeferred(self._attempt, target, partial(self._dialler.resolved, target))
            attempt.addBoth(self._dialled, target)

    def join(self, texts: Sequence[str]) -> Deferred[int]:
        """Fires with how many of these addresses answered a push/pull; a text that is no address counts as silent."""
        return _count([maybeDeferred(self._attempt, text, list) for text in texts])

    def ended(self, request_id: int, *, answered: bool) -> None:
        """The push/pull of this id is over."""
        waiter = self._waiting.pop(request_id, None)
        if waiter is not None:
            waiter.callback(int(answered))

    def stop(self) -> None:
        """No lookup is under way, and no new push/pull begins."""
        self._stopped = True
        for lookup in list(self._lookups):
            lookup.cancel()

    def _attempt(self, text: str, choose: Choose) -> Deferred[int]:
        """One push/pull with each chosen address of a host; fires with how many answered."""
        host, port = split_host_port(text, GOSSIP_PORT_DEFAULT)
        lookup = self._resolver.resolve(host)
        self._lookups.append(lookup)

        def found(hosts: list[str]) -> Deferred[int]:
            self._lookups.remove(lookup)
            addresses = choose([(host, port) for host in hosts])
            answers = _count([self._push_pull(address) for address in ([] if self._stopped else addresses)])
            self._changed()
            return answers

        return lookup.addCallback(found)

    def _push_pull(self, address: Address) -> Deferred[int]:
        answered: Deferred[int] = Deferred()
        self._waiting[self._begin(address)] = answered
        return answered

    def _dialled(self, result: int | Failure, target: str) -> None:
        if isinstance(result, Failure):
            self._log.failure("dialling {target} failed, and goes on", result, target=target)
        elif result:
            self._log.info("joined by {target}", target=target)
        self._dialler.over(target, self._reactor.seconds())
        self._changed()


def _count(attempts: list[Deferred[int]]) -> Deferred[int]:
    """Fires with the sum of what the attempts come to; one that fails counts as nothing."""
    results: Deferred[list[tuple[bool, int]]] = DeferredList(attempts, consumeErrors=True)
    return results.addCallback(lambda pairs: sum(count for success, count in pairs if success))
