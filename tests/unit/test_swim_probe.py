"""The probe cycle of wire README 4.3: every way in which it ends, what it costs in health, and pinging for others."""

from itertools import pairwise

from twisted.trial.unittest import SynchronousTestCase

from onevalue.config import SwimSettings
from onevalue.swim.core import PINGS_PER_PACKET_MAX
from onevalue.swim.events import AckReceived, MemberSuspected
from onevalue.swim.relay import RELAYS_MAX
from onevalue.types import Incarnation, SequenceNumber
from onevalue.wire.messages import Ack, Dead, Err, IndirectPing, Nack, NodeStatus, PacketMessage, Ping, Suspect
from tests.unit.swim_bench import STRANGER, Bench, addr_of, address_of, alive
from tests.unit.swim_net import PORT, decode_stream

OLD = bytes([1, 2, 2, 2, 5, 5])  # speaks neither TCP pings nor nacks nor CRCs


def _ping(message: PacketMessage) -> Ping:
    assert isinstance(message, Ping)
    return message


def _begin(bench: Bench) -> Ping:
    """A probe has begun; its ping."""
    return _ping(bench.wait_for(Ping)[0])


def _status(bench: Bench, name: str) -> NodeStatus | None:
    record = bench.swim.member(name)
    return None if record is None else record.status


def _nacks(ping: Ping, count: int) -> list[Nack]:
    return [Nack(ping.seq_no)] * count


class DirectTests(SynchronousTestCase):
    """The first half of a probe."""

    def test_a_ping_names_its_target_and_its_sender(self) -> None:
        """Node, number 1, and the source fields, sent to the member's address."""
        message, address = Bench("b").wait_for(Ping)
        assert message == Ping(SequenceNumber(1), "b", addr_of("a"), PORT, "a")
        assert address == address_of("b")

    def test_a_timely_ack_tells_the_round_trip_and_its_payload(self) -> None:
        """The probe succeeds, nothing more is sent for it, and the health is better by one."""
        bench = Bench("bcde")
        bench.swim._states.awareness.adjust(3)
        ping = _begin(bench)
        bench.wait(0.25)
        bench.hear(Ack(ping.seq_no, b"coordinate"), source=address_of(ping.node))
        (event,) = bench.events_of(AckReceived)
        assert isinstance(event, AckReceived)
        assert (event.member.name, event.payload) == (ping.node, b"coordinate")
        assert abs(event.rtt_s - 0.25) < 1e-9
        assert (bench.swim.round_trips.count, bench.swim.round_trips.sum) == (1, event.rtt_s)
        assert bench.swim.health_score == 2
        bench.wait(0.4)
        assert bench.sent_of(IndirectPing) == []

    def test_a_member_that_is_wanted_soon_is_probed_next_but_not_always(self) -> None:
        """Every other probe at most is out of turn, however often that is asked for; unknown names change nothing."""
        bench = Bench("bcde")
        probed: list[str] = []
        for _ in range(8):
            bench.swim.probe_soon("nobody")
            bench.swim.probe_soon("c")
            ping = _begin(bench)
            probed.append(ping.node)
            bench.hear(Ack(ping.seq_no), source=address_of(ping.node))
        assert probed.count("c") >= 4
        assert len(set(probed)) > 2
        assert all("c" in pair for pair in pairwise(probed))

    def test_a_member_that_was_wanted_soon_once_is_out_of_turn_once(self) -> None:
        """Then it has its turn as all others."""
        bench = Bench("bcdef")
        bench.swim.probe_soon("c")
        probed: list[str] = []
        for _ in range(21):
            ping = _begin(bench)
            probed.append(ping.node)
            bench.hear(Ack(ping.seq_no), source=address_of(ping.node))
        assert probed[0] == "c"
        assert probed[1:].count("c") == 4

    def test_acks_are_matched_by_number_alone(self) -> None:
        """A strange number is ignored, and the second ack of a number too."""
        bench = Bench("b")
        ping = _begin(bench)
        bench.hear(Ack(SequenceNumber(ping.seq_no + 1)), Ack(SequenceNumber(0)))
        assert bench.events_of(AckReceived) == []
        bench.hear(Ack(ping.seq_no), Ack(ping.seq_no))
        assert len(bench.events_of(AckReceived)) == 1

    def test_a_suspect_member_is_told_so_with_its_ping(self) -> None:
        """The compound is the ping and the suspicion, in the prober's name, and nothing beside."""
        bench = Bench("b", SwimSettings(gossip_nodes=0))
        bench.hear(Suspect(Incarnation(1), "b", "x"))
        bench.wait_for(Ping)
        assert bench.sent() == [(Suspect(Incarnation(1), "b", "a"), address_of("b"))]
        assert len(bench.swim._states.queue) > 0, "there was gossip that could have come along"


