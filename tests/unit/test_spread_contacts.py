"""Anti-entropy: how members can be asked, who is picked, and how often."""

from collections import Counter
from itertools import pairwise

from twisted.trial.unittest import SynchronousTestCase

from onevalue.config import SpreadSettings
from onevalue.member import Status
from onevalue.spread.contacts import contact_of, http_url
from onevalue.store import Source
from tests.spread_rig import Node, member, members, state

SETTINGS = SpreadSettings()


def settled(*names_and_tags: tuple[str, str | None]) -> Node:
    """A node with these members whose first contact is over."""
    node = Node()
    node.meet(*[member(name, tag) for name, tag in names_and_tags])
    for name in list(node.under_way):
        node.answer(name, state(0, 42))
    node.asked.clear()
    return node


class ContactTests(SynchronousTestCase):
    """The `http` tag says how a member is asked."""

    def test_the_tag_is_scheme_and_port(self) -> None:
        """The host is the member's address, in brackets if need be."""
        for tag, address, url in (
            ("http:8080", "10.0.0.1", "http://10.0.0.1:8080"),
            ("https:443", "10.0.0.1", "https://10.0.0.1:443"),
            ("http:1", "::1", "http://[::1]:1"),
            ("http:65535", "fe80::1", "http://[fe80::1]:65535"),
        ):
            contact = contact_of(member("b", tag, address=address))
            assert contact is not None
            assert (contact.url, contact.original) == (url, False)

    def test_without_a_tag_it_may_be_an_original(self) -> None:
        """On the port that the original program uses."""
        contact = contact_of(member("b", None))
        assert contact is not None
        assert (contact.url, contact.original) == ("http://10.0.0.1:8080", True)

    def test_only_a_tag_says_where_it_serves_http(self) -> None:
        """Of a member without one it is a guess, and not shown."""
        urls = [http_url(member("b", tag)) for tag in ("https:443", None, "-", "nonsense")]
        assert urls == ["https://10.0.0.1:443", None, None, None]

    def test_nonsense_cannot_be_asked(self) -> None:
        """Nor can a member that says that it cannot be reached."""
        for tag in (
            *("-", "", ":", "http", "http:", ":8080", "http:0", "http:65536", "http:-1", "http:+80", "http: 80"),
            *("http:80 ", "http:8o", "http:8080:1", "ftp:21", "HTTP:80", "http:\u0661\u0662", "http:" + "9" * 5000),
        ):
            assert contact_of(member("b", tag)) is None, tag[:20]
            node = settled(("b", tag))
            for _ in range(40):
                node.round()
                node.run(2.0)
            assert node.asked == [], tag[:20]


