"""What a journal holds, as plain records. It must not know where it is kept."""

from collections.abc import Sequence
from dataclasses import dataclass

from onevalue.store import Source, State


@dataclass(frozen=True, slots=True)
class Peer:
    """A member to look for after a restart.

    Attributes:
        name: of the member.
        address: a numeric host.
        port: of gossip.
        http: its tag of that name, which says where it serves HTTP; "" if it has none, or none is known.
    """

    name: str
    address: str
    port: int
    http: str = ""


@dataclass(frozen=True, slots=True)
class LamportClocks:
    """Lamport times to go on from after a restart, each 0 .. 2**64-1."""

    member: int
    event: int
    query: int


@dataclass(frozen=True, slots=True)
class Contents:
    """What a journal holds; a new one holds nothing: no state, no peers, no clocks."""

    state: State | None
    peers: tuple[Peer, ...]
    clocks: LamportClocks | None


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """A state that this node accepted, and how it came."""

    state: State
    source: Source


@dataclass(frozen=True, slots=True)
class Transaction:
    """What is written to a journal at once.

    Attributes:
        entries: in the order in which the store accepts them.
        peers: replace those that are there; None leaves them.
        clocks: likewise.
        disowned: tags of states that stand in the history no more.
    """

    entries: Sequence[HistoryEntry] = ()
    peers: Sequence[Peer] | None = None
    clocks: LamportClocks | None = None
    disowned: Sequence[str] = ()