class IndirectTests(SynchronousTestCase):
    """The second half: others are asked, a stream is tried."""

    def test_three_others_are_asked_under_the_same_number(self) -> None:
        """Alive members that are neither self nor target, with a nack wanted, and a stream ping until the verdict."""
        bench = Bench("bcdefg")
        ping, began = _begin(bench), bench.now
        bench.hear(Suspect(Incarnation(1), next(name for name in "bcdefg" if name != ping.node), "x"))
        bench.sent()
        bench.wait(0.5)
        asked = bench.sent_of(IndirectPing)
        expected = IndirectPing(ping.seq_no, addr_of(ping.node), PORT, ping.node, True, addr_of("a"), PORT, "a")
        assert [message for message, _ in asked] == [expected] * 3
        suspects = [record.name for record in bench.swim.members() if record.status is NodeStatus.SUSPECT]
        assert len({address for _, address in asked}) == 3
        assert not {address_of(ping.node), address_of("a"), *map(address_of, suspects)} & {to for _, to in asked}
        (request,) = bench.requests
        assert decode_stream(request.data) == ping
        assert request.address == address_of(ping.node)
        assert abs(request.deadline - (began + 1.0)) < 1e-9

    def test_each_way_of_ending_has_its_verdict_and_its_price(self) -> None:
        """A late or relayed ack and contact by stream are successes; a failure costs the nacks that are missing."""
        table: list[tuple[str, int, bool, int]] = [
            # how, nacks received, suspect, health afterwards (from 4)
            ("late ack", 0, False, 3),
            ("late ack", 2, False, 3),
            ("stream", 0, False, 3),
            ("stream of another number", 0, True, 7),
            ("stream error", 3, True, 4),
            ("silence", 0, True, 7),
            ("silence", 1, True, 6),
            ("silence", 2, True, 5),
            ("silence", 3, True, 4),
            ("silence", 9, True, 4),
        ]
        for how, nacks, suspect, health in table:
            bench = Bench("bcde")
            bench.swim._states.awareness.adjust(4)
            ping = _begin(bench)
            bench.wait(0.5)
            bench.hear(*_nacks(ping, nacks))
            (request,) = bench.requests
            if how == "late ack":
                bench.hear(Ack(ping.seq_no))
            elif how == "stream":
                bench.swim.stream_answered(request.request_id, Ack(ping.seq_no), bench.now)
            elif how == "stream of another number":
                bench.swim.stream_answered(request.request_id, Ack(SequenceNumber(77)), bench.now)
            elif how == "stream error":
                bench.swim.stream_answered(request.request_id, Err("no"), bench.now)
            bench.events()
            bench.wait(0.0 if how == "late ack" else 4.501)  # at health 4 the verdict comes after five intervals
            got = [event for event in bench.events_of(MemberSuspected) if isinstance(event, MemberSuspected)]
            assert [event.member.name for event in got] == ([ping.node] if suspect else []), how
            assert [event.by for event in got] == (["a"] if suspect else []), how
            assert bench.swim.health_score == health, (how, nacks)
            counted = [bench.swim.counters[name] for name in ("probes_by_stream", "probes_failed")]
            assert counted == [how == "stream", suspect], how

    def test_where_the_host_says_that_nobody_listens_the_member_is_soon_dead(self) -> None:
        """Half of the shortest suspicion later; after a silence, or another failure, it takes the usual time."""
        for refused, dead in [(True, True), (False, False)]:
            bench = Bench("bcde")
            ping = _begin(bench)
            bench.wait(0.5)
            (request,) = bench.requests
            bench.swim.stream_failed(request.request_id, "connection failed", bench.now, refused=refused)
            bench.wait(0.5 + 1.9)
            assert _status(bench, ping.node) is NodeStatus.SUSPECT
            bench.wait(0.2)
            assert (_status(bench, ping.node) is NodeStatus.DEAD) == dead

    def test_a_suspicion_of_others_ends_sooner_too(self) -> None:
        """When the own probe is refused; a member that refutes is alive all the same."""
        bench = Bench("b", SwimSettings(probe_interval_s=2.0))
        bench.hear(Suspect(Incarnation(1), "b", "x"))
        _begin(bench)
        bench.wait(0.5)
        (request,) = bench.requests
        bench.swim.stream_failed(request.request_id, "connection refused", bench.now, refused=True)
        bench.hear(alive("b", incarnation=2))
        bench.wait(1.6)
        assert _status(bench, "b") is not NodeStatus.DEAD

    def test_only_a_direct_and_timely_ack_tells_a_round_trip(self) -> None:
        """An ack after the probe timeout may be relayed, and is no measurement."""
        bench = Bench("bcde")
        ping = _begin(bench)
        bench.wait(0.6)
        bench.hear(Ack(ping.seq_no, b"payload"))
        assert bench.events_of(AckReceived) == []

    def test_old_members_are_not_asked_for_what_they_do_not_know(self) -> None:
        """No nack is wanted and no stream tried below protocols 4 and 3; a failed probe then costs 1."""
        bench = Bench("bcde", vsn=OLD)
        _begin(bench)
        bench.wait(0.5)
        asked = [message for message, _ in bench.sent_of(IndirectPing)]
        assert [message.nack for message in asked if isinstance(message, IndirectPing)] == [False] * 3
        assert bench.requests == []
        bench.wait(0.5)
        assert bench.swim.health_score == 1

    def test_streams_can_be_switched_off(self) -> None:
        """With tcp_pings off no stream is opened for a probe."""
        bench = Bench("bc", SwimSettings(tcp_pings=False))
        _begin(bench)
        bench.wait(0.9)
        assert bench.requests == []

    def test_a_refutation_during_the_probe_is_not_overruled(self) -> None:
        """The verdict is about the incarnation that was pinged."""
        bench = Bench("b")
        ping = _begin(bench)
        bench.wait(0.6)
        bench.hear(alive("b", 2))
        bench.wait(0.4)
        record = bench.swim.member(ping.node)
        assert record is not None
        assert record.status is NodeStatus.ALIVE

    def test_a_slow_node_probes_more_slowly_and_never_two_at_once(self) -> None:
        """The verdict comes after score + 1 intervals; ticks until then are skipped; the next probe begins at once."""
        bench = Bench("bcd")
        bench.swim._states.awareness.adjust(2)
        _begin(bench)
        began = bench.now
        bench.wait(2.9)
        assert bench.sent_of(Ping) == []
        _begin(bench)
        assert abs(bench.now - (began + 3.0)) < 1e-6

    def test_members_that_are_gone_are_not_probed(self) -> None:
        """Neither the dead nor the left, nor this node itself."""
        bench = Bench("bc")
        bench.hear(Dead(Incarnation(1), "b", "b"), Dead(Incarnation(1), "c", "x"))
        bench.sent()
        bench.wait(5.0)
        assert bench.sent_of(Ping) == []


