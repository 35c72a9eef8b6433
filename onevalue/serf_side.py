"""What tools for Serf want of the embedded engine beyond IMembership, in Serf's own terms; a thin object.

Members with their versions, all that the core tells, queries whose acks and answers come one by one, tags, coordinates,
and keys as they are. It must not know who uses it, nor how any of it is shown.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial

from twisted.internet.defer import Deferred

from onevalue.errors import LocalProtocolError
from onevalue.inquiries import Inquiries
from onevalue.joiner import Errors, Joiner
from onevalue.serf import events as told
from onevalue.serf.answering import ReceivedQuery
from onevalue.serf.asking import Question
from onevalue.serf.core import Serf
from onevalue.serf.keys import KeyAction
from onevalue.serf.members import MemberStatus, SerfMember
from onevalue.spread.contacts import HTTP_TAG
from onevalue.streams import Reactor
from onevalue.wire.coordinates import Coordinate
from onevalue.wire.serf_codec import decode_serf
from onevalue.wire.serf_messages import UserEventMessage

Heard = UserEventMessage | told.SerfEvent
"""What observers get: user events, own ones too, each as its message; of all else what the core tells."""

QueryNews = told.QueryAcked | told.QueryAnswered | told.QueryDone


@dataclass(frozen=True, slots=True)
class Joined:
    """How many addresses answered a push/pull, and why others did not: texts and reasons."""

    count: int
    errors: Sequence[tuple[str, str]]


class SerfSide:
    """One node of a Serf cluster, as Serf's own tools see one.

    Args:
        reactor: clock.
        serf: the core.
        drain: what the core has to send is sent.
        joiner: joins.
        inquiries: requests about keys.
        guarded: what is done within it may fail: that is logged with these words, and goes no further.
    """

    def __init__(
        self,
        *,
        reactor: Reactor,
        serf: Serf,
        drain: Callable[[], None],
        joiner: Joiner,
        inquiries: Inquiries,
        guarded: Callable[[str], AbstractContextManager[None]],
    ) -> None:
        self.name = serf.name
        self._reactor = reactor
        self._serf = serf
        self._drain = drain
        self._joiner = joiner
        self._inquiries = inquiries
        self._guarded = guarded
        self._observers: dict[object, Callable[[Heard], None]] = {}
        self._queries: dict[int, Callable[[QueryNews], None]] = {}
        self._joins_without_replay = 0

    # Members

    def members(self) -> Sequence[SerfMember]:
        """All that are remembered, this node among them, sorted by name."""
        return self._serf.members()

    def versions(self, name: str) -> bytes:
        """Six bytes, see Serf."""
        return self._serf.versions(name)

    def coordinate(self, name: str) -> Coordinate | None:
        """Where a member stands; None while nothing is known of that."""
        return self._serf.places.of(name)

    @property
    def tags(self) -> Mapping[str, str]:
        """Of this node; none before it has started."""
        own = self._serf.member(self.name)
        return {} if own is None else own.tags

    def change_tags(self, sets: Mapping[str, str], deletes: Iterable[str]) -> None:
        """This node has none of the tags `deletes`, and then those of `sets`, until it ends, and tells all members.

        DEPARTURE (own-tag): Serf has no tag of its own.

        Raises:
            LocalProtocolError: one of them is the node's own tag, or has no name; or they are too long together.
                Nothing changed.
        """
        deletes = list(deletes)
        if HTTP_TAG in sets or HTTP_TAG in deletes:
            raise LocalProtocolError(f"the tag {HTTP_TAG!r} is set by the node itself, and stays as it is")
        if "" in sets:
            raise LocalProtocolError("a tag must have a name")
        kept = {key: value for key, value in self.tags.items() if key not in deletes}
        self._serf.update_tags({**kept, **sets}, self._reactor.seconds())
        self._drain()

    def force_leave(self, name: str, *, prune: bool) -> None:
        """See IMembership."""
        self._serf.force_leave(name, prune=prune, now=self._reactor.seconds())
        self._drain()

    def join(self, texts: Sequence[str], *, replay: bool) -> Deferred[Joined]:
        """Fires with what came of a push/pull with each address.

        Without `replay`, observers are told of no user event that a push/pull brings until then.
        """
        self._joins_without_replay += not replay

        def over(outcomes: list[Errors]) -> Joined:
            self._joins_without_replay -= not replay
            pairs = [(text, error) for text, errors in zip(texts, outcomes, strict=True) for error in errors]
            failed = [(text, error) for text, error in pairs if error is not None]
            return Joined(len(pairs) - len(failed), failed)

        return self._joiner.outcomes(texts).addCallback(over)

    # User events

    def send_event(self, name: str, payload: bytes, *, coalesce: bool) -> None:
        """A user event of this node travels. Raises LocalProtocolError when it is too large."""
        self.sent(self._serf.user_event(name, payload, coalesce=coalesce, now=self._reactor.seconds()))
        self._drain()

    def sent(self, raw: bytes) -> bytes:
        """Observers know of an own user event, of which the core tells nothing; returns its message."""
        self._tell_user_events([raw])
        return raw

    def observe(self, observer: Callable[[Heard], None]) -> Callable[[], None]:
        """`observer` gets all that is heard, as it happens, until the function that this returns is called."""
        key = object()
        self._observers[key] = observer
        return lambda: self._observers.pop(key, None) and None

    def hear(self, event: told.SerfEvent) -> None:
        """The core tells this; observers are told, and those who have asked a query. Never raises."""
        match event:
            case told.UserEvents(events):
                new = [each.raw for each in events if not (each.by_push_pull and self._joins_without_replay)]
                self._tell_user_events(new)
            case told.QueryAcked() | told.QueryAnswered() | told.QueryDone():
                self._tell_of_query(event)
            case _:
                self._tell(event)

    # Queries

    def ask(self, question: Question, tell: Callable[[QueryNews], None]) -> Callable[[], None]:
        """The query is under way; `tell` hears what comes, QueryDone last, and some of it perhaps before this returns.

        Returns what ends it; then `tell` hears no more.

        Raises:
            LocalProtocolError, BusyError: see `Asking.ask`; nothing was sent.
        """
        request_id = self._serf.ask(question, self._reactor.seconds())
        self._queries[request_id] = tell
        self._drain()
        return partial(self._end_query, request_id)

    def respond(self, received: ReceivedQuery, payload: bytes) -> None:
        """The answer to a query is on its way, unless it is too late. Raises LocalProtocolError if it is too long."""
        self._serf.respond(received, payload, self._reactor.seconds())
        self._drain()

    def ask_about_keys(self, action: KeyAction, key: bytes = b"") -> Deferred[told.KeyOutcome]:
        """All members do this with their keys; fires when all have answered, or after a time.

        Raises:
            BusyError: too many such requests are under way; nothing was sent.
        """
        return self._inquiries.ask_about_keys(action, key, 0)

    # Figures

    def stats(self) -> dict[str, str]:
        """What `serf info` shows of Serf, under its names, but for `encrypted`."""
        serf, queues, clocks = self._serf, self._serf.queue_lengths, self._serf.clocks
        statuses = [member.status for member in serf.members()]
        numbers = {
            "members": len(statuses),
            "failed": statuses.count(MemberStatus.FAILED),
            "left": statuses.count(MemberStatus.LEFT),
            "health_score": serf.swim.health_score,
            "member_time": clocks.member,
            "event_time": clocks.event,
            "query_time": clocks.query,
            "intent_queue": queues["intents"],
            "event_queue": queues["events"] + queues["urgent"],
            "query_queue": queues["queries"],
            "coordinate_resets": serf.places.resets,
        }
        return {name: str(number) for name, number in numbers.items()}

    # Inside

    def _end_query(self, request_id: int) -> None:
        if self._queries.pop(request_id, None) is not None:
            self._serf.end_query(request_id, self._reactor.seconds())
            self._drain()

    def _tell_of_query(self, news: QueryNews) -> None:
        tell = self._queries.get(news.request_id)
        if isinstance(news, told.QueryDone):
            self._queries.pop(news.request_id, None)
        if tell is not None:
            with self._guarded("telling of a query"):
                tell(news)

    def _tell_user_events(self, raws: Sequence[bytes]) -> None:
        for raw in raws if self._observers else ():
            message = decode_serf(raw)
            assert isinstance(message, UserEventMessage), "the core keeps them apart"
            self._tell(message)

    def _tell(self, heard: Heard) -> None:
        for observer in tuple(self._observers.values()):
            with self._guarded("telling Serf's events"):
                observer(heard)
