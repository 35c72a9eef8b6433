"""The engine beside a Serf agent: the agent's members and events, as an IMembership.

The agent gossips; this engine sees to it that the agent tells others where this node serves HTTP, listens, and looks
again and again whether what it knows is still so. While the agent is away it shows the members last known. What an
agent cannot do is left out: nothing goes straight to members. It must not know how requests travel.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import deferLater
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure
from zope.interface import implementer

from onevalue.addresses import host_port
from onevalue.agent.asking import Asking
from onevalue.agent.connection import AgentConnection
from onevalue.agent.link import AgentLink
from onevalue.agent.stats import AgentStats, read_stats
from onevalue.agent.views import AgentMembers
from onevalue.errors import AgentError, AwayError, LocalProtocolError
from onevalue.loglines import LimitedLog, shown
from onevalue.member import Happening, KeyResult, Member, QueryRequest, QueryResult, Status, UserEvent, count_by_status
from onevalue.membership import EngineFigures, IEngine
from onevalue.observers import Observers
from onevalue.spread.contacts import HTTP_TAG, UNREACHABLE
from onevalue.spread.rumour import EVENT_NAME
from onevalue.streams import Reactor
from onevalue.telling import Telling
from onevalue.wire import rpc_messages as rpc

POLL_S: Final = 2.0
"""Between two looks at the agent's figures, which also tell whether it is still there."""

RENEW_S: Final = 60.0
"""Between two looks at all members, where the figures show no difference before."""

TAG_PATIENCE_S: Final = 10.0
"""How long an agent may take to tell of its new tag, before it is told again."""

REJOIN_AFTER_S: Final = 10.0
"""An agent that has lost all members it had, and knows nobody for so long, is asked to join some of them again."""

REJOIN_PAUSE_S: Final = 30.0
REJOIN_MAX: Final = 3
"""So many members it is asked to join at once."""

PAYLOAD_SHOWN_MAX: Final = 128
"""Bytes of a user event's payload in one line."""

STOP_TIME_MAX_S: Final = 2.0
"""How long an agent has to take the tag away when this node stops."""


