"""The join addresses: dialled until they lead to somebody, for ever."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from onevalue.config import SerfSettings
from onevalue.errors import ConfigError
from onevalue.serf.dialler import ADDRESSES_PER_TARGET_MAX, ATTEMPTS_MAX, TARGETS_MAX, Dialler
from onevalue.types import Address

OWN: Address = ("10.0.0.1", 7946)
A: Address = ("10.0.0.2", 7946)
B: Address = ("10.0.0.3", 7946)


def _dialler(*targets: str) -> Dialler:
    return Dialler(targets, SerfSettings(), [OWN])


class DiallerTests(SynchronousTestCase):
    """Time is in seconds."""

    def _attempt(self, dialler: Dialler, text: str, addresses: list[Address], now: float) -> list[Address]:
        assert text in dialler.due(now)
        dialled = dialler.resolved(text, addresses)
        dialler.over(text, now)
        return dialled

    def test_each_target_is_due_at_once_and_only_once_however_often_it_is_named(self) -> None:
        """An attempt that runs is not begun again."""
        dialler = _dialler("a", "b", "a")
        assert dialler.due(0.0) == ["a", "b"]
        assert dialler.due(1000.0) == []
        assert dialler.next_deadline() is None

    def test_only_so_many_are_dialled_at_the_same_time(self) -> None:
        """The first of the list first; each that is over makes room for another."""
        texts = [f"n{index}" for index in range(ATTEMPTS_MAX + 2)]
        dialler = _dialler(*texts)
        assert dialler.due(0.0) == texts[:ATTEMPTS_MAX]
        assert (dialler.due(1.0), dialler.next_deadline()) == ([], None)
        dialler.over("n3", 1.0)
        assert dialler.due(1.0) == [texts[ATTEMPTS_MAX]]
        assert dialler.next_deadline() is None

    def test_pauses_double_from_a_quarter_of_a_second_to_half_a_minute_for_ever(self) -> None:
        """Nobody answers for an hour."""
        dialler, now, pauses = _dialler("a"), 0.0, []
        for _ in range(12):
            self._attempt(dialler, "a", [A], now)
            deadline = dialler.next_deadline()
            assert deadline is not None
            assert dialler.due(deadline - 0.01) == []
            pauses.append(deadline - now)
            now = deadline
        assert pauses == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0, 30.0, 30.0]

    def test_a_target_that_led_to_an_alive_member_rests_until_that_is_gone(self) -> None:
        """Then the pauses are short again."""
        dialler = _dialler("a")
        for now in (0.0, 10.0, 20.0):
            self._attempt(dialler, "a", [A, B], now)
        dialler.observe([B], 21.0)
        assert dialler.next_deadline() is None
        assert dialler.due(1000.0) == []
        dialler.observe([], 1000.0)
        assert dialler.next_deadline() == 1000.25
        assert dialler.due(1000.25) == ["a"]

    def test_an_alive_member_elsewhere_satisfies_nobody(self) -> None:
        """The target leads to another address."""
        dialler = _dialler("a")
        self._attempt(dialler, "a", [A], 0.0)
        dialler.observe([B], 0.1)
        assert dialler.next_deadline() == 0.25

    def test_this_node_is_never_dialled(self) -> None:
        """A name of several is dialled without it."""
        dialler = _dialler("self", "both")
        dialler.due(0.0)
        assert dialler.resolved("self", [OWN]) == []
        assert dialler.resolved("both", [OWN, A, A]) == [A]

    def test_a_name_that_led_only_to_this_node_is_looked_up_again(self) -> None:
        """Others may have been given the name since."""
        dialler = _dialler("all")
        assert self._attempt(dialler, "all", [OWN], 0.0) == []
        assert self._attempt(dialler, "all", [OWN, B], 0.25) == [B]

    def test_the_first_round_is_done_when_each_target_was_tried_or_is_this_node(self) -> None:
        """Also if a name leads nowhere; at once if there are no targets."""
        assert _dialler().first_round_done
        dialler = _dialler("self", "nowhere", "a")
        dialler.due(0.0)
        for text, addresses in [("nowhere", []), ("self", [OWN]), ("a", [A])]:
            assert not dialler.first_round_done
            dialler.resolved(text, addresses)
            if text != "self":
                dialler.over(text, 1.0)
        assert dialler.first_round_done

    def test_it_is_known_when_all_targets_are_this_node(self) -> None:
        """A target that has not been looked up, or leads nowhere, may be anybody."""
        assert _dialler().leads_nowhere_else
        dialler = _dialler("self", "x")
        dialler.due(0.0)
        for addresses, alone in [([], False), ([A], False), ([OWN], True)]:
            dialler.resolved("self", [OWN])
            dialler.resolved("x", addresses)
            assert dialler.leads_nowhere_else is alone, addresses

    def test_targets_and_their_addresses_are_bounded(self) -> None:
        """A resolver that returns thousands of addresses does not have us dial them."""
        with pytest.raises(ConfigError, match=str(TARGETS_MAX)):
            _dialler(*(str(index) for index in range(TARGETS_MAX + 1)))
        dialler = _dialler("a")
        found = [(f"10.1.{index // 256}.{index % 256}", 7946) for index in range(1000)]
        assert len(self._attempt(dialler, "a", found, 0.0)) == ADDRESSES_PER_TARGET_MAX

    def test_a_peer_is_dialled_until_the_pauses_are_the_longest(self) -> None:
        """Then it is left to those who look for the lost; a join address beside it is dialled on."""
        dialler, now, dialled = Dialler(["a"], SerfSettings(), [OWN], {"n2/x": A}), 0.0, []
        while (deadline := dialler.next_deadline()) is not None and now < 1000.0:
            now = max(now, deadline)
            for text in dialler.due(now):
                dialled.append(text)
                dialler.over(text, now)
        assert dialled.count("n2/x") == 8
        assert dialled.count("a") > 30
        assert not dialler.leads_nowhere_else

    def test_a_peer_that_was_seen_alive_needs_no_dialling(self) -> None:
        """Neither before its first attempt nor when it is gone again."""
        dialler = Dialler([], SerfSettings(), [OWN], {"n2/x": A, "n3/x": B})
        dialler.observe([B], 0.0)
        assert dialler.due(0.0) == ["n2/x"]
        dialler.over("n2/x", 0.1)
        assert dialler.first_round_done
        dialler.observe([], 1.0)
        assert dialler.next_deadline() is None

    def test_each_peer_is_dialled_once_where_somebody_is_alive(self) -> None:
        """It may be of another part of a cluster that starts anew."""
        dialler = Dialler([], SerfSettings(), [OWN], {"n2/x": A})
        dialler.observe([B], 0.0)
        assert dialler.due(0.0) == ["n2/x"]
        dialler.over("n2/x", 0.1)
        assert (dialler.next_deadline(), dialler.first_round_done) == (None, True)

    def test_peers_come_after_join_addresses_and_take_the_room_that_is_left(self) -> None:
        """A cluster of thousands does not keep a node from starting again."""
        peers = {f"n{index}/x": ("10.1.0.1", index) for index in range(1, 2 * TARGETS_MAX)}
        dialler, dialled, now = Dialler(["a"], SerfSettings(), [OWN], peers), [], 0.0
        dialler.observe([A], 0.0)
        while found := dialler.due(now):
            assert len(found) <= ATTEMPTS_MAX
            dialled += found
            for text in found:
                dialler.over(text, now)
        assert dialled[:2] == ["a", "n1/x"]
        assert len(dialled) == TARGETS_MAX

    def test_a_peer_at_the_address_of_this_node_is_not_dialled(self) -> None:
        """It had another name then."""
        dialler = Dialler([], SerfSettings(), [OWN], {"old/x": OWN})
        assert (dialler.due(0.0), dialler.first_round_done, dialler.leads_nowhere_else) == ([], True, True)

    @given(st.lists(st.tuples(st.sampled_from(["due", "over", "seen", "lost"]), st.floats(0, 100)), max_size=40))
    def test_a_target_that_leads_to_nobody_is_always_due_some_time(self, steps: list[tuple[str, float]]) -> None:
        """Whatever happened before, and wherever time stepped to."""
        dialler, running = _dialler("a"), False
        for step, now in steps:
            if step == "due":
                running = running or dialler.due(now) == ["a"]
                dialler.resolved("a", [A])
            elif step == "over" and running:
                dialler.over("a", now)
                running = False
            else:
                dialler.observe([A] if step == "seen" else [], now)
        dialler.observe([], 100.0)
        if running:
            dialler.over("a", 100.0)
        deadline = dialler.next_deadline()
        assert deadline is not None
        assert deadline <= 130.0
