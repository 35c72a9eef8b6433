"""What all connections of the RPC share. It must not know what any of it does."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from onevalue.loglines import LimitedLog
from onevalue.rpc.commands import Commands
from onevalue.rpc.counts import Counts
from onevalue.rpc.turns import Turns
from onevalue.streams import Reactor


@dataclass(slots=True)
class Surroundings:
    """Of one service.

    Attributes:
        reactor: time, and delayed calls.
        turns: in which requests are handled.
        commands: what each does.
        lines: for the log.
        opened: told of each connection that is made.
        closed: and of each that has ended.
        key: that clients must know; empty: none is needed.
        counts: of all that they do.
    """

    reactor: Reactor
    turns: Turns
    commands: Commands
    lines: LimitedLog
    opened: Callable[[Any], object]
    closed: Callable[[Any], object]
    key: bytes = field(default=b"", repr=False)
    counts: Counts = field(default_factory=Counts)
