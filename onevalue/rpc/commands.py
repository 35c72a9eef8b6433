"""What each command of the RPC does (wire README 6), once a client may give it. It must not know connections.

A command that is refused changes nothing; the texts of errors are Serf's where clients may look for them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from onevalue.errors import LocalProtocolError
from onevalue.loglines import LimitedLog
from onevalue.rpc.eventfilter import parse_filter
from onevalue.rpc.memberlist import MemberFilter, rpc_member
from onevalue.rpc.monitor import Monitor, level_of
from onevalue.rpc.session import Session, Stop
from onevalue.rpc.subscriptions import Subscriptions
from onevalue.rpc.turns import Turns
from onevalue.serf import events as told
from onevalue.serf.asking import Question
from onevalue.serf.dialler import TARGETS_MAX
from onevalue.serf.keys import KeyAction
from onevalue.serf_side import Joined, QueryNews, SerfSide
from onevalue.spread.rumour import EVENT_NAME
from onevalue.wire import rpc_messages as rpc
from onevalue.wire.internal_queries import NodeFilter, TagFilter
from onevalue.wire.key_text import decode_key
from onevalue.wire.rpc_codec import encode_member, encode_members, encode_record, encode_reply

MEMBERS_PER_STEP: Final = 5
"""Members that are looked at, and encoded, in one step: with hostile expressions that takes its time."""

DONE_PAUSE_S: Final = 0.5
"""From the last answer to a query until its end is told.

The command `serf` takes answers and the end from two queues, in no order: of an answer with the end on its heels it may
say nothing. An agent lets a query last for its whole time.
"""

_NS: Final = 1e9

_KEY_ACTIONS: Final = {
    "install-key": KeyAction.INSTALL,
    "use-key": KeyAction.USE,
    "remove-key": KeyAction.REMOVE,
    "list-keys": KeyAction.LIST,
}

_EMPTY: Final[Mapping[str, object]] = {
    "join": rpc.Joined(),
    "members": rpc.Members(),
    "members-filtered": rpc.Members(),
    **dict.fromkeys(_KEY_ACTIONS, rpc.KeyReply()),
    "stats": rpc.Stats(),
    "get-coordinate": rpc.CoordinateReply(rpc.RpcCoordinate(0.0, 0.0, 0.0, ())),
}


class HangUpError(Exception):
    """The connection is to be closed without a word, as Serf does."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What the client gets: an error or "", an encoded body, and what begins when it has been sent."""

    error: str = ""
    body: bytes = b""
    then: Callable[[], object] | None = None


Answer = Reply | Deferred[Reply]

Later = Callable[..., IDelayedCall]
"""As IReactorTime.callLater."""


def refusal(command: str, error: str) -> Reply:
    """The reply to a command that failed: a body of zeros follows where one belongs."""
    return Reply(error, encode_reply(command, _EMPTY[command]) if command in _EMPTY else b"")


