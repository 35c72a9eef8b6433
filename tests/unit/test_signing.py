"""Signatures of what nodes say to each other: whose count, over what, and in which direction."""

import os
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from onevalue.errors import LocalProtocolError, UndecipherableError
from onevalue.signing import NONCE_HEADER, NONCE_SIZE, SIGNATURE_HEADER, Signer
from onevalue.wire.label import LABEL_SIZE_MAX
from tests.strategies import LAW
from tests.unit.test_wire_envelope import NEW, OLD, envelope

BODY = b'{"learning":false,"name":"a","state":{"generation":2,"origin":"a","time":1.5,"value":43}}'
NONCE = bytes(range(NONCE_SIZE)).hex()


def signer(*keys: bytes, label: bytes = b"", incoming: bool = True, outgoing: bool = True) -> Signer:
    """A signer with these keys, the primary first."""
    return Signer(envelope(*keys, label=label, incoming=incoming, outgoing=outgoing), os.urandom)


def ask(asker: Signer, body: bytes = BODY) -> tuple[str | None, str | None]:
    """Nonce and signature of a request."""
    headers = asker.request(body)
    return headers.get(NONCE_HEADER), headers.get(SIGNATURE_HEADER)


def reply(answerer: Signer, nonce: str | None, body: bytes = BODY) -> str | None:
    """The signature of an answer."""
    return answerer.answer(nonce, body).get(SIGNATURE_HEADER)


def refused(check: Callable[[str | None, str | None, bytes], None], *given: object) -> str:
    """Why this is refused, which it must be."""
    with pytest.raises(UndecipherableError) as caught:
        check(*given)  # type: ignore[arg-type]  # what a stranger sends
    return str(caught.value)


def flipped(data: bytes) -> list[bytes]:
    """The data with each of its bits changed."""
    return [
        data[:index] + bytes([data[index] ^ 1 << bit]) + data[index + 1 :]
        for index in range(len(data))
        for bit in range(8)
    ]


