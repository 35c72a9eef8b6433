"""Keys of a cluster: encrypted gossip in virtual time, and changing the keyring from any node (wire README 5.10)."""

import os
from collections.abc import Sequence
from functools import partial

from twisted.trial.unittest import SynchronousTestCase

from onevalue.serf import events
from onevalue.serf.core import Serf
from onevalue.serf.events import KeyOutcome
from onevalue.serf.keys import CHANGES_MAX, KEYS_LISTED_MAX, MESSAGES_MAX, KeyAction, KeyPoll
from onevalue.serf.members import MemberStatus
from onevalue.wire.codec import decode_packet, encode_message, encode_packet
from onevalue.wire.envelope import Envelope
from onevalue.wire.internal_queries import (
    KeyRequest,
    KeyResponse,
    decode_key_response,
    encode_key_request,
    encode_key_response,
)
from onevalue.wire.key_text import encode_key
from onevalue.wire.keyring import KEYS_MAX, Keyring
from onevalue.wire.messages import User
from onevalue.wire.serf_codec import decode_serf, encode_serf
from onevalue.wire.serf_messages import Query, QueryResponse
from tests.unit.serf_net import STRANGER, SerfNet, make_serf, time_of, told
from tests.unit.swim_net import PORT

OLD, NEW, OTHER = bytes(range(16)), bytes(range(100, 132)), bytes(range(40, 64))


def sealed(*keys: bytes, label: bytes = b"", incoming: bool = True, outgoing: bool = True) -> Envelope:
    """An envelope with these keys."""
    return Envelope(label, Keyring(keys, os.urandom) if keys else None, incoming, outgoing)


class KeyNet(SerfNet):
    """A cluster of nodes with these envelopes; each keeps changed keyrings at once, or says why not."""

    def __init__(self, *envelopes: Envelope) -> None:
        super().__init__(0)
        self.fault: dict[str, str] = {}
        self.kept: dict[str, list[tuple[bytes, ...]]] = {}
        for index, envelope in enumerate(envelopes, 1):
            self.begin(index, envelope=envelope)
            self.kept[f"n{index}"] = []

    def keep(self) -> bool:
        """What the nodes want kept is kept."""
        for name, node in self.nodes.items():
            for change in [event for event in node.events if isinstance(event, events.KeyringChange)]:
                node.events.remove(change)
                error = self.fault.get(name)
                if error is None:
                    self.kept[name].append(change.keys)
                self.call(name, partial(self._kept, self.serfs[name], change.change_id, error))
        return False

    @staticmethod
    def _kept(serf: Serf, change_id: int, error: str | None, _: object, now: float) -> None:
        serf.keyring_kept(change_id, error, now)

    def ask(self, at: str, action: KeyAction, key: bytes = b"") -> KeyOutcome:
        """What came of a request about keys, which lasts at most five seconds."""
        self.call(at, lambda _, now: self.serfs[at].ask_about_keys(action, key, 0, now))

        def over() -> bool:
            self.keep()
            return bool(self.told(at, events.KeyRequestDone))

        assert self.run_until(over, 5.0)
        (done,) = self.told(at, events.KeyRequestDone)
        self.forget_told()
        return done.outcome

    def rings(self) -> list[tuple[bytes, ...]]:
        """The keys of each node."""
        found = [node.envelope.keyring for node in self.nodes.values()]
        return [ring.keys if ring else () for ring in found]


