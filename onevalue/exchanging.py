"""One exchange of states over HTTP, both sides: the request, signed; the answer to it, bounded and checked.

A thin shell, without decisions: what is said is `exchange`'s form, who is asked is up to `spread`. It must not know
what a node does with an answer. `answer_statement` and `understand_answer` know no HTTP: the simulator calls them too.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Self
from urllib.parse import quote

from hyperlink import EncodedURL
from OpenSSL import SSL
from treq.client import HTTPClient
from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, wrapClientTLS
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.ssl import Certificate
from twisted.python.failure import Failure
from twisted.web.client import (
    URI,
    Agent,
    HTTPConnectionPool,
    RequestTransmissionFailed,
    ResponseDone,
    ResponseFailed,
    _HTTP11ClientFactory,
)
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory, IResponse
from zope.interface import implementer

from onevalue.certificates import Authorities
from onevalue.errors import RemoteProtocolError, UndecipherableError
from onevalue.exchange import STATEMENT_SIZE_MAX, Statement, decode_statement, encode_answer, encode_statement
from onevalue.journal_interface import IJournal
from onevalue.loglines import shown
from onevalue.signing import NONCE_HEADER, SIGNATURE_HEADER, Signer
from onevalue.spread import Spread
from onevalue.spread.contacts import Contact
from onevalue.spread.exchanges import Exchange


def quiet_client(
    reactor: Any, connect_time_max_s: float, authorities: Sequence[Certificate] | None = None
) -> HTTPClient:
    """A client that keeps no connections, and writes no line in the log for each.

    Who shows a certificate is believed if one of the `authorities` has signed it; None: one of the platform's.
    """
    endpoints = NumericEndpoints(reactor, connect_time_max_s, authorities)
    return HTTPClient(Agent.usingEndpointFactory(reactor, endpoints, quiet_pool(reactor)))


def quiet_pool(reactor: Any) -> HTTPConnectionPool:
    """Connections of which none is kept, since one that was kept may just be closing, nor told of in the log."""
    pool = HTTPConnectionPool(reactor, persistent=False)
    pool._factory = _QuietFactory  # noqa: SLF001  # Twisted has no other way to quiet its client
    return pool


@implementer(IAgentEndpointFactory)
class NumericEndpoints:
    """Connects to numeric hosts: members have no others, and Twisted's own would ask the resolver, in a thread.

    Over TLS only to those whose certificate is believed (`certificates`).
    """

    def __init__(
        self, reactor: Any, connect_time_max_s: float, authorities: Sequence[Certificate] | None = None
    ) -> None:
        self._reactor = reactor
        self._connect_time_max_s = connect_time_max_s
        self._authorities = Authorities(authorities)

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """See IAgentEndpointFactory."""
        host = uri.host.decode("ascii")
        kind = TCP6ClientEndpoint if ":" in host else TCP4ClientEndpoint
        plain: IStreamClientEndpoint = kind(self._reactor, host, uri.port, self._connect_time_max_s)
        if uri.scheme != b"https":
            return plain
        return wrapClientTLS(self._authorities.connection_to(host), plain)


class _QuietFactory(_HTTP11ClientFactory):
    noisy = False


class _Url(EncodedURL):
    """A URL that is fit for the wire as it stands."""

    def to_uri(self) -> Self:
        """Itself. hyperlink's own takes the host for a name, and raises for an IPv6 address (its issues 68 and 188)."""
        return self


def exchange_states(
    client: HTTPClient, signer: Signer, exchange: Exchange, statement: Statement
) -> Deferred[Statement | None]:
    """One exchange: fires with the member's statement, or with None if it answered as the original program does.

    Fails if it answered otherwise, or not at all; with UndecipherableError if the answer should be signed by this
    member, for this request, and is not, or its certificate is refused. Cancelling it closes the connection.
    """
    contact = exchange.contact
    signed: dict[str, str] = {}  # an original's form has no body to sign
    if contact.original:
        state = statement.state
        assert state is not None, "an integer is told in full, and an original is told nothing else"
        path = f"/notify/{state.value}/{state.generation}?notifier={quote(statement.name, safe='')}"
        requested = client.post(_Url.from_text(contact.url + path), allow_redirects=False, unbuffered=True)
    else:
        path = f"/notify?notifier={quote(statement.name, safe='')}"
        body = encode_statement(statement)
        signed = signer.request(body)
        headers = {"Content-Type": "application/json", **signed}
        requested = client.post(
            _Url.from_text(contact.url + path),
            data=body,
            headers=Headers({name: [value] for name, value in headers.items()}),
            allow_redirects=False,
            unbuffered=True,
        )

    def answered(response: IResponse) -> Deferred[Statement | None]:
        return read_body(response, STATEMENT_SIZE_MAX).addCallback(understand, response)

    def understand(body: bytes, response: IResponse) -> Statement | None:
        if response.code != 200:
            why = shown(body.decode("utf-8", "replace").strip())
            raise RemoteProtocolError(f"the answer has status {response.code}" + (f": {why}" if why else ""))
        signatures = response.headers.getRawHeaders(SIGNATURE_HEADER)
        signature = None if signatures is None else ",".join(signatures)
        return understand_answer(body, signed, signature, contact, signer)

    done: Deferred[Statement | None] = requested.addCallback(answered).addErrback(_raise_reason)
    return done


