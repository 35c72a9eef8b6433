"""The keeper: keeps the journal in step with what this node learns beside its own writes.

Learnt states, the peers that are known, and the Lamport clocks are journalled behind: a crash may lose the last of
them, and the cluster tells them again. It must not know how any of it was learnt.
"""

from itertools import islice

from twisted.application.service import Service
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from onevalue.journal import PEERS_MAX, IJournal, LamportClocks, Peer
from onevalue.membership import IMembership, Member, Status
from onevalue.spread.contacts import HTTP_TAG
from onevalue.store import Change, Source, Store

CLOCKS_INTERVAL_S = 0.5
"""How often the clocks are looked at. Serf's snapshot does the same (wire README 5.14)."""


class Keeper(Service):
    """Observes store and membership for the journal."""

    log = Logger()

    def __init__(self, *, reactor: IReactorTime, store: Store, membership: IMembership, journal: IJournal) -> None:
        self._store = store
        self._membership = membership
        self._journal = journal
        self._clocks: tuple[int, int, int] | None = None
        self._peers = {peer.name: peer for peer in journal.contents.peers}
        self._seen: dict[str, Member] = {}  # the members at the last look
        self._looking = LoopingCall(self._look)
        self._looking.clock = reactor

    def startService(self) -> None:
        """From now on the journal follows."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's has no types
        self._store.observe(self._learnt)
        self._membership.observe_members(self._members_changed)
        self._looking.start(CLOCKS_INTERVAL_S, now=False).addErrback(self._failed)

    def stopService(self) -> None:
        """The peers stay as they were; learnt states are kept on.

        To be stopped before this node leaves: members that leave at the same time are whom to look for at the next
        start. `keep_clocks` is to be called after that.
        """
        super().stopService()  # type: ignore[no-untyped-call]  # Twisted's has no types
        if self._looking.running:
            self._looking.stop()
        self.keep_clocks()

    def keep_clocks(self) -> None:
        """The present clocks are handed to the journal.

        Once more after this node has left: its next join intent must be later than its leave intent.
        """
        self._look()

    def _learnt(self, change: Change) -> None:
        if change.source is not Source.SET:  # own writes are durable before they are visible
            self._journal.learn(change.new, change.source)

    def _members_changed(self) -> None:
        if not self.running:
            return
        others = [m for m in self._membership.members() if m.name != self._membership.local_name]
        others += self._membership.lost()
        seen = {member.name: member for member in others}
        # Who left on purpose is no peer to look for; who failed is, however long ago. Peers of the last run stay until
        # they are seen, behind those who were; who is forgotten after that is none either.
        peers = {m.name: self._peer(m) for m in islice((m for m in others if m.status is not Status.LEFT), PEERS_MAX)}
        known = {**self._seen, **seen}
        peers |= {name: peer for name, peer in self._peers.items() if name not in known}
        self._seen = seen
        if peers != self._peers:
            self._peers = peers
            self._journal.save_peers(list(peers.values()))

    def _peer(self, member: Member) -> Peer:
        """The same as before for a member that has not changed: there may be thousands."""
        peer = self._peers.get(member.name)
        if peer is not None and self._seen.get(member.name) is member:
            return peer
        known = "" if peer is None else peer.http  # a node beside an agent takes its tag away when it stops
        return Peer(member.name, member.address, member.port, member.tags.get(HTTP_TAG, known))

    def _look(self) -> None:
        try:
            clocks = self._membership.clocks()
            if clocks != self._clocks:
                self._clocks = clocks
                self._journal.save_clocks(LamportClocks(*clocks))
        except Exception:  # noqa: BLE001  # a LoopingCall ends for good at its first error
            self._failed(Failure())

    def _failed(self, failure: Failure) -> None:
        self.log.failure("keeping the clocks failed, and goes on", failure)
