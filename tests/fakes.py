"""Stand-ins for the parts that reach outside the process; each is verified against its interface where it is used."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock
from zope.interface import implementer

from onevalue.membership import (
    EngineFigures,
    Happening,
    IMembership,
    KeyResult,
    Member,
    QueryRequest,
    QueryResult,
    Status,
    UserEvent,
)
from onevalue.observers import Observed, Observers

TURN_S = 2.0**-20


class TurnClock(Clock):
    """A reactor that does not do in one turn what is asked for in it; Clock alone does."""

    def callLater(self, delay: float, *arguments: Any, **keywords: Any) -> IDelayedCall:
        """In the next turn at the earliest."""
        return super().callLater(max(TURN_S, delay), *arguments, **keywords)

    def turn(self, count: int = 1) -> None:
        """The next turns have come."""
        self.pump([TURN_S] * count)


def at_once(call: Callable[[], None]) -> None:
    """In place of a reactor's next turn."""
    call()


def make_member(
    name: str,
    address: str = "127.0.0.1",
    *,
    status: Status = Status.ALIVE,
    suspect: bool = False,
    port: int = 7946,
    **tags: str,
) -> Member:
    """A member, on the usual gossip port unless told otherwise."""
    return Member(name, address, port, status, suspect, tags)


@implementer(IMembership)
class FakeMembership(Observed):
    """A membership that holds what the test puts there, and keeps what it is told to send."""

    def __init__(self, local_name: str = "n1", members: Sequence[Member] = ()) -> None:
        self.local_name = local_name
        self.contact_s: float | None = None
        self.engine_figures = EngineFigures()
        self.engine_trouble: str | None = None
        self.exchanged_with: list[str] = []
        self.sent_values: list[tuple[bytes, list[Member]]] = []
        self.relayed_values: list[tuple[bytes, list[Member]]] = []
        self.copied_values: list[list[Member]] = []
        self.sent_events: list[tuple[str, bytes, bool]] = []
        self.joined: list[str] = []
        self.lost_members: list[Member] = []
        self.queries: list[QueryRequest] = []
        self.query_result: Deferred[QueryResult] = Deferred()
        self.answers: dict[str, Callable[[bytes], bytes]] = {}
        self.key_changes: list[tuple[str, bytes, int]] = []
        self.key_result: Deferred[KeyResult] = Deferred()
        self.forced: list[tuple[str, bool]] = []
        self.round_trips: dict[tuple[str, str], float] = {}
        self._members = list(members) or [make_member(local_name)]
        self._observers = Observers(lambda _: nullcontext())  # a fault of an observer fails the test

    def set_members(self, *members: Member) -> None:
        """These are the members now; observers are told."""
        self._members = sorted(members, key=lambda member: member.name)
        for tell in self._observers.of_members:
            tell()

    def receive_events(self, *events: UserEvent) -> None:
        """These events arrive together."""
        self._observers.tell_events(events)

    def happen(self, happening: Happening) -> None:
        """This happens."""
        self._observers.begin_turn()
        self._observers.tell_happenings(lambda: [happening])

    def finish_dialling(self, *, only_itself: bool) -> None:
        """Each join address was dialled at least once."""
        self._observers.tell_addresses_tried(nobody_else=only_itself)

    def members(self) -> Sequence[Member]:
        """See IMembership."""
        return tuple(self._members)

    def lost(self) -> Sequence[Member]:
        """See IMembership."""
        return tuple(self.lost_members)

    def last_contact_s(self) -> float | None:
        """See IMembership."""
        return self.contact_s

    def exchanged(self, name: str) -> None:
        """See IMembership."""
        self.exchanged_with.append(name)

    def trouble(self) -> str | None:
        """See IMembership."""
        return self.engine_trouble

    def figures(self) -> EngineFigures:
        """See IMembership."""
        return self.engine_figures

    def send_value_event(self, payload: bytes, direct: Sequence[Member]) -> None:
        """See IMembership."""
        self.sent_values.append((payload, list(direct)))

    def relay_value_event(self, raw: bytes, direct: Sequence[Member]) -> None:
        """See IMembership."""
        self.relayed_values.append((raw, list(direct)))

    def copy_value_event(self, direct: Sequence[Member]) -> None:
        """See IMembership."""
        self.copied_values.append(list(direct))

    def send_event(self, name: str, payload: bytes, coalesce: bool) -> Deferred[None]:
        """See IMembership."""
        self.sent_events.append((name, payload, coalesce))
        return succeed(None)

    def query(self, request: QueryRequest) -> Deferred[QueryResult]:
        """See IMembership."""
        self.queries.append(request)
        return self.query_result

    def answer_query(self, name: str, answer: Callable[[bytes], bytes]) -> None:
        """See IMembership."""
        self.answers[name] = answer

    def change_keys(self, action: str, key: bytes, relay_factor: int) -> Deferred[KeyResult]:
        """See IMembership."""
        self.key_changes.append((action, key, relay_factor))
        return self.key_result

    def force_leave(self, name: str, prune: bool) -> Deferred[None]:
        """See IMembership."""
        self.forced.append((name, prune))
        return succeed(None)

    def rtt_s(self, one: str, other: str) -> float | None:
        """See IMembership."""
        return 0.0 if one == other else self.round_trips.get((one, other))

    def join(self, addresses: Sequence[str]) -> Deferred[int]:
        """See IMembership."""
        self.joined.extend(addresses)
        return succeed(0)

    def clocks(self) -> tuple[int, int, int]:
        """See IMembership."""
        return (0, 0, 0)

    def status(self) -> dict[str, object]:
        """See IMembership."""
        return {"kind": "fake"}
