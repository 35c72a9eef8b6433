"""What readers and writers record, and the judge goes by."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, order=True)
class Written:
    """A state that a node has acknowledged; ordered as states are, for values that are integers."""

    generation: int
    value: int
    tag: str
    node: str


@dataclass
class Reads:
    """What a reader saw.

    Attributes:
        answered: reads that were answered, one of /get and one of /v1/value each.
        failures: what went wrong while the node should have answered.
        steps_back: states that were followed by a smaller one.
        slowest_s: the longest that answers took while the node should have answered.
    """

    answered: int = 0
    failures: list[str] = field(default_factory=list)
    steps_back: list[str] = field(default_factory=list)
    slowest_s: float = 0.0
