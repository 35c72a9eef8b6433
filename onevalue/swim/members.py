"""The members as SWIM knows them."""

from dataclasses import dataclass

from onevalue.types import Incarnation
from onevalue.wire.messages import NodeStatus


@dataclass(frozen=True, slots=True)
class MemberRecord:
    """What is known of one member; replaced, never changed in place.

    Attributes:
        name: unique in the cluster.
        addr: 4 or 16 raw bytes, in the form in which they came.
        port: of gossip.
        meta: opaque here; Serf's tags.
        vsn: six bytes of protocol versions, or b"" if not told.
        incarnation: the newest that was heard.
        status: memberlist's state.
        changed: when `status` last changed, in the seconds of `now`.
    """

    name: str
    addr: bytes
    port: int
    meta: bytes
    vsn: bytes
    incarnation: Incarnation
    status: NodeStatus
    changed: float
