"""What the RPC has counted since its start, for status and metrics. It must not know who shows it."""

from dataclasses import dataclass, field

from onevalue.wire.rpc_codec import REQUESTS

EVENTS = (
    "refused",  # requests that were answered with an error
    "wrong_keys",  # keys that clients told, and that are not the right one
    "clients_refused",  # connections that were closed at once, as there were too many
    "clients_too_slow",  # clients that were cut off, as they did not read
)


@dataclass(slots=True)
class Counts:
    """Of one service.

    Attributes:
        requests: how many there were, by command; the commands are fixed, and no others stand here.
        events: how often else what happened; the names are fixed.
    """

    requests: dict[str, int] = field(default_factory=lambda: dict.fromkeys(REQUESTS, 0))
    events: dict[str, int] = field(default_factory=lambda: dict.fromkeys(EVENTS, 0))