@implementer(IEngine)
class AgentEngine(Service):
    """Membership by the agent at `at`.

    Args:
        reactor: clock and threads.
        name: of this node, which must be the agent's.
        endpoint: the agent's RPC.
        at: the same for people.
        auth_key: of the agent; None: it has none.
        http_tag: what the tag says for a node at this address.
        clocks: Lamport times to begin with, before the agent has told its own.
    """

    log = Logger()

    def __init__(
        self,
        *,
        reactor: Reactor,
        name: str,
        endpoint: IStreamClientEndpoint,
        at: str,
        auth_key: str | None,
        http_tag: Callable[[str], str],
        clocks: tuple[int, int, int] = (0, 0, 0),
    ) -> None:
        self.local_name = name
        self._reactor = reactor
        self._at = at
        self._http_tag = http_tag
        self._clocks = clocks
        self._lines = LimitedLog(self.log, reactor.seconds)
        self._link = AgentLink(
            reactor=reactor,
            endpoint=endpoint,
            auth_key=auth_key,
            begin=self._begin,
            hold=self._hold,
            changed=self._link_changed,
        )
        self._asking = Asking(self._link, reactor.seconds)
        self._members = AgentMembers()
        self._stats = AgentStats()
        self._renewed_at = self._tagged_at = float("-inf")
        self._told_tag = ""
        self._heard_at: float | None = None
        self._alone_since: float | None = None
        self._last_known: Sequence[str] = ()
        self._connections = 0
        self._observers = Observers(self._guarded)
        self._telling = Telling(reactor, lambda: len(self._members), lambda: self._observers.of_members)
        self._answers: dict[str, Callable[[bytes], bytes]] = {}
        self._tried = False
        self._tried_observers: list[Callable[[bool], None]] = []

    # The service ----------------------------------------------------------------------------------------------------

    def startService(self) -> None:
        """The agent is tried from now on, for ever."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's has no types
        self._link.start()

    def stopService(self) -> Deferred[None]:
        """The agent does not tell of this node any more, if it can be told; fires when no connection is left."""
        super().stopService()  # type: ignore[no-untyped-call]  # Twisted's has no types
        if self._link.is_connected:
            untagged = self._link.request("tags", rpc.Tags({}, (HTTP_TAG,)))
            untagged.addTimeout(STOP_TIME_MAX_S, self._reactor)
        else:
            untagged = succeed(None)
        return untagged.addErrback(self._not_untagged).addCallback(lambda _: self._close())

    def _close(self) -> None:
        self._link.stop()
        self._telling.stop()
        self._asking.give_up("this node is stopping")

    # IMembership: what is known ---------------------------------------------------------------------------------------

    def members(self) -> Sequence[Member]:
        """See IMembership."""
        return self._members.sorted()

    def lost(self) -> Sequence[Member]:
        """See IMembership: whom it looks for is the agent's affair."""
        return ()

    def last_contact_s(self) -> float | None:
        """See IMembership."""
        return None if self._heard_at is None else max(0.0, self._reactor.seconds() - self._heard_at)

    def exchanged(self, name: str) -> None:  # noqa: ARG002  # whoever it was, this node is not alone
        """See IMembership."""
        self._heard_at = self._reactor.seconds()

    def trouble(self) -> str | None:
        """See IMembership."""
        if self._link.why_away is None:
            return None
        why = self._link.why_away.rstrip(".")
        return f"The Serf agent at {self._at} is away: {why}. The members are those last known."

    def rtt_s(self, one: str, other: str) -> float | None:  # noqa: ARG002  # the agent would have to be asked
        """See IMembership: not known here; `serf rtt` tells."""
        return None

    def clocks(self) -> tuple[int, int, int]:
        """See IMembership: the agent's, so that a node that goes over to the embedded engine goes on from there."""
        return self._clocks

    def status(self) -> Mapping[str, object]:
        """See IMembership."""
        return {
            "engine": "agent",
            "agent": self._at,
            "connected": self._link.why_away is None,
            "trouble": self.trouble(),
            "since_s": round(self._reactor.seconds() - self._link.since, 3),
            "connections": self._connections,
            "stats": dict(self._stats.sections),
        }

    def figures(self) -> EngineFigures:
        """See IMembership."""
        return EngineFigures(
            health_score=self._stats.health_score,
            counters={"agent_connections": self._connections},
            queues=self._stats.queues,
            agent_connected=self._link.why_away is None,
        )

    # IMembership: who looks -------------------------------------------------------------------------------------------

    def observe_members(self, observer: Callable[[], None]) -> None:
        """See IMembership."""
        self._observers.observe_members(observer)

    def observe_events(self, observer: Callable[[Sequence[UserEvent]], None]) -> None:
        """See IMembership."""
        self._observers.observe_events(observer)

    def observe_happenings(self, observer: Callable[[Happening], None]) -> None:
        """See IMembership."""
        self._observers.observe_happenings(observer)

    def observe_addresses_tried(self, observer: Callable[[bool], None]) -> None:
        """See IMembership: it is so when the agent has shown other members.

        An agent that shows none may not have joined yet, so a node alone waits for the join timeout.
        """
        if self._tried:
            observer(False)
        else:
            self._tried_observers.append(observer)

    # IMembership: what is wanted --------------------------------------------------------------------------------------

    def send_value_event(self, payload: bytes, direct: Sequence[Member]) -> None:  # noqa: ARG002  # agents only gossip
        """See IMembership. While the agent is away anti-entropy has to do."""
        sent = self._link.request("event", rpc.Event(EVENT_NAME, payload, coalesce=False))
        sent.addErrback(self._not_sent)

    def relay_value_event(self, raw: bytes, direct: Sequence[Member]) -> None:
        """See IMembership: the agent has relayed it."""

    def copy_value_event(self, direct: Sequence[Member]) -> None:
        """See IMembership: an agent only gossips."""

    def send_event(self, name: str, payload: bytes, coalesce: bool) -> Deferred[None]:
        """See IMembership."""
        return self._asking.done("event", rpc.Event(name, payload, coalesce))

    def query(self, request: QueryRequest) -> Deferred[QueryResult]:
        """See IMembership."""
        return self._asking.query(request)

    def answer_query(self, name: str, answer: Callable[[bytes], bytes]) -> None:
        """See IMembership."""
        self._answers[name] = answer

    def change_keys(self, action: str, key: bytes, relay_factor: int) -> Deferred[KeyResult]:  # noqa: ARG002  # see there
        """See IMembership. An agent takes no relay factor from its clients."""
        return self._asking.change_keys(action, key)

    def force_leave(self, name: str, prune: bool) -> Deferred[None]:
        """See IMembership."""
        if name == self.local_name:
            return fail(LocalProtocolError(f"{name!r} is this node; it leaves with its agent: use serf leave"))
        return self._asking.done("force-leave", rpc.ForceLeave(name, prune))

    def join(self, addresses: Sequence[str]) -> Deferred[int]:
        """See IMembership."""
        return self._asking.join(addresses)

    # The link -------------------------------------------------------------------------------------------------------

    async def _begin(self, connection: AgentConnection) -> None:
        """The agent is the right one, will tell of all that happens, its members are known, and it has our tag."""
        stats = await self._look(connection)
        if stats.name != self.local_name:
            raise AgentError(
                f"it calls itself {stats.name}, and this node is {self.local_name}: start this node with --name "
                f"{stats.name}, or give it the agent of its own host"
            )
        await connection.follow("stream", rpc.Stream("*"), partial(self._told, connection))
        await self._renew(connection)
        self._tagged_at = float("-inf")  # an agent that was started anew has forgotten
        await self._keep_tag(connection)
        self._connections += 1
        if not self._tried and self._others():
            self._tried = True
            self._telling.tell_now()  # first whom the agent has shown
            observers, self._tried_observers = self._tried_observers, []
            for observer in observers:
                with self._guarded("telling that there are others"):
                    observer(False)

    async def _hold(self, connection: AgentConnection) -> None:
        while True:
            await deferLater(self._reactor, POLL_S, lambda: None)
            stats = await self._look(connection)
            if stats.counts != self._counts() or self._reactor.seconds() >= self._renewed_at + RENEW_S:
                await self._renew(connection)
            await self._keep_tag(connection)
            self._rejoin()

    async def _look(self, connection: AgentConnection) -> AgentStats:
        self._stats = read_stats(await connection.request("stats"))
        self._clocks = tuple(map(max, self._clocks, self._stats.clocks))  # type: ignore[assignment]  # of three, both
        if any(member.is_present for member in self._others()):
            self._heard_at = self._reactor.seconds()
        return self._stats

    async def _renew(self, connection: AgentConnection) -> None:
        told: rpc.Members = await connection.request("members")
        self._renewed_at = self._reactor.seconds()
        if self._members.replace(told.members):
            self._telling.changed()

    async def _keep_tag(self, connection: AgentConnection) -> None:
        """The agent tells where this node serves HTTP. Raises AgentError if it takes no tag."""
        own, now = self._members.get(self.local_name), self._reactor.seconds()
        if own is None or not self.running:
            return
        tag = self._http_tag(own.address)
        if own.tags.get(HTTP_TAG) == tag or (tag == self._told_tag and now < self._tagged_at + TAG_PATIENCE_S):
            return
        await connection.request("tags", rpc.Tags({HTTP_TAG: tag}))
        if tag == UNREACHABLE and tag != self._told_tag:
            self.log.emit(
                LogLevel.warn,
                "other members cannot reach this node over HTTP: the agent is at {host}, and HTTP is not served there; "
                "see --http",
                host=own.address,
            )
        self._told_tag, self._tagged_at = tag, now

    def _rejoin(self) -> None:
        """An agent that has come back without its cluster is asked to join members that this node knew before."""
        now = self._reactor.seconds()
        missed = [member for member in self._others() if member.status is not Status.LEFT]
        if missed:
            present = [host_port(member.address, member.port) for member in missed if member.is_present]
            self._alone_since, self._last_known = None, present[:REJOIN_MAX] or self._last_known
        elif self._alone_since is None:
            self._alone_since = now
        elif self._last_known and now >= self._alone_since + REJOIN_AFTER_S:
            self._alone_since = now + REJOIN_PAUSE_S - REJOIN_AFTER_S
            addresses = ", ".join(self._last_known)
            self.log.info("the agent has lost its cluster: it is asked to join {addresses}", addresses=addresses)
            self.join(self._last_known).addErrback(lambda failure: failure.trap(AwayError, LocalProtocolError) and None)

    def _link_changed(self) -> None:
        trouble = self.trouble()
        if trouble is not None:
            self._asking.give_up("the agent is away")
            self.log.error("{trouble}", trouble=trouble)
            self._tell_happening(Happening("agent-away", trouble))
        else:
            there = f"the Serf agent at {self._at} is there, with {len(self._members)} members"
            self.log.info("{there}", there=there)
            self._tell_happening(Happening("agent", there))
        self._telling.changed()

    # What the agent tells ---------------------------------------------------------------------------------------------

    def _told(self, connection: AgentConnection, record: rpc.StreamRecord) -> None:
        """A record of the stream. Raises RemoteProtocolError, and then the agent counts as away."""
        if record.event == rpc.USER:
            event = UserEvent(record.name, record.payload, b"", relay_wanted=False)  # the agent relays
            if record.name != EVENT_NAME:
                payload = shown(record.payload[:PAYLOAD_SHOWN_MAX].decode(errors="replace"))
                self._happened(Happening("event", f"user event {shown(record.name)} at {record.ltime}: {payload}"))
            self._observers.tell_events([event])
        elif record.event == rpc.QUERY:
            answer = self._answers.get(record.name)
            if answer is not None:
                answered = connection.request("respond", rpc.Respond(record.query_id, answer(record.payload)))
                answered.addErrback(self._not_sent)
        elif record.event in rpc.MEMBER_EVENTS:
            for happening in self._members.apply(record):
                self._happened(happening)
            self._telling.changed()

    def _happened(self, happening: Happening) -> None:
        """The log and whoever looks are told."""
        self._lines.info("{what}", what=happening.text)
        self._tell_happening(happening)

    def _tell_happening(self, happening: Happening) -> None:
        self._observers.begin_turn()
        self._observers.tell_happenings(lambda: [happening])

    # Small things -----------------------------------------------------------------------------------------------------

    def _others(self) -> list[Member]:
        return [member for member in self._members.sorted() if member.name != self.local_name]

    def _counts(self) -> tuple[int, int, int]:
        counts = count_by_status(self._members.sorted())
        return len(self._members), counts[Status.FAILED], counts[Status.LEFT]

    @contextmanager
    def _guarded(self, what: str) -> Iterator[None]:
        try:
            yield
        except Exception:  # noqa: BLE001  # whoever looks must not harm the engine
            self._lines.failure("{what} failed, and goes on", Failure(), what=what)

    def _not_sent(self, failure: Failure) -> None:
        if failure.check(AgentError):
            self._lines.info("the agent refused it: {why}", why=failure.getErrorMessage())
        else:
            failure.trap(AwayError)  # anti-entropy has to do

    def _not_untagged(self, failure: Failure) -> Any:
        why = failure.getErrorMessage()
        self.log.info("the agent could not be told that this node stops: {why}", why=why)
