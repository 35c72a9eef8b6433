"""Coordinates on their way: in acks, from node to node, and what comes of payloads that make no sense."""

from twisted.trial.unittest import SynchronousTestCase

from onevalue.serf.coordinates import ORIGIN
from onevalue.types import SequenceNumber
from onevalue.wire.codec import decode_packet, encode_message, encode_packet
from onevalue.wire.coordinates import decode_coordinate
from onevalue.wire.messages import Ack, Ping
from tests.unit.serf_net import STRANGER, SerfNet, hear_alive, make_serf
from tests.unit.swim_net import PORT


class PlacesTests(SynchronousTestCase):
    """Where nodes think that they are."""

    def test_each_node_estimates_the_round_trip_between_any_two(self) -> None:
        """After some probes, near the truth of the network in memory: up to 4 ms, 2 ms on average."""
        net = SerfNet(5)
        net.join_all()
        net.run(60.0)
        for at in net.names:
            for one in net.names:
                for other in net.names:
                    rtt_s = net.serfs[at].rtt_s(one, other)
                    assert rtt_s is not None
                    assert (rtt_s == 0.0) == (one == other)
                    assert 0.0 <= rtt_s < 0.006, (at, one, other, rtt_s)

    def test_nothing_is_told_of_the_unknown_and_the_forgotten(self) -> None:
        """A name that nobody bears, and a member that is long gone."""
        net = SerfNet(3)
        net.join_all()
        net.run(20.0)
        assert net.serfs["n1"].rtt_s("n1", "nobody") is None
        assert net.serfs["n1"].rtt_s("nobody", "nobody") is None
        net.crash("n3")
        net.run(120.0)
        assert net.serfs["n1"].rtt_s("n1", "n3") is None

    def test_a_ping_is_answered_with_the_own_coordinate(self) -> None:
        """A fresh one is at the origin."""
        serf = make_serf(1)
        serf.start(0.0)
        packet = encode_packet([encode_message(Ping(SequenceNumber(7), "n1"))], compress=False, crc=False)
        serf.receive_datagram(packet, STRANGER, 0.0)
        acks = [m for data, _ in serf.datagrams_to_send() for m in decode_packet(data).messages if isinstance(m, Ack)]
        assert [decode_coordinate(ack.payload or b"") for ack in acks] == [ORIGIN]

    def test_payloads_that_make_no_sense_change_nothing(self) -> None:
        """They are counted; none at all is no fault, and the probe has succeeded in any case."""
        for payload, malformed in [(None, 0), (b"\x02", 1), (b"\x01\xff", 1), (b"", 1)]:
            serf = make_serf(1)
            serf.start(0.0)
            hear_alive(serf, "n2", 2)
            serf.datagrams_to_send()
            ping, now = None, 0.0
            while ping is None:
                now = serf.next_deadline() or now
                serf.handle_timer(now)
                for data, _ in serf.datagrams_to_send():
                    ping = next((m for m in decode_packet(data).messages if isinstance(m, Ping)), ping)
            ack = encode_packet([encode_message(Ack(ping.seq_no, payload))], compress=False, crc=False)
            serf.receive_datagram(ack, ("10.0.0.2", PORT), now)
            assert serf.rtt_s("n1", "n2") is None
            assert serf.counters["malformed"] == malformed
            assert serf.counters["probes_failed"] == 0
