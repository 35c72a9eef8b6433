"""The client for Twisted programs: get and set the value, and keep it in memory while it changes.

    client = Client(reactor, ["http://127.0.0.1:8080"])
    watched = client.watch()
    yield watched.ready()
    watched.value                      # from memory, at any time
    yield client.set(43, if_match=watched.tag)

What goes wrong is a ClientError of `onevalue.errors`, all of which are here too. It must not know how a node works.
"""

import secrets
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import urlencode

from twisted.internet.defer import CancelledError, Deferred, DeferredList, TimeoutError, fail  # noqa: A004  # Twisted's own
from twisted.internet.error import ConnectError, ConnectingCancelledError, DNSLookupError
from twisted.internet.interfaces import IConsumer
from twisted.python.failure import Failure
from twisted.web.client import (
    Agent,
    BrowserLikePolicyForHTTPS,
    RequestGenerationFailed,
    RequestTransmissionFailed,
    ResponseFailed,
    ResponseNeverReceived,
)
from twisted.web.http_headers import Headers
from twisted.web.iweb import IBodyProducer, IPolicyForHTTPS, IResponse
from zope.interface import implementer

from onevalue import failover
from onevalue.bounds import ACK_TIMEOUT_S
from onevalue.errors import (
    ClientError,
    ConditionFailedError,
    OutcomeOpenError,
    OvertakenError,
    RefusedError,
    RemoteProtocolError,
    UnconfirmedError,
    UnfitValueError,
    UnreachableError,
)
from onevalue.exchanging import quiet_pool, read_body
from onevalue.failover import Lost, NotSent, Outcome, Plan
from onevalue.replies import ANSWER_SIZE_MAX, Answer, Reading, reading, refusal
from onevalue.types import Rng
from onevalue.values import Value, canonical, parse_json
from onevalue.watched import Watched

__all__ = [
    "Client",
    "ClientError",
    "ConditionFailedError",
    "OutcomeOpenError",
    "OvertakenError",
    "Reading",
    "RefusedError",
    "RemoteProtocolError",
    "UnconfirmedError",
    "UnfitValueError",
    "UnreachableError",
    "Watched",
]

TIMEOUT_S = 10.0
"""What one node has for one request, beside the time that the request itself asks for."""

CONNECT_SHARE = 0.5
"""The part of that time in which a connection must be there; what takes longer has surely not been sent."""

_LOST = (
    *(RequestGenerationFailed, RequestTransmissionFailed, ResponseNeverReceived, ResponseFailed),
    *(TimeoutError, RemoteProtocolError),
)
_T = TypeVar("_T")


