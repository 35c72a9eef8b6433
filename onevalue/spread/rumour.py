"""Rumours: the value event, to whom it goes straight, and how fast.

A new state leaves by UDP when it exists. It is a Serf user event named `onevalue`, so real Serf agents carry it too. Up
to `direct_members_max` members the origin sends it straight to all. Above, the sorted list of members is cut into about
sqrt(N) slices; the origin sends to the first of each, its head, who sends on to its slice.

Bounds: only the newest state is sent, so many writes a second become few events (a token bucket), and direct copies
leave at a bounded rate (another).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from onevalue.errors import RemoteProtocolError
from onevalue.exchange import load_json
from onevalue.member import Member
from onevalue.store import ORIGIN_LENGTH_MAX, State, generation_of, is_text, state_from_json
from onevalue.types import Generation
from onevalue.values import canonical

EVENT_NAME = "onevalue"

EVENT_SIZE_MAX = 512
"""Bytes of a payload, as the limit of own user events has it (UserEventSizeLimit). More is not relayed: what stands in
the value slot goes before all other gossip, and must leave room for it.
"""

OWN_EVENT_SIZE_MAX = 448
"""Bytes of a payload that we make: with its name, its time and the envelope of a message, it has at most 512."""

TOKEN_PAUSE_MIN_S = 0.005
"""The shortest wait for a token: a wake-up costs more than a copy, so some leave together."""

CLOCK_GRAIN_S = 1e-6
"""More than the grain of floats as large as the seconds of a reactor: without it a wait may end before its token is
there, and the next one, too short for the clock, would never end.
"""


@dataclass(frozen=True, slots=True)
class Announced:
    """A state that is too large for an event, by its tag; `origin` holds it."""

    tag: str
    generation: Generation
    origin: str


def encode_event(state: State) -> bytes:
    """The payload of the value event: JSON, so that `serf monitor` and event handlers can read it.

    The state, or where its value is too large for that, {"tag", "origin", "time"}: who hears it fetches the state.
    """
    if len(state.text) <= OWN_EVENT_SIZE_MAX and len(state.json) <= OWN_EVENT_SIZE_MAX:
        return state.json
    return canonical({"tag": state.tag, "origin": state.origin, "time": state.time})


def decode_event(payload: bytes) -> State | Announced:
    """The state that a value event carries or announces.

    Raises:
        RemoteProtocolError: the payload is not such JSON, or has more than EVENT_SIZE_MAX bytes.
    """
    if len(payload) > EVENT_SIZE_MAX:
        raise RemoteProtocolError(f"a value event has at most {EVENT_SIZE_MAX} bytes of payload, not {len(payload)}")
    told = load_json(payload, "a value event")
    if not isinstance(told, dict) or "value" in told or "tag" not in told:
        return state_from_json(told)
    tag, origin = told["tag"], told.get("origin", "")
    if not is_text(origin, ORIGIN_LENGTH_MAX):
        raise RemoteProtocolError(f"origin must be a text of at most {ORIGIN_LENGTH_MAX} characters")
    return Announced(str(tag), generation_of(tag), origin)


def reachable(members: Sequence[Member], name: str) -> list[Member]:
    """The members that a direct copy can reach: present, and not `name`. Sorted by name, as `members` is."""
    return [m for m in members if m.name != name and m.is_present]


def slices(members: Sequence[Member]) -> list[Sequence[Member]]:
    """The sorted members cut into about sqrt(N) runs of about sqrt(N); the first of each is its head."""
    size = math.isqrt(max(0, len(members) - 1)) + 1
    return [members[start : start + size] for start in range(0, len(members), size)]


def targets_of_origin(members: Sequence[Member], name: str, direct_members_max: int) -> list[Member]:
    """To whom the origin sends: all, or in a large cluster the heads and the rest of its own slice."""
    others = reachable(members, name)
    if len(others) <= direct_members_max:
        return others
    heads = [run[0] for run in slices(_present(members, name))]
    return [m for m in heads if m.name != name] + targets_of_head(members, name, direct_members_max)


def targets_of_head(members: Sequence[Member], name: str, direct_members_max: int) -> list[Member]:
    """To whom `name` sends on: the rest of its slice if it is the head of one in a large cluster, else nobody."""
    present = _present(members, name)
    if len(present) <= direct_members_max + 1:
        return []
    for run in slices(present):
        if run[0].name == name:
            return list(run[1:])
    return []


def _present(members: Sequence[Member], name: str) -> list[Member]:
    """The members that are sliced, on every node alike; `name`, who slices, is one of them."""
    return [m for m in members if m.name == name or m.is_present]


class TokenBucket:
    """At most `rate` a second on average, `burst` at once. Tokens are not counted beyond `burst`."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._at: float | None = None

    def take(self, most: int, now: float) -> int:
        """How many of `most` may pass now; they are taken."""
        if self._at is not None and now > self._at:
            self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        # A clock that steps back gives no tokens, and does not hold later ones back either.
        self._at = now
        taken = min(most, int(self._tokens))
        self._tokens -= taken
        return taken

    def next_token(self) -> float:
        """When the next one may pass, in the seconds of the last `take`; at least TOKEN_PAUSE_MIN_S later."""
        missing = max(0.0, 1.0 - self._tokens)
        return (self._at or 0.0) + max(TOKEN_PAUSE_MIN_S, missing / self._rate + CLOCK_GRAIN_S)
