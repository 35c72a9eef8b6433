"""The TCP exchanges that this node asks its shell for: connect, send, read one message, close.

Every request ends exactly once, by an answer, a failure, or here at its deadline, whatever the shell does. It must not
know what is asked.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from onevalue.swim.common import Common
from onevalue.types import Address
from onevalue.wire.messages import StreamMessage
from onevalue.wire.stream import Outgoing

STREAM_REQUESTS_MAX: Final = 128


@dataclass(frozen=True, slots=True)
class StreamRequest:
    """Connect to `address`, send `data`, read one message, all before `deadline` (seconds of `now`)."""

    request_id: int
    address: Address
    data: Outgoing
    deadline: float


@dataclass(frozen=True, slots=True)
class StreamFailed:
    """No answer: why not, as a sentence for people. `refused`: the host is there, but nobody listens at this port."""

    reason: str
    refused: bool = False


StreamOutcome = StreamMessage | StreamFailed
Done = Callable[[int, StreamOutcome, float], None]


class Streams:
    """The requests under way; at most STREAM_REQUESTS_MAX, and what is asked above that fails at once."""

    def __init__(self, common: Common) -> None:
        self._common = common
        self._requests: list[StreamRequest] = []
        self._done: dict[int, Done] = {}
        self._count = 0

    def __len__(self) -> int:
        return len(self._done)

    def take(self) -> list[StreamRequest]:
        """The requests that were made since the last call."""
        requests, self._requests = self._requests, []
        return requests

    def open(  # a request is these five things and the time
        self,
        address: Address,
        make: Callable[[], StreamMessage],
        deadline: float,
        now: float,
        done: Done,
        *,
        is_long: bool = False,
    ) -> int:
        """A request is made; `done(request_id, outcome, now)` is called when it has ended. Returns its id.

        Args:
            address: whom.
            make: gives the message to send; called later, perhaps in another thread.
            deadline: of the answer.
            now: seconds.
            done: see there.
            is_long: the message takes long to encode.
        """
        self._count += 1
        request_id = self._count
        if len(self._done) >= STREAM_REQUESTS_MAX:
            self._common.counters["streams_failed"] += 1
            done(request_id, StreamFailed(f"{STREAM_REQUESTS_MAX} exchanges are under way already"), now)
            return request_id
        self._done[request_id] = done
        seal = self._common.envelope.seal_request
        data = Outgoing(make, seal, self._common.settings.compression, is_long)
        self._requests.append(StreamRequest(request_id, address, data, deadline))
        self._common.timers.set(
            _timer(request_id), deadline, lambda late: self.end(request_id, StreamFailed("no answer in time"), late)
        )
        return request_id

    def reply(self, make: Callable[[], StreamMessage], *, is_long: bool = False) -> Outgoing:
        """The answer on a stream that another opened."""
        return Outgoing(make, self._common.envelope.seal_reply, self._common.settings.compression, is_long)

    def end(self, request_id: int, outcome: StreamOutcome, now: float) -> None:
        """The request has ended so; nothing happens if it had before."""
        done = self._done.pop(request_id, None)
        if done is None:
            return
        self._common.timers.cancel(_timer(request_id))
        if isinstance(outcome, StreamFailed):
            self._common.counters["streams_failed"] += 1
        done(request_id, outcome, now)


def _timer(request_id: int) -> str:
    return f"stream {request_id}"
