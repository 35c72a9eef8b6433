"""The formulas of wire README 4.4, 4.6 and 4.8 against what memberlist's functions give (tests/data/formulas.json)."""

import json
from math import isclose
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from onevalue.swim.awareness import Awareness
from onevalue.swim.pushpull import interval_s
from onevalue.swim.queue import retransmit_limit
from onevalue.swim.suspicion import Suspicion, confirmations_wanted, timeout_min_s, timeout_s

NS = 1e-9
_DATA = Path(__file__).parent.parent / "data" / "formulas.json"


def _cases(key: str) -> list[dict[str, Any]]:
    cases = [case for case in json.loads(_DATA.read_text())["formulas"] if key in case]
    assert cases, f"formulas.json has cases of {key}"
    return cases


class FormulaTests(SynchronousTestCase):
    """The numbers are those of memberlist."""

    def test_retransmit_limit_is_that_of_memberlist(self) -> None:
        """Each message is sent as often as memberlist would send it."""
        for case in _cases("retransmit_limit"):
            assert retransmit_limit(case["mult"], case["n"]) == case["retransmit_limit"], case

    def test_shortest_suspicion_is_that_of_memberlist(self) -> None:
        """The shortest suspicion lasts as long as memberlist's."""
        for case in _cases("suspicion_min_ns"):
            expected = case["suspicion_min_ns"] * NS
            assert isclose(timeout_min_s(case["mult"], case["n"], 1.0), expected), case

    def test_remaining_suspicion_is_that_of_memberlist(self) -> None:
        """After each confirmation as much time remains as in memberlist."""
        for case in _cases("remaining_ns"):
            lasts = timeout_s(case["confirmations"], case["k"], case["min_ns"] * NS, case["max_ns"] * NS)
            remaining = lasts - case["elapsed_ns"] * NS
            assert isclose(remaining, case["remaining_ns"] * NS), case

    def test_push_pull_interval_is_that_of_memberlist(self) -> None:
        """The periodic exchange grows rarer with the cluster as memberlist's does."""
        for case in _cases("pushpull_interval_ns"):
            assert isclose(interval_s(30.0, case["n"]), case["pushpull_interval_ns"] * NS), case

    def test_confirmations_wanted_need_members_that_could_confirm(self) -> None:
        """K is SuspicionMult - 2, or 0 with fewer others than that beside this node and the suspect."""
        table = [(4, 2, 0), (4, 3, 0), (4, 4, 2), (4, 5, 2), (6, 5, 0), (6, 6, 4), (3, 3, 1), (2, 9, 0), (1, 9, 0)]
        for mult, nodes, wanted in table:
            assert confirmations_wanted(mult, nodes) == wanted, (mult, nodes)


class SuspicionTests(SynchronousTestCase):
    """One suspicion and its confirmations."""

    def test_each_new_accuser_brings_the_deadline_nearer_down_to_the_shortest(self) -> None:
        """Confirmations count once each, the first accuser's never, and none above k."""
        suspicion = Suspicion("b", wanted=2, min_s=4.0, max_s=24.0, now=10.0)
        assert suspicion.deadline == 34.0
        assert not suspicion.confirm("b")
        assert suspicion.confirm("c")
        assert 14.0 < suspicion.deadline < 34.0
        assert not suspicion.confirm("c")
        assert suspicion.confirm("d")
        assert suspicion.deadline == 14.0
        assert not suspicion.confirm("e")
        assert suspicion.confirmations == 2

    def test_without_members_to_confirm_it_is_as_short_as_can_be(self) -> None:
        """With k = 0 the suspicion lasts the shortest time from the start."""
        assert Suspicion("b", wanted=0, min_s=4.0, max_s=24.0, now=1.0).deadline == 5.0

    def test_a_suspect_whose_host_refuses_has_half_of_the_shortest_time(self) -> None:
        """From the first accusation, whoever agrees."""
        suspicion = Suspicion("b", wanted=2, min_s=4.0, max_s=24.0, now=10.0)
        suspicion.refused()
        assert suspicion.deadline == 12.0
        assert suspicion.confirm("c")
        assert suspicion.deadline == 12.0


class AwarenessTests(SynchronousTestCase):
    """The health score."""

    def test_score_stays_in_its_range_and_scales_intervals(self) -> None:
        """It never falls below 0 nor reaches the multiplier; an interval is score + 1 times as long."""
        awareness = Awareness(8)
        for delta, score in [(-1, 0), (1, 1), (3, 4), (-1, 3), (9, 7), (1, 7), (-3, 4)]:
            awareness.adjust(delta)
            assert awareness.score == score
        assert awareness.scale(2.0) == 10.0