class PickTests(SynchronousTestCase):
    """Each round picks random members that answer, at most one exchange under way with each."""

    def test_a_round_asks_some_random_members(self) -> None:
        """As many as the settings say, different ones, and over time all about as often."""
        node = Node()
        node.meet(*members(10))
        node.answer("m00000", state(0, 42))
        often: Counter[str] = Counter()
        for _ in range(500):
            asked = node.round()
            assert len(asked) == len(dict.fromkeys(asked)) == SETTINGS.members_to_notify
            often.update(asked)
            for name in asked:
                node.answer(name, state(0, 42))
        assert len(often) == 10
        assert 60 < min(often.values()) <= max(often.values()) < 140

    def test_at_most_one_exchange_is_under_way_with_a_member(self) -> None:
        """Rounds and refused pushes ask others, or nobody; when it ended, well or not, it is picked again."""
        node = settled(("b", "http:1"), ("c", "http:1"))
        assert sorted(node.round()) == ["b", "c"]
        for _ in range(5):
            assert node.round() == []
            node.spread.receive_original(state(2**50), node.now)
            node.run(2.0)
        node.answer("b", state(0, 42))
        assert node.round() == ["b"]
        node.fail("c")
        assert node.round() == ["c"]

    def test_a_round_asks_others_than_those_that_are_being_asked(self) -> None:
        """As many as ever, while there are so many."""
        node = settled(*[(name, "http:1") for name in "bcdef"])
        asked = [*node.round(), *node.round()]
        assert len(asked) == len(dict.fromkeys(asked)) == 2 * SETTINGS.members_to_notify

    def test_an_exchange_outlives_its_member(self) -> None:
        """A member that is gone and back is not asked twice at once."""
        node = settled(("b", "http:1"))
        assert node.round() == ["b"]
        node.meet()
        node.meet(member("b", "http:2"))
        assert node.round() == []
        node.fail("b")
        assert node.round() == ["b"]

    def test_the_answer_is_merged(self) -> None:
        """As learnt by anti-entropy; an old state changes nothing."""
        node = settled(("b", "http:1"))
        node.round()
        node.answer("b", state(2**40, 5))
        node.round()
        node.answer("b", state(1, 1))
        assert (node.store.current, node.sources) == (state(2**40, 5), [Source.ANTI_ENTROPY])

    def test_those_who_are_gone_and_oneself_are_not_asked(self) -> None:
        """Alive and leaving members are."""
        node = Node()
        statuses = {"f": Status.FAILED, "g": Status.LEFT, "h": Status.LEAVING, "i": Status.ALIVE}
        node.meet(*[member(name, status=status) for name, status in statuses.items()])
        for name in list(node.under_way):
            node.fail(name)
        asked: list[str] = []
        for _ in range(20):
            names = node.round()
            asked += names
            for name in names:
                node.fail(name)
        assert sorted(dict.fromkeys(asked)) == ["h", "i"]

    def test_none_at_all_can_be_asked_for(self) -> None:
        """With nobody there, and with no members to notify."""
        assert settled().round() == []
        node = Node(settings=SpreadSettings(members_to_notify=0))
        node.meet(member("b"))
        node.fail("b")
        assert node.round() == []


class FirstContactTests(SynchronousTestCase):
    """A node that was alone asks the first one that appears at once."""

    def test_a_node_that_was_alone_asks_at_once(self) -> None:
        """It may have missed much; and again after it was alone again."""
        node = Node()
        node.start(somebody_to_ask=False)
        node.meet(member("b"), member("c"))
        assert [name for _, name in node.asked] == ["b"]
        node.answer("b", state(3, 3))
        assert (node.store.current, node.sources) == (state(3, 3), [Source.JOIN])
        node.meet(member("b"), member("c"), member("d"))
        assert len(node.asked) == 1
        node.meet(member("b", status=Status.FAILED), member("c", status=Status.FAILED))
        node.meet(member("b", status=Status.FAILED), member("c"))
        assert [name for _, name in node.asked] == ["b", "c"]

    def test_plain_members_are_no_company(self) -> None:
        """They have no state to tell; the first of our nodes is still the first."""
        node = Node()
        node.meet(member("a", None))
        assert node.asked == []
        node.meet(member("a", None), member("b"))
        assert [name for _, name in node.asked] == ["b"]


