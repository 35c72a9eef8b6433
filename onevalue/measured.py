"""What a node measures for metrics: how states came here and how long they took; its reactor; its agent RPC.

The reactor's figures are made by `lag`, the RPC's by `rpc`. It must not know who shows any of it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from onevalue.histogram import LATENCIES_S, Histogram
from onevalue.store import Change, Source, Store

TRAVELLED = (Source.EVENT, Source.NOTIFY, Source.ANTI_ENTROPY)
"""Sources of states that were written while this node was there to hear; what it learns at a join may be of any age."""

SPREAD_BOUNDS_S = (*LATENCIES_S, 30.0, 60.0, 300.0, 3600.0)


@dataclass(frozen=True, slots=True)
class LagFigures:
    """What was measured since the start.

    Attributes:
        lag_s: at the last look.
        lag_max_s: the largest of the last minute.
        stalls: looks that came `lag.STALL_MIN_S` late, or later.
        lags: of all looks.
    """

    lag_s: float
    lag_max_s: float
    stalls: int
    lags: Histogram

    @property
    def status(self) -> Mapping[str, float]:
        """What /v1/status shows."""
        return {"lag_s": round(self.lag_s, 6), "lag_max_s": round(self.lag_max_s, 6), "stalls": self.stalls}


@dataclass(frozen=True, slots=True)
class RpcFigures:
    """What the agent RPC has counted since its start.

    Attributes:
        address: where it listens, for people.
        clients: that are connected.
        clients_max: as many there may be.
        requests: how many there were, by command.
        events: how often else what happened; see `rpc.counts.EVENTS`.
    """

    address: str
    clients: int
    clients_max: int
    requests: Mapping[str, int]
    events: Mapping[str, int]

    @property
    def status(self) -> Mapping[str, object]:
        """What /v1/status shows."""
        return {
            "address": self.address,
            "clients": self.clients,
            "clients_max": self.clients_max,
            "requests": sum(self.requests.values()),
            **self.events,
        }


class Measured:
    """Counted since the start.

    Args:
        store: observed from here on.
        wall_clock: seconds since 1970.

    Attributes:
        merges: by source; own writes are those of `Source.SET`.
        spread: seconds from the write, by its origin's wall clock, until this node had it, by its own: as good as the
            clocks of the two hosts are; a state from the future took no time.
    """

    def __init__(self, store: Store, wall_clock: Callable[[], float]) -> None:
        self.merges = dict.fromkeys(Source, 0)
        self.spread = Histogram(SPREAD_BOUNDS_S)
        self._wall_clock = wall_clock
        store.observe(self._changed)

    def _changed(self, change: Change) -> None:
        self.merges[change.source] += 1
        if change.source in TRAVELLED and change.new.time:
            self.spread.observe(max(0.0, self._wall_clock() - change.new.time))
