"""Two nodes of one name: votes, verdicts, and how the one that is not known is taken up later."""

from twisted.trial.unittest import SynchronousTestCase

from onevalue.errors import BusyError
from onevalue.serf import events
from onevalue.serf.asking import Collector
from onevalue.serf.dispute import (
    CONFLICT,
    CONFLICTS_MAX,
    INSIST_SOON_S,
    QUIET_S,
    TOLD_AGAIN_S,
    VOTE_PAUSE_S,
    ConflictMemory,
    OwnName,
    Verdict,
    Vote,
    judge,
)
from onevalue.serf.members import MemberStatus
from onevalue.swim.timers import Timers
from onevalue.types import Address
from onevalue.wire.codec import decode_packet
from onevalue.wire.internal_queries import ConflictMember, decode_conflict_answer, encode_conflict_answer
from onevalue.wire.messages import User
from onevalue.wire.serf_codec import decode_serf
from onevalue.wire.serf_messages import Query, QueryResponse
from tests.unit.serf_net import SerfNet, hear, hear_alive, make_serf, member, time_of, told
from tests.unit.swim_net import PORT, VSN

SECOND: Address = ("10.0.0.99", PORT)


def cluster(size: int) -> SerfNet:
    """Nodes that know each other."""
    net = SerfNet(size)
    net.join_all()
    net.run(2.0)
    net.forget_told()
    return net


def begin_second(net: SerfNet, name: str = "n1") -> str:
    """Another node of this name starts at another address, and joins; its name in the network."""
    serf = make_serf(99, name=name)
    net.serfs["second"] = serf
    net.add("second", serf, SECOND)
    net.join("second", "n2")
    return "second"


def knows_second(net: SerfNet, at: str) -> bool:
    """A node knows n1 alive at its second address."""
    known = member(net.serfs[at], "n1")
    return known is not None and known.address == SECOND and known.status is MemberStatus.ALIVE


