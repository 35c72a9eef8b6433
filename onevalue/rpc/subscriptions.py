"""Streams: what the engine tells goes to the clients whose filters let it through, as records of the RPC.

The engine is listened to while there is a stream. A record is encoded once for all. It must not know connections.

DEPARTURE (uncoalesced): Serf collects events for a second or more, and tells several members in one record, and of user
events of one name that may coalesce the newest only.
"""

from collections.abc import Callable
from functools import partial

from onevalue.rpc.eventfilter import EventFilter
from onevalue.rpc.memberlist import rpc_member
from onevalue.rpc.session import Session, Stop
from onevalue.serf import events as told
from onevalue.serf.answering import ReceivedQuery
from onevalue.serf_side import Heard, SerfSide
from onevalue.wire.rpc_codec import encode_record
from onevalue.wire.rpc_messages import QUERY, USER, StreamRecord
from onevalue.wire.serf_messages import UserEventMessage

MemberEvent = told.MemberJoin | told.MemberLeave | told.MemberFailed | told.MemberUpdate | told.MemberReap

_KINDS: dict[type, str] = {
    told.MemberJoin: "member-join",
    told.MemberLeave: "member-leave",
    told.MemberFailed: "member-failed",
    told.MemberUpdate: "member-update",
    told.MemberReap: "member-reap",
}


class Subscriptions:
    """All streams of all clients; each client bounds its own.

    Args:
        side: the engine.
    """

    def __init__(self, side: SerfSide) -> None:
        self._side = side
        self._streams: dict[object, tuple[EventFilter, Session, int]] = {}
        self._stop_listening: Stop | None = None

    def __len__(self) -> int:
        return len(self._streams)

    def begin(self, wanted: EventFilter, session: Session, seq: int) -> Stop:
        """The client is told of all events that the filter lets through, until the function that this returns."""
        key = object()
        self._streams[key] = (wanted, session, seq)
        if self._stop_listening is None:
            self._stop_listening = self._side.observe(self._hear)
        return partial(self._end, key)

    def _end(self, key: object) -> None:
        self._streams.pop(key, None)
        if not self._streams and self._stop_listening is not None:
            self._stop_listening()
            self._stop_listening = None

    def _hear(self, heard: Heard) -> None:
        match heard:
            case UserEventMessage():
                self._tell(USER, heard.name, lambda: user_record(heard))
            case told.QueryReceived(received):
                self._tell_query(received)
            case told.MemberJoin() | told.MemberLeave() | told.MemberFailed() | told.MemberUpdate() | told.MemberReap():
                versions = self._side.versions(heard.member.name)
                self._tell(_KINDS[type(heard)], "", lambda: member_record(heard, versions))
            case _:
                pass  # nothing that Serf's streams have

    def _tell(self, kind: str, name: str, make: Callable[[], bytes]) -> None:
        wanting = self._wanting(kind, name)
        record = make() if wanting else b""
        for session, seq in wanting:
            session.tell(seq, record)

    def _tell_query(self, received: ReceivedQuery) -> None:
        for session, seq in self._wanting(QUERY, received.name):
            session.tell(seq, query_record(received, session.receive(received)))

    def _wanting(self, kind: str, name: str) -> list[tuple[Session, int]]:
        return [(session, seq) for wanted, session, seq in self._streams.values() if wanted.wants(kind, name)]


def user_record(message: UserEventMessage) -> bytes:
    """The body of the record of a user event."""
    return encode_record(
        StreamRecord(USER, ltime=message.ltime, name=message.name, payload=message.payload, coalesce=message.coalesce)
    )


def query_record(received: ReceivedQuery, number: int) -> bytes:
    """The body of the record of a query, which a client may answer under this id."""
    query = received.query
    return encode_record(
        StreamRecord(QUERY, query_id=number, ltime=query.ltime, name=query.name, payload=query.payload)
    )


def member_record(event: MemberEvent, versions: bytes) -> bytes:
    """The body of the record of what happened to a member."""
    return encode_record(StreamRecord(_KINDS[type(event)], members=(rpc_member(event.member, versions),)))