class SignedTests(SynchronousTestCase):
    """Under a key, what a member of the cluster signed is taken, and nothing else."""

    def test_a_request_and_its_answer_are_taken(self) -> None:
        """With a label and without, with each size of a body."""
        for label in (b"", b"blue", bytes(LABEL_SIZE_MAX)):
            for body in (BODY, b"", bytes(70000)):
                a, b = signer(OLD, label=label), signer(OLD, label=label)
                nonce, signature = ask(a, body)
                b.check_request(nonce, signature, body)
                a.check_answer(nonce, reply(b, nonce, body), body)

    def test_the_bytes_are_what_the_protocol_says(self) -> None:
        """HMAC-SHA256 under the HKDF of the key, over label, direction, nonce and body (docs/protocol.md 5.4)."""
        one = Signer(envelope(OLD, label=b"blue"), lambda size: bytes(range(size)))
        assert one.request(BODY) == {
            NONCE_HEADER: "000102030405060708090a0b0c0d0e0f",
            SIGNATURE_HEADER: "fc4b619eb4d5c4222b51e5ad11da9972d17bc5e6966d35401ed0fd454588753e",
        }
        assert one.answer(NONCE, BODY) == {
            SIGNATURE_HEADER: "96f195f3a88661229bff2e36a997993c71c01d3e870efbc66f0251e05a490587"
        }

    def test_each_bit_counts(self) -> None:
        """Of body, nonce and signature, in both directions; and each byte that is added or taken off."""
        one = signer(OLD)
        nonce, made = ask(one)
        assert nonce is not None
        assert made is not None
        for check, signature in ((one.check_request, made), (one.check_answer, reply(one, nonce))):
            assert signature is not None
            check(nonce, signature, BODY)
            for body in [*flipped(BODY), BODY[:-1], BODY + b" ", b" " + BODY, b""]:
                refused(check, nonce, signature, body)
            for other in flipped(bytes.fromhex(nonce)):
                refused(check, other.hex(), signature, BODY)
            for other in flipped(bytes.fromhex(signature)):
                refused(check, nonce, other.hex(), BODY)

    def test_the_direction_counts(self) -> None:
        """A request that is sent back is no answer, and an answer is no request."""
        one = signer(OLD)
        nonce, signature = ask(one)
        refused(one.check_answer, nonce, signature, BODY)
        refused(one.check_request, nonce, reply(one, nonce), BODY)

    def test_the_request_that_is_answered_counts(self) -> None:
        """What answered an earlier one, with the same body, is no answer to this."""
        one = signer(OLD)
        earlier, _ = ask(one)
        nonce, _ = ask(one)
        assert earlier != nonce
        refused(one.check_answer, nonce, reply(one, earlier), BODY)

    def test_the_cluster_counts(self) -> None:
        """Another key, another label, none where there is one, and a label of which a part is moved into the body."""
        for other in (
            signer(NEW, label=b"blue"),
            signer(OLD, label=b"red"),
            signer(OLD),
            signer(OLD, label=b"blu"),
            signer(OLD, label=b"blue{"),
        ):
            nonce, signature = ask(other)
            ours = signer(OLD, label=b"blue")
            why = refused(ours.check_request, nonce, signature, BODY)
            assert "does its sender have the cluster's key and label?" in why
            refused(ours.check_answer, nonce, reply(other, nonce), BODY)

    def test_what_is_missing_or_malformed_is_refused_with_its_name(self) -> None:
        """Whatever a stranger writes into the headers, of whatever length."""
        one = signer(OLD)
        nonce, signature = ask(one)
        assert nonce is not None
        assert signature is not None
        for check in (one.check_request, one.check_answer):
            assert "has no signature" in refused(check, nonce, None, BODY)
            for odd in ("", signature[:-1], signature + "0", signature.upper(), signature + "\n", "0x", "\xff" * 64):
                assert SIGNATURE_HEADER in refused(check, nonce, odd, BODY)
            for form in (None, "", nonce[:-1], nonce + "00", nonce[:-1] + "A", nonce + "\n", "٣" * 32, "0" * 10**6):
                assert NONCE_HEADER in refused(check, form, signature, BODY)

    def test_a_source_of_nonces_that_gives_too_little_is_a_fault(self) -> None:
        """A short nonce could come twice."""
        short = Signer(envelope(OLD), lambda size: bytes(size - 1))
        with pytest.raises(LocalProtocolError):
            short.request(BODY)

    @LAW
    @given(
        st.sampled_from([b"", b"a", b"ab"]) | st.binary(max_size=LABEL_SIZE_MAX),
        st.sampled_from([b"", b"a", b"ab"]) | st.binary(max_size=LABEL_SIZE_MAX),
        st.sampled_from([b"", b"a", b"ba"]) | st.binary(max_size=40),
        st.sampled_from([b"", b"a", b"ba"]) | st.binary(max_size=40),
        st.lists(st.sampled_from([bytes(16), OLD, NEW]), min_size=1, max_size=3, unique=True),
        st.lists(st.sampled_from([bytes(16), OLD, NEW]), min_size=1, max_size=3, unique=True),
    )
    def test_taken_is_what_was_signed_with_a_key_of_the_ring(
        self, label: bytes, other_label: bytes, body: bytes, other_body: bytes, keys: list[bytes], ring: list[bytes]
    ) -> None:
        """For any label, body and keys: exactly when label and body are the same, and the primary is in the ring."""
        sender, receiver = signer(*keys, label=label), signer(*ring, label=other_label)
        ours = (label, body) == (other_label, other_body) and keys[0] in ring
        nonce, signature = ask(sender, body)
        try:
            receiver.check_request(nonce, signature, other_body)
        except UndecipherableError:
            assert not ours
        else:
            assert ours

    @LAW
    @given(st.none() | st.text(max_size=70), st.none() | st.text(max_size=70), st.binary(max_size=70))
    def test_any_headers_are_refused(self, nonce: str | None, signature: str | None, body: bytes) -> None:
        """Nothing else is raised; and an answer to them is signed or not."""
        one = signer(OLD)
        refused(one.check_request, nonce, signature, body)
        refused(one.check_answer, nonce, signature, body)
        one.answer(nonce, body)