class VoteTests(SynchronousTestCase):
    """Who keeps the name."""

    def test_more_than_half_of_those_who_answered_must_know_the_node(self) -> None:
        """As in Serf; with no answer nothing is decided."""
        table = [(0, 0, "UNDECIDED"), (1, 1, "WON"), (1, 0, "LOST"), (2, 1, "LOST"), (3, 2, "WON"), (4, 2, "LOST")]
        for answers, for_us, verdict in table:
            assert judge(answers, for_us) is Verdict[verdict], (answers, for_us)

    def test_votes_are_counted_by_the_address_that_members_know(self) -> None:
        """However it is spelt; one that knows nobody, or no address, has voted too, and what makes no sense has not."""
        counted: list[tuple[int, int]] = []
        vote = Vote(("10.0.0.1", PORT), lambda: 6, lambda answers, for_us: counted.append((answers, for_us)))
        here, elsewhere = b"\x0a\x00\x00\x01", b"\x0a\x00\x00\x63"
        known = [(here, PORT), (bytes(10) + b"\xff\xff" + here, PORT), (elsewhere, PORT), (here, PORT + 1), (b"", PORT)]
        payloads = [encode_conflict_answer(ConflictMember("n1", addr, port, {}, 1, *VSN)) for addr, port in known]
        enough = [vote.answered("n2", payload) for payload in [b"junk", *payloads, encode_conflict_answer(None)]]
        assert enough == [False] * 6 + [True]
        vote.ended(1.0)
        assert counted == [(6, 2)]

    def test_a_node_that_hears_of_another_of_its_name_asks_and_wins(self) -> None:
        """All others know it where it is; it need not insist."""
        net = cluster(4)
        net.call("n1", lambda _, now: hear_alive(net.serfs["n1"], "n1", 99, now))
        net.run(1.0)
        (won,) = net.told("n1", events.NameJudged)
        assert (won.verdict, won.answers, won.for_us, won.other) == (Verdict.WON, 3, 3, SECOND)

    def test_the_one_that_members_know_wins_and_the_other_loses_and_goes_on(self) -> None:
        """The loser says so, is no member, and neither ends."""
        net = cluster(4)
        begin_second(net)
        net.run(10.0)
        (lost,) = net.told("second", events.NameJudged)
        assert (lost.verdict, lost.answers, lost.for_us, lost.other) == (Verdict.LOST, 3, 0, ("10.0.0.1", PORT))
        for verdict in net.told("n1", events.NameJudged):
            assert verdict.verdict is Verdict.WON
        dispute = net.serfs["second"].dispute
        assert dispute is not None
        assert dispute.verdict is Verdict.LOST
        for name in ("n2", "n3", "n4"):
            known = member(net.serfs[name], "n1")
            assert known is not None
            assert (known.address, known.status) == (("10.0.0.1", PORT), MemberStatus.ALIVE)

    def test_two_alone_decide_nothing_and_both_go_on(self) -> None:
        """Serf would end both (pitfall 27)."""
        net = SerfNet(1)
        net.serfs["second"] = make_serf(99, name="n1")
        net.add("second", net.serfs["second"], SECOND)
        net.join("second", "n1")
        net.run(10.0)
        for name in ("n1", "second"):
            assert {each.verdict for each in net.told(name, events.NameJudged)} == {Verdict.UNDECIDED}
            assert net.told(name, events.LeaveDone) == []

    def test_a_dispute_is_voted_on_once_in_a_while_and_told_once(self) -> None:
        """However many signs of the other there are."""
        net = cluster(3)
        begin_second(net)
        net.run(VOTE_PAUSE_S)
        assert len(net.told("second", events.NameJudged)) <= 2
        for name in ("n2", "n3", "second"):
            assert len(net.told(name, events.NameConflict)) == 1

    def test_who_is_not_known_says_often_where_it_is_and_later_less_so(self) -> None:
        """While there are signs of the other; whoever has won need not."""
        for knows, soon, later in ((b"\x0a\x00\x00\x63", 29, 8), (b"\x0a\x00\x00\x01", 0, 0)):
            timers, insisted = Timers(), [0]

            def vote(collector: Collector, _: object, now: float, knows: bytes = knows) -> None:
                collector.answered("n2", encode_conflict_answer(ConflictMember("n1", knows, PORT, {}, 1, *VSN)))
                collector.ended(now)

            def insist(insisted: list[int] = insisted) -> None:
                insisted[-1] += 1

            own = OwnName(
                name="n1",
                address=("10.0.0.1", PORT),
                timers=timers,
                ask=vote,
                voters=lambda: 3,
                insist=insist,
                judged=lambda _: None,
            )
            for now in range(300):
                if now == INSIST_SOON_S:
                    insisted.append(0)
                own.disputed(SECOND, float(now))
                timers.run(float(now))
            assert insisted == [soon, later]

    def test_a_vote_that_cannot_be_held_decides_nothing(self) -> None:
        """As when too many other queries are under way; it is told, and tried again."""

        def ask(*_: object) -> None:
            raise BusyError("too many")

        told_of: list[tuple[Verdict, int]] = []
        own = OwnName(
            name="n1",
            address=("10.0.0.1", PORT),
            timers=Timers(),
            ask=ask,
            voters=lambda: 3,
            insist=lambda: None,
            judged=lambda dispute: told_of.append((dispute.verdict, dispute.answers)),
        )
        for now in (0.0, VOTE_PAUSE_S - 1.0, VOTE_PAUSE_S):
            own.disputed(SECOND, now)
        assert told_of == [(Verdict.UNDECIDED, 0)] * 2

    def test_a_dispute_ends_when_there_is_no_sign_of_the_other(self) -> None:
        """Long after the last."""
        serf = make_serf(1)
        serf.start(0.0)
        hear_alive(serf, "n1", 99, 0.0, incarnation=3)
        assert serf.dispute is not None
        now = 0.0
        while now < QUIET_S + 40.0:
            now = serf.next_deadline() or now
            serf.handle_timer(now)
            serf.datagrams_to_send()
        assert serf.dispute is None


