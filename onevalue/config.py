"""Frozen settings of the pure parts, validated once; presets for lan, wan and local networks.

Each field tells its meaning, unit, what larger and smaller do, and memberlist's or Serf's name for it.
Options of the command line are `tap`'s; they end up here.
"""

from dataclasses import dataclass, fields
from math import inf

from onevalue.errors import ConfigError

HTTP_PORT_DEFAULT = 8080
GOSSIP_PORT_DEFAULT = 7946


def _check(settings: object, name: str, ok: bool, want: str) -> None:
    if not ok:
        raise ConfigError(f"{name} must be {want}, not {getattr(settings, name)!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SwimSettings:
    """memberlist's settings (wire README 4.1); the defaults are its LAN profile, but for the departures named."""

    probe_interval_s: float = 1.0
    """One member is probed each interval; smaller finds failures sooner and costs more packets. ProbeInterval."""

    probe_timeout_s: float = 0.5
    """How long to wait for a direct ack before asking others; above the usual round trip. ProbeTimeout."""

    indirect_checks: int = 3
    """How many members are asked to ping for us. IndirectChecks."""

    retransmit_mult: int = 4
    """Each message is sent this many times ceil(log10(n + 1)) times. RetransmitMult."""

    suspicion_mult: int = 4
    """Multiplies the shortest suspicion time; larger gives slow members more time to refute. SuspicionMult."""

    suspicion_max_timeout_mult: int = 6
    """Without confirmations a suspicion lasts this many times as long. SuspicionMaxTimeoutMult."""

    awareness_max_multiplier: int = 8
    """The health score stays below this. AwarenessMaxMultiplier."""

    gossip_interval_s: float = 0.2
    """How often the queue is offered to random members. GossipInterval."""

    gossip_nodes: int = 3
    """To how many members a round of gossip goes. GossipNodes."""

    gossip_to_the_dead_s: float = 30.0
    """How long dead members still get gossip, so that they can refute. GossipToTheDeadTime."""

    push_pull_interval_s: float = 30.0
    """All state is exchanged with a random member this often, scaled by cluster size. PushPullInterval."""

    dead_node_reclaim_s: float = 1.0
    """After this time a dead member's name may come back from another address. DeadNodeReclaimTime.

    DEPARTURE (reclaim): memberlist's default is 0, off, so a restarted host with a new address is refused for hours.
    """

    stream_timeout_s: float = 10.0
    """Deadline of a TCP exchange. TCPTimeout."""

    packet_size_max: int = 1400
    """Payload of a UDP packet that we build; must fit the network's MTU. UDPBufferSize."""

    compression: bool = True
    """Compress packets where that makes them smaller, and streams always. EnableCompression."""

    tcp_pings: bool = True
    """Ping by TCP too when UDP fails, so that a blocked UDP port is not taken for death. DisableTcpPings."""

    def __post_init__(self) -> None:
        for field in fields(self):
            if field.name.endswith("_s") and field.name != "dead_node_reclaim_s":
                _check(self, field.name, 0 < getattr(self, field.name) < inf, "more than 0 seconds")
        _check(self, "probe_timeout_s", self.probe_timeout_s <= self.probe_interval_s, "at most probe_interval_s")
        _check(self, "dead_node_reclaim_s", 0 <= self.dead_node_reclaim_s < inf, "0 (off) or more seconds")
        for name in (
            "retransmit_mult",
            "suspicion_mult",
            "suspicion_max_timeout_mult",
            "awareness_max_multiplier",
        ):
            _check(self, name, getattr(self, name) >= 1, "1 or more")
        for name in ("indirect_checks", "gossip_nodes"):
            _check(self, name, getattr(self, name) >= 0, "0 or more")
        _check(self, "packet_size_max", 512 <= self.packet_size_max <= 65000, "from 512 to 65000 bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class SerfSettings:
    """Serf's settings (wire README 5.12)."""

    broadcast_timeout_s: float = 3.0
    """How long a leave waits for its intent, and then for its departure, to be gossiped. BroadcastTimeout.

    DEPARTURE (leave-time): Serf waits 5 s; a node that is told to stop has a budget of 3 s for each.
    """

    leave_propagate_delay_s: float = 1.0
    """How long a node that left goes on answering. LeavePropagateDelay."""

    reap_interval_s: float = 15.0
    """How often old members are looked for. ReapInterval."""

    reconnect_interval_s: float = 30.0
    """How often a failed member is dialled. ReconnectInterval."""

    reconnect_timeout_s: float = 24 * 3600.0
    """A member that failed is forgotten after this time. ReconnectTimeout."""

    tombstone_timeout_s: float = 24 * 3600.0
    """A member that left is forgotten after this time. TombstoneTimeout."""

    recent_intent_timeout_s: float = 300.0
    """How long the intent of an unknown member is kept. RecentIntentTimeout."""

    user_event_size_max: int = 512
    """Largest own user event, name and payload, and encoded. UserEventSizeLimit."""

    flap_timeout_s: float = 60.0
    """A member that is back so soon after it failed counts as flapping. FlapTimeout."""

    query_timeout_mult: int = 16
    """A query lasts this many times the gossip interval and ceil(log10(members + 1)). QueryTimeoutMult."""

    query_size_max: int = 1024
    """Largest own query, encoded. QuerySizeLimit."""

    query_response_size_max: int = 1024
    """Largest own answer to a query, encoded, also with what has it relayed. QueryResponseSizeLimit."""

    join_retry_min_s: float = 0.25
    """First pause before a join address is dialled again; it doubles up to `join_retry_max_s`.

    DEPARTURE (dial-for-ever): Serf gives up.
    """

    join_retry_max_s: float = 30.0
    """Longest pause before a join address is dialled again; this goes on for ever."""

    def __post_init__(self) -> None:
        for field in fields(self):
            if field.name.endswith("_s"):
                _check(self, field.name, 0 < getattr(self, field.name) < inf, "more than 0 seconds")
        at_least_min = self.join_retry_max_s >= self.join_retry_min_s
        _check(self, "join_retry_max_s", at_least_min, "at least join_retry_min_s")
        _check(self, "query_timeout_mult", self.query_timeout_mult >= 1, "1 or more")
        for name in ("query_size_max", "query_response_size_max"):
            _check(self, name, 256 <= getattr(self, name) <= 9216, "from 256 to 9216 bytes")
        _check(self, "user_event_size_max", 64 <= self.user_event_size_max <= 9216, "from 64 to 9216 bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class SpreadSettings:
    """How a value spreads (docs/architecture.md, "Three ways")."""

    members_to_notify: int = 2
    """With how many random members each round of anti-entropy exchanges states."""

    join_timeout_s: float = 5.0
    """A node that has somebody to ask takes no writes for at most this long without an answer."""

    plain_member_retry_s: float = 60.0
    """A member without the `http` tag is tried this often, until it answers as the original program does."""

    originals: bool = True
    """Members without the `http` tag may be nodes of the original program: they get the value over HTTP, in the open.

    False where gossip is encrypted: no original can be a member there, and what has no tag is a Serf agent.
    """

    tie_patience_s: float = 5.0
    """How long an original program may push a losing value at our generation before we raise ours."""

    events_per_s: float = 5.0
    """Value events that this node originates, on average."""

    events_burst: int = 5
    """Value events that this node may originate at once."""

    direct_members_max: int = 100
    """Up to this many members the origin sends its event straight to all; above, by heads of slices.

    So that all copies of one event leave at once: a thousand would take half a second at `direct_copies_per_s`.
    """

    direct_copies_per_s: float = 2000.0
    """Direct copies of value events that this node sends, at most."""

    def __post_init__(self) -> None:
        _check(self, "members_to_notify", 0 <= self.members_to_notify <= 64, "from 0 to 64")
        for name in (
            "join_timeout_s",
            "plain_member_retry_s",
            "tie_patience_s",
            "events_per_s",
            "direct_copies_per_s",
        ):
            _check(self, name, 0 < getattr(self, name) < inf, "more than 0")
        for name in ("events_burst", "direct_members_max"):
            _check(self, name, getattr(self, name) >= 1, "1 or more")


LAN = SwimSettings()
WAN = SwimSettings(
    probe_interval_s=5.0,
    probe_timeout_s=3.0,
    suspicion_mult=6,
    push_pull_interval_s=60.0,
    gossip_interval_s=0.5,
    gossip_nodes=4,
    gossip_to_the_dead_s=60.0,
    stream_timeout_s=30.0,
)
LOCAL = SwimSettings(
    probe_timeout_s=0.2,
    indirect_checks=1,
    retransmit_mult=2,
    suspicion_mult=3,
    push_pull_interval_s=15.0,
    gossip_interval_s=0.1,
    gossip_to_the_dead_s=15.0,
    stream_timeout_s=1.0,
)
