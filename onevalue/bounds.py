"""How much a client may ask of a node in the query of a URL: what nodes refuse beyond, and the command before it asks.

It imports nothing.
"""

ACKS_MAX = 10_000
"""Nodes that a write may want to be held by."""

ACK_WORDS = ("all", "majority")
"""What a write may say instead of a number of nodes."""

ACK_TIMEOUT_S = 5.0
"""How long others may take to confirm a write, unless `timeout` says otherwise."""

ACK_TIMEOUT_MIN_S = 0.001

ACK_TIMEOUT_MAX_S = 25.0
"""The longest `timeout`: the answer must come before the server gives up the request."""

WAIT_MAX_S = 60.0
"""A read waits at most so long. Who asks for more is told so (400), not answered sooner than it reckons with."""

QUERY_TIME_MAX_S = 25.0
"""A query of all members is answered within so long, for the same reason."""

STALE_MAX_S = 1e9
"""The largest bound that a read can set to how long ago a node heard another; some thirty years."""
