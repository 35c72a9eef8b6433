"""Slices: in a large cluster the origin and the heads of slices reach every member."""

import math
from collections import Counter

from twisted.trial.unittest import SynchronousTestCase

from onevalue.member import Member, Status, UserEvent
from onevalue.spread.rumour import EVENT_NAME, encode_event, slices, targets_of_head, targets_of_origin
from tests.spread_rig import Node, member, members, state

MAX = 1000


def copies(everybody: list[Member], origin: str) -> Counter[str]:
    """How many copies each member gets: from the origin, and from those who got it from the origin."""
    straight = targets_of_origin(everybody, origin, MAX)
    got = Counter(one.name for one in straight)
    for head in straight:
        got.update(one.name for one in targets_of_head(everybody, head.name, MAX))
    return got


class SliceTests(SynchronousTestCase):
    """Who gets a copy from whom."""

    def test_slices_are_about_as_many_as_they_are_long(self) -> None:
        """And they are all members, in order, each once."""
        for count in (0, 1, 2, 3, 4, 5, 99, 100, 101, 1500, 5000):
            everybody = members(count)
            cut = slices(everybody)
            assert [one for run in cut for one in run] == everybody
            assert all(0 < len(run) <= math.isqrt(count) + 1 for run in cut)
            assert len(cut) <= math.sqrt(count) + 1

    def test_a_small_cluster_is_reached_straight(self) -> None:
        """Up to the maximum, by the origin alone, once each."""
        for count in (1, 2, 500, MAX + 1):
            everybody = members(count)
            for origin in (everybody[0].name, everybody[-1].name):
                assert copies(everybody, origin) == Counter(one.name for one in everybody if one.name != origin)
                assert all(targets_of_head(everybody, one.name, MAX) == [] for one in everybody[:: max(1, count // 9)])

    def test_a_large_cluster_is_reached_over_heads(self) -> None:
        """Every member but the origin gets one copy; the origin may get its own back; nobody sends more than a few."""
        for count in (MAX + 2, MAX + 3, 1500, 2500):
            everybody = members(count)
            size = math.isqrt(count) + 1
            for origin in [everybody[index].name for index in (0, 1, size, size + 1, count // 2, count - 1)]:
                got = copies(everybody, origin)
                got.pop(origin, None)
                assert got == Counter(one.name for one in everybody if one.name != origin)
                assert len(targets_of_origin(everybody, origin, MAX)) <= 2 * size + 1

    def test_those_who_are_gone_are_no_heads(self) -> None:
        """The slices are cut from those that can be reached."""
        everybody = [
            Member(one.name, one.address, one.port, Status.FAILED, suspect=False, tags={}) if index % 3 == 0 else one
            for index, one in enumerate(members(2400))
        ]
        alive = [one.name for one in everybody if one.status is Status.ALIVE]
        got = copies(everybody, alive[7])
        got.pop(alive[7], None)
        assert got == Counter(name for name in alive if name != alive[7])

    def test_a_head_sends_a_relayed_event_on_to_its_slice(self) -> None:
        """With the bytes as they came; one who is no head sends it to nobody straight."""
        others = members(1500)
        everybody = [*others, member("me")]
        cut = slices(everybody)
        for name, expected in ((cut[3][0].name, [one.name for one in cut[3][1:]]), (cut[3][1].name, [])):
            node = Node(name)
            node.meet(*[one for one in everybody if one.name != name])
            payload = encode_event(state(1, 1))
            node.spread.receive_events([UserEvent(EVENT_NAME, payload, b"raw", relay_wanted=True)], node.now)
            node.turn()
            [(_, rumour)] = node.rumours
            assert (rumour.payload, rumour.raw) == (None, b"raw")
            assert [one.name for one in rumour.direct] == expected
