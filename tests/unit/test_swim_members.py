"""The member table, addresses and timers: order, chance, bounds."""

import random
from collections import Counter

import pytest
from twisted.trial.unittest import SynchronousTestCase

from onevalue.swim.address import forms_of, to_address, to_bytes, unmapped
from onevalue.swim.members import MemberRecord, MemberTable
from onevalue.swim.timers import Timers
from onevalue.types import Incarnation
from onevalue.wire.messages import NodeStatus


def _record(name: str, port: int = 1, status: NodeStatus = NodeStatus.ALIVE) -> MemberRecord:
    return MemberRecord(name, bytes([10, 0, 0, 1]), port, b"", bytes([1, 5, 2, 2, 5, 5]), Incarnation(1), status, 0.0)


def _table(names: str, rng: random.Random) -> MemberTable:
    table = MemberTable()
    for port, name in enumerate(names, 1):
        table.put(_record(name, port), rng)
    return table


def _round(table: MemberTable, rng: random.Random) -> list[str]:
    names = []
    while (record := table.next_in_turn()) is not None:
        names.append(record.name)
    table.shuffle(rng)
    return names


class TableTests(SynchronousTestCase):
    """Who is known, who is next, who is chosen."""

    def test_every_round_of_probes_meets_each_member_once_in_an_order_of_its_own(self) -> None:
        """Two rounds name the same members, each once, and a long list is not in the same order twice."""
        rng = random.Random(1)
        table = _table("abcdefghij", rng)
        first, second = _round(table, rng), _round(table, rng)
        assert (sorted(first), sorted(second)) == (list("abcdefghij"), list("abcdefghij"))
        assert first != second

    def test_a_member_that_comes_or_goes_during_a_round_disturbs_nobody_elses_turn(self) -> None:
        """All that stay are met exactly once, the newcomer at most once, the forgotten not again."""
        for seed in range(30):
            rng = random.Random(seed)
            table = _table("abcdef", rng)
            met = [record.name for _ in range(3) if (record := table.next_in_turn())]
            gone = next(name for name in "abcdef" if name not in met)
            table.put(_record("new", 9), rng)
            table.forget([met[0], gone])
            counts = Counter(met + _round(table, rng))
            assert all(counts[name] == 1 for name in "abcdef" if name != gone)
            assert counts[gone] == 0
            assert counts["new"] <= 1

    def test_choice_misses_nobody_in_a_small_table(self) -> None:
        """When as many suit as are wanted, or fewer, all of them are chosen."""
        for seed in range(50):
            rng = random.Random(seed)
            table = _table("abcdefghijklmnop", rng)
            chosen = table.choose(3, lambda record: record.name in "cdp", rng)
            assert sorted(record.name for record in chosen) == ["c", "d", "p"]
            assert len(table.choose(5, lambda record: record.name in "cd", rng)) == 2
            assert table.choose(0, lambda _: True, rng) == []

    def test_choice_is_even(self) -> None:
        """Each member that suits is chosen about equally often."""
        rng = random.Random(7)
        table = _table("abcdefghij", rng)
        counts = Counter(table.choose(1, lambda record: record.name != "a", rng)[0].name for _ in range(9000))
        assert counts["a"] == 0
        assert all(850 < counts[name] < 1150 for name in "bcdefghij"), counts

    def test_an_address_leads_to_its_member_until_it_moves_or_is_forgotten(self) -> None:
        """The index follows the records."""
        rng = random.Random(1)
        table = _table("ab", rng)
        assert table.at(("10.0.0.1", 2)) == table.get("b")
        table.put(_record("b", 5), rng)
        assert table.at(("10.0.0.1", 2)) is None
        table.forget(["b"])
        assert (table.at(("10.0.0.1", 5)), table.get("b"), len(table)) == (None, None, 1)


class AddressTests(SynchronousTestCase):
    """Bytes and text of addresses."""

    def test_mapped_addresses_are_dialled_as_ipv4(self) -> None:
        """Four bytes, their mapped form, and IPv6 proper."""
        mapped = bytes(10) + b"\xff\xff" + bytes([127, 0, 0, 1])
        table = [
            (bytes([127, 0, 0, 1]), "127.0.0.1"),
            (mapped, "127.0.0.1"),
            (bytes(15) + b"\x01", "::1"),
            (bytes.fromhex("20010db8" + "00" * 11 + "07"), "2001:db8::7"),
        ]
        for addr, host in table:
            assert to_address(addr, 5) == (host, 5)
        assert (to_bytes("127.0.0.1"), to_bytes("::1")) == (table[0][0], table[2][0])
        for size in (0, 3, 5, 15, 17):
            with pytest.raises(ValueError, match="IPv"):
                to_address(bytes(size), 5)

    def test_an_ipv4_address_has_two_forms(self) -> None:
        """Whichever of them is asked about; IPv6 proper has one."""
        plain, ipv6 = bytes([10, 0, 0, 1]), bytes.fromhex("20010db8" + "00" * 11 + "07")
        mapped = bytes(10) + b"\xff\xff" + plain
        assert forms_of(plain) == forms_of(mapped) == (plain, mapped)
        assert forms_of(ipv6) == (ipv6,)

    def test_sources_that_a_dual_stack_socket_shows_are_recognised(self) -> None:
        """The mapped form as text becomes IPv4; anything else stays."""
        for host, shown in [
            ("::ffff:10.0.0.1", "10.0.0.1"),
            ("10.0.0.1", "10.0.0.1"),
            ("::1", "::1"),
            ("::ffff:", "::ffff:"),
        ]:
            assert unmapped((host, 3)) == (shown, 3)


class TimerTests(SynchronousTestCase):
    """Deadlines by key."""

    def test_each_is_run_once_in_order_and_those_replaced_or_cancelled_never(self) -> None:
        """Equal deadlines run in the order in which they were set."""
        timers, ran = Timers(), []
        for key, at in [("late", 3.0), ("b", 2.0), ("c", 2.0), ("moved", 1.0), ("gone", 1.0)]:
            timers.set(key, at, lambda _, key=key: ran.append(key))  # type: ignore[misc]  # a default binds the key
        timers.set("moved", 2.5, lambda _: ran.append("moved"))
        timers.cancel("gone")
        assert timers.next_deadline() == 2.0
        timers.run(2.5)
        timers.run(2.5)
        assert (ran, timers.next_deadline()) == (["b", "c", "moved"], 3.0)

    def test_an_action_that_sets_itself_into_the_past_does_not_hang(self) -> None:
        """Each run does no more than waited at its start."""
        timers, ran = Timers(), []

        def again(now: float) -> None:
            ran.append(now)
            timers.set("again", now, again)

        timers.set("again", 1.0, again)
        timers.run(5.0)
        assert ran == [5.0]

    def test_replaced_deadlines_do_not_pile_up(self) -> None:
        """Ten thousand replacements of one deadline leave a small heap."""
        timers = Timers()
        for at in range(10000):
            timers.set("k", float(at), lambda _: None)
        assert len(timers._heap) < 200
        assert (len(timers), timers.next_deadline()) == (1, 9999.0)
