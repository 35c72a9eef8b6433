"""Answers that are remembered with the requests that they are for, so that the next such request needs no parser.

A request is its bytes and the address that it came to; an answer is the bytes that were written for it. Whoever changes
what an answer depends on calls `clear`, and with each second of the wall clock, which the Date header shows, the table
is empty again. It must not know how requests are read and answers sent (that is `remembering`), nor the routes.
"""

from collections.abc import Callable

from twisted.web.iweb import IRequest

ENTRIES_MAX = 64
"""Answers that are remembered; a further one takes the place of the oldest."""

ENTRY_SIZE_MAX = 4096
"""Bytes of a request and its answer together; larger ones are not remembered."""


class RememberedAnswers:
    """The table, shared by all connections of a server.

    Args:
        wall_clock: seconds since 1970, the same that the Date of an answer is made from.
    """

    def __init__(self, wall_clock: Callable[[], float]) -> None:
        self._wall_clock = wall_clock
        self._second = 0
        self._answers: dict[tuple[str, bytes], bytes] = {}

    def __len__(self) -> int:
        return len(self._answers)

    def lookup(self, host: str, request: bytes) -> bytes | None:
        """The answer to exactly these bytes, sent to the address `host` of this node; None if it is not known."""
        second = int(self._wall_clock())
        if second != self._second:
            self._second = second
            self._answers.clear()
        return self._answers.get((host, request))

    def remember(self, host: str, request: bytes, answer: bytes) -> None:
        """The answer is known until the second in which it was last looked up ends, unless the two are too large."""
        if len(request) + len(answer) > ENTRY_SIZE_MAX:
            return
        if len(self._answers) >= ENTRIES_MAX:
            del self._answers[next(iter(self._answers))]
        self._answers[host, request] = answer

    def clear(self) -> None:
        """Nothing is known: something has changed on which answers depend."""
        self._answers.clear()


def may_be_remembered(request: IRequest) -> None:
    """The answer to this request, if it is 200, may be remembered: for the handlers to say, before they answer.

    It must be given at once, and depend on nothing but the bytes of the request, the address that it came to, and what
    the table is emptied for. A request with parameters is left out all the same: they are for waiting and for ages.
    """
    if not request.args:
        request.rememberable = True  # type: ignore[attr-defined]  # ours have it (`channel`)
