"""Streams of several kinds of events, each event the whole of its kind: who reads slowly gets the latest of each.

A kind is made anew when it was touched, at most once in its pause, for all readers together, and only while there are
any. Nothing queues: a stream that has not taken what it was sent gets, when it has, what is newest then of each kind
that it lacks. It must not know what the kinds are.
"""

import json
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from onevalue.web.channel import LimitedRequest
from onevalue.web.eventstream import EventStream, named_event
from onevalue.web.places import Places
from onevalue.web.rounds import Rounds, cancel

Compose = Callable[[], Coroutine[Any, Any, Mapping[str, object]]]
"""Makes the JSON object of an event. It may take several turns of the reactor."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What a kind of event is made by, and how long it is not made anew."""

    name: str
    compose: Compose
    pause_s: float


class Latest:
    """The newest event of one kind.

    Attributes:
        event: its bytes; b"" before it was made.
        version: counts those that differed from the one before.
    """

    _log = Logger(namespace="onevalue.web")

    def __init__(self, reactor: IReactorTime, kind: Kind, news: Callable[[], None]) -> None:
        self.event = b""
        self.version = 0
        self.name = kind.name
        self._reactor = reactor
        self._kind = kind
        self._news = news
        self._touched = False
        self._call: IDelayedCall | None = None  # in which it is made anew, if it was touched
        self._making: Deferred[None] | None = None

    def touch(self) -> None:
        """It will be made anew, in a later turn of the reactor."""
        self._touched = True
        if self._call is None and self._making is None:
            self._call = self._reactor.callLater(0, self._make)

    def stop(self) -> None:
        """Nothing is made any more, nor kept."""
        self.event, self._touched = b"", False
        if self._making is not None:
            self._making.cancel()
        cancel(self._call)  # after it, since what ends has its pause
        self._call = None

    def _make(self) -> None:
        self._call = None
        if self._touched:
            self._touched = False
            self._making = Deferred.fromCoroutine(self._composed())
            self._making.addErrback(self._failed).addCallback(self._rest)

    async def _composed(self) -> None:
        found = await self._kind.compose()
        event = named_event(self.name, json.dumps(found, allow_nan=False).encode())
        if event != self.event:
            self.event, self.version = event, self.version + 1
            self._news()

    def _failed(self, failure: Failure) -> None:
        if failure.check(CancelledError) is None:
            self._log.failure("telling of {kind} failed, and goes on", failure, kind=self.name)

    def _rest(self, _: object) -> None:
        self._making = None
        self._call = self._reactor.callLater(self._kind.pause_s, self._make)


class LiveFeed:
    """All streams, and the newest of each kind.

    Args:
        reactor: delayed calls.
        places: each stream has one of them.
        preamble: the first line of each stream, a comment for people.
        kinds: in the order in which a new reader gets them.
        opened: called when the first reader comes; it may `touch`.
        closed: called when the last is gone.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        places: Places,
        preamble: bytes,
        kinds: Sequence[Kind],
        opened: Callable[[], None],
        closed: Callable[[], None],
    ) -> None:
        self._places = places
        self._preamble = preamble
        self._opened = opened
        self._closed = closed
        self._streams: dict[EventStream, dict[str, int]] = {}  # with the version of each kind that it was sent
        self._telling: Rounds[EventStream] = Rounds(reactor, lambda: list(self._streams), self._tell)
        self._latest = {kind.name: Latest(reactor, kind, self._telling.news) for kind in kinds}

    @property
    def is_open(self) -> bool:
        """Somebody reads."""
        return bool(self._streams)

    def stream(self, request: LimitedRequest) -> Deferred[bytes]:
        """`request` is answered by a stream: the newest of each kind, then whatever changes.

        The answer is complete when the Deferred fires.

        Raises ProblemError, 503: there are too many, or this node stops.
        """
        stream = self._places.take(
            request, lambda: EventStream(request, self._preamble, drained=self._tell, gone=self._leave)
        )
        first = not self._streams
        self._streams[stream] = {}
        if first:
            self._opened()
        self._tell(stream)
        return stream.ended

    def touch(self, *names: str) -> None:
        """These kinds are made anew, if anybody reads."""
        if self._streams:
            for name in names:
                self._latest[name].touch()

    def end_all(self) -> None:
        """Every stream is complete."""
        for stream in list(self._streams):
            self._leave(stream)
            stream.end()

    def _leave(self, stream: EventStream) -> None:
        if self._streams.pop(stream, None) is None:
            return
        self._places.free()
        if not self._streams:
            self._telling.stop()
            for latest in self._latest.values():
                latest.stop()
            self._closed()

    def _tell(self, stream: EventStream) -> None:
        """What this one lacks is on its way, as far as it takes it."""
        for latest in self._latest.values():
            known = self._streams.get(stream)
            if known is None or stream.full:
                return
            if latest.event and known.get(latest.name) != latest.version:
                known[latest.name] = latest.version
                stream.send(latest.event)