class Commands:
    """The commands of all clients.

    Args:
        side: the engine.
        monitor: the log.
        turns: for what takes long.
        leave: has the node leave and its process end; fires when it has left.
        stats: the sections of `stats`.
        lines: for the log.
        later: delayed calls.
    """

    def __init__(
        self,
        *,
        side: SerfSide,
        monitor: Monitor,
        turns: Turns,
        leave: Callable[[], Deferred[None]],
        stats: Callable[[], Mapping[str, Mapping[str, str]]],
        lines: LimitedLog,
        later: Later,
    ) -> None:
        self._side = side
        self._later = later
        self._monitor = monitor
        self._turns = turns
        self._leave = leave
        self._stats = stats
        self._lines = lines
        self._subscriptions = Subscriptions(side)
        self._table: Mapping[str, Callable[[Session, int, Any], Answer]] = {
            "event": self._event,
            "force-leave": self._force_leave,
            "join": self._join,
            "members": self._members,
            "members-filtered": self._members_filtered,
            "tags": self._tags,
            "stream": self._stream,
            "monitor": self._begin_monitor,
            "stop": self._stop,
            "leave": self._leave_cluster,
            "query": self._query,
            "respond": self._respond,
            **{name: partial(self._change_keys, name) for name in ("install-key", "use-key", "remove-key")},
            "list-keys": self._list_keys,
            "stats": self._tell_stats,
            "get-coordinate": self._coordinate,
        }

    def run(self, command: str, session: Session, seq: int, body: Any) -> Answer:
        """What becomes of a command, with its body; each Deferred fires in bounded time.

        Raises:
            OneValueError: why it was refused; nothing changed.
            HangUpError: see there.
        """
        return self._table[command](session, seq, body)

    # Members

    def _members(self, session: Session, seq: int, body: None) -> Answer:
        del session, seq, body
        return self._chosen(lambda _: True)

    def _members_filtered(self, session: Session, seq: int, body: rpc.MembersFiltered) -> Answer:
        del session, seq
        try:
            wanted = MemberFilter(body)
        except ValueError as error:
            self._lines.info("an RPC client asks for members by what is no expression: {why}", why=str(error))
            raise HangUpError from None
        return self._chosen(wanted.wants)

    def _chosen(self, wants: Callable[[Any], bool]) -> Deferred[Reply]:
        """The members of this moment that are wanted, encoded some in each turn."""
        done: Deferred[Reply] = Deferred()
        members, found = self._side.members(), list[bytes]()
        starts = iter(range(0, len(members), MEMBERS_PER_STEP))

        def step() -> bool:
            start = next(starts, None)
            if start is None:
                done.callback(Reply("", encode_members(found)))
                return False
            for member in members[start : start + MEMBERS_PER_STEP]:
                if wants(member):
                    found.append(encode_member(rpc_member(member, self._side.versions(member.name))))
            return True

        self._turns.begin(step)
        return done

    def _coordinate(self, session: Session, seq: int, body: rpc.GetCoordinate) -> Answer:
        del session, seq
        found = self._side.coordinate(body.node)
        if found is None:
            return refusal("get-coordinate", "")  # no error: it says that nothing is known
        place = rpc.RpcCoordinate(found.adjustment, found.error, found.height, found.vec)
        return Reply("", encode_reply("get-coordinate", rpc.CoordinateReply(place, ok=True)))

    def _join(self, session: Session, seq: int, body: rpc.Join) -> Answer:
        del session, seq
        if len(body.existing) > TARGETS_MAX:
            raise LocalProtocolError(f"at most {TARGETS_MAX} addresses can be joined at once, not {len(body.existing)}")
        return self._side.join(body.existing, replay=body.replay).addCallback(_joined)

    def _force_leave(self, session: Session, seq: int, body: rpc.ForceLeave) -> Answer:
        del session, seq
        self._side.force_leave(body.node, prune=body.prune)
        return Reply()

    def _leave_cluster(self, session: Session, seq: int, body: None) -> Answer:
        del session, seq, body
        self._lines.info("an RPC client has this node leave")
        return self._leave().addCallback(lambda _: Reply())

    def _tags(self, session: Session, seq: int, body: rpc.Tags) -> Answer:
        del session, seq
        self._side.change_tags(body.tags, body.delete_tags)
        self._lines.info("an RPC client has changed the tags of this node")
        return Reply()

    # Events and queries

    def _event(self, session: Session, seq: int, body: rpc.Event) -> Answer:
        del session, seq
        if body.name == EVENT_NAME:
            raise LocalProtocolError(f"events named {EVENT_NAME!r} carry the value: write it over HTTP")
        self._side.send_event(body.name, body.payload, coalesce=body.coalesce)
        return Reply()

    def _query(self, session: Session, seq: int, body: rpc.Query) -> Answer:
        session.check_queries()
        filters: list[NodeFilter | TagFilter] = [NodeFilter(body.filter_nodes)] if body.filter_nodes else []
        filters += [TagFilter(tag, expression) for tag, expression in body.filter_tags.items()]
        timeout_s = body.timeout_ns / _NS if body.timeout_ns else None
        question = Question(body.name, body.payload, filters, body.request_ack, body.relay_factor, timeout_s)
        own = _OwnQuery(session, seq, self._later)
        end = self._side.ask(question, own.hear)

        def stop() -> None:
            own.stop()
            end()

        over = session.add_query(stop)
        return Reply(then=partial(own.begin, over))

    def _respond(self, session: Session, seq: int, body: rpc.Respond) -> Answer:
        del seq
        self._side.respond(session.received(body.query_id), body.payload)
        session.answered(body.query_id)
        return Reply()

    def _stream(self, session: Session, seq: int, body: rpc.Stream) -> Answer:
        session.check_stream(seq)
        try:
            wanted = parse_filter(body.kinds)
        except ValueError as error:
            raise LocalProtocolError(str(error)) from None
        return Reply(then=lambda: session.add_stream(seq, self._subscriptions.begin(wanted, session, seq)))

    def _begin_monitor(self, session: Session, seq: int, body: rpc.Monitor) -> Answer:
        session.check_monitor()
        try:
            level_of(body.log_level)
        except ValueError as error:
            raise LocalProtocolError(str(error)) from None

        def tell(line: str) -> None:
            session.tell(seq, encode_record(rpc.LogRecord(line)))

        return Reply(then=lambda: session.set_monitor(seq, self._monitor.begin(body.log_level, tell)))

    def _stop(self, session: Session, seq: int, body: rpc.Stop) -> Answer:
        del seq
        session.stop(body.seq)
        return Reply()

    # Keys and figures

    def _change_keys(self, command: str, session: Session, seq: int, body: rpc.Key) -> Answer:
        del session, seq
        try:
            key = decode_key(body.key)
        except ValueError as error:
            raise LocalProtocolError(str(error)) from None
        return self._side.ask_about_keys(_KEY_ACTIONS[command], key).addCallback(partial(_key_reply, command))

    def _list_keys(self, session: Session, seq: int, body: None) -> Answer:
        del session, seq, body
        return self._side.ask_about_keys(KeyAction.LIST).addCallback(partial(_key_reply, "list-keys"))

    def _tell_stats(self, session: Session, seq: int, body: None) -> Answer:
        del session, seq, body
        return Reply("", encode_reply("stats", rpc.Stats(self._stats())))


