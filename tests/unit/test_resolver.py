"""Names to addresses: within a deadline, and without taking all threads."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IResolutionReceiver
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from onevalue.resolver import LOOKUP_FORGOTTEN_S, LOOKUPS_MAX, RESOLVE_TIME_MAX_S, Resolver
from tests.unit.gossip_bench import GossipReactor, Names


class ResolverTests(SynchronousTestCase):
    """Resolver, above a resolver that answers when the test says."""

    def setUp(self) -> None:
        self.reactor = GossipReactor()
        self.names = Names()
        self.reactor.nameResolver = self.names  # type: ignore[assignment]  # as much of it as is used
        self.resolver = Resolver(self.reactor)

    def found(self, looking: "Deferred[list[str]]") -> list[str]:
        """What it has fired with."""
        return self.successResultOf(looking)

    def pending(self, looking: "Deferred[Any]") -> None:
        """It has not fired yet."""
        self.assertNoResult(looking)  # type: ignore[no-untyped-call]  # trial's has no types

    def test_numeric_hosts_are_not_asked_for(self) -> None:
        """They come back as they are, in their shortest form."""
        assert self.found(self.resolver.resolve("10.0.0.1")) == ["10.0.0.1"]
        assert self.found(self.resolver.resolve("0:0:0:0:0:0:0:1")) == ["::1"]
        assert not self.names.asked

    def test_a_name_becomes_its_hosts_once_each(self) -> None:
        """In the resolver's order, and no deadline is left."""
        looking = self.resolver.resolve("n1.example")
        assert verifyObject(IResolutionReceiver, self.names.asked[0][1])
        self.names.answer(0, "10.0.0.2", "10.0.0.1", "10.0.0.2")
        assert self.found(looking) == ["10.0.0.2", "10.0.0.1"]
        assert not self.reactor.getDelayedCalls()

    def test_an_unknown_name_has_no_hosts(self) -> None:
        """That is no error."""
        looking = self.resolver.resolve("n1.example")
        self.names.answer(0)
        assert self.found(looking) == []

    def test_a_name_has_a_deadline(self) -> None:
        """Then it leads nowhere; an answer that comes later has no effect, but lets it be asked for again."""
        looking = self.resolver.resolve("n1.example")
        self.reactor.advance(RESOLVE_TIME_MAX_S)
        assert self.found(looking) == []
        assert self.found(self.resolver.resolve("n1.example")) == []
        self.names.answer(0, "10.0.0.1")
        self.pending(self.resolver.resolve("n1.example"))
        assert len(self.names.asked) == 2

    def test_lookups_are_bounded(self) -> None:
        """While a dead name server holds threads, other names lead nowhere; lookups are not held for lost for ever."""
        for index in range(LOOKUPS_MAX):
            self.pending(self.resolver.resolve(f"n{index}.example"))
        assert self.found(self.resolver.resolve("other.example")) == []
        self.reactor.advance(LOOKUP_FORGOTTEN_S)
        self.pending(self.resolver.resolve("other.example"))
        assert len(self.names.asked) == LOOKUPS_MAX + 1

    def test_a_lookup_can_be_cancelled(self) -> None:
        """It fires with none, and no deadline is left."""
        looking = self.resolver.resolve("n1.example")
        looking.cancel()
        assert self.found(looking) == []
        assert not self.reactor.getDelayedCalls()

    def test_what_no_resolver_can_ask_for_leads_nowhere(self) -> None:
        """A part that is too long or empty: Twisted's would log a traceback, and never answer."""
        for host in ["x" * 64 + ".example", "a..b", "\udcff"]:
            assert self.found(self.resolver.resolve(host)) == []
        assert not self.names.asked
