"""The gossip shell tells of changed members once a turn of the reactor, however many have changed."""

import random

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from onevalue.config import LAN, SerfSettings
from onevalue.gossip import GossipService
from onevalue.serf.core import Serf
from onevalue.serf.dialler import Dialler
from onevalue.transport import Sockets
from onevalue.types import Address, Incarnation
from onevalue.wire.codec import encode_message
from onevalue.wire.envelope import Envelope
from onevalue.wire.messages import Alive
from tests.unit.swim_net import VSN

OWN: Address = ("10.0.0.1", 7946)
STRANGERS = 50


class TellingOfMembersTest(SynchronousTestCase):
    """A cluster of a thousand is joined in one push/pull: to look at all members at each change would take seconds."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.serf = Serf(
            name="n1",
            addr=bytes([10, 0, 0, 1]),
            port=OWN[1],
            tags={},
            swim_settings=LAN,
            settings=SerfSettings(),
            rng=random.Random(1),
        )
        self.serf.start(0.0)
        envelope = Envelope()
        self.gossip = GossipService(
            reactor=self.clock,
            name="n1",
            serf=self.serf,
            dialler=Dialler([], SerfSettings(), [OWN]),
            transport=Sockets(reactor=self.clock, bind=OWN, envelope=envelope, stream_time_max_s=LAN.stream_timeout_s),
            envelope=envelope,
        )
        self.told: list[int] = []
        self.gossip.observe_members(lambda: self.told.append(len(self.gossip.members())))

    def hear_of(self, index: int) -> None:
        """A packet says that a member is alive."""
        alive = Alive(Incarnation(1), f"m{index}", bytes([10, 1, 0, index]), 7946, b"", VSN)
        self.gossip._driver.datagram_received(encode_message(alive), ("10.0.9.9", 7946))

    def test_a_burst_of_changes_is_told_once(self) -> None:
        """Observers hear of it in the next turn of the reactor, when all of them are known."""
        for index in range(STRANGERS):
            self.hear_of(index)
        self.clock.advance(0)
        assert self.told == [STRANGERS + 1]
        self.clock.advance(0)
        assert self.told == [STRANGERS + 1]

    def test_a_later_change_is_told_again(self) -> None:
        """Each burst is told."""
        self.hear_of(1)
        self.clock.advance(0)
        self.hear_of(2)
        self.clock.advance(0)
        assert self.told == [2, 3]

    def test_nothing_is_told_once_the_service_has_closed(self) -> None:
        """No delayed call is left."""
        self.hear_of(1)
        self.successResultOf(self.gossip._close())
        assert not self.clock.getDelayedCalls()
