"""The engine beside a Serf agent: the agent's members and events, as an IMembership.

The agent gossips; this engine sees to it that the agent tells others where this node serves HTTP, listens, and looks
again and again whether what it knows is still so. While the agent is away it shows the members last known, if need be
those of the last run. What an agent cannot do is left out: nothing goes straight to members. It must not know how
requests travel.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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

from onevalue.addresses import host_port, is_loopback
from onevalue.agent.asking import Asking
from onevalue.agent.connection import AgentConnection
from onevalue.agent.link import AgentLink
from onevalue.agent.rejoining import Rejoining
from onevalue.agent.stats import AgentStats, read_stats
from onevalue.agent.tagging import OwnTag
from onevalue.agent.views import REAP, AgentMembers
from onevalue.authfile import AuthFile
from onevalue.errors import AgentError, AwayError, LocalProtocolError
from onevalue.loglines import LimitedLog, shown
from onevalue.member import Happening, KeyResult, Member, QueryRequest, QueryResult, Status, UserEvent, count_by_status
from onevalue.membership import EngineFigures, IEngine
from onevalue.observers import Observed, Observers
from onevalue.spread.contacts import HTTP_TAG
from onevalue.spread.rumour import EVENT_NAME
from onevalue.streams import Reactor
from onevalue.telling import Telling
from onevalue.types import Rng
from onevalue.wire import rpc_messages as rpc

POLL_S: Final = 2.0
"""Between two looks at the agent's figures, which also tell whether it is still there."""

RENEW_S: Final = 60.0
"""Between two looks at all members, where the figures show no difference before."""

PAYLOAD_SHOWN_MAX: Final = 128
"""Bytes of a user event's payload in one line."""

STOP_TIME_MAX_S: Final = 2.0
"""How long an agent has to take the tag away when this node stops."""


