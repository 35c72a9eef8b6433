"""The embedded engine: the Twisted shell around the pure `serf` and `swim`, as an IMembership.

It starts, joins and leaves, hands on what is wanted of the core, and tells observers what the core tells. It decides
nothing about members or messages, and must not know how the core is fed and drained (`driver`), nor what carries
packets and streams (`transport`).
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger
from zope.interface import implementer

from onevalue.driver import Driver
from onevalue.engine_status import figures_of, status_of
from onevalue.errors import LocalProtocolError
from onevalue.eventlines import happenings, write_lines
from onevalue.inquiries import Inquiries, Keep
from onevalue.joiner import Joiner
from onevalue.loglines import LimitedLog
from onevalue.member import KeyResult, Member, QueryRequest, QueryResult, Status, UserEvent
from onevalue.member_views import MemberViews
from onevalue.membership import EngineFigures, IEngine
from onevalue.observers import Observed, Observers
from onevalue.serf import events as told
from onevalue.serf.core import Serf
from onevalue.serf.dialler import Dialler
from onevalue.serf_side import SerfSide
from onevalue.spread.rumour import EVENT_NAME
from onevalue.streams import Reactor
from onevalue.telling import Telling
from onevalue.transport import Transport
from onevalue.types import Address
from onevalue.wire.envelope import Envelope

LEAVE_TIME_MAX_S = 10.0
"""The core has its own budget for leaving; should it not keep it, the ports are closed all the same."""

VIEWS_PER_TURN = 4000
"""Members that are looked at in one turn of the reactor when thousands may have changed."""


@implementer(IEngine)
class GossipService(Observed, Service):
    """One node of a Serf cluster.

    Args:
        reactor: clock, resolver, threads.
        serf: the core; nobody else feeds it.
        dialler: the join addresses.
        transport: carries packets and streams; nobody else uses it.
        envelope: label and keys, the core's.
        keep_keys: writes a changed keyring to disk; None if none is kept.

    Attributes:
        serf_side: for tools that speak Serf's terms.
    """

    log = Logger()

    def __init__(
        self,
        *,
        reactor: Reactor,
        name: str,
        serf: Serf,
        dialler: Dialler,
        transport: Transport,
        envelope: Envelope,
        keep_keys: Keep | None = None,
    ) -> None:
        self.local_name = name
        self._reactor = reactor
        self._serf = serf
        self._dialler = dialler
        self._transport = transport
        self._envelope = envelope
        self._lines = LimitedLog(self.log, reactor.seconds)
        self._driver = Driver(
            reactor=reactor,
            serf=serf,
            transport=transport,
            lines=self._lines,
            begin=self._turn_begins,
            handle=self._handle,
            want=self._dial_if_due,
            deadline=lambda: dialler.next_deadline() if self.running else None,
            drained=self._drained,
        )
        self._drain, self._guarded = self._driver.drain, self._driver.guarded
        self._joiner = Joiner(
            reactor=reactor,
            dialler=dialler,
            lines=self._lines,
            begin=lambda address, name: serf.join(address, reactor.seconds(), name),
            changed=self._joining_changed,
        )
        self._inquiries = Inquiries(
            reactor=reactor,
            serf=serf,
            lines=self._lines,
            drain=self._drain,
            keep=keep_keys,
            keys=lambda: () if envelope.keyring is None else envelope.keyring.keys,
        )
        self._views = MemberViews()
        self._telling = Telling(reactor, lambda: serf.remembered, self._told_of_members)
        self._left: Deferred[None] | None = None
        self._leave_is_done = False
        self._stop_waiters: list[Deferred[None]] = []
        self._newest_value_event = b""
        self._observers = Observers(self._guarded)
        self.serf_side = SerfSide(
            reactor=reactor,
            serf=serf,
            drain=self._drain,
            joiner=self._joiner,
            inquiries=self._inquiries,
            guarded=self._guarded,
        )
        self._engine_observers: list[Callable[[told.SerfEvent], None]] = [self.serf_side.hear]

    # The service ----------------------------------------------------------------------------------------------------

    def startService(self) -> None:
        """Both ports are bound, the node is alive, and join addresses are being dialled.

        Raises:
            CannotListenError: one of the ports is taken; none is bound then.
        """
        self._driver.open()
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's has no types
        self._serf.start(self._reactor.seconds())
        self._drain()

    def stopService(self) -> Deferred[None]:
        """The node leaves gracefully, within the core's budget; fires when ports, timers and streams are gone.

        Twice does no harm: both fire then.
        """
        super().stopService()  # type: ignore[no-untyped-call]  # Twisted's has no types
        stopped: Deferred[None] = Deferred()
        self._stop_waiters.append(stopped)
        if len(self._stop_waiters) == 1:
            self._leave()
        return stopped

    def _leave(self) -> None:
        left: Deferred[None] = Deferred()
        left.addTimeout(LEAVE_TIME_MAX_S, self._reactor)
        left.addErrback(self._driver.failed, "leaving").addCallback(lambda _: self._close())
        left.addErrback(self._driver.failed, "closing").addCallback(self._closed)
        if not self._driver.is_open:  # it never started, or has stopped before
            left.callback(None)
            return
        self._left = left
        self._leave_is_done = False
        with self._guarded("leaving"):
            self._serf.leave(self._reactor.seconds())
        self._drain()

    def _close(self) -> Deferred[object]:
        self._driver.shut()
        self._joiner.stop()
        self._inquiries.stop()
        closing = self._driver.close()
        self._telling.stop()
        return closing

    def _closed(self, _: object) -> None:
        waiters, self._stop_waiters = self._stop_waiters, []
        for waiter in waiters:
            waiter.callback(None)

    # IMembership ----------------------------------------------------------------------------------------------------

    def members(self) -> Sequence[Member]:
        """See IMembership."""
        return self._views.of(self._serf.members())

    def lost(self) -> Sequence[Member]:
        """See IMembership."""
        return MemberViews().of(self._serf.lost())

    def last_contact_s(self) -> float | None:
        """See IMembership."""
        heard = self._serf.swim.last_heard
        return None if heard is None else max(0.0, self._reactor.seconds() - heard)

    def exchanged(self, name: str) -> None:
        """See IMembership: the core hears the members itself."""

    def trouble(self) -> str | None:
        """See IMembership."""
        return None

    def exposure(self) -> Sequence[str]:
        """See IEngine: where it listens, and with what keys, is in the options."""
        return ()

    def send_value_event(self, payload: bytes, direct: Sequence[Member]) -> None:
        """See IMembership."""
        now, addresses = self._reactor.seconds(), _addresses(direct)
        raw = self._serf.user_event(EVENT_NAME, payload, coalesce=False, slot=EVENT_NAME, direct=addresses, now=now)
        self._newest_value_event = self.serf_side.sent(raw)
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

    def send_event(self, name: str, payload: bytes, coalesce: bool) -> Deferred[None]:
        """See IMembership."""
        return self._done(lambda: self.serf_side.send_event(name, payload, coalesce=coalesce))

    def query(self, request: QueryRequest) -> Deferred[QueryResult]:
        """See IMembership."""
        return self._inquiries.query(request) if self._driver.is_open else fail(_not_running())

    def answer_query(self, name: str, answer: Callable[[bytes], bytes]) -> None:
        """See IMembership."""
        self._inquiries.answer_query(name, answer)

    def change_keys(self, action: str, key: bytes, relay_factor: int) -> Deferred[KeyResult]:
        """See IMembership."""
        return self._inquiries.change_keys(action, key, relay_factor) if self._driver.is_open else fail(_not_running())

    def force_leave(self, name: str, prune: bool) -> Deferred[None]:
        """See IMembership."""
        return self._done(lambda: self.serf_side.force_leave(name, prune=prune))

    def rtt_s(self, one: str, other: str) -> float | None:
        """See IMembership."""
        return self._serf.rtt_s(one, other)

    def join(self, addresses: Sequence[str]) -> Deferred[int]:
        """See IMembership."""
        return self._joiner.join(addresses)

    def clocks(self) -> tuple[int, int, int]:
        """See IMembership."""
        clocks = self._serf.clocks
        return clocks.member, clocks.event, clocks.query

    def observe_engine(self, observer: Callable[[told.SerfEvent], None]) -> None:
        """`observer` gets all that the core tells, as it happens, before it is acted on. It must not raise."""
        self._engine_observers.append(observer)

    def status(self) -> Mapping[str, object]:
        """See IMembership."""
        return status_of(self._serf, self._envelope, self._transport.inbound, self._reactor.seconds())

    def figures(self) -> EngineFigures:
        """See IMembership."""
        return figures_of(self._serf)

    @staticmethod
    def _done(what: Callable[[], object]) -> Deferred[None]:
        """It is done, or the core says why not."""
        try:
            what()
        except LocalProtocolError as error:
            return fail(error)
        return succeed(None)

    # What the core tells --------------------------------------------------------------------------------------------

    def _turn_begins(self) -> None:
        self._observers.begin_turn()

    def _drained(self) -> None:
        if self._leave_is_done and self._left is not None:
            left, self._left = self._left, None
            left.callback(None)

    def _handle(self, event: told.SerfEvent) -> None:
        for observer in self._engine_observers:
            observer(event)
        write_lines(self._lines, event, self.local_name)
        self._observers.tell_happenings(partial(happenings, event, self.local_name))
        if self._inquiries.handle(event):
            return
        match event:
            case told.UserEvents():
                events = [UserEvent(each.name, each.payload, each.raw, each.relay_wanted) for each in event.events]
                self._observers.tell_events(events)
            case told.JoinDone():
                self._joiner.ended(event.request_id, event.error)
            case told.LeaveDone():
                self._leave_is_done = True
            case told.NameConflict() | told.NameJudged() | told.Refuted() | told.PacketRefused():
                pass  # for people only
            case _:
                self._telling.changed()

    def _told_of_members(self) -> list[Callable[[], object]]:
        """Whom a telling tells, one after the other; before that, the members are looked at some by some."""
        members = self._serf.members()
        parts = [members[start : start + VIEWS_PER_TURN] for start in range(0, len(members), VIEWS_PER_TURN)]
        told: list[Callable[[], object]] = [partial(self._views.renew, part) for part in parts]
        for observer in (self._tell_dialler, *self._observers.of_members):
            told += [self.members, observer]  # what has changed meanwhile is looked at in a turn of its own
        return told

    def _tell_dialler(self) -> None:
        alive = [m for m in self.members() if m.status is Status.ALIVE and m.name != self.local_name]
        self._dialler.observe(_addresses(alive), self._reactor.seconds())

    # Joining --------------------------------------------------------------------------------------------------------

    def _joining_changed(self) -> None:
        self._telling.changed()
        self._drain()

    def _dial_if_due(self) -> None:
        if self.running and (not self._observers.know_of_addresses or self._dialler.is_due(self._reactor.seconds())):
            with self._guarded("dialling"):
                self._dial()

    def _dial(self) -> None:
        """Dial the join addresses that are due; once each has been dialled, those who wait for that are told."""
        self._joiner.dial()
        if not self._observers.know_of_addresses and self._dialler.first_round_done:
            self._telling.tell_now()  # first whom the dialling has found
            self._observers.tell_addresses_tried(nobody_else=self._dialler.leads_nowhere_else)


def _not_running() -> LocalProtocolError:
    return LocalProtocolError("this node does not run: nobody would hear of the answers")


def _addresses(members: Sequence[Member]) -> list[Address]:
    return [(member.address, member.port) for member in members]
