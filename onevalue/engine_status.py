"""What /v1/status shows of the gossip engine beside what the core tells of itself, and what metrics show of it.

Keys are shown by fingerprint. It must not know who shows any of it.
"""

from onevalue.addresses import host_port
from onevalue.membership import EngineFigures
from onevalue.serf.core import Serf
from onevalue.serf.dispute import Dispute
from onevalue.wire.envelope import Envelope
from onevalue.wire.key_text import fingerprint


def status_of(serf: Serf, envelope: Envelope, inbound: int, now: float) -> dict[str, object]:
    """What /v1/status shows of the engine; `inbound` streams are open."""
    return {
        "engine": "gossip",
        "inbound_streams": inbound,
        "label": envelope.label.decode("utf-8", "replace"),
        "encryption": shown_encryption(envelope),
        "name_dispute": shown_dispute(serf.dispute, now),
        **serf.status(),
    }


def shown_encryption(envelope: Envelope) -> dict[str, object] | None:
    """What people may know of the keys; None without."""
    if envelope.keyring is None:
        return None
    prints = [fingerprint(key) for key in envelope.keyring.keys]
    return {
        "primary_key": prints[0],
        "keys": prints,
        "verify_incoming": envelope.verify_incoming,
        "verify_outgoing": envelope.verify_outgoing,
    }


def shown_dispute(dispute: Dispute | None, now: float) -> dict[str, object] | None:
    """Where the other node of this name is, and what the members said; None without one."""
    if dispute is None:
        return None
    return {
        "other": host_port(*dispute.address),
        "verdict": dispute.verdict.name.lower(),
        "meaning": dispute.verdict.value,
        "answers": dispute.answers,
        "for_this_node": dispute.for_us,
        "since_s": round(now - dispute.since, 3),
        "last_sign_s": round(now - dispute.seen, 3),
    }


def figures_of(serf: Serf) -> EngineFigures:
    """What the core has measured."""
    return EngineFigures(
        health_score=serf.swim.health_score,
        counters=serf.counters,
        queues=serf.queue_lengths,
        packets=[(direction, *row) for direction, counts in serf.swim.packets.items() for row in counts.rows()],
        round_trips=serf.swim.round_trips,
    )