@implementer(IEngine)
class AgentEngine(Observed, Service):
    """Membership by the agent at `at`.

    Args:
        reactor: clock and threads.
        name: of this node, which must be the agent's.
        endpoint: the agent's RPC.
        at: the same for people.
        auth_file: with the agent's key; None: it has none.
        http_tag: what the tag says for a node at this address.
        rng: chance.
        peers: members of an earlier run, who count until the agent has told of its own.
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
        auth_file: AuthFile | None,
        http_tag: Callable[[str], str],
        rng: Rng,
        peers: Sequence[Member] = (),
        clocks: tuple[int, int, int] = (0, 0, 0),
    ) -> None:
        self.local_name = name
        self._reactor = reactor
        self._at = at
        self._demands_key = auth_file is not None
        self._clocks = clocks
        self._lines = LimitedLog(self.log, reactor.seconds)
        self._link = AgentLink(
            reactor=reactor,
            endpoint=endpoint,
            auth_key=lambda: None if auth_file is None else auth_file.read(),
            begin=self._begin,
            hold=self._hold,
            changed=self._link_changed,
            ended=self._connection_ended,
        )
        self._tag = OwnTag(http_tag, reactor.seconds, self.log)
        self._asking = Asking(self._link, reactor.seconds)
        self._members = AgentMembers(name, peers)
        self._rejoining = Rejoining(rng)
        self._rejoining.notice(self._others())
        self._stats = AgentStats()
        self._renewed_at = float("-inf")
        self._heard_at: float | None = None
        self._connections = 0
        self._observers = Observers(self._guarded)
        self._telling = Telling(reactor, lambda: len(self._members), lambda: self._observers.of_members)
        self._answers: dict[str, Callable[[bytes], bytes]] = {}

    # The service ----------------------------------------------------------------------------------------------------

    def startService(self) -> None:
        """The agent is tried from now on, for ever; until it is there, the others are those of the last run."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's has no types
        self._members_changed()
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
        """See IMembership: those whom an agent that knows nobody is asked to join."""
        return self._rejoining.lost(self._others())

    def last_contact_s(self) -> float | None:
        """See IMembership."""
        return None if self._heard_at is None else max(0.0, self._reactor.seconds() - self._heard_at)

    def exchanged(self, name: str) -> None:  # noqa: ARG002  # whoever it was, this node is not alone
        """See IMembership."""
        self._heard_at = self._reactor.seconds()

    def trouble(self) -> str | None:
        """See IMembership."""
        if self._link.why_away is None:
            return self._tag.trouble
        why = self._link.why_away.rstrip(".")
        return f"The Serf agent at {self._at} is away: {why}. The members are those last known."

    def exposure(self) -> list[str]:
        """See IEngine: what the agent leaves open, as far as is known."""
        own = self._members.told(self.local_name)
        if own is None or is_loopback(own.address):
            return []
        sentences = []
        if self._stats.encrypted is False:
            gossip = f"the gossip of the Serf agent at {host_port(own.address, own.port)}"
            sentences.append(f"{gossip} is not encrypted: whoever reaches it can join, and write the value")
        if not self._demands_key and not is_loopback(self._at.rpartition(":")[0].strip("[]")):
            sentences.append(f"the RPC of the Serf agent at {self._at} needs no key: whoever reaches it has it in hand")
        return sentences

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
        await self._look(connection)
        await connection.follow("stream", rpc.Stream("*"), partial(self._told, connection))
        await self._renew(connection)
        self._tag.begin()
        await self._keep_tag(connection)
        self._connections += 1
        self._note_contact()

    async def _hold(self, connection: AgentConnection) -> None:
        while True:
            await deferLater(self._reactor, POLL_S, lambda: None)
            stats = await self._look(connection)
            if stats.counts != self._counts() or self._reactor.seconds() >= self._renewed_at + RENEW_S:
                await self._renew(connection)
            self._note_contact()
            await self._keep_tag(connection)
            self._rejoin()

    async def _look(self, connection: AgentConnection) -> AgentStats:
        """The agent's figures are known. Raises AgentError: it is that of another node."""
        stats = read_stats(await connection.request("stats"))
        if stats.name != self.local_name:
            raise AgentError(
                f"it calls itself {stats.name}, and this node is {self.local_name}: start this node with --name "
                f"{stats.name}, or give it the agent of its own host"
            )
        self._stats = stats
        self._clocks = tuple(map(max, self._clocks, stats.clocks))  # type: ignore[assignment]  # of three, both
        return stats

    def _note_contact(self) -> None:
        """Whom the agent takes for present it has heard."""
        if any(member.is_present for member in self._others()):
            self._heard_at = self._reactor.seconds()

    async def _renew(self, connection: AgentConnection) -> None:
        told: rpc.Members = await connection.request("members")
        self._renewed_at = self._reactor.seconds()
        if self._members.replace(told.members):
            self._members_changed()

    def _members_changed(self) -> None:
        """Observers are told; the first time that there are others, also whoever waits for that.

        For this engine that is when all addresses were tried: an agent that shows no others may not have joined yet, so
        a node alone waits for the join timeout.
        """
        self._telling.changed()
        if self._others() and not self._observers.know_of_addresses:
            self._telling.tell_now()  # first whom the agent has shown
            self._observers.tell_addresses_tried(nobody_else=False)

    async def _keep_tag(self, connection: AgentConnection) -> None:
        own, before = self._members.told(self.local_name), self._tag.trouble
        if own is not None and self.running:
            await self._tag.keep(connection, own)
        if self._tag.trouble not in {None, before}:
            self._tell_happenings([Happening("agent-away", str(self._tag.trouble))])

    def _rejoin(self) -> None:
        """An agent that has come back without its cluster is asked to join members that this node knew before."""
        addresses = self._rejoining.look(self._others(), self._reactor.seconds())
        if addresses:
            self.log.info("the agent has lost its cluster: it is asked to join {them}", them=", ".join(addresses))
            self.join(addresses).addErrback(lambda failure: failure.trap(LocalProtocolError) and None)

    def _connection_ended(self) -> None:
        self._asking.give_up("the agent is away")
        self._rejoining.notice(self._others())  # it may come back without them

    def _link_changed(self) -> None:
        trouble = None if self._link.why_away is None else self.trouble()
        if trouble is not None:
            self.log.error("{trouble}", trouble=trouble)
            self._tell_happenings([Happening("agent-away", trouble)])
        else:
            there = f"the Serf agent at {self._at} is there, with {len(self._members)} members"
            self.log.info("{there}", there=there)
            self._tell_happenings([Happening("agent", there)])
            for sentence in self.exposure():
                self.log.emit(LogLevel.warn, "{sentence}", sentence=sentence)
        self._telling.changed()

    # What the agent tells ---------------------------------------------------------------------------------------------

    def _told(self, connection: AgentConnection, record: rpc.StreamRecord) -> None:
        """A record of the stream. Raises RemoteProtocolError, and then the agent counts as away."""
        if record.event == rpc.USER:
            event = UserEvent(record.name, record.payload, b"", relay_wanted=False)  # the agent relays
            if record.name != EVENT_NAME:
                payload = shown(record.payload[:PAYLOAD_SHOWN_MAX].decode(errors="replace"))
                line = f"user event {shown(record.name)} at {record.ltime}: {payload}"
                self._tell_happenings([Happening("event", line)], log=True)
            self._observers.tell_events([event])
        elif record.event == rpc.QUERY:
            answer = self._answers.get(record.name)
            if answer is not None:
                answered = connection.request("respond", rpc.Respond(record.query_id, answer(record.payload)))
                answered.addErrback(self._not_sent)
        elif record.event in rpc.MEMBER_EVENTS:
            self._tell_happenings(self._members.apply(record), log=True)
            if record.event == REAP:
                for member in record.members:
                    self._rejoining.forget(member.name)
            self._members_changed()

    def _tell_happenings(self, happenings: Iterable[Happening], *, log: bool = False) -> None:
        """Whoever looks is told, within the bound of a turn; with `log` the log too, within its own."""
        self._observers.begin_turn()
        for happening in happenings:
            if log:
                self._lines.info("{what}", what=happening.text)
            self._observers.tell_happenings(partial(list, [happening]))

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
        """An event or an answer has not gone: anti-entropy, or who asks again, has to do."""
        failure.trap(AgentError, LocalProtocolError)
        if not failure.check(AwayError):  # of that all was said
            self._lines.info("the agent did not take an event or an answer: {why}", why=failure.getErrorMessage())

    def _not_untagged(self, failure: Failure) -> Any:
        why = failure.getErrorMessage()
        self.log.info("the agent could not be told that this node stops: {why}", why=why)