class EncryptedTests(SynchronousTestCase):
    """Clusters of one key, of several, of none, and those on the way."""

    def test_nodes_of_one_key_are_a_cluster(self) -> None:
        """And all that leaves them is encrypted: nobody without the key reads a packet."""
        net = KeyNet(sealed(OLD), sealed(OLD), sealed(OLD))
        heard: list[bytes] = []
        send = net._send
        net._send = lambda sender, data, address: heard.append(data) or send(sender, data, address)  # type: ignore[func-returns-value,method-assign]  # a wire tap
        net.join_all()
        net.run(5.0)
        assert len(heard) > 10
        assert not any(decode_packet(data).messages for data in heard)

    def test_another_key_or_label_or_none_is_another_cluster(self) -> None:
        """Neither side takes the other in; each counts what it refused."""
        for mine, theirs, counter in [
            (sealed(OLD), sealed(NEW), "undecipherable"),
            (sealed(OLD), sealed(), "undecipherable"),
            (sealed(label=b"blue"), sealed(label=b"red"), "mislabelled"),
            (sealed(label=b"blue"), sealed(), "mislabelled"),
            (sealed(OLD, label=b"blue"), sealed(OLD), "mislabelled"),
        ]:
            net = KeyNet(mine, theirs)
            net.join("n2", "n1")
            net.run(5.0)
            assert [len(serf.members()) for serf in net.serfs.values()] == [1, 1]
            (done,) = net.told("n2", events.JoinDone)
            assert done.error is not None
            envelope = net.nodes["n2"].envelope
            packet = envelope.seal_packet(encode_packet([encode_message(User(b"x"))], compress=False, crc=False))
            net.serfs["n1"].receive_datagram(packet, STRANGER, net.now)
            net.drain(net.nodes["n1"])
            assert net.serfs["n1"].counters[counter] == 1
            assert len(net.told("n1", events.PacketRefused)) == 1

    def test_a_cluster_moves_from_plain_to_encrypted_one_node_after_the_other(self) -> None:
        """In three steps: keys that verify nothing, then outgoing, then incoming; nobody ever fails."""
        net = KeyNet(sealed(), sealed(), sealed(), sealed())
        net.join_all()
        for incoming, outgoing in [(False, False), (False, True), (True, True)]:
            for node in net.nodes.values():
                envelope = node.envelope
                envelope.keyring = Keyring([OLD], os.urandom)
                envelope.verify_incoming, envelope.verify_outgoing = incoming, outgoing
                net.run(30.0)
        assert net.all_see(MemberStatus.ALIVE, net.names)
        assert [net.told(name, events.MemberFailed) for name in net.names] == [[], [], [], []]
        assert sum(serf.counters["undecipherable"] for serf in net.serfs.values()) == 0


