"""The changes that nodes report, for ever: from one node until it falls silent, then from the next.

It must not know what is done with a change.
"""

import itertools
from collections.abc import Callable, Iterator
from http.client import HTTPException

from onevalue.commands.nodes import Nodes
from onevalue.commands.wire import reason_of
from onevalue.errors import ClientError, RemoteProtocolError
from onevalue.following import Backoff, Following
from onevalue.replies import Answer, Reading, refusal
from onevalue.types import Rng

WATCH_PATH = "/v1/watch"


def changes(nodes: Nodes, rng: Rng, sleep: Callable[[float], None], tell: Callable[[str], None]) -> Iterator[Reading]:
    """Each state that is newer than all before; first the current one. Ends only with an error.

    `tell` gets one sentence when nobody is heard, and one when somebody is; and, once, one when a node goes on to hold
    a lower generation than was shown.

    Raises:
        ClientError: every node refuses to be watched, and would again.
    """
    following, backoff, doubt = Following(), Backoff(rng), _Doubt(tell)
    refusals = 0
    lost = heard = False
    for url in itertools.cycle(nodes.urls):
        try:
            with nodes.stream(url, WATCH_PATH, following.begin()) as stream:
                if isinstance(stream, Answer):
                    raise refusal(stream)
                for data in stream:
                    backoff.reset()
                    refusals = 0
                    if lost:
                        lost = False
                        tell(f"{url} is heard{' again' if heard else ''}")
                    heard = True
                    before = following.behind
                    yield from following.receive(data)
                    if before is not None:
                        doubt.judge(following)
            reason = "the connection ended"
        except ClientError as error:
            reason = str(error)
            refusals = refusals + 1 if (error.status or 0) < 500 else 0
            if refusals == len(nodes.urls):
                raise
        except (OSError, ValueError, HTTPException, RemoteProtocolError) as error:
            refusals, reason = 0, reason_of(error)
        if not lost:
            lost = True
            tell(f"{url} {'is not heard any more' if heard else 'cannot be heard'}, trying again and again: {reason}")
        sleep(backoff.next_s(following.retry_s))


class _Doubt:
    """Says once that the cluster seems to have been reset; a node that is behind for a moment does not make it."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._told = False

    def judge(self, following: Following) -> None:
        """Something more has come on a stream that was behind: a heartbeat, or another state."""
        if following.behind is None or following.reading is None or self._told:
            return
        self._told = True
        held, shown = following.behind.generation, following.reading.generation
        self._tell(
            f"the node holds generation {held}, below {shown} that was shown: was the cluster reset? start watch anew"
        )
