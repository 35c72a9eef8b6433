"""Signatures of the calls between nodes, `POST /notify`, with the keys of the cluster, in both directions.

HMAC-SHA256 under a key derived from the primary one, verified with any of the ring, over label, direction, the nonce of
the request, and the bytes of the body as they are sent: no encoding of them can matter. The nonce makes the answer to
one request useless for every other, the direction makes a request useless as an answer. Nonce and signature travel in
headers of HTTP. It must not know what the bodies mean, nor how they travel.
"""

import hmac
import re
from collections.abc import Callable, Sequence
from enum import Enum

from onevalue.errors import LocalProtocolError, UndecipherableError
from onevalue.wire.envelope import Envelope
from onevalue.wire.keyring import Keyring

NONCE_HEADER = "OneValue-Nonce"
"""Of a request: 32 hex digits, in lower case, that no other request has."""

SIGNATURE_HEADER = "OneValue-Signature"
"""Of a request or an answer: 64 hex digits, in lower case."""

NONCE_SIZE = 16
"""Random bytes of a nonce: none ever comes twice."""

PURPOSE = b"onevalue notify"
"""What keys are derived for (HKDF's info), so that no other use of a key can make a signature."""

_NONCE = re.compile(rf"[0-9a-f]{{{2 * NONCE_SIZE}}}")
_SIGNATURE = re.compile(r"[0-9a-f]{64}")


class Direction(Enum):
    """Whether a body is a request's or an answer's, as the signed byte."""

    REQUEST = b"\x01"
    ANSWER = b"\x02"


class Signer:
    """Signs and checks for one node. Without a keyring it does neither.

    The envelope is looked at in each call, because its keyring is replaced while the node runs.

    Args:
        envelope: the node's label and keys, and whether it signs (`encrypts`) and demands signatures (`demands_keys`).
        entropy: gives n bytes that nobody can foretell.
    """

    def __init__(self, envelope: Envelope, entropy: Callable[[int], bytes]) -> None:
        self._envelope = envelope
        self._entropy = entropy
        self._ring: Keyring | None = None
        self._keys: Sequence[bytes] = ()  # derived from those of _ring

    @property
    def demands_signatures(self) -> bool:
        """What is not signed with a key of the cluster is refused."""
        return self._envelope.demands_keys

    def request(self, body: bytes) -> dict[str, str]:
        """The headers of a request with this body: with a keyring a new nonce, and if this node signs a signature.

        An unsigned request has a nonce too, so that its answer can be signed.
        """
        if self._envelope.keyring is None:
            return {}
        raw = self._entropy(NONCE_SIZE)
        if len(raw) != NONCE_SIZE:
            raise LocalProtocolError(f"entropy must give {NONCE_SIZE} bytes, not {len(raw)}")
        nonce = raw.hex()
        return {NONCE_HEADER: nonce, **self._signed(Direction.REQUEST, nonce, body)}

    def answer(self, nonce: str | None, body: bytes) -> dict[str, str]:
        """The headers of an answer with this body to the request with this nonce: a signature, if this node signs.

        None at all without a nonce of the right form: a node without a key asks so, and could not check.
        """
        if nonce is None or not _NONCE.fullmatch(nonce):
            return {}
        return self._signed(Direction.ANSWER, nonce, body)

    def check_request(self, nonce: str | None, signature: str | None, body: bytes) -> None:
        """Nothing, if a request with these headers and this body is one of the cluster's, or need not be.

        Raises:
            UndecipherableError: a header is missing or has a wrong form, or no key of ours made the signature.
        """
        self._check(Direction.REQUEST, "the statement", nonce, signature, body)

    def check_answer(self, nonce: str | None, signature: str | None, body: bytes) -> None:
        """Nothing, if an answer with this signature and body is one to the request with this nonce, or need not be.

        Raises:
            UndecipherableError: as `check_request`.
        """
        self._check(Direction.ANSWER, "the answer", nonce, signature, body)

    def _check(self, direction: Direction, what: str, nonce: str | None, signature: str | None, body: bytes) -> None:
        if not self.demands_signatures:
            return
        # The form comes first: what is hashed and compared has a bound then.
        if signature is None:
            raise UndecipherableError(f"{what} has no signature: does its sender have the cluster's key, and sign?")
        if not _SIGNATURE.fullmatch(signature):
            raise UndecipherableError(f"{what} is unsigned: {SIGNATURE_HEADER} must be 64 hex digits in lower case")
        if nonce is None or not _NONCE.fullmatch(nonce):
            form = f"{NONCE_HEADER} must be {2 * NONCE_SIZE} hex digits in lower case"
            raise UndecipherableError(f"{what} is unsigned: {form}")
        given = bytes.fromhex(signature)
        for key in self._derived():
            if hmac.compare_digest(given, self._mac(key, direction, nonce, body)):
                return
        raise UndecipherableError(
            f"no key of this node made the signature of {what}: does its sender have the cluster's key and label?"
        )

    def _signed(self, direction: Direction, nonce: str, body: bytes) -> dict[str, str]:
        if not self._envelope.encrypts:
            return {}
        return {SIGNATURE_HEADER: self._mac(self._derived()[0], direction, nonce, body).hex()}

    def _mac(self, key: bytes, direction: Direction, nonce: str, body: bytes) -> bytes:
        label = self._envelope.label
        # Only label and body vary in length, and the label's is told: no two different inputs are the same bytes.
        head = bytes([len(label)]) + label + direction.value + bytes.fromhex(nonce)
        return hmac.digest(key, head + body, "sha256")

    def _derived(self) -> Sequence[bytes]:
        """The signing keys of the present ring, the primary's first; there is one."""
        ring = self._envelope.keyring
        if ring is not None and ring is not self._ring:
            self._ring, self._keys = ring, ring.derived(PURPOSE)
        return self._keys
