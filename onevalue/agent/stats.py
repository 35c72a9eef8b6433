"""What an agent's `stats` say that this node wants to know (wire README 6).

It must not know when they are asked for.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from onevalue.wire.rpc_messages import Stats

_CLOCKS = ("member_time", "event_time", "query_time")
_COUNTS = ("members", "failed", "left")
_QUEUES = {"intent_queue": "intents", "event_queue": "events", "query_queue": "queries"}


@dataclass(frozen=True, slots=True)
class AgentStats:
    """Figures of an agent; zeros for what it does not tell.

    Attributes:
        name: of the agent.
        clocks: Lamport times of members, events, queries.
        counts: members that it remembers; of them failed; of them left.
        health_score: 0 is best; None: it does not tell.
        encrypted: its gossip is; None: it does not tell.
        queues: how many messages wait, by queue.
        sections: all of it, as it was told.
    """

    name: str = ""
    clocks: tuple[int, ...] = (0, 0, 0)
    counts: tuple[int, ...] = (0, 0, 0)
    health_score: int | None = None
    encrypted: bool | None = None
    queues: Mapping[str, int] = field(default_factory=dict)
    sections: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def read_stats(stats: Stats) -> AgentStats:
    """The figures in `stats`; a text that is no number counts as 0."""
    serf = stats.sections.get("serf", {})
    return AgentStats(
        name=stats.sections.get("agent", {}).get("name", ""),
        clocks=tuple(_number(serf.get(name)) for name in _CLOCKS),
        counts=tuple(_number(serf.get(name)) for name in _COUNTS),
        health_score=_number(serf["health_score"]) if "health_score" in serf else None,
        encrypted=serf["encrypted"] == "true" if "encrypted" in serf else None,
        queues={told: _number(serf[name]) for name, told in _QUEUES.items() if name in serf},
        sections=stats.sections,
    )


def _number(text: str | None) -> int:
    return int(text) if text is not None and text.isascii() and text.isdecimal() and len(text) < 20 else 0
