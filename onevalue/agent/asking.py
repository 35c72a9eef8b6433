"""What the rest of the node asks of an agent, and what came of it, in the node's own terms.

It must not know when the agent is there.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from onevalue.agent.link import AgentLink
from onevalue.errors import AgentError, AwayError, LocalProtocolError
from onevalue.member import KeyResult, QueryRequest, QueryResult
from onevalue.wire import rpc_messages as rpc
from onevalue.wire.key_text import by_fingerprint, encode_key

SLOW_TIME_MAX_S: Final = 60.0
"""How long an agent may take to join addresses, or to have all members change their keys."""

QUERIES_MAX: Final = 64
"""Queries under way at once, as with the embedded engine."""

_NS: Final = 1_000_000_000
_KEY_COMMANDS: Final = {"install": "install-key", "use": "use-key", "remove": "remove-key", "list": "list-keys"}


class _Query:
    """A query under way, and what came of it so far."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self.done: Deferred[QueryResult] = Deferred()
        self._seconds = seconds
        self._acks: list[str] = []
        self._answers: list[tuple[str, bytes]] = []
        self._times: list[float] = []

    def record(self, record: rpc.QueryRecord) -> None:
        """A member has said something, or nobody will any more.

        An agent that is late to notice that the time is up tells until then of acks and answers of nobody, hundreds of
        them: its channels are closed already, and closed ones always yield something (ipc_query_response_stream.go).
        """
        if record.kind != rpc.DONE and not record.sender:
            return
        if record.kind == rpc.ACK:
            self._acks.append(record.sender)
        elif record.kind == rpc.RESPONSE:
            self._answers.append((record.sender, record.payload))
            self._times.append(self._seconds())
        elif not self.done.called:
            self.done.callback(QueryResult(tuple(self._acks), tuple(self._answers), tuple(self._times)))

    def failed(self, failure: Failure) -> None:
        """It was not asked, or nobody can tell what came of it."""
        if not self.done.called:
            self.done.errback(failure)


class Asking:
    """What is asked on one link.

    Args:
        link: to the agent.
        seconds: of the reactor.
    """

    def __init__(self, link: AgentLink, seconds: Callable[[], float]) -> None:
        self._link = link
        self._seconds = seconds
        self._queries: list[_Query] = []

    def done(self, command: str, body: object) -> Deferred[None]:
        """Fires when the agent has done it; fails with LocalProtocolError: it refuses, or, AwayError, it is away."""
        return self._link.request(command, body).addErrback(_refused)

    def query(self, request: QueryRequest) -> Deferred[QueryResult]:
        """See IMembership."""
        if len(self._queries) >= QUERIES_MAX:
            raise LocalProtocolError(f"{QUERIES_MAX} queries are under way already; ask again later")
        query = _Query(self._seconds)
        self._queries.append(query)

        def over(result: Any) -> Any:
            self._queries.remove(query)
            return result

        query.done.addBoth(over)
        body = rpc.Query(
            name=request.name,
            payload=request.payload,
            filter_nodes=tuple(request.nodes),
            filter_tags=request.tags,
            request_ack=request.ack,
            relay_factor=request.relay_factor,
            timeout_ns=0 if request.timeout_s is None else int(request.timeout_s * _NS),
        )
        self._link.follow("query", body, query.record).addErrback(_refused).addErrback(query.failed)
        return query.done

    def change_keys(self, action: str, key: bytes) -> Deferred[KeyResult]:
        """See IMembership."""
        body = None if action == "list" else rpc.Key(encode_key(key))
        asked = self._link.ask_apart(_KEY_COMMANDS[action], body, SLOW_TIME_MAX_S)
        return asked.addErrback(_told_all_the_same).addErrback(_refused).addCallback(_key_result)

    def join(self, addresses: Sequence[str]) -> Deferred[int]:
        """See IMembership; fails with AwayError while the agent is away."""
        asked = self._link.ask_apart("join", rpc.Join(tuple(addresses), replay=False), SLOW_TIME_MAX_S)
        return asked.addErrback(_told_all_the_same).addErrback(_refused).addCallback(lambda joined: joined.num)

    def give_up(self, why: str) -> None:
        """Nobody waits any more for what members say to queries."""
        for query in list(self._queries):
            query.failed(Failure(AwayError(why)))


def _refused(failure: Failure) -> Any:
    failure.trap(AgentError)
    raise LocalProtocolError(f"the agent refuses: {failure.getErrorMessage()}")


def _told_all_the_same(failure: Failure) -> Any:
    """The reply that came with an error, where it says what came of it."""
    failure.trap(AgentError)
    reply = getattr(failure.value, "reply", None)
    if isinstance(reply, rpc.Joined) or (isinstance(reply, rpc.KeyReply) and reply.num_nodes):
        return reply
    return failure


def _key_result(reply: rpc.KeyReply) -> KeyResult:
    """An agent does not tell which key each member encrypts with."""
    return KeyResult(
        nodes=reply.num_nodes,
        answers=reply.num_resp,
        errors=reply.num_err,
        messages=reply.messages,
        keys=by_fingerprint(reply.keys or {}),
        primary_keys={},
    )
