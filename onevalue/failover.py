"""Which of several nodes is asked next, and when to stop: plans, which the command and `onevalue.client` carry out.

A plan is a generator: it yields the URL to ask, is sent what came of it, and returns the answer that counts. A read
goes on to the next node whenever one did not answer well. A write goes on only when it is certain that nothing was
written, or when to say it twice is to say it once: upon one state (If-Match) one value makes one state, wherever it is
written.

It must not know how a node is asked.
"""

import json
import re
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from onevalue.errors import OutcomeOpenError, RemoteProtocolError, UnreachableError
from onevalue.replies import Answer, Reading, explanation, problem_of, reading_of
from onevalue.store import State
from onevalue.types import Generation
from onevalue.values import Value

TAG = re.compile(r"([0-9]{1,19})-[0-9a-f]{16}")
"""The name of a state: its generation, and what its value was hashed to."""


@dataclass(frozen=True)
class NotSent:
    """Nothing of the request reached the node: there was no connection, and this is why."""

    reason: str


@dataclass(frozen=True)
class Lost:
    """The request may have reached the node, but no whole answer came back, and this is why."""

    reason: str


Outcome: TypeAlias = Answer | NotSent | Lost
Plan: TypeAlias = Generator[str, Outcome, Answer]


def read(urls: Sequence[str]) -> Plan:
    """Asks until one answers with a status below 500.

    Raises:
        UnreachableError: none did; the message has each with its reason.
    """
    tried: list[str] = []
    for url in urls:
        outcome = yield url
        if isinstance(outcome, Answer) and outcome.status < 500:
            return outcome
        tried.append(f"{url}: {_reason(outcome)}")
    raise UnreachableError("; ".join(tried))


def write(
    urls: Sequence[str], proposed: State | None = None, *, confirmed: bool = False, deed: str = "it was written"
) -> Plan:
    """Asks until one took the write, or said no for good: not 503, which says that nothing was written.

    Args:
        urls: of nodes.
        proposed: the state that the write makes, wherever it is made; None if that is not known before.
        confirmed: other nodes are to hold it, too, before it is done: that the state is there does not say so.
        deed: what was done, for the error that cannot tell whether it was.

    Raises:
        UnreachableError: none took it, and nothing was written.
        OutcomeOpenError: it may have been written, or may still be; or it was, which its document tells (`written`),
            and who else holds it is not known.
    """
    tried: list[str] = []
    is_open = False
    for url in urls:
        outcome = yield url
        tried.append(f"{url}: {_reason(outcome)}")
        if isinstance(outcome, Answer) and _is_final(outcome):
            if not is_open or outcome.status == 200 or "written" in problem_of(outcome):
                return outcome
            made = _in_the_way(outcome)
            if made is not None and made.state == proposed:
                if not confirmed:
                    return Answer(200, f'"{made.tag}"', json.dumps(made.document).encode())
                why = "it was written, but whether enough nodes hold it is not known: " + "; ".join(tried)
                raise OutcomeOpenError(why, document={"written": made.document})
        if not isinstance(outcome, NotSent) and not (isinstance(outcome, Answer) and outcome.status == 503):
            is_open = True
            if proposed is None:
                break
    if is_open:
        raise OutcomeOpenError(f"whether {deed} is not known: " + "; ".join(tried))
    raise UnreachableError("; ".join(tried))


def proposed_state(if_match: str | None, value: Value) -> State | None:
    """The state that a write of `value` upon the state of this tag makes; None if the tag names no single state."""
    match = TAG.fullmatch(if_match or "")
    return None if match is None else State(Generation(int(match[1]) + 1), value)


def _is_final(answer: Answer) -> bool:
    """The node has decided. Its 504 tells what was done, by itself or by how many; that of a proxy does not."""
    if answer.status == 504:
        problem = problem_of(answer)
        return "written" in problem or "answers" in problem
    return answer.status < 500


def _in_the_way(answer: Answer) -> Reading | None:
    """The state upon which the node would not write; None if it was not that, or is not told."""
    if answer.status != 412:
        return None
    try:
        return reading_of(problem_of(answer).get("current"))
    except RemoteProtocolError:
        return None


def _reason(outcome: Outcome) -> str:
    return explanation(outcome) if isinstance(outcome, Answer) else outcome.reason
