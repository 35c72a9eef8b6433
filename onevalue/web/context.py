"""What the routes may use of the rest of the node, in one place; `tap` fills it in.

It must not know what any route does with it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from twisted.internet.interfaces import IReactorTime

from onevalue.journal import IJournal
from onevalue.measured import LagFigures, RpcFigures
from onevalue.membership import IMembership
from onevalue.signing import Signer
from onevalue.spread import Spread
from onevalue.store import Store
from onevalue.values import VALUE_SIZE_DEFAULT
from onevalue.web.access import Access
from onevalue.writer import Writer


@dataclass(frozen=True, kw_only=True)
class Context:
    """The node as its HTTP service sees it.

    Attributes:
        store: the value.
        writer: the way of own writes.
        spread: what to do with the states of others; whether this node is still learning.
        membership: the members.
        journal: the durable copy.
        signer: signs and checks what nodes say to each other.
        clock: the reactor; its seconds are `now`.
        wall_clock: seconds since 1970, for people.
        name: of this node.
        version: of this package.
        started_s: `clock.seconds()` when the node started.
        lag: how late the reactor is.
        isolated: why this node is cut off from all others, a sentence; None: it is not.
        value_size_max: bytes of JSON of a value that is written here.
        cluster_size: of how many nodes a majority is one; None: nobody has said.
        exposure: one sentence for each thing that is open and unencrypted, as it is now.
        access: which tokens count.
        host_names: this host's, for requests at a loopback address.
        expects_others: this node was told of others, so it is not alone because nobody else is there.
        value_file: what /v1/status shows of the file that the value is kept in; None: there is none.
        rpc: what the agent RPC has counted; None: there is none.
    """

    store: Store
    writer: Writer
    spread: Spread
    membership: IMembership
    journal: IJournal
    signer: Signer
    clock: IReactorTime
    wall_clock: Callable[[], float]
    name: str
    version: str
    started_s: float
    lag: Callable[[], LagFigures]
    isolated: Callable[[], str | None]
    value_size_max: int = VALUE_SIZE_DEFAULT
    cluster_size: int | None = None
    exposure: Callable[[], Sequence[str]] = tuple
    access: Access = field(default_factory=Access)
    host_names: Sequence[str] = ()
    expects_others: bool = False
    value_file: Callable[[], Mapping[str, object]] | None = None
    rpc: Callable[[], RpcFigures] | None = None

    @property
    def now(self) -> float:
        """Seconds of the reactor."""
        return self.clock.seconds()