class AnswerTests(SynchronousTestCase):
    """What a node says about a disputed name."""

    def test_a_node_says_whom_it_knows_and_is_silent_about_itself(self) -> None:
        """The member with address, status, tags and versions; or that it knows nobody."""
        serf = make_serf(1)
        serf.start(0.0)
        hear_alive(serf, "n2", 2)
        serf.datagrams_to_send()
        found = []
        for number, name in enumerate(("n2", "n3", "n1"), 1):
            asker, payload = bytes([10, 0, 9, 9]), name.encode()
            hear(serf, Query(time_of(number), number, asker, PORT, "a", (), 0, 0, 10**9, CONFLICT, payload))
            for data, _ in serf.datagrams_to_send():
                for message in decode_packet(data).messages:
                    assert isinstance(message, User)
                    response = decode_serf(message.body)
                    assert isinstance(response, QueryResponse)
                    found.append(decode_conflict_answer(response.payload))
        known, unknown = found
        assert unknown is None
        assert known is not None
        assert (known.name, known.addr, known.port, known.status) == ("n2", bytes([10, 0, 0, 2]), PORT, 1)
        assert known.tags == {"index": "2"}
        versions = [known.protocol_min, known.protocol_max, known.protocol_cur]
        assert bytes([*versions, known.delegate_min, known.delegate_max, known.delegate_cur]) == VSN
        assert not any(isinstance(event, events.QueryReceived) for event in told(serf))


class MovedTests(SynchronousTestCase):
    """A node that comes back under its name at another address."""

    def test_a_node_that_crashed_is_taken_up_at_its_new_address_promptly(self) -> None:
        """It insists, the old address is probed out of turn, and 15 s later all know the new one."""
        for size in (3, 8):
            net = cluster(size)
            net.crash("n1")
            begin_second(net)
            others = [name for name in net.names if name.startswith("n") and name != "n1"]

            def moved() -> bool:
                return all(knows_second(net, name) for name in others)  # noqa: B023  # asked within the turn

            begun = net.now
            assert net.run_until(moved, 15.0), size
            assert net.now - begun > 1.0

    def test_a_node_whose_old_self_is_suspected_already_is_taken_up_too(self) -> None:
        """Who joins then hears of itself as suspect, or failed, elsewhere, and must insist all the same."""
        for pause_s in (0.5, 2.0, 4.0, 7.0, 8.0, 12.0):
            net = cluster(3)
            net.crash("n1")
            net.run(pause_s)
            begin_second(net)

            def moved() -> bool:
                return knows_second(net, "n2") and knows_second(net, "n3")  # noqa: B023  # asked within the turn

            assert net.run_until(moved, 15.0), pause_s

    def test_a_node_that_left_may_come_back_elsewhere_at_once(self) -> None:
        """Within the time that gossip takes."""
        net = cluster(3)
        net.call("n1", lambda _, now: net.serfs["n1"].leave(now))
        net.run(5.0)
        net.crash("n1")
        begin_second(net)

        def moved() -> bool:
            return knows_second(net, "n2") and knows_second(net, "n3")

        assert net.run_until(moved, 2.0)


class MemoryTests(SynchronousTestCase):
    """Which conflicts were told."""

    def test_a_conflict_is_told_once_in_a_while(self) -> None:
        """Each by name and address; and only so many are remembered."""
        memory = ConflictMemory()
        assert memory.is_news("n1", SECOND, 0.0)
        assert not memory.is_news("n1", SECOND, TOLD_AGAIN_S - 1)
        assert memory.is_news("n2", SECOND, 1.0)
        assert memory.is_news("n1", SECOND, TOLD_AGAIN_S)
        for port in range(CONFLICTS_MAX + 5):
            memory.is_news("n3", ("10.0.0.3", port), TOLD_AGAIN_S)
        assert len(memory._told) == CONFLICTS_MAX
