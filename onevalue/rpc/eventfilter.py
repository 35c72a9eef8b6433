"""Which events a stream wants: the comma separated list of the RPC's `stream` (wire README 6). Pure.

It must not know where events come from.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from onevalue.wire.rpc_messages import MEMBER_EVENTS, QUERY, USER, ErrorText

ALL = "*"


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Kinds of events, each with the name that it must have, "" for any."""

    wanted: frozenset[tuple[str, str]]

    def wants(self, kind: str, name: str = "") -> bool:
        """Whether it lets an event of this kind and name through."""
        return not self.wanted.isdisjoint({(ALL, ""), (kind, ""), (kind, name)})


def parse_filter(text: str) -> EventFilter:
    """What the text names; the empty one names all.

    Raises:
        ValueError: there is no such kind of event, or it has no names.
    """
    return EventFilter(frozenset(_parsed((text or ALL).split(","))))


def _parsed(texts: Iterable[str]) -> Iterable[tuple[str, str]]:
    for text in texts:
        kind, colon, name = text.partition(":")
        if kind not in {USER, QUERY} and (colon or text not in {ALL, *MEMBER_EVENTS}):
            raise ValueError(ErrorText.INVALID_FILTER)
        yield kind, name
