"""The debug line: every few seconds the members and the state, as the original program prints them."""

from twisted.application.service import Service
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from onevalue.addresses import host_port
from onevalue.loglines import shown
from onevalue.membership import IMembership
from onevalue.store import Store

MEMBERS_SHOWN_MAX = 20
"""Members named in one line; of a larger cluster the line tells how many more there are."""


class DebugLine(Service):
    """Prints every `interval_s` seconds; never, if that is 0."""

    log = Logger()

    def __init__(self, *, reactor: IReactorTime, store: Store, membership: IMembership, interval_s: float) -> None:
        self._store = store
        self._membership = membership
        self._interval_s = interval_s
        self._printing = LoopingCall(self._print)
        self._printing.clock = reactor

    def startService(self) -> None:
        """The first line comes after one interval."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's has no types
        if self._interval_s:
            self._printing.start(self._interval_s, now=False).addErrback(self._failed)

    def stopService(self) -> None:
        """No more lines."""
        super().stopService()  # type: ignore[no-untyped-call]  # Twisted's has no types
        if self._printing.running:
            self._printing.stop()

    def _print(self) -> None:
        try:
            members = self._membership.members()
            first = members[:MEMBERS_SHOWN_MAX]
            words = [f"{shown(m.name)}@{host_port(m.address, m.port)}={m.status.value}" for m in first]
            if len(members) > len(first):
                words.append(f"and {len(members) - len(first)} more")
            self.log.info("Members: {members}", members=" ".join(words))
            current = self._store.current
            self.log.info("State: Val: {value} Gen: {gen}", value=shown(current.text.decode()), gen=current.generation)
        except Exception:  # noqa: BLE001  # a LoopingCall ends for good at its first error
            self._failed(Failure())

    def _failed(self, failure: Failure) -> None:
        self.log.failure("the debug line failed, and goes on", failure)