class RotationTests(SynchronousTestCase):
    """Changing the keys of all nodes from one of them."""

    def setUp(self) -> None:
        self.net = KeyNet(sealed(OLD), sealed(OLD), sealed(OLD), sealed(OLD))
        self.net.join_all()
        self.net.run(1.0)
        self.net.forget_told()

    def test_a_key_is_installed_used_and_the_old_one_removed(self) -> None:
        """All do it, all keep it, and the cluster stays whole."""
        for at, action, key, rings in [
            ("n1", KeyAction.INSTALL, NEW, (OLD, NEW)),
            ("n2", KeyAction.USE, NEW, (NEW, OLD)),
            ("n3", KeyAction.REMOVE, OLD, (NEW,)),
        ]:
            outcome = self.net.ask(at, action, key)
            assert (outcome.nodes, outcome.answers, outcome.errors, outcome.complete) == (4, 4, 0, True)
            assert self.net.rings() == [rings] * 4
            assert [kept[-1] for kept in self.net.kept.values()] == [rings] * 4
        self.net.run(60.0)
        assert self.net.all_see(MemberStatus.ALIVE, self.net.names)

    def test_keys_are_counted(self) -> None:
        """Each with how many have it, and how many encrypt with it."""
        self.net.ask("n1", KeyAction.INSTALL, NEW)
        outcome = self.net.ask("n2", KeyAction.LIST)
        assert outcome.keys == {encode_key(OLD): 4, encode_key(NEW): 4}
        assert outcome.primary_keys == {encode_key(OLD): 4}
        assert encode_key(OLD) not in repr(outcome)

    def test_what_a_ring_does_not_admit_is_told_by_all(self) -> None:
        """The rings stay; what is there already is no error."""
        for action, key, words in [
            (KeyAction.USE, NEW, "install it first"),
            (KeyAction.REMOVE, OLD, "primary"),
            (KeyAction.INSTALL, b"short", "16, 24 or 32"),
        ]:
            outcome = self.net.ask("n1", action, key)
            assert (outcome.answers, outcome.errors, outcome.complete) == (4, 4, False)
            assert all(words in message for message in outcome.messages.values())
        assert self.net.ask("n1", KeyAction.INSTALL, OLD).complete
        assert self.net.ask("n1", KeyAction.REMOVE, OTHER).complete
        assert self.net.rings() == [(OLD,)] * 4
        assert not any(self.net.kept.values())

    def test_a_node_that_cannot_keep_its_ring_does_not_change_it(self) -> None:
        """It says why; the others do."""
        self.net.fault["n3"] = "no space left"
        outcome = self.net.ask("n1", KeyAction.INSTALL, NEW)
        assert (outcome.answers, outcome.errors) == (4, 1)
        assert "no space left" in outcome.messages["n3"]
        assert self.net.rings() == [(OLD, NEW), (OLD, NEW), (OLD,), (OLD, NEW)]

    def test_a_silent_member_leaves_the_request_incomplete(self) -> None:
        """The time is up, and the others have done it."""
        self.net.crash("n4")
        outcome = self.net.ask("n1", KeyAction.INSTALL, NEW)
        assert (outcome.nodes, outcome.answers, outcome.errors, outcome.complete) == (4, 3, 0, False)


class PollTests(SynchronousTestCase):
    """What is made of the answers to one request."""

    def outcome(self, nodes: int, payloads: Sequence[bytes]) -> tuple[list[bool], KeyOutcome]:
        """Which answers were the last that is awaited, and what is told in the end."""
        heard: list[events.SerfEvent] = []
        poll = KeyPoll(7, KeyAction.LIST, nodes, heard.append)
        enough = [poll.answered(f"m{number}", payload) for number, payload in enumerate(payloads)]
        assert heard == []
        poll.ended(1.0)
        (done,) = heard
        assert isinstance(done, events.KeyRequestDone)
        assert done.request_id == 7
        return enough, done.outcome

    def test_it_is_over_when_all_have_answered_and_counts_what_they_said(self) -> None:
        """An error, with or without words, an answer that makes no sense, and the keys of those that list some."""
        payloads = [
            encode_key_response(KeyResponse(True, "", ("k1", "k2"), "k1")),
            encode_key_response(KeyResponse(True, "only some", ("k1", "k1"), "k2")),
            encode_key_response(KeyResponse(result=False, message="no")),
            encode_key_response(KeyResponse(result=False)),
            b"junk",
        ]
        enough, told_of = self.outcome(5, payloads)
        assert enough == [False] * 4 + [True]
        assert (told_of.nodes, told_of.answers, told_of.errors) == (5, 5, 3)
        assert (told_of.keys, told_of.primary_keys) == ({"k1": 2, "k2": 1}, {"k1": 1, "k2": 1})
        assert list(told_of.messages) == ["m1", "m2", "m4"]
        assert (told_of.messages["m1"], told_of.messages["m2"]) == ("only some", "no")

    def test_what_is_remembered_is_bounded(self) -> None:
        """Complaints and keys; all answers count nevertheless."""
        complaints = [encode_key_response(KeyResponse(result=False, message="no"))] * (MESSAGES_MAX + 5)
        listed = [encode_key_response(KeyResponse(True, "", (f"k{n}",), f"k{n}")) for n in range(KEYS_LISTED_MAX + 5)]
        _, told_of = self.outcome(10_000, complaints)
        assert (len(told_of.messages), told_of.errors) == (MESSAGES_MAX, MESSAGES_MAX + 5)
        _, told_of = self.outcome(10_000, listed)
        assert len(told_of.keys) == len(told_of.primary_keys) == KEYS_LISTED_MAX
        assert told_of.answers == KEYS_LISTED_MAX + 5


