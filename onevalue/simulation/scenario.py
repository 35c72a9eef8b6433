"""What one seed of a campaign means: how large a cluster, on what network, which faults, how much is written.

Every seed has its own mix, so that faults are also met in pairs and alone. It must not know how a fault is made.
"""

from dataclasses import dataclass, replace
from random import Random

from onevalue.config import SpreadSettings
from onevalue.options import PROFILES
from onevalue.simulation.cluster import Settings
from onevalue.simulation.network import LATENCIES, Link

NETWORK_FAULTS = ("partition", "one_way", "partial", "no_udp", "loss", "stall", "slow")
"""Kinds of faults that keep nodes from each other."""

RESTARTS = ("crash", "power", "wipe", "move", "leave", "restart_all")
"""Kinds that end nodes, and start them again."""

OTHER_FAULTS = ("broken_disk", "hanging_disk", "clock", "leap")

FAULTS = (*NETWORK_FAULTS, *RESTARTS, *OTHER_FAULTS)
"""All kinds; a scenario has some of them."""

STYLES = {"quiet": 8, "restarts": 30, "everything": 62}
"""Of a hundred seeds so many have no faults, no faults of the network, or any."""

NODES_MIN, NODES_MAX = 5, 30

KEY = bytes(range(32))


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One run of a campaign.

    Attributes:
        seed: sets all chance in it.
        nodes: how many hosts.
        seeds: how many of them everybody is told to join.
        profile: a name in `options.PROFILES`.
        link: what any two hosts have between them until the faults stop.
        encrypted: the cluster has a key.
        compressed: packets and streams are compressed, which takes long.
        heads: value events go by heads of slices although the cluster is small.
        faults: kinds that happen.
        fault_pause_s: between two of them, on average.
        write_pause_s: between two writes, on average.
        large: the share of values that are too large for an event.
        confirmed: the share of writes that other nodes are to confirm.
        faults_s: for how long.
    """

    seed: int
    nodes: int
    seeds: int
    profile: str
    link: Link
    encrypted: bool
    compressed: bool
    heads: bool
    faults: tuple[str, ...]
    fault_pause_s: float
    write_pause_s: float
    large: float
    confirmed: float
    faults_s: float

    @property
    def fault_free(self) -> bool:
        """Nothing is done to network or nodes."""
        return not self.faults and not self.link.loss and not self.link.spikes

    @property
    def settings(self) -> Settings:
        """What all nodes are told."""
        spread = SpreadSettings(direct_members_max=3) if self.heads else SpreadSettings()
        swim = replace(PROFILES[self.profile], compression=self.compressed)
        return Settings(swim=swim, spread=spread, keys=(KEY,) if self.encrypted else ())


def draw(seed: int) -> Scenario:
    """The scenario of a seed."""
    rng, of_writes = Random(f"{seed} scenario"), Random(f"{seed} writes")
    style = rng.choices(list(STYLES), list(STYLES.values()))[0]
    profile = rng.choices(("lan", "local", "wan"), (12, 6, 1))[0]
    latency = LATENCIES["wan" if profile == "wan" or rng.random() < 0.15 else "lan"]
    nodes = NODES_MIN + int((NODES_MAX - NODES_MIN + 1) * rng.random() ** 2)  # small ones more often
    copies = rng.choice((0.0, 0.0, 0.05, 0.3))
    faults: list[str] = []
    if style == "quiet":
        link, pauses_s = Link(latency, copies=copies), (1.0, 1.0)
    elif style == "restarts":
        link, pauses_s = Link(latency, loss=rng.choice((0.0, 0.0, 0.01, 0.05)), copies=copies), (0.5, 3.0)
        usual = rng.choice(("wipe", "crash", "move"))
        others = [kind for kind in (*RESTARTS, *OTHER_FAULTS) if kind != usual]
        faults = [usual, *rng.sample(others, rng.randrange(3))]
    else:
        loss, spikes = rng.choice((0.0, 0.0, 0.01, 0.05, 0.1, 0.2)), rng.choice((0.0, 0.0, 0.01, 0.1))
        link, pauses_s = Link(latency, loss=loss, copies=copies, spikes=spikes), (1.0, 8.0)
        faults = rng.sample(FAULTS, rng.randrange(2, 9))
    return Scenario(
        seed=seed,
        nodes=nodes,
        seeds=rng.randrange(1, 4),
        profile=profile,
        link=link,
        encrypted=rng.random() < 0.2,
        compressed=rng.random() < 0.1,
        heads=rng.random() < 0.3,
        faults=tuple(faults),
        fault_pause_s=rng.uniform(*pauses_s),
        write_pause_s=rng.choice((0.2, 1.0, 4.0)),
        large=of_writes.choice((0.0, 0.0, 0.0, 0.3, 1.0)),
        confirmed=of_writes.choice((0.0, 0.0, 0.5)),
        faults_s=rng.uniform(15.0, 45.0),
    )