class PlainTests(SynchronousTestCase):
    """Members without the tag are tried now and then, until they answer as the original program does."""

    def test_a_plain_member_is_tried_once_a_minute(self) -> None:
        """While it does not answer so."""
        node = settled(("plain", None))
        for _ in range(150):
            for name in node.round():
                node.fail(name)
            node.run(2.0)
        times = [at for at, _ in node.asked]
        assert len(times) == 5
        assert all(later - at >= SETTINGS.plain_member_retry_s for at, later in pairwise(times))

    def test_a_round_tries_one_beside_its_picks(self) -> None:
        """Many plain members do not crowd out those that answer."""
        node = settled(("b", "http:1"), ("c", "http:1"), *[(f"plain{number}", None) for number in range(50)])
        asked = node.round()
        assert sorted(asked[:2]) == ["b", "c"]
        assert len(asked) == 3

    def test_a_confirmed_original_counts_as_a_member(self) -> None:
        """It is picked in each round, until it fails: then it is plain again."""
        node = settled(("old", None))
        assert node.round() == ["old"]
        node.answer("old", None)
        for _ in range(5):
            assert node.round() == ["old"]
            node.answer("old", None)
            node.run(2.0)
        assert node.round() == ["old"]
        node.fail("old")
        assert node.round() == []
        node.run(SETTINGS.plain_member_retry_s)
        assert node.round() == ["old"]

    def test_where_no_original_can_be_none_is_tried(self) -> None:
        """The value goes to nobody in the open; our own nodes are asked as ever."""
        node = Node(settings=SpreadSettings(originals=False))
        node.meet(member("b"), *[member(f"agent{number}", None) for number in range(20)])
        node.answer("b", state(0, 42))
        for _ in range(100):
            assert node.round() == ["b"]
            node.answer("b", state(0, 42))
            node.run(2.0)
        node.spread.receive_original(state(2**50), node.now)
        node.run(2.0)
        assert {name for _, name in node.asked} == {"b"}

    def test_an_original_elsewhere_is_another(self) -> None:
        """What answered at the old address says nothing of the new one."""
        node = settled(("old", None))
        node.round()
        node.answer("old", None)
        node.meet(member("old", None, address="10.0.0.2"))
        assert node.round() == []

    def test_an_answer_from_where_it_was_confirms_no_original_elsewhere(self) -> None:
        """It has moved while it was asked; nor is one remembered that has gone."""
        for now_there in ([member("old", None, address="10.0.0.2")], []):
            node = settled(("old", None))
            assert node.round() == ["old"]
            node.meet(*now_there)
            node.answer("old", None)
            assert node.round() == []
            assert node.spread._contacts.originals == 0

    def test_while_the_value_is_no_integer_no_trial_is_used_up(self) -> None:
        """It is tried as soon as it could be told."""
        node = settled(("old", None))
        node.write("v1")
        assert node.round() == []
        node.write(7)
        assert node.round() == ["old"]

    def test_a_push_in_the_original_s_way_brings_no_trial_forward(self) -> None:
        """Anybody can send one: a plain member is tried once in a while all the same."""
        node = settled(("old", None))
        node.round()
        node.fail("old")
        node.spread.receive_original(state(0, 42), node.now)
        assert node.round() == []

    def test_what_is_known_of_members_that_are_gone_is_forgotten(self) -> None:
        """Memory is bounded by the members there are."""
        node = settled(*[(f"plain{number}", None) for number in range(20)])
        for _ in range(20):
            for name in node.round():
                node.answer(name, None)
        node.meet()
        contacts = node.spread._contacts
        assert (contacts._confirmed, contacts._next_trial, contacts._in_flight) == ({}, {}, {})


class OriginalTests(SynchronousTestCase):
    """Nodes of the original program know integers only."""

    def test_they_are_left_out_while_the_value_is_none(self) -> None:
        """And counted; with an integer they are told again."""
        node = settled(("old", None))
        assert node.round() == ["old"]
        node.answer("old", None)
        node.write("v1")
        assert node.round() == []
        assert node.spread.counters["originals_skipped"] == 1
        node.write(7)
        assert node.round() == ["old"]

    def test_one_that_was_picked_is_left_out_if_the_value_is_none_by_then(self) -> None:
        """It is not busy after that; our own nodes are asked as ever."""
        node = settled(("b", "http:1"), ("old", None))
        node.round()
        node.answer("old", None)
        node.answer("b", state(0, 42))
        node.asked.clear()
        node.spread.round(node.now)
        node.write("v1")
        node.turn()
        assert [name for _, name in node.asked] == ["b"]
        node.answer("b", node.store.current)
        node.write(7)
        assert sorted(node.round()) == ["b", "old"]

    def test_a_tie_with_a_text_is_left_alone(self) -> None:
        """A higher generation would not teach it our value."""
        node = Node(initial=state(3, "v1"))
        node.meet(member("old", None))
        node.spread.receive_original(state(3, 5), node.now)
        node.run(60.0)
        assert node.raised == []
