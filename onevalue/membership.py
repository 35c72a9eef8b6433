"""What the rest of the node sees of the membership engine: the members, and a way to tell them something.

Two engines stand behind it: `gossip`, embedded (the default), and `agent`, an external Serf agent.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from twisted.application.service import IService
from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from onevalue.histogram import Histogram
from onevalue.member import Happening, KeyResult, Member, QueryRequest, QueryResult, Status, UserEvent

__all__ = [
    "EngineFigures",
    "Happening",
    "IEngine",
    "IMembership",
    "KeyResult",
    "Member",
    "QueryRequest",
    "QueryResult",
    "Status",
    "UserEvent",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFigures:
    """What an engine has measured, for metrics; an engine leaves out what it does not know.

    Attributes:
        health_score: how slow this node seems to itself, 0 is best.
        counters: since the start, by name.
        queues: how many messages wait, by queue.
        packets: direction (in, out), kind, packets, and bytes of UDP payload, since the start.
        round_trips: seconds from a direct ping to its ack.
        agent_connected: the external agent is there; None: there is none.
    """

    health_score: int | None = None
    counters: Mapping[str, int] = field(default_factory=dict)
    queues: Mapping[str, int] = field(default_factory=dict)
    packets: Sequence[tuple[str, str, int, int]] = ()
    round_trips: Histogram | None = None
    agent_connected: bool | None = None


class IMembership(Interface):
    """The engine. All calls are made on the reactor's thread."""

    local_name: str = Attribute("The name of this node.")

    def members() -> Sequence[Member]:
        """All members that are remembered, this node among them, sorted by name."""

    def lost() -> Sequence[Member]:
        """Who is no member any more, and is still looked for; all of them as failed."""

    def last_contact_s() -> float | None:
        """How long ago any other member was heard, seconds; None when there is no other."""

    def exchanged(name: str) -> None:
        """This member has answered over HTTP just now: an engine that does not hear members itself takes note."""

    def trouble() -> str | None:
        """Why the engine cannot do its work now, a sentence; None: it can."""

    def observe_members(observer: Callable[[], None]) -> None:
        """`observer` is called after each change of the members. It must not raise."""

    def observe_events(observer: Callable[[Sequence[UserEvent]], None]) -> None:
        """`observer` gets user events as they arrive: one as gossip, those of one push/pull together."""

    def observe_happenings(observer: Callable[[Happening], None]) -> None:
        """`observer` gets what people may want to know of the members, as it happens. It must not raise."""

    def observe_addresses_tried(observer: Callable[[bool], None]) -> None:
        """`observer` is called once, when each join address was dialled at least once; at once if that is so.

        It is told True if all of them are this node's own, so that there is nobody to ask.
        """

    def send_value_event(payload: bytes, direct: Sequence[Member]) -> None:
        """A value event of this node travels: at once straight to `direct`, and in the one value slot of gossip."""

    def relay_value_event(raw: bytes, direct: Sequence[Member]) -> None:
        """The value event of another node travels on, as the same bytes."""

    def copy_value_event(direct: Sequence[Member]) -> None:
        """The newest value event, sent or relayed, goes straight to some more members."""

    def send_event(name: str, payload: bytes, coalesce: bool) -> Deferred[None]:
        """Fires when a user event of this node travels by gossip.

        Fails with LocalProtocolError: it is too large, and nothing was sent.
        """

    def query(request: QueryRequest) -> Deferred[QueryResult]:
        """Fires when all whom it concerns have answered, or its time is up. Cancelling it ends it.

        Raises, or fails with, LocalProtocolError: it is too large, or something in it is wrong; nothing was sent.
        """

    def answer_query(name: str, answer: Callable[[bytes], bytes]) -> None:
        """Queries of this name are answered with what `answer` makes of their payload. It must not raise."""

    def change_keys(action: str, key: bytes, relay_factor: int) -> Deferred[KeyResult]:
        """All members install, use, remove or list (the action) keys; fires when all have answered, or after a time.

        Raises, or fails with, LocalProtocolError: it cannot be asked; nothing was sent.
        """

    def force_leave(name: str, prune: bool) -> Deferred[None]:
        """Fires when a member that failed counts as left; with `prune` it is forgotten.

        Fails with LocalProtocolError: it is this node, or it cannot be done now.
        """

    def rtt_s(one: str, other: str) -> float | None:
        """The estimated round trip between two members, seconds; None while too little is known."""

    def join(addresses: Sequence[str]) -> Deferred[int]:
        """Fires with how many of the addresses answered a push/pull."""

    def clocks() -> tuple[int, int, int]:
        """Lamport times to go on from after a restart: member, event, query."""

    def status() -> Mapping[str, object]:
        """What /v1/status shows of the engine: counters, queue lengths, health."""

    def figures() -> EngineFigures:
        """What metrics show of the engine."""


class IEngine(IMembership, IService):
    """What brings the membership about: a service, which is a member from its start to its stop."""

    def exposure() -> Sequence[str]:
        """A sentence for each thing that it leaves open to other hosts, beside what the node's own options do."""
