"""The judge: whether a cluster kept its promises, from what was acknowledged, what is on the disks, and what was read.

What "lost" means, in the words of the README ("What is guaranteed"):

- An acknowledged write is on the disk of the node that acknowledged it. So its tag stands in that node's history, even
  when another write has won over it; unless that disk is the one that was lost.
- Each node keeps the largest state that it has seen. So what all hold in the end is at least as large as every
  acknowledged write, by generation and then value: the newest is there, and every other was overwritten, not lost.
- A node comes back, after `kill -9` as well, with at least what it had acknowledged, before it has heard anybody.
- What a node shows never goes back while it runs, and it always shows something, but while it is down. What it had
  learnt from others may not be on its disk when it ends, and is learnt anew; the others have it.

Pure: it asks nobody.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from tools.drilling.records import Reads, Written

DESCRIBED_MAX = 3
"""Of many faults of one kind so many are described."""


@dataclass(frozen=True, slots=True)
class Restart:
    """A node came back with its disk: generation and value from there, and the newest that it had acknowledged."""

    node: str
    held: tuple[int, int]
    acknowledged: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is known when a drill is over.

    Attributes:
        acknowledged: by all nodes.
        histories: the tags in the history of each node whose disk survived.
        final: what each node holds in the end.
        restarts: of nodes with their disk.
        reads: of each node.
    """

    acknowledged: Sequence[Written]
    histories: Mapping[str, AbstractSet[str]]
    final: Mapping[str, Written]
    restarts: Sequence[Restart]
    reads: Mapping[str, Reads]


def faults(evidence: Evidence) -> list[str]:
    """A sentence for each promise that was broken; none if all were kept."""
    return [*_disagreement(evidence), *_lost(evidence), *_forgotten(evidence), *_reading(evidence)]


def _disagreement(evidence: Evidence) -> list[str]:
    tags = {name: state.tag for name, state in evidence.final.items()}
    return [] if len(set(tags.values())) == 1 else [f"the nodes do not hold the same state: {tags}"]


def _lost(evidence: Evidence) -> list[str]:
    absent = [
        f"{each.node} acknowledged {each.tag}, which is not on its disk"
        for each in evidence.acknowledged
        if each.node in evidence.histories and each.tag not in evidence.histories[each.node]
    ]
    newest = max(evidence.acknowledged, default=None)
    above = [
        f"{newest.node} acknowledged {newest.tag}, and {name} holds {state.tag}, which is below it"
        for name, state in evidence.final.items()
        if newest is not None and (state.generation, state.value) < (newest.generation, newest.value)
    ]
    return [*_few(absent), *above]


def _forgotten(evidence: Evidence) -> list[str]:
    return [
        f"{each.node} came back with {each.held} (generation, value), and had acknowledged {each.acknowledged}"
        for each in evidence.restarts
        if each.held < each.acknowledged
    ]


def _reading(evidence: Evidence) -> list[str]:
    found = []
    for name, reads in evidence.reads.items():
        found += [f"{name}: {what}" for what in _few([*reads.steps_back, *reads.failures])]
        if not reads.answered:
            found.append(f"{name} answered no read at all")
    return found


def _few(sentences: Sequence[str]) -> list[str]:
    more = len(sentences) - DESCRIBED_MAX
    return [*sentences[:DESCRIBED_MAX], *([f"and {more} more of that kind"] if more > 0 else [])]
