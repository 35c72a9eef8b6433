"""The link to a Serf agent: connected whenever the agent is there, tried again and again while it is not.

Each connection begins with the handshake and the key (wire README 6), then with what the owner wants of it, and is held
until it is lost or the owner finds it useless. It must not know what the owner asks.
"""

from collections.abc import Callable, Coroutine
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater
from twisted.logger import Logger

from onevalue.agent.connection import AWAY, AgentConnection
from onevalue.errors import AwayError, BusyError, OneValueError
from onevalue.streams import Reactor
from onevalue.wire import rpc_messages as rpc
from onevalue.wire.rpc_messages import ErrorText
from onevalue.worker import Worker

KEY_REMEDY: Final = ": put the agent's rpc_auth into the file of --agent-auth-file"

CONNECT_TIME_MAX_S: Final = 5.0
"""An agent of this host answers at once, if it is there."""

PAUSE_MIN_S: Final = 0.25
PAUSE_MAX_S: Final = 5.0
"""Between two attempts, doubling: nobody waits longer than that after an agent has come back."""

APART_MAX: Final = 8
"""Requests with connections of their own at once."""

CLOSED: Final = "this node has closed the connection"


Steps = Callable[[AgentConnection], Coroutine[Deferred[Any], Any, None]]


class AgentLink:
    """One connection at a time.

    Args:
        reactor: clock and threads.
        endpoint: where the agent's RPC is.
        auth_key: gives the agent's key, for each connection anew; None: it has none.
        begin: what a new connection is for; when it is over the agent counts as there. What it raises ends it.
        hold: what goes on while the agent is there; it ends by raising.
        changed: called after each change of `why_away`.
        ended: called when a connection has ended: nothing more comes of what was asked on it.
    """

    log = Logger()

    def __init__(
        self,
        *,
        reactor: Reactor,
        endpoint: IStreamClientEndpoint,
        auth_key: Callable[[], str | None],
        begin: Steps,
        hold: Steps,
        changed: Callable[[], None],
        ended: Callable[[], None],
    ) -> None:
        self.why_away: str | None = "it has not answered yet"
        self.since = reactor.seconds()
        self._reactor = reactor
        self._endpoint = endpoint
        self._auth_key = auth_key
        self._begin = begin
        self._hold = hold
        self._changed = changed
        self._ended = ended
        self._worker = Worker(reactor)
        self._connection: AgentConnection | None = None
        self._pause_s = PAUSE_MIN_S
        self._stopped = False
        self._running: Deferred[None] | None = None
        self._apart: list[Deferred[Any]] = []

    @property
    def is_connected(self) -> bool:
        """Requests reach the agent, though it may not count as there yet."""
        return self._connection is not None

    def start(self) -> None:
        """The agent is tried from now on."""
        self._stopped = False
        self._running = Deferred.fromCoroutine(self._run())

    def stop(self) -> None:
        """No connection is left, nor an attempt; what waits for an answer fails."""
        self._stopped = True
        running, self._running = self._running, None
        for each in list(self._apart):
            each.cancel()
        if running is not None:
            running.addErrback(lambda failure: failure.trap(CancelledError, OneValueError) and None)
            running.cancel()

    def request(self, command: str, body: object | None = None) -> Deferred[Any]:
        """See AgentConnection; fails with AwayError while the agent is away."""
        connection = self._connection
        return fail(self._away()) if connection is None else connection.request(command, body)

    def follow(self, command: str, body: object, on_record: Callable[[Any], object]) -> Deferred[Any]:
        """See AgentConnection; fails with AwayError while the agent is away."""
        connection = self._connection
        return fail(self._away()) if connection is None else connection.follow(command, body, on_record)

    def ask_apart(self, command: str, body: object | None, time_max_s: float) -> Deferred[Any]:
        """As `request`, on a connection of its own: an agent does one thing after the other, and this may take long."""
        if self._connection is None:
            return fail(self._away())
        if len(self._apart) >= APART_MAX:
            return fail(BusyError(f"{APART_MAX} such requests are under way; wait for the end of one"))
        asking: Deferred[Any] = Deferred.fromCoroutine(self._ask_apart(command, body, time_max_s))
        self._apart.append(asking)

        def over(result: Any) -> Any:
            self._apart.remove(asking)
            return result

        return asking.addBoth(over)

    def _away(self) -> AwayError:
        return AwayError(f"{AWAY}{self.why_away}")

    async def _ask_apart(self, command: str, body: object | None, time_max_s: float) -> Any:
        try:
            connection = await self._open()
            try:
                return await connection.request(command, body, time_max_s)
            finally:
                connection.close(CLOSED)
        except CancelledError:
            raise AwayError(f"{AWAY}{CLOSED}") from None

    async def _open(self) -> AgentConnection:
        """A connection on which the agent takes commands. Raises AgentError or AwayError."""
        factory = Factory.forProtocol(lambda: AgentConnection(self._reactor, self._worker))
        factory.noisy = False
        connecting: Deferred[Any] = self._endpoint.connect(factory)
        try:
            connection: AgentConnection = await connecting.addTimeout(CONNECT_TIME_MAX_S, self._reactor)
        except Exception as error:  # noqa: BLE001  # each kind of endpoint has its own
            raise AwayError(f"cannot connect: {error}") from None
        try:
            await connection.request("handshake", rpc.Handshake())
            auth_key = self._auth_key()
            if auth_key is not None:
                await connection.request("auth", rpc.Auth(auth_key))
        except BaseException:
            connection.close(CLOSED)
            raise
        return connection

    async def _run(self) -> None:
        while True:
            try:
                await self._hold_one()
            except Exception as error:  # noqa: BLE001  # whatever it is, the next attempt comes
                if self._stopped:  # what is cancelled may tell of it in any way
                    return
                self._tell(self._why(error))
            await deferLater(self._reactor, self._pause_s, lambda: None)
            self._pause_s = min(2 * self._pause_s, PAUSE_MAX_S)

    def _why(self, error: Exception) -> str:
        if isinstance(error, OneValueError):
            why = str(error).removeprefix(AWAY)
            return f"{why}{KEY_REMEDY}" if why in {ErrorText.AUTHENTICATION_REQUIRED, ErrorText.INVALID_TOKEN} else why
        self.log.failure("the link to the agent failed, and goes on")
        return f"this node stumbled over it: {error!r}"

    async def _hold_one(self) -> None:
        """One connection comes and goes; always raises."""
        connection = await self._open()
        try:
            self._connection = connection
            await self._begin(connection)
            self._pause_s = PAUSE_MIN_S
            self._tell(None)
            holding: Deferred[None] = Deferred.fromCoroutine(self._hold(connection))
            connection.lost.addCallback(lambda _: holding.cancel())
            await holding
        except CancelledError:
            if connection.why_lost is None:  # it is this node that stops
                raise
            raise AwayError(connection.why_lost) from None
        finally:
            self._connection = None
            connection.close(CLOSED)
            self._ended()

    def _tell(self, why: str | None) -> None:
        if why == self.why_away or self._stopped:
            return
        if (why is None) != (self.why_away is None):
            self.since = self._reactor.seconds()
        self.why_away = why
        self._changed()
