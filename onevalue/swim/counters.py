"""What the core counts, for people and for metrics; the names are fixed, so the counters cannot grow."""

from typing import Final

COUNTER_NAMES: Final = (
    "packets_in",
    "packets_out",
    "bytes_in",  # of UDP payload, as are bytes_out
    "bytes_out",
    "malformed",  # messages, packets or streams that mean nothing
    "mislabelled",  # packets or streams with another label than ours, or none
    "undecipherable",  # packets or streams that no key of ours opens, or plain ones where keys are demanded
    "members_refused",  # names above MEMBERS_MAX
    "conflicts",  # names of members claimed from another address
    "refutations",  # accusations of this node, refuted
    "probes",
    "probes_failed",  # nobody reached the member, which thus became suspect
    "probes_dropped",  # without a verdict, because this node stood still meanwhile
    "stalls",  # times that this node stood still, by its own timers
    "probes_by_stream",  # only TCP reached the member: UDP seems to be blocked
    "pings_refused",  # of one packet, above PINGS_PER_PACKET_MAX
    "relays_refused",  # indirect pings above RELAYS_MAX
    "push_pulls",  # exchanges that were merged
    "push_pulls_refused",  # exchanges whose protocol versions do not fit, or above the bound of what waits
    "streams_failed",
    "streams_refused",  # requests from elsewhere that got no answer
)


def new_counters() -> dict[str, int]:
    """All counters at 0."""
    return dict.fromkeys(COUNTER_NAMES, 0)