class RingTests(SynchronousTestCase):
    """Keys change while nodes run."""

    def test_any_key_of_the_ring_verifies(self) -> None:
        """The primary signs."""
        for sender, receiver in ((signer(OLD, NEW), signer(NEW, OLD)), (signer(NEW), signer(OLD, NEW))):
            nonce, signature = ask(sender)
            receiver.check_request(nonce, signature, BODY)
        nonce, signature = ask(signer(OLD, NEW))
        refused(signer(NEW).check_request, nonce, signature, BODY)

    def test_a_rotation_does_not_break_what_is_under_way(self) -> None:
        """Asked under the old primary, answered under the new one; each call looks at the ring anew."""
        ours, theirs = envelope(OLD, NEW), envelope(OLD, NEW)
        a, b = Signer(ours, os.urandom), Signer(theirs, os.urandom)
        nonce, signature = ask(a)
        assert theirs.keyring is not None
        theirs.keyring = theirs.keyring.used(NEW)
        b.check_request(nonce, signature, BODY)
        answer = reply(b, nonce)
        refused(signer(OLD).check_answer, nonce, answer, BODY)
        a.check_answer(nonce, answer, BODY)
        assert ours.keyring is not None
        ours.keyring = ours.keyring.used(NEW)
        b.check_request(*ask(a), BODY)

    def test_a_key_that_was_removed_vouches_for_nothing(self) -> None:
        """From the next call on."""
        ours = envelope(NEW, OLD)
        receiver = Signer(ours, os.urandom)
        nonce, signature = ask(signer(OLD))
        receiver.check_request(nonce, signature, BODY)
        assert ours.keyring is not None
        ours.keyring = ours.keyring.removed(OLD)
        refused(receiver.check_request, nonce, signature, BODY)


class MovingTests(SynchronousTestCase):
    """A cluster moves from plain to signed while it runs."""

    def test_without_a_key_nothing_is_signed_or_checked(self) -> None:
        """Whatever comes is taken."""
        plain = signer()
        assert plain.request(BODY) == {}
        assert plain.answer(NONCE, BODY) == {}
        assert not plain.demands_signatures
        for given_headers in ((None, None), (NONCE, "no"), ask(signer(OLD))):
            plain.check_request(*given_headers, BODY)
            plain.check_answer(*given_headers, BODY)

    def test_while_incoming_is_not_verified_anything_is_taken(self) -> None:
        """Unsigned, signed with another key, or malformed: as what comes from a node that has no key yet."""
        moving = signer(OLD, incoming=False)
        assert not moving.demands_signatures
        for given_headers in ((None, None), (NONCE, "no"), ask(signer(NEW))):
            moving.check_request(*given_headers, BODY)
            moving.check_answer(*given_headers, BODY)

    def test_while_outgoing_is_not_verified_nothing_is_signed(self) -> None:
        """A request has a nonce all the same, so that those who sign can answer it."""
        silent = signer(OLD, outgoing=False)
        nonce, signature = ask(silent)
        assert (signature, reply(silent, NONCE)) == (None, None)
        silent.check_answer(nonce, reply(signer(OLD), nonce), BODY)

    def test_the_answer_to_a_node_without_a_key_is_not_signed(self) -> None:
        """It asks without a nonce; one of another form is as good as none."""
        for nonce in (None, "", NONCE[:-1], NONCE.replace("a", "A"), "0" * 10**6):
            assert signer(OLD, incoming=False).answer(nonce, BODY) == {}

    def test_neighbouring_steps_of_the_move_understand_each_other(self) -> None:
        """No key; a key for reading; for writing too; demanded. In both directions, at every step."""
        steps = [
            signer(),
            signer(OLD, incoming=False, outgoing=False),
            signer(OLD, incoming=False),
            signer(OLD),
        ]
        for a, b in [*pairwise(steps), *pairwise(reversed(steps))]:
            nonce, signature = ask(a)
            b.check_request(nonce, signature, BODY)
            a.check_answer(nonce, reply(b, nonce), BODY)
