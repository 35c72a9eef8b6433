"""Queries in small clusters: asked, acked, answered, filtered, relayed, bounded (wire README 5.9 and 5.10)."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from twisted.trial.unittest import SynchronousTestCase

from onevalue.config import SerfSettings
from onevalue.errors import BusyError, LocalProtocolError
from onevalue.serf import events
from onevalue.serf.answering import RELAYS_PER_ANSWER_MAX
from onevalue.serf.asking import (
    ACK_WANTED,
    INTERNAL_QUERIES_MAX,
    IS_ACK,
    NO_REBROADCAST,
    QUERIES_MAX,
    QUERY_TIME_MAX_S,
    Question,
)
from onevalue.serf.core import Serf
from onevalue.serf.keys import KeyAction
from onevalue.swim.address import to_address
from onevalue.types import Address
from onevalue.wire.codec import decode_packet
from onevalue.wire.internal_queries import NodeFilter, TagFilter, encode_filter
from onevalue.wire.messages import User
from onevalue.wire.serf_codec import decode_serf, encode_serf
from onevalue.wire.serf_messages import Query, QueryResponse, Relay, SerfMessage
from tests.unit.serf_net import SerfNet, hear, hear_alive, make_serf, time_of, told
from tests.unit.swim_net import PORT

ASKER = bytes([10, 0, 9, 9])


def query(**fields: object) -> Query:
    """A query that a stranger asks."""
    asked = Query(time_of(7), 4, ASKER, PORT, "asker", (), ACK_WANTED, 0, 10**9, "which", b"payload")
    return replace(asked, **fields)  # type: ignore[arg-type]  # fields by name


def started(*others: int, settings: SerfSettings | None = None) -> Serf:
    """A Serf that knows these others."""
    serf = make_serf(1, settings=settings)
    serf.start(0.0)
    for index in others:
        hear_alive(serf, f"n{index}", index)
    sent(serf)
    told(serf)
    return serf


def sent(serf: Serf) -> list[tuple[SerfMessage, Address]]:
    """The Serf messages that it sends straight now."""
    found = []
    for data, address in serf.datagrams_to_send():
        found += [(decode_serf(m.body), address) for m in decode_packet(data).messages if isinstance(m, User)]
    return found


class AnswerTests(SynchronousTestCase):
    """What a node does with a query of another."""

    def test_a_query_that_wants_it_is_acked_and_told_once(self) -> None:
        """The ack goes to the address in the query; a repetition is silence."""
        serf = started()
        hear(serf, query(), 1.0)
        ack = QueryResponse(time_of(7), 4, "n1", IS_ACK, b"")
        assert sent(serf) == [(ack, to_address(ASKER, PORT))]
        (event,) = told(serf)
        assert isinstance(event, events.QueryReceived)
        assert (event.received.name, event.received.payload, event.received.deadline) == ("which", b"payload", 2.0)
        hear(serf, query(), 1.0)
        assert (sent(serf), told(serf)) == ([], [])

    def test_without_the_flag_there_is_no_ack(self) -> None:
        """But the query is told."""
        serf = started()
        hear(serf, query(flags=0))
        assert sent(serf) == []
        assert len(told(serf)) == 1

    def test_an_answer_in_time_goes_back_and_a_late_one_does_not(self) -> None:
        """Until the deadline, which counts from the arrival."""
        for now, answers in [(1.9, 1), (2.1, 0)]:
            serf = started()
            hear(serf, query(flags=0), 1.0)
            (event,) = told(serf)
            assert isinstance(event, events.QueryReceived)
            serf.respond(event.received, b"answer", now)
            assert len(sent(serf)) == answers

    def test_an_answer_that_is_too_long_is_refused(self) -> None:
        """Nothing is sent."""
        serf = started()
        hear(serf, query(flags=0))
        (event,) = told(serf)
        assert isinstance(event, events.QueryReceived)
        with pytest.raises(LocalProtocolError, match="1000 bytes"):
            serf.respond(event.received, bytes(1000), 0.0)
        assert sent(serf) == []

    def test_filters_decide_who_answers_but_not_who_passes_on(self) -> None:
        """Names exactly, tags by expression; what is nonsense fits nobody (pitfall 23)."""
        for filters, fits in [
            ([encode_filter(NodeFilter(("n1", "n2")))], True),
            ([encode_filter(NodeFilter(("n2",)))], False),
            ([encode_filter(TagFilter("index", "^[0-3]$"))], True),
            ([encode_filter(TagFilter("index", "^[2-3]$")), encode_filter(NodeFilter(("n1",)))], False),
            ([b"\x07nonsense"], False),
        ]:
            serf = started()
            hear(serf, query(filters=tuple(filters)))
            assert bool(sent(serf)) == bool(told(serf)) == fits
            assert len(serf.broadcasts(3, 1000)) == 1

    def test_a_query_may_forbid_to_pass_it_on(self) -> None:
        """Then it is only answered."""
        serf = started()
        hear(serf, query(flags=ACK_WANTED | NO_REBROADCAST))
        assert len(sent(serf)) == 1
        assert serf.broadcasts(3, 1000) == []

    def test_answers_come_by_relays_too(self) -> None:
        """As many as wanted, if the cluster has more members than that; but never more than the bound."""
        for factor, others, relays in [(0, 3, 0), (2, 3, 2), (4, 3, 0), (255, 3, 0), (100, 120, RELAYS_PER_ANSWER_MAX)]:
            serf = started(*range(2, 2 + others))
            hear(serf, query(relay_factor=factor))
            (first, *copies) = sent(serf)
            assert isinstance(first[0], QueryResponse)
            assert len(copies) == relays
            for message, _ in copies:
                assert isinstance(message, Relay)
                assert (message.dest_addr, message.dest_port, message.dest_name) == (ASKER, PORT, "asker")
                assert decode_serf(message.inner) == first[0]

    def test_an_answer_that_is_too_long_for_a_relay_comes_straight_only(self) -> None:
        """The bound is that of an answer, with what the relay puts around it."""
        size_max = SerfSettings().query_response_size_max
        around = len(encode_serf(QueryResponse(time_of(7), 4, "n1", 0, bytes(500)))) - 500
        for size, copies in ((size_max - around, 0), (500, 2)):
            serf = started(2, 3, 4)
            hear(serf, query(relay_factor=2, flags=0))
            (event,) = told(serf)
            assert isinstance(event, events.QueryReceived)
            serf.respond(event.received, bytes(size), 0.0)
            assert len(sent(serf)) == 1 + copies

    def test_who_cannot_be_answered_is_not(self) -> None:
        """No port, no address, no time."""
        serf = started()
        hear(serf, query(port=0))
        assert (sent(serf), told(serf)) == ([], [])
        hear(serf, query(query_id=5, timeout_ns=-1, flags=0), 1.0)
        (event,) = told(serf)
        assert isinstance(event, events.QueryReceived)
        assert event.received.deadline == 1.0
        hear(serf, query(query_id=6, timeout_ns=2**62, flags=0), 1.0)
        (event,) = told(serf)
        assert isinstance(event, events.QueryReceived)
        assert event.received.deadline == 1.0 + QUERY_TIME_MAX_S

    def test_internal_names_are_never_told(self) -> None:
        """_serf_ping is answered by its ack alone (pitfall 26), and what is unknown by nothing else."""
        for name in ("_serf_ping", "_serf_unknown"):
            serf = started()
            hear(serf, query(name=name, payload=b""))
            assert [type(message) for message, _ in sent(serf)] == [QueryResponse]
            assert told(serf) == []


class AskTests(SynchronousTestCase):
    """Own queries."""

    def ask(self, net: SerfNet, question: Question, at: str = "n1") -> int:
        """The question is on its way."""
        ids: list[int] = []
        net.call(at, lambda _, now: ids.append(net.serfs[at].ask(question, now)))
        return ids[0]

    def answering(self, net: SerfNet, *names: str) -> Callable[[], bool]:
        """These nodes answer each query with their names, when this is called."""

        def answer() -> bool:
            for name in names:
                for event in net.told(name, events.QueryReceived):
                    net.nodes[name].events.remove(event)
                    net.serfs[name].respond(event.received, name.encode(), net.now)
                    net.drain(net.nodes[name])
            return False

        return answer

    def joined(self, size: int, **keywords: object) -> SerfNet:
        """A cluster."""
        net = SerfNet(size, **keywords)  # type: ignore[arg-type]  # as SerfNet has them
        net.join_all()
        net.run(1.0)
        net.forget_told()
        return net

    def test_all_members_ack_and_answer_the_asker_too(self) -> None:
        """Each once; the query ends as soon as all whom it concerns have answered."""
        net = self.joined(5)
        begun = net.now
        request = self.ask(net, Question("which", ack=True))
        net.run_until(self.answering(net, *net.names), 1.0)
        assert sorted(event.sender for event in net.told("n1", events.QueryAcked)) == net.names
        answers = net.told("n1", events.QueryAnswered)
        assert sorted((event.request_id, event.sender, event.payload) for event in answers) == [
            (request, name, name.encode()) for name in net.names
        ]
        assert net.told("n1", events.QueryDone) == [events.QueryDone(request)]
        assert net.now - begun <= 1.0

    def test_a_query_that_nobody_answers_ends_at_its_time(self) -> None:
        """By default 16 gossip intervals for each digit of the number of members."""
        net = self.joined(3)
        self.ask(net, Question("nobody-knows"))
        net.run(3.1)
        assert net.told("n1", events.QueryDone) == []
        net.run(0.2)
        assert len(net.told("n1", events.QueryDone)) == 1

    def test_only_those_whom_it_concerns_are_awaited(self) -> None:
        """By name and tag."""
        net = self.joined(4)
        self.ask(net, Question("which", filters=[NodeFilter(("n2", "n3")), TagFilter("index", "[3-9]")]))
        net.run_until(self.answering(net, *net.names), 1.0)
        assert [event.sender for event in net.told("n1", events.QueryAnswered)] == ["n3"]
        assert len(net.told("n1", events.QueryDone)) == 1

    def test_a_ping_of_all_ends_with_the_last_ack(self) -> None:
        """Nobody answers it otherwise."""
        net = self.joined(4)
        self.ask(net, Question("_serf_ping", ack=True))
        assert net.run_until(lambda: bool(net.told("n1", events.QueryDone)), 2.0)
        assert len(net.told("n1", events.QueryAcked)) == 4

    def test_relays_bring_answers_past_a_cut(self) -> None:
        """Answers that cannot come straight come by the others, and count once."""
        net = self.joined(6)
        net.cut(["n1"], ["n6"])
        self.ask(net, Question("which", ack=True, relay_factor=4))
        net.run_until(self.answering(net, *net.names), 3.0)
        assert sorted(event.sender for event in net.told("n1", events.QueryAnswered)) == net.names
        assert sorted(event.sender for event in net.told("n1", events.QueryAcked)) == net.names

    def test_answers_of_strangers_and_late_ones_are_counted_only(self) -> None:
        """Another id, another time, a second answer of the same member, one after the end."""
        serf = started(2, 3)
        request = serf.ask(Question("which", timeout_s=1.0), 0.0)
        (own,) = [m for m in map(decode_serf, serf.broadcasts(3, 1400)) if isinstance(m, Query)]
        good = QueryResponse(own.ltime, own.query_id, "n2", 0, b"a")
        told(serf)
        for bad in (replace(good, query_id=own.query_id ^ 1), replace(good, ltime=time_of(own.ltime + 1))):
            hear(serf, bad)
        assert told(serf) == []
        hear(serf, good)
        hear(serf, good)
        assert [e for e in told(serf) if isinstance(e, events.QueryAnswered)] == [
            events.QueryAnswered(request, "n2", b"a")
        ]
        serf.handle_timer(1.0)
        hear(serf, replace(good, sender="n3"), 1.0)
        assert told(serf) == [events.QueryDone(request)]
        assert serf.counters["serf_query_responses_late"] == 4

    def test_what_cannot_be_asked_is_refused(self) -> None:
        """Serf's own names, too much payload, wrong numbers, a wrong expression, too many at once; nothing is sent."""
        serf = started()
        for question in (
            Question("_serf_install-key", b"x"),
            Question("_serf_ping", b"payload"),
            Question("q", bytes(1100)),
            Question("q", timeout_s=0.0),
            Question("q", timeout_s=QUERY_TIME_MAX_S + 1),
            Question("q", timeout_s=float("nan")),
            Question("q", relay_factor=256),
            Question("q", filters=[TagFilter("index", "(")]),
        ):
            with pytest.raises(LocalProtocolError):
                serf.ask(question, 0.0)
        assert serf.broadcasts(3, 1400) == []
        for _ in range(QUERIES_MAX):
            serf.ask(Question("q"), 0.0)
        with pytest.raises(BusyError, match="wait"):
            serf.ask(Question("q"), 0.0)
        for _ in range(INTERNAL_QUERIES_MAX):  # for Serf's own there is room all the same
            serf.ask_about_keys(KeyAction.LIST, b"", 0, 0.0)
        with pytest.raises(BusyError, match="wait"):
            serf.ask_about_keys(KeyAction.LIST, b"", 0, 0.0)

    def test_each_of_several_ends_at_its_own_time(self) -> None:
        """Whichever was asked first."""
        serf = started(2)
        asked = [serf.ask(Question("which", timeout_s=seconds), 0.0) for seconds in (3.0, 1.0, 2.0)]
        asked.append(serf.ask_about_keys(KeyAction.LIST, b"", 0, 0.0))
        assert len(dict.fromkeys(asked)) == len(asked), "each has an id of its own"
        ended: list[tuple[int, float]] = []
        now = 0.0
        while now < 5.0:
            now = serf.next_deadline() or 5.0
            serf.handle_timer(now)
            kinds = (events.QueryDone, events.KeyRequestDone)
            ended += [(event.request_id, now) for event in told(serf) if isinstance(event, kinds)]
        assert ended == [(asked[1], 1.0), (asked[2], 2.0), (asked[0], 3.0), (asked[3], 3.2)]  # the usual time

    def test_acks_are_wanted_only_if_asked_for(self) -> None:
        """As the flag of the query says."""
        for ack, flags in ((False, 0), (True, ACK_WANTED)):
            serf = started(2)
            serf.ask(Question("which", ack=ack), 0.0)
            (raw,) = serf.broadcasts(3, 1000)
            asked = decode_serf(raw)
            assert isinstance(asked, Query)
            assert asked.flags == flags

    def test_an_own_query_can_be_given_up(self) -> None:
        """Then it has ended, and another may take its place."""
        serf = started()
        request = serf.ask(Question("q"), 0.0)
        serf.end_query(request, 0.1)
        serf.end_query(request, 0.1)
        assert [e for e in told(serf) if isinstance(e, events.QueryDone)] == [events.QueryDone(request)]

    def test_a_query_asked_after_a_restart_is_new_to_others(self) -> None:
        """The clock goes on where it stood; what was seen before is not told again."""
        serf = started()
        hear(serf, query())
        assert serf.clocks.query == 8
        again = make_serf(1, clocks=serf.clocks)
        again.start(0.0)
        told(again)
        hear(again, query())
        assert told(again) == []
        assert encode_serf(query()) not in again.broadcasts(3, 1400)
