"""Queries and requests about keys, for those who wait for their end; answers to the queries of others; kept keyrings.

A thin shell beside `gossip`, which hands it the core's events. Each query has its deadline in the core. It must not
know what a query asks, nor where keys are kept.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from twisted.internet.defer import Deferred, DeferredLock, succeed
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure

from onevalue.errors import LocalProtocolError
from onevalue.loglines import LimitedLog
from onevalue.member import KeyResult, QueryRequest, QueryResult
from onevalue.serf import events as told
from onevalue.serf.answering import ReceivedQuery
from onevalue.serf.asking import Question
from onevalue.serf.core import Serf
from onevalue.serf.keys import KeyAction
from onevalue.streams import Reactor
from onevalue.wire.internal_queries import NodeFilter, TagFilter
from onevalue.wire.key_text import by_fingerprint, fingerprint

KEEPING_TIME_MAX_S = 10.0
"""How long it may take to write a keyring; after that the change counts as not made."""

Keep = Callable[[Sequence[bytes]], None]
"""Writes a keyring to disk, in a thread; raises OSError."""


@dataclass(slots=True)
class _Query:
    """An own query under way, and what came of it so far."""

    done: Deferred[QueryResult]
    acks: list[str] = field(default_factory=list)
    answers: list[tuple[str, bytes]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)


class Inquiries:
    """What one node asks and answers.

    Args:
        reactor: clock and threads.
        serf: the core.
        lines: for the log.
        drain: what the core has to send is sent.
        keep: see there; None if nothing is kept.
        keys: those that count at present.
    """

    def __init__(
        self,
        *,
        reactor: Reactor,
        serf: Serf,
        lines: LimitedLog,
        drain: Callable[[], None],
        keep: Keep | None,
        keys: Callable[[], Sequence[bytes]],
    ) -> None:
        self._reactor = reactor
        self._serf = serf
        self._lines = lines
        self._drain = drain
        self._keep = keep
        self._keys = keys
        self._keeping = DeferredLock()  # a write that took too long may still be under way
        self._queries: dict[int, _Query] = {}
        self._key_requests: dict[int, Deferred[told.KeyOutcome]] = {}
        self._answers: dict[str, Callable[[bytes], bytes]] = {}

    def answer_query(self, name: str, answer: Callable[[bytes], bytes]) -> None:
        """Queries of this name are answered with what `answer` makes of their payload. It must not raise."""
        self._answers[name] = answer

    def query(self, request: QueryRequest) -> Deferred[QueryResult]:
        """See IMembership."""
        filters: list[NodeFilter | TagFilter] = [NodeFilter(tuple(request.nodes))] if request.nodes else []
        filters += [TagFilter(tag, expression) for tag, expression in request.tags.items()]
        question = Question(
            request.name, request.payload, filters, request.ack, request.relay_factor, request.timeout_s
        )
        request_id = self._serf.ask(question, self._reactor.seconds())

        def cancelled(_: Deferred[QueryResult]) -> None:
            self._queries.pop(request_id, None)
            self._serf.end_query(request_id, self._reactor.seconds())
            self._drain()

        done: Deferred[QueryResult] = Deferred(cancelled)
        self._queries[request_id] = _Query(done)
        self._drain()
        return done

    def change_keys(self, action: str, key: bytes, relay_factor: int) -> Deferred[KeyResult]:
        """See IMembership."""
        return self.ask_about_keys(KeyAction[action.upper()], key, relay_factor).addCallback(_key_result)

    def ask_about_keys(self, action: KeyAction, key: bytes, relay_factor: int) -> Deferred[told.KeyOutcome]:
        """As change_keys, but fires with the keys themselves."""
        now = self._reactor.seconds()
        request_id = self._serf.ask_about_keys(action, key, relay_factor, now)
        done: Deferred[told.KeyOutcome] = Deferred(lambda _: self._forget(request_id))
        self._key_requests[request_id] = done
        self._drain()
        return done

    def stop(self) -> None:
        """Nobody waits any more: all that is under way fails."""
        waiting: list[Deferred[QueryResult] | Deferred[told.KeyOutcome]] = list(self._key_requests.values())
        waiting += [each.done for each in self._queries.values()]
        self._queries, self._key_requests = {}, {}
        for done in waiting:
            done.errback(Failure(LocalProtocolError("this node is stopping")))

    def handle(self, event: told.SerfEvent) -> bool:
        """The event was dealt with; False if it is not about queries and keys."""
        match event:
            case told.QueryReceived(received):
                self._answer(received)
            case told.QueryAcked() | told.QueryAnswered() | told.QueryDone():
                self._of_own_query(event)
            case told.KeyringChange():
                self._keep_keyring(event)
            case told.KeyRequestDone(request_id, outcome):
                done = self._key_requests.pop(request_id, None)
                if done is not None:
                    done.callback(outcome)
            case _:
                return False
        return True

    def _answer(self, received: ReceivedQuery) -> None:
        answer = self._answers.get(received.name)
        if answer is not None:
            self._serf.respond(received, answer(received.payload), self._reactor.seconds())

    def _of_own_query(self, event: told.QueryAcked | told.QueryAnswered | told.QueryDone) -> None:
        query = self._queries.get(event.request_id)
        if query is None:  # nobody waits for it any more
            return
        if isinstance(event, told.QueryAcked):
            query.acks.append(event.sender)
        elif isinstance(event, told.QueryAnswered):
            query.answers.append((event.sender, event.payload))
            query.times.append(self._reactor.seconds())
        else:
            del self._queries[event.request_id]
            query.done.callback(QueryResult(tuple(query.acks), tuple(query.answers), tuple(query.times)))

    def _forget(self, request_id: int) -> None:
        self._key_requests.pop(request_id, None)

    def _keep_keyring(self, change: told.KeyringChange) -> None:
        kept: Deferred[None] = succeed(None) if self._keep is None else self._write(self._keep, change.keys)

        def over(result: Failure | None) -> None:
            error = None if result is None else result.getErrorMessage()
            if error is None:
                prints = [fingerprint(key) for key in change.keys]
                line = "the keyring has changed: primary key {primary}, others {others}"
                self._lines.info(line, primary=prints[0], others=", ".join(prints[1:]) or "none")
            else:
                self._lines.error("a changed keyring could not be kept, so it does not count: {why}", why=error)
            self._serf.keyring_kept(change.change_id, error, self._reactor.seconds())
            self._drain()

        kept.addBoth(over)

    def _write(self, keep: Keep, keys: Sequence[bytes]) -> Deferred[None]:
        """Fires when the keys are on disk, or with the reason why not, in time; one writing follows the other."""
        told: Deferred[None] = Deferred()

        def written(result: Failure | None) -> None:
            if not told.called:
                told.callback(result)  # a Failure fires the errbacks
            elif result is None:  # too late: it was said not to count, so what counts is written again
                self._keeping.run(self._write_what_counts, keep).addErrback(self._not_kept)

        self._keeping.run(self._in_thread, keep, keys).addBoth(written)
        return told.addTimeout(KEEPING_TIME_MAX_S, self._reactor, onTimeoutCancel=_too_slow)

    def _write_what_counts(self, keep: Keep) -> Deferred[None]:
        # In the next turn: what was written just before this begins to count in the present one.
        later = deferLater(self._reactor, 0, self._keys)
        return later.addCallback(lambda keys: self._in_thread(keep, keys))

    def _in_thread(self, keep: Keep, keys: Sequence[bytes]) -> Deferred[None]:
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), keep, keys)

    def _not_kept(self, failure: Failure) -> None:
        self._lines.error("the keyring on disk is not the one that counts: {why}", why=failure.getErrorMessage())


def _too_slow(_: Failure | None, seconds: float) -> Failure:
    return Failure(TimeoutError(f"the disk did not take it within {seconds:g} s"))


def _key_result(outcome: told.KeyOutcome) -> KeyResult:
    return KeyResult(
        nodes=outcome.nodes,
        answers=outcome.answers,
        errors=outcome.errors,
        messages=outcome.messages,
        keys=by_fingerprint(outcome.keys),
        primary_keys=by_fingerprint(outcome.primary_keys),
    )
