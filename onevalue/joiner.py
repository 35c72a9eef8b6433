"""Joining: looks up the addresses that are to be joined, has them dialled, and tells when that is over.

A thin shell between `Dialler`, which decides what is due, and the core, which makes the push/pulls. Each lookup has its
deadline in `resolver`, each push/pull in the core.
"""

from collections.abc import Callable, Sequence
from functools import partial

from twisted.internet.defer import Deferred, DeferredList, gatherResults, maybeDeferred, succeed
from twisted.python.failure import Failure

from onevalue.addresses import split_host_port
from onevalue.config import GOSSIP_PORT_DEFAULT
from onevalue.loglines import LimitedLog
from onevalue.resolver import Resolver
from onevalue.serf.dialler import Dialler
from onevalue.streams import Reactor
from onevalue.types import Address

Errors = list[str | None]
"""What came of some push/pulls: why each was not answered, or None."""

Choose = Callable[[Sequence[Address]], Sequence[Address]]


class Joiner:
    """All attempts of one node to join somebody.

    Args:
        reactor: its clock, resolver and threads.
        dialler: the join addresses.
        lines: for a line when a join address begins to answer, or ceases to.
        begin: a push/pull with an address begins, if a node there has this name, unless that is ""; returns its id, of
            which `ended` is told later.
        changed: called after each step that the rest of the engine must look at.
    """

    def __init__(
        self,
        *,
        reactor: Reactor,
        dialler: Dialler,
        lines: LimitedLog,
        begin: Callable[[Address, str], int],
        changed: Callable[[], None],
    ) -> None:
        self._reactor = reactor
        self._dialler = dialler
        self._lines = lines
        self._resolver = Resolver(reactor)
        self._begin = begin
        self._changed = changed
        self._lookups: list[Deferred[list[str]]] = []
        self._waiting: dict[int, Deferred[Errors]] = {}
        self._answers: dict[str, bool] = {}  # whether each target did the last time, so that the log tells it once
        self._stopped = False

    def dial(self) -> None:
        """An attempt at each join address that is due is under way; the dialler hears when it is over."""
        for target in self._dialler.due(self._reactor.seconds()):
            attempt: Deferred[Errors] = maybeDeferred(self._attempt, target, partial(self._dialler.resolved, target))
            attempt.addBoth(self._dialled, target)

    def join(self, texts: Sequence[str]) -> Deferred[int]:
        """Fires with how many of these addresses answered a push/pull; a text that is no address counts as silent."""
        return self.outcomes(texts).addCallback(lambda outcomes: sum(errors.count(None) for errors in outcomes))

    def outcomes(self, texts: Sequence[str]) -> Deferred[list[Errors]]:
        """Fires with what came of the push/pulls of each text, in their order; of one that is no address, why not."""
        attempts = [maybeDeferred(self._attempt, text, list) for text in texts]
        for attempt in attempts:
            attempt.addErrback(lambda failure: [failure.getErrorMessage()])
        return gatherResults(attempts, consumeErrors=True)

    def ended(self, request_id: int, error: str | None) -> None:
        """The push/pull of this id is over; `error` is None if it was answered."""
        waiter = self._waiting.pop(request_id, None)
        if waiter is not None:
            waiter.callback([error])

    def stop(self) -> None:
        """No lookup is under way, and no new push/pull begins."""
        self._stopped = True
        for lookup in list(self._lookups):
            lookup.cancel()

    def _attempt(self, text: str, choose: Choose) -> Deferred[Errors]:
        """One push/pull with each chosen address of a host, or `NAME/HOST`; fires with what came of them."""
        name, _, where = text.rpartition("/")
        host, port = split_host_port(where, GOSSIP_PORT_DEFAULT)
        lookup = self._resolver.resolve(host)
        self._lookups.append(lookup)

        def found(hosts: list[str]) -> Deferred[Errors]:
            self._lookups.remove(lookup)
            addresses = choose([(host, port) for host in hosts])
            answers = _gathered([self._push_pull(address, name) for address in ([] if self._stopped else addresses)])
            self._changed()
            return answers if hosts else succeed(["its name has no address"])

        return lookup.addCallback(found)

    def _push_pull(self, address: Address, name: str) -> Deferred[Errors]:
        answered: Deferred[Errors] = Deferred()
        self._waiting[self._begin(address, name)] = answered
        return answered

    def _dialled(self, result: Errors | Failure, target: str) -> None:
        if isinstance(result, Failure):
            self._lines.failure("dialling {target} failed, and goes on", result, target=target)
        elif result and not self._stopped:  # nothing was dialled at the addresses of this node itself
            self._tell(target, result)
        self._dialler.over(target, self._reactor.seconds())
        self._changed()

    def _tell(self, target: str, errors: Errors) -> None:
        answers = None in errors
        if answers == self._answers.get(target):
            return
        self._answers[target] = answers
        if answers:
            self._lines.info("joined at {target}", target=target)
        else:
            line = "nobody to join at {target} yet, dialling it again and again: {reason}"
            self._lines.info(line, target=target, reason=errors[0])


def _gathered(attempts: list[Deferred[Errors]]) -> Deferred[Errors]:
    """Fires with what came of all push/pulls of the attempts; an attempt that fails had none."""
    results: Deferred[list[tuple[bool, Errors]]] = DeferredList(attempts, consumeErrors=True)
    return results.addCallback(lambda pairs: [error for success, errors in pairs if success for error in errors])