class _OwnQuery:
    """Tells a client what comes of its query, but nothing before the response has gone."""

    def __init__(self, session: Session, seq: int, later: Later) -> None:
        self._session = session
        self._seq = seq
        self._later = later
        self._over: Stop | None = None  # until the response has gone
        self._early: list[QueryNews] = []
        self._ending: IDelayedCall | None = None

    def hear(self, news: QueryNews) -> None:
        """A member has acked or answered, or nothing more will come."""
        if self._over is None:
            self._early.append(news)
            return
        if isinstance(news, told.QueryDone):
            self._ending = self._later(DONE_PAUSE_S, self._end, self._over)
        else:
            self._session.tell(self._seq, _query_record(news))

    def stop(self) -> None:
        """The client is not told the end any more."""
        if self._ending is not None and self._ending.active():
            self._ending.cancel()

    def _end(self, over: Stop) -> None:
        over()
        self._session.tell(self._seq, encode_record(rpc.QueryRecord("", b"", rpc.DONE)))

    def begin(self, over: Stop) -> None:
        """The response has gone; `over` is to be called when nothing more will come."""
        self._over = over
        for news in self._early:
            self.hear(news)


def _joined(joined: Joined) -> Reply:
    body = encode_reply("join", rpc.Joined(joined.count))
    if joined.count or not joined.errors:
        return Reply("", body)
    count = len(joined.errors)
    reasons = "".join(f"\t* Failed to join {text}: {reason}\n" for text, reason in joined.errors)
    return Reply(f"{count} error{'' if count == 1 else 's'} occurred:\n{reasons}\n", body)


def _query_record(news: told.QueryAcked | told.QueryAnswered) -> bytes:
    match news:
        case told.QueryAcked():
            return encode_record(rpc.QueryRecord(news.sender, b"", rpc.ACK))
        case told.QueryAnswered():
            return encode_record(rpc.QueryRecord(news.sender, news.payload, rpc.RESPONSE))


def _key_reply(command: str, outcome: told.KeyOutcome) -> Reply:
    error = ""
    if outcome.errors:
        error = f"{outcome.errors}/{outcome.nodes} nodes reported failure"
    elif outcome.answers < outcome.nodes:
        error = f"{outcome.answers}/{outcome.nodes} nodes reported success"
    keys = outcome.keys if command == "list-keys" else None
    reply = rpc.KeyReply(outcome.messages, outcome.nodes, outcome.answers, outcome.errors, keys)
    return Reply(error, encode_reply(command, reply))