class Client:
    """Asks nodes, one after the other when one fails, beginning with the one that answered last.

    Args:
        reactor: sockets, names, clock.
        urls: of nodes, at least one: `http://host:port`; the nearest first.
        token: proves who asks, to all of them; None where nodes want none.
        timeout_s: what one node has for one request.
        tls: whose certificates are good with https; None: those that the system trusts.
        rng: spreads the pauses between attempts to watch; None: the system's.
    """

    def __init__(
        self,
        reactor: Any,
        urls: Sequence[str],
        *,
        token: str | None = None,
        timeout_s: float = TIMEOUT_S,
        tls: IPolicyForHTTPS | None = None,
        rng: Rng | None = None,
    ) -> None:
        self._reactor = reactor
        self._urls = [url.rstrip("/") for url in urls]
        if isinstance(urls, str) or not self._urls or not all(url.startswith(("http://", "https://")) for url in urls):
            raise ValueError("urls are a list of at least one, each http://host:port or https://host:port")
        self._proof = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._timeout_s = timeout_s
        self._rng = rng or secrets.SystemRandom()
        policy = tls or BrowserLikePolicyForHTTPS()
        self._agent = Agent(reactor, policy, CONNECT_SHARE * timeout_s, pool=quiet_pool(reactor))
        self._under_way: list[Deferred[Any]] = []
        self._watched: list[Watched] = []
        self._stopped = False

    def get(self) -> Deferred[Reading]:
        """Fires with the state that a node holds.

        Fails with:
            UnreachableError: no node answered.
            RefusedError: a node refused; RemoteProtocolError: its answer makes no sense.
        """
        return self._own(self._get())

    def set(
        self,
        value: Value,
        *,
        if_match: str | None = None,
        ack: int | str | None = None,
        timeout_s: float | None = None,
    ) -> Deferred[Reading]:
        """Fires with the new state, once it is on a node's disk.

        Args:
            value: any JSON.
            if_match: the tag of the state upon which alone it is to be written.
            ack: wait until so many members hold it, this one included: a number, "majority" or "all".
            timeout_s: how long the node waits for them; None: 5.

        Fails with:
            ConditionFailedError, OvertakenError, UnconfirmedError, OutcomeOpenError, UnreachableError, RefusedError;
            see `onevalue.errors`. RemoteProtocolError: it is written, perhaps; the answer makes no sense.
            UnfitValueError: the value is no JSON: NaN, an object of Python, names that are no texts; nothing was sent.
        """
        return self._own(self._set(value, if_match, ack, timeout_s or ACK_TIMEOUT_S))

    def watch(self) -> Watched:
        """The value, kept in memory from now on, until its `stop`, or this client's."""
        if self._stopped:
            raise UnreachableError("the client was stopped")
        watched = Watched(self._reactor, self._order(), self._open_stream, self._rng)
        self._watched.append(watched)
        return watched

    def stop(self) -> "Deferred[Any]":
        """Nothing is asked any more: what is under way is cancelled, what is watched is stopped; fires when all is."""
        self._stopped = True
        under_way, self._under_way = self._under_way, []
        for each in under_way:
            each.cancel()
        watched, self._watched = self._watched, []
        return DeferredList([each.stop() for each in watched])

    async def _get(self) -> Reading:
        answer = await self._carry_out(failover.read(self._order()), "GET", "/v1/value", None, {}, self._timeout_s)
        return reading(answer)

    async def _set(self, value: Value, if_match: str | None, ack: int | str | None, ack_s: float) -> Reading:
        body = _text_of(value)
        headers = {"Content-Type": "application/json"}
        if if_match is not None:
            headers["If-Match"] = f'"{if_match}"'
        path, time_s = "/v1/value", self._timeout_s
        if ack is not None:
            path, time_s = f"{path}?{urlencode({'ack': ack, 'timeout': ack_s})}", time_s + ack_s
        proposed = failover.proposed_state(if_match, value)
        plan = failover.write(self._order(), proposed, confirmed=ack not in (None, 1, "1"))
        return reading(await self._carry_out(plan, "PUT", path, body, headers, time_s))

    def _order(self) -> list[str]:
        return list(self._urls)

    def _own(self, work: Coroutine[Deferred[Any], Any, _T]) -> Deferred[_T]:
        """The work begins; its Deferred is the caller's, who may cancel it, as `stop` does."""
        if self._stopped:
            work.close()
            return fail(UnreachableError("the client was stopped"))
        done = Deferred.fromCoroutine(work)
        if not done.called:
            self._under_way.append(done)
            done.addBoth(self._over, done)
        return done

    def _over(self, result: _T, done: Deferred[_T]) -> _T:
        if done in self._under_way:
            self._under_way.remove(done)
        return result

    async def _carry_out(
        self, plan: Plan, method: str, path: str, body: bytes | None, headers: Mapping[str, str], time_s: float
    ) -> Answer:
        try:
            url = next(plan)
            while True:
                url = plan.send(await self._exchange(url, method, path, body, headers, time_s))
        except StopIteration as end:
            self._urls = self._urls[self._urls.index(url) :] + self._urls[: self._urls.index(url)]
            answer: Answer = end.value
            return answer

    async def _exchange(
        self, url: str, method: str, path: str, body: bytes | None, headers: Mapping[str, str], time_s: float
    ) -> Outcome:
        """What came of one request, in time."""
        deadline = self._reactor.seconds() + time_s
        try:
            response = await self._request(method, url + path, body, headers, time_s)
            left_s = max(0.0, deadline - self._reactor.seconds())
            content = await read_body(response, ANSWER_SIZE_MAX).addTimeout(left_s, self._reactor)
        except (ConnectError, DNSLookupError) as error:
            return NotSent(str(error))
        except ConnectingCancelledError:
            raise CancelledError from None  # by the caller; what was late has come as ConnectError
        except _LOST as error:
            if any(each.check(CancelledError) for each in getattr(error, "reasons", ())):
                raise CancelledError from None  # likewise
            return Lost(_reason(error))
        etags = response.headers.getRawHeaders("ETag")
        return Answer(response.code, etags[0] if etags else None, content)

    def _request(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str], time_s: float
    ) -> Deferred[IResponse]:
        """Fires with the status and headers of the answer, in time; fails with ConnectError if nothing was sent."""
        every = {"User-Agent": "onevalue", **self._proof, **headers}
        producer = None if body is None else _Bytes(body)
        raw = Headers({name: [value] for name, value in every.items()})
        requested: Deferred[IResponse] = self._agent.request(method.encode(), url.encode(), raw, producer)
        return requested.addTimeout(time_s, self._reactor, _late)

    async def _stream(self, url: str, headers: Mapping[str, str]) -> IResponse:
        response = await self._request("GET", url + "/v1/watch", None, headers, self._timeout_s)
        if response.code != 200:
            content = await read_body(response, ANSWER_SIZE_MAX).addTimeout(self._timeout_s, self._reactor)
            raise refusal(Answer(response.code, None, content))
        return response

    def _open_stream(self, url: str, headers: Mapping[str, str]) -> Deferred[IResponse]:
        return Deferred.fromCoroutine(self._stream(url, headers))


def _text_of(value: Value) -> bytes:
    """The JSON text of a value that a program hands over. Raises UnfitValueError."""
    try:
        text = canonical(value)
        same = parse_json(text) == value
    except (ValueError, TypeError, RecursionError, RemoteProtocolError) as error:
        raise UnfitValueError(f"the value is no JSON, nothing was sent: {error}") from None
    if not same:  # tuples would become lists, and numbers as names texts
        raise UnfitValueError("the value would come back as another, nothing was sent: write lists, and names as texts")
    return text


def _late(result: IResponse | Failure, _timeout_s: float) -> IResponse | Failure:
    """The time was up, and the request was cancelled: before there was a connection, or after."""
    if isinstance(result, Failure):
        if result.check(ConnectingCancelledError):
            raise ConnectError(string="no connection in time")
        raise TimeoutError
    return result


def _reason(error: Exception) -> str:
    """Why there was no whole answer, for people."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    reasons = getattr(error, "reasons", None)  # of twisted.web.client
    return "; ".join(each.getErrorMessage() for each in reasons) if reasons else str(error)


@implementer(IBodyProducer)
class _Bytes:
    """A body that is there already; Twisted's own producer would need a global reactor."""

    def __init__(self, body: bytes) -> None:
        self.length = len(body)
        self._body = body

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        """See IBodyProducer."""
        consumer.write(self._body)
        done: Deferred[None] = Deferred()
        done.callback(None)
        return done

    def pauseProducing(self) -> None:
        """See IBodyProducer."""

    def resumeProducing(self) -> None:
        """See IBodyProducer."""

    def stopProducing(self) -> None:
        """See IBodyProducer."""