def _raise_reason(failure: Failure) -> None:
    """Raises what it was that kept a request from being answered, where Twisted shows only that something did.

    So who has set a deadline finds the CancelledError that is looked for, and people find words in the log.
    """
    error = failure.value
    if isinstance(error, RequestTransmissionFailed | ResponseFailed):
        for each in error.reasons:
            if each.check(UndecipherableError):
                each.raiseException()
            if each.check(SSL.Error):
                why = ", ".join(part for *_, part in each.value.args[0]) if each.value.args else "it broke off"
                raise RemoteProtocolError(f"no TLS connection: {why}")
        if error.reasons:
            error.reasons[0].raiseException()
    failure.raiseException()


def answer_statement(
    spread: Spread,
    signer: Signer,
    journal: IJournal,
    nonce: str | None,
    signature: str | None,
    body: bytes,
    now: float,
) -> "Deferred[tuple[bytes, dict[str, str]]]":
    """Fires with what this node answers to a statement that another pushed: the body, and the headers that sign it.

    At once, unless the other wants to hear when what this node now holds is durable, and the disk takes it.

    Raises:
        UndecipherableError: it should be signed by one of this cluster, and is not; nothing changed.
        RemoteProtocolError: it is no statement; nothing changed.
    """
    signer.check_request(nonce, signature, body)
    statement = decode_statement(body)
    outcome = spread.receive_statement(statement, now)
    held = spread.held

    def answer(_: object = None) -> tuple[bytes, dict[str, str]]:
        durable = statement.confirm and journal.durable is not None and held <= journal.durable
        told = spread.answer_to(statement, held, durable=durable)
        encoded = encode_answer(told, changed=outcome.changed, refused=outcome.refused)
        return encoded, signer.answer(nonce, encoded)

    if not statement.confirm or outcome.refused is not None or journal.trouble is not None:
        return succeed(answer())
    return journal.when_durable(held).addBoth(answer)  # if that fails, it is not durable


def understand_answer(
    body: bytes, signed: Mapping[str, str], signature: str | None, contact: Contact, signer: Signer
) -> Statement | None:
    """What a member says in an answer to the request with the headers `signed`; None: it answered as the original does.

    Raises:
        UndecipherableError: it should be signed by this member, for this request, and is not.
        RemoteProtocolError: it is no statement.
    """
    signer.check_answer(signed.get(NONCE_HEADER), signature, body)
    if contact.original and not body:
        return None
    statement = decode_statement(body)
    if signer.demands_signatures and statement.name != contact.name:
        # Else whoever stands between could pass our request on to another member, or back to this node itself.
        raise UndecipherableError(f"the answer is signed by {shown(statement.name)}, who was not asked")
    return statement


def read_body(response: IResponse, size_max: int) -> Deferred[bytes]:
    """The body of a response; fails above `size_max` bytes. Cancelling it closes the connection."""
    collector = _Body(size_max)
    response.deliverBody(collector)
    return collector.done


class _Body(Protocol):
    """Collects a bounded body; treq's own collector cannot be cancelled, and has no bound."""

    def __init__(self, size_max: int) -> None:
        self._size_max = size_max
        self._parts: list[bytes] = []
        self._size = 0
        self.done: Deferred[bytes] = Deferred(lambda _: self._close())

    def dataReceived(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._size_max:
            self._close()
            self._end(Failure(RemoteProtocolError(f"the answer has more than {self._size_max} bytes")))
        else:
            self._parts.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        whole = reason.check(ResponseDone, PotentialDataLoss)
        self._end(b"".join(self._parts) if whole else reason)

    def _close(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()

    def _end(self, result: bytes | Failure) -> None:
        if not self.done.called:
            self.done.callback(result)  # a Failure fires the errbacks
