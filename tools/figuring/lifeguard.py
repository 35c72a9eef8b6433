"""With Lifeguard and without: what two sections compare."""

from dataclasses import replace

from onevalue.config import LAN
from onevalue.simulation.cluster import Settings

BARE = replace(LAN, awareness_max_multiplier=1, suspicion_max_timeout_mult=1)
"""Without two of Lifeguard's three parts: no awareness of the own health, and suspicions of one length."""

MODES = (True, False)
"""With Lifeguard, and without."""


def settings(*, lifeguard: bool) -> Settings:
    """Of all nodes."""
    return Settings(with_journal=False, swim=LAN if lifeguard else BARE)