def _settled_health(bench: Bench) -> int:
    return bench.swim.health_score


class RelayTests(SynchronousTestCase):
    """Pinging for others."""

    def _ask(self, bench: Bench, *, nack: bool, source: bool) -> Ping:
        fields = (addr_of("c"), PORT, "c") if source else (b"", 0, "")
        bench.hear(IndirectPing(SequenceNumber(900), addr_of("z"), 5000, "z", nack, *fields))
        (sent,) = bench.sent_of(Ping)
        assert sent[1] == ("10.0.0.26", 5000)
        return _ping(sent[0])

    def test_the_ping_carries_the_relays_own_name_and_number(self) -> None:
        """The target answers the relay, not the requester."""
        ping = self._ask(Bench(), nack=True, source=True)
        assert ping == Ping(ping.seq_no, "z", addr_of("a"), PORT, "a")
        assert ping.seq_no != 900

    def test_an_ack_goes_on_under_the_requesters_number_without_its_payload(self) -> None:
        """To the source fields, or else to where the request came from; and then there is no nack."""
        for source, address in [(True, address_of("c")), (False, STRANGER)]:
            bench = Bench()
            ping = self._ask(bench, nack=True, source=source)
            bench.hear(Ack(ping.seq_no, b"coordinate of z"))
            assert bench.sent_of(Ack) == [(Ack(SequenceNumber(900), None), address)]
            bench.wait(1.0)
            assert bench.sent_of(Nack) == []

    def test_silence_becomes_a_nack_after_the_probe_timeout_if_wanted(self) -> None:
        """Exactly then and once; a later ack is not passed on."""
        bench = Bench()
        ping = self._ask(bench, nack=True, source=True)
        bench.wait(0.49)
        assert bench.sent_of(Nack) == []
        bench.wait(0.02)
        assert bench.sent_of(Nack) == [(Nack(SequenceNumber(900)), address_of("c"))]
        bench.hear(Ack(ping.seq_no))
        assert bench.sent_of(Ack) == []

    def test_silence_stays_silence_if_no_nack_is_wanted(self) -> None:
        """The relay just forgets."""
        bench = Bench()
        self._ask(bench, nack=False, source=True)
        bench.wait(1.0)
        assert bench.sent_of(Nack) == []
        assert bench.swim.status()["relays"] == 0

    def test_port_0_is_the_own_port(self) -> None:
        """A request without a port means the port that this node uses."""
        bench = Bench()
        bench.hear(IndirectPing(SequenceNumber(1), addr_of("z"), 0, "z", False))
        assert bench.sent_of(Ping)[0][1] == ("10.0.0.26", PORT)

    def test_a_flood_of_requests_is_bounded(self) -> None:
        """Above RELAYS_MAX they are counted and dropped, until the waiting ones are over."""
        bench = Bench()
        request = IndirectPing(SequenceNumber(1), addr_of("z"), 1, "z", False)
        for _ in range(RELAYS_MAX // PINGS_PER_PACKET_MAX + 1):
            bench.hear(*[request] * PINGS_PER_PACKET_MAX)
        assert bench.swim.status()["relays"] == RELAYS_MAX
        assert bench.swim.counters["relays_refused"] > 0
        bench.wait(1.0)
        assert bench.swim.status()["relays"] == 0