class RequestTests(SynchronousTestCase):
    """One node that is asked."""

    def asked(self, serf: Serf, action: KeyAction, payload: bytes, number: int = 1) -> None:
        """A key query arrives, as gossip that the node could read."""
        query = Query(
            time_of(number), number, bytes([10, 0, 9, 9]), PORT, "asker", (), 0, 0, 10**10, action.value, payload
        )
        serf._intake.message(encode_serf(query), 0.0)

    def answers(self, serf: Serf, envelope: Envelope) -> list[KeyResponse]:
        """What it says now, encrypted or not."""
        reader = Envelope(keyring=envelope.keyring, verify_incoming=False)
        found = []
        for data, _ in serf.datagrams_to_send():
            for message in decode_packet(reader.open_packet(data)).messages:
                response = decode_serf(message.body) if isinstance(message, User) else None
                if isinstance(response, QueryResponse):
                    found.append(decode_key_response(response.payload))
        return found

    def serf(self, envelope: Envelope) -> Serf:
        """A node that runs."""
        serf = make_serf(1, envelope=envelope)
        serf.start(0.0)
        told(serf)
        return serf

    def test_a_node_without_keys_refuses(self) -> None:
        """Also one that does not verify yet: anybody could ask it, or read what it says."""
        for envelope in (sealed(), sealed(OLD, incoming=False), sealed(OLD, outgoing=False)):
            serf = self.serf(envelope)
            for number, action in enumerate(KeyAction, 1):
                self.asked(serf, action, encode_key_request(KeyRequest(NEW)), number)
            responses = self.answers(serf, envelope)
            assert [response.result for response in responses] == [False] * 4
            assert not any(response.keys for response in responses)
            assert told(serf) == []

    def test_a_list_that_does_not_fit_says_so(self) -> None:
        """As many keys as fit, the primary one in any case."""
        keys = [bytes([index]) * 32 for index in range(KEYS_MAX)]
        envelope = sealed(*keys)
        serf = self.serf(envelope)
        self.asked(serf, KeyAction.LIST, encode_key_request(KeyRequest()))
        (response,) = self.answers(serf, envelope)
        assert response.result
        assert response.primary_key == encode_key(keys[0])
        assert 10 < len(response.keys) < KEYS_MAX
        assert f"of {KEYS_MAX} keys" in response.message

    def test_changes_are_made_one_after_the_other(self) -> None:
        """Each counts when it is kept, and is built upon the one before; more than a bound are refused."""
        envelope = sealed(OLD)
        serf = self.serf(envelope)
        for number in range(CHANGES_MAX + 2):
            self.asked(serf, KeyAction.INSTALL, encode_key_request(KeyRequest(bytes([number]) * 16)), number + 1)
        refused = self.answers(serf, envelope)
        assert [response.result for response in refused] == [False, False]
        for number in range(CHANGES_MAX):
            (change,) = told(serf)
            assert isinstance(change, events.KeyringChange)
            assert len(change.keys) == number + 2
            serf.keyring_kept(change.change_id + 1, None, 0.0)  # no such change
            serf.keyring_kept(change.change_id, None, 0.0)
            serf.keyring_kept(change.change_id, None, 0.0)  # twice does no harm
        assert told(serf) == []
        assert [response.result for response in self.answers(serf, envelope)] == [True] * CHANGES_MAX

    def test_nonsense_is_refused(self) -> None:
        """And changes nothing."""
        envelope = sealed(OLD)
        serf = self.serf(envelope)
        self.asked(serf, KeyAction.INSTALL, b"\x07\xff")
        (response,) = self.answers(serf, envelope)
        assert (response.result, told(serf)) == (False, [])
