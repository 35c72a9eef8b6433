"""The embedded engine: the Twisted shell around the pure `serf` and `swim`, as an IMembership.

It feeds datagrams, streams and time in, and drains what comes out: datagrams, streams to open, events. It keeps one
delayed call, for the core's next deadline. It decides nothing about members or messages.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.interfaces import IAddress, IDelayedCall
from twisted.internet.protocol import DatagramProtocol, Factory, Protocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from onevalue.addresses import split_host_port
from onevalue.config import GOSSIP_PORT_DEFAULT
from onevalue.member import Member, Status, UserEvent
from onevalue.membership import IMembership
from onevalue.resolver import resolve
from onevalue.serf import events as told
from onevalue.serf.core import Serf
from onevalue.serf.dialler import Dialler
from onevalue.serf.lamport import Clocks
from onevalue.serf.members import MemberStatus, SerfMember
from onevalue.spread.rumour import EVENT_NAME
from onevalue.streams import InboundStream, OutboundStream, Reactor
from onevalue.swim.address import to_address
from onevalue.swim.streams import StreamRequest
from onevalue.types import Address
from onevalue.wire.messages import StreamMessage

RECEIVE_BUFFER = 65536
"""Largest datagram that is read whole."""

INBOUND_STREAMS_MAX = 128
"""Connections that may be open to us at once; more are closed unread, as memberlist does."""

_STATUS = {
    MemberStatus.ALIVE: Status.ALIVE,
    MemberStatus.LEAVING: Status.LEAVING,
    MemberStatus.LEFT: Status.LEFT,
    MemberStatus.FAILED: Status.FAILED,
}


@implementer(IMembership)
class GossipService(Service):
    """One node of a Serf cluster.

    Args:
        reactor: sockets, threads, clock.
        serf: the core; nobody else feeds it.
        dialler: the join addresses.
        bind: numeric host and port for UDP and TCP.
        stream_time_max_s: deadline of an inbound TCP exchange.
    """

    log = Logger()

    def __init__(
        self, *, reactor: Reactor, name: str, serf: Serf, dialler: Dialler, bind: Address, stream_time_max_s: float
    ) -> None:
        self.local_name = name
        self._reactor = reactor
        self._serf = serf
        self._dialler = dialler
        self._bind = bind
        self._stream_time_max_s = stream_time_max_s
        self._udp = _Udp(self._datagram_received)
        self._ports: list[Any] = []  # IListeningPort of UDP and TCP, which annotate stopListening differently
        self._timer: IDelayedCall | None = None
        self._timer_at: float | None = None
        self._telling: IDelayedCall | None = None
        self._inbound: list[InboundStream] = []
        self._under_way: list[Deferred[None]] = []
        self._joins: dict[int, Deferred[bool]] = {}
        self._left: Deferred[None] | None = None
        self._newest_value_event = b""
        self._member_observers: list[Callable[[], None]] = []
        self._event_observers: list[Callable[[Sequence[UserEvent]], None]] = []
        self._tried_observers: list[Callable[[bool], None]] = []
        self._addresses_tried = False

    # The service ----------------------------------------------------------------------------------------------------

    def startService(self) -> None:
        """Both ports are bound, the node is alive, and join addresses are being dialled.

        Raises:
            CannotListenError: one of the ports is taken; none is bound then.
        """
        host, port = self._bind
        self._ports.append(self._reactor.listenUDP(port, self._udp, interface=host, maxPacketSize=RECEIVE_BUFFER))
        try:
            self._ports.append(self._reactor.listenTCP(port, _StreamFactory(self._open_inbound), interface=host))
        except Exception:
            self._ports.pop().stopListening()
            raise
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's has no types
        self._serf.start(self._reactor.seconds())
        self._drain()

    def stopService(self) -> Deferred[None]:
        """The node leaves gracefully, within the core's budget; fires when ports, timers and streams are gone."""
        super().stopService()  # type: ignore[no-untyped-call]  # Twisted's has no types
        self._left = Deferred()
        self._serf.leave(self._reactor.seconds())
        self._drain()
        return self._left.addCallback(lambda _: self._close())

    def _close(self) -> Deferred[None]:
        ports, self._ports = self._ports, []
        for stream in list(self._inbound):
            stream.abort()
        pending = list(self._under_way)
        for each in pending:
            each.cancel()
        pending += [maybeDeferred(port.stopListening) for port in ports]
        for call in (self._timer, self._telling):  # after the cancelling, which drains once more
            if call is not None and call.active():
                call.cancel()
        return DeferredList(pending, consumeErrors=True).addCallback(lambda _: None)

    # IMembership ----------------------------------------------------------------------------------------------------

    def members(self) -> Sequence[Member]:
        """See IMembership."""
        return [_member(member) for member in self._serf.members() if member.status in _STATUS]

    def last_contact_s(self) -> float | None:
        """See IMembership."""
        heard = self._serf.swim.last_heard
        return None if heard is None else max(0.0, self._reactor.seconds() - heard)

    def observe_members(self, observer: Callable[[], None]) -> None:
        """See IMembership."""
        self._member_observers.append(observer)

    def observe_events(self, observer: Callable[[Sequence[UserEvent]], None]) -> None:
        """See IMembership."""
        self._event_observers.append(observer)

    def observe_addresses_tried(self, observer: Callable[[bool], None]) -> None:
        """See IMembership."""
        if self._addresses_tried:
            observer(self._dialler.leads_nowhere_else)
        else:
            self._tried_observers.append(observer)

    def send_value_event(self, payload: bytes, direct: Sequence[Member]) -> None:
        """See IMembership."""
        self._newest_value_event = self._serf.user_event(
            EVENT_NAME, payload, coalesce=False, slot=EVENT_NAME, direct=_addresses(direct), now=self._reactor.seconds()
        )
        self._drain()

    def relay_value_event(self, raw: bytes, direct: Sequence[Member]) -> None:
        """See IMembership."""
        self._newest_value_event = raw
        self._serf.relay_event(raw, slot=EVENT_NAME, direct=_addresses(direct), now=self._reactor.seconds())
        self._drain()

    def copy_value_event(self, direct: Sequence[Member]) -> None:
        """See IMembership."""
        for address in _addresses(direct):
            self._serf.swim.send_user(address, self._newest_value_event, self._reactor.seconds())
        self._drain()

    def send_event(self, name: str, payload: bytes, coalesce: bool) -> None:
        """See IMembership."""
        self._serf.user_event(name, payload, coalesce=coalesce, now=self._reactor.seconds())
        self._drain()

    def join(self, addresses: Sequence[str]) -> Deferred[int]:
        """See IMembership."""
        attempts = [self._join(text, lambda found: found) for text in addresses]
        done: Deferred[int] = DeferredList(attempts).addCallback(lambda results: sum(count for _, count in results))
        return done

    def clocks(self) -> tuple[int, int, int]:
        """See IMembership."""
        clocks: Clocks = self._serf.clocks
        return clocks.member, clocks.event, clocks.query

    def status(self) -> Mapping[str, object]:
        """See IMembership."""
        return {"engine": "gossip", "inbound_streams": len(self._inbound), **self._serf.status()}

    # Feeding --------------------------------------------------------------------------------------------------------

    def _datagram_received(self, data: bytes, source: Address) -> None:
        self._serf.receive_datagram(data, source, self._reactor.seconds())
        self._drain()

    def _stream_received(self, message: StreamMessage) -> bytes | None:
        reply = self._serf.receive_stream(message, self._reactor.seconds())
        self._drain()
        return reply

    def _timer_fired(self) -> None:
        self._timer = None
        self._serf.handle_timer(self._reactor.seconds())
        self._drain()

    # Draining -------------------------------------------------------------------------------------------------------

    def _drain(self) -> None:
        """All that the core wants done is done or under way, and the timer stands at its next deadline."""
        while (event := self._serf.next_event()) is not None:
            self._handle(event)
        if self.running:
            self._dial()
        for data, address in self._serf.datagrams_to_send():
            self._udp.send(data, address)
        for request in self._serf.streams_to_open():
            self._open_outbound(request)
        self._arm()

    def _arm(self) -> None:
        deadlines = [self._serf.next_deadline()]
        if self.running:
            deadlines.append(self._dialler.next_deadline())
        deadline = min((each for each in deadlines if each is not None), default=None)
        if deadline == self._timer_at and self._timer is not None:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_at = None, deadline
        if deadline is not None and self._ports:
            self._timer = self._reactor.callLater(max(0.0, deadline - self._reactor.seconds()), self._timer_fired)

    def _handle(self, event: told.SerfEvent) -> None:
        match event:
            case told.UserEvents():
                self._tell_events(event)
            case told.JoinDone():
                waiter = self._joins.pop(event.request_id, None)
                if waiter is not None:
                    waiter.callback(event.error is None)
            case told.LeaveDone():
                if self._left is not None and not self._left.called:
                    self._left.callback(None)
            case told.NameConflict():
                self.log.error("another node calls itself {name}: give each node its own --name", name=event.name)
            case told.Refuted():
                self.log.info("{by} thought that this node was gone, and was told otherwise", by=event.by)
            case told.MemberSuspected():
                self.log.info("{name} is suspected by {by}", name=event.name, by=event.by)
                self._members_changed()
            case told.SuspicionEnded():
                self.log.info("{name} is alive after all", name=event.name)
                self._members_changed()
            case _:
                self.log.info("{what}: {name}", what=_WORDS[type(event)], name=event.member.name)
                self._members_changed()

    def _members_changed(self) -> None:
        """Tell it in the next turn of the reactor: a telling looks at all members, and changes come by the hundred."""
        if self._telling is None:
            self._telling = self._reactor.callLater(0, self._tell_members)

    def _tell_members(self) -> None:
        if self._telling is not None and self._telling.active():
            self._telling.cancel()
        self._telling = None
        others = [m for m in self.members() if m.status is Status.ALIVE and m.name != self.local_name]
        self._dialler.observe([(m.address, m.port) for m in others], self._reactor.seconds())
        for observer in tuple(self._member_observers):
            observer()

    def _tell_events(self, event: told.UserEvents) -> None:
        for each in event.events:
            if each.name != EVENT_NAME:
                self.log.info("user event {name} at {ltime}: {payload}", **_loggable(each))
        events = [UserEvent(each.name, each.payload, each.raw, each.relay_wanted) for each in event.events]
        for observer in tuple(self._event_observers):
            observer(events)

    # Streams --------------------------------------------------------------------------------------------------------

    def _open_inbound(self) -> InboundStream | None:
        if len(self._inbound) >= INBOUND_STREAMS_MAX or not self._ports:
            return None
        return InboundStream(
            self._reactor, self._stream_time_max_s, self._stream_received, self._stream_malformed, self._inbound
        )

    def _stream_malformed(self, reason: str) -> None:
        self._serf.swim.counters["malformed"] += 1
        self.log.debug("a gossip stream made no sense: {reason}", reason=reason)

    def _open_outbound(self, request: StreamRequest) -> None:
        time_s = max(0.0, request.deadline - self._reactor.seconds())
        host, port = request.address
        endpoint = (TCP6ClientEndpoint if ":" in host else TCP4ClientEndpoint)(self._reactor, host, port, time_s)
        stream = OutboundStream(self._reactor, time_s, request.data)
        under_way: Deferred[StreamMessage] = endpoint.connect(_Once(stream)).addCallback(lambda _: stream.done)
        under_way.addTimeout(time_s, self._reactor)
        self._under_way.append(under_way)  # type: ignore[arg-type]  # it fires with None in the end, see below

        def ended(result: StreamMessage | Failure) -> None:
            self._under_way.remove(under_way)  # type: ignore[arg-type]  # as above
            now = self._reactor.seconds()
            if isinstance(result, Failure):
                self._serf.stream_failed(request.request_id, result.getErrorMessage(), now)
            else:
                self._serf.stream_answered(request.request_id, result, now)
            self._drain()

        under_way.addBoth(ended).addErrback(self._failed, "a gossip stream")

    # Joining --------------------------------------------------------------------------------------------------------

    def _dial(self) -> None:
        """Dial the join addresses that are due; the dialler hears when an attempt is over."""
        for target in self._dialler.due(self._reactor.seconds()):
            self._join(target, partial(self._dialler.resolved, target)).addCallback(self._dialled, target).addErrback(
                self._failed, "dialling a join address"
            )
        if self._dialler.first_round_done and not self._addresses_tried:
            self._addresses_tried = True
            self._tell_members()  # first whom the dialling has found
            observers, self._tried_observers = self._tried_observers, []
            for observer in observers:
                observer(self._dialler.leads_nowhere_else)

    def _dialled(self, answered: int, target: str) -> None:
        self._dialler.over(target, self._reactor.seconds())
        if answered:
            self.log.info("joined by {target}", target=target)
        self._tell_members()
        self._drain()

    def _join(self, text: str, choose: Callable[[list[Address]], Sequence[Address]]) -> Deferred[int]:
        """One push/pull with each chosen address of a host; fires with how many answered."""
        host, port = split_host_port(text, GOSSIP_PORT_DEFAULT)

        def resolved(hosts: list[str]) -> Deferred[int]:
            addresses = choose([(host, port) for host in hosts])
            attempts = [self._join_address(address) for address in addresses]
            self._reactor.callLater(0, self._drain)
            return DeferredList(attempts).addCallback(lambda results: sum(success for _, success in results))

        done: Deferred[int] = resolve(self._reactor, host).addCallback(resolved)
        return done

    def _join_address(self, address: Address) -> Deferred[bool]:
        waiter: Deferred[bool] = Deferred()
        self._joins[self._serf.join(address, self._reactor.seconds())] = waiter
        return waiter

    def _failed(self, failure: Failure, what: str) -> None:
        self.log.failure("{what} failed, and goes on", failure, what=what)


_WORDS = {
    told.MemberJoin: "member joined",
    told.MemberLeave: "member left",
    told.MemberFailed: "member failed",
    told.MemberUpdate: "member changed its tags",
    told.MemberReap: "member forgotten",
}


class _Udp(DatagramProtocol):
    """The socket. A packet that cannot be sent is a lost packet: gossip bears that."""

    noisy = False

    def __init__(self, received: Callable[[bytes, Address], None]) -> None:
        self._received = received

    def datagramReceived(self, datagram: bytes, addr: Address) -> None:
        self._received(datagram, (addr[0], addr[1]))

    def send(self, data: bytes, address: Address) -> None:
        """The packet is handed to the system, or lost."""
        if self.transport is None:
            return
        try:
            self.transport.write(data, address)
        except (OSError, ValueError):
            # No route, a full buffer, a family that the socket does not speak.
            return


class _Once(Factory):
    """For one outgoing connection."""

    noisy = False  # a line in the log for each connection would bury what matters

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol

    def buildProtocol(self, addr: IAddress | None) -> Protocol:  # noqa: ARG002  # Twisted's signature
        return self._protocol


class _StreamFactory(Factory):
    """For connections that others open."""

    noisy = False

    def __init__(self, open_inbound: Callable[[], InboundStream | None]) -> None:
        self._open_inbound = open_inbound

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:  # noqa: ARG002  # Twisted's signature
        return self._open_inbound()


def _member(member: SerfMember) -> Member:
    host, port = to_address(member.addr, member.port)
    return Member(member.name, host, port, _STATUS[member.status], member.suspect, member.tags)


def _addresses(members: Sequence[Member]) -> list[Address]:
    return [(member.address, member.port) for member in members]


def _loggable(event: told.ReceivedEvent) -> dict[str, object]:
    """Of an event, what a log line can bear."""
    return {"name": event.name[:64], "ltime": event.ltime, "payload": event.payload[:128]}
