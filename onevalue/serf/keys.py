"""The keyring of the cluster: what this node does when it is told to change its own, and asking all to change theirs.

Follows wire README 5.10 and Serf's keymanager.go. A changed ring is told to the owner, who keeps it, before it counts
and before the member that asked hears of it. It must not know where keys are kept; keys appear in no text that it makes
but in the answer of `_serf_list-keys`, as Serf's wire has it.
"""

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from onevalue.errors import KeyChangeError, RemoteProtocolError
from onevalue.serf import events
from onevalue.serf.answering import Answering, ReceivedQuery
from onevalue.serf.events import KeyringChange, SerfEvent
from onevalue.wire.envelope import Envelope
from onevalue.wire.internal_queries import (
    KeyRequest,
    KeyResponse,
    decode_key_request,
    decode_key_response,
    encode_key_request,
    encode_key_response,
)
from onevalue.wire.key_text import encode_key
from onevalue.wire.keyring import Keyring

CHANGES_MAX: Final = 16
"""Changes of the keyring that wait to be kept."""

MESSAGES_MAX: Final = 1024
"""Members whose complaint is remembered of one request; the others are counted."""

KEYS_LISTED_MAX: Final = 1024
"""Different keys that are counted in answers to one request."""


class KeyAction(Enum):
    """What may be asked of all members; the value is the name of Serf's query."""

    INSTALL = "_serf_install-key"
    USE = "_serf_use-key"
    REMOVE = "_serf_remove-key"
    LIST = "_serf_list-keys"

    @property
    def change(self) -> Callable[[Keyring, bytes], Keyring]:
        """What it makes of a ring; KeyError for LIST."""
        return _CHANGES[self]


_CHANGES: Final = {
    KeyAction.INSTALL: Keyring.installed,
    KeyAction.USE: Keyring.used,
    KeyAction.REMOVE: Keyring.removed,
}


@dataclass(frozen=True, slots=True)
class _Change:
    """A change that waits to be kept: who asked, for what."""

    received: ReceivedQuery
    action: KeyAction
    key: bytes


class KeyRequests:
    """Does what key queries tell this node to do, one after the other."""

    def __init__(self, envelope: Envelope, answering: Answering, tell: Callable[[SerfEvent], object]) -> None:
        self._envelope = envelope
        self._answering = answering
        self._tell = tell
        self._waiting: deque[_Change] = deque()  # the first is with the owner, who keeps `_ring`
        self._ring: Keyring | None = None
        self._count = 0

    def receive(self, received: ReceivedQuery, action: KeyAction, now: float) -> None:
        """The request is answered, or waits until the changed keyring is kept."""
        ring = self._envelope.keyring
        try:
            key = decode_key_request(received.payload).key
        except RemoteProtocolError as error:
            self._refuse(received, str(error), now)
            return
        if ring is None:
            self._refuse(received, "this node has no keyring: it was started without keys", now)
        elif not (self._envelope.demands_keys and self._envelope.encrypts):
            # DEPARTURE (keys-verified): Serf has no such state. Anybody could have asked, and anybody read the answer.
            self._refuse(received, "this node does not verify all that comes and leaves, so its keys stay", now)
        elif action is KeyAction.LIST:
            self._list(received, ring, now)
        elif len(self._waiting) >= CHANGES_MAX:
            self._refuse(received, f"{CHANGES_MAX} changes of the keyring wait already", now)
        else:
            self._waiting.append(_Change(received, action, key))
            if len(self._waiting) == 1:
                self._begin(now)

    def kept(self, change_id: int, error: str | None, now: float) -> None:
        """The owner has kept the ring of this change, so it counts from now on; or could not, and says why."""
        if change_id != self._count or self._ring is None:
            return
        ring, self._ring = self._ring, None
        received = self._waiting.popleft().received
        if error is None:
            self._envelope.keyring = ring
            self._accept(received, now)
        else:
            self._refuse(received, f"the keyring could not be kept: {error}", now)
        self._begin(now)

    def _begin(self, now: float) -> None:
        """The next change that makes another ring is with the owner; those before it that do not are answered."""
        while self._waiting:
            change, ring = self._waiting[0], self._envelope.keyring
            assert ring is not None, "a ring with no key is none"
            try:
                changed = change.action.change(ring, change.key)
            except KeyChangeError as error:
                self._waiting.popleft()
                self._refuse(change.received, str(error), now)
                continue
            if changed.keys != ring.keys:
                self._count += 1
                self._ring = changed
                self._tell(KeyringChange(self._count, changed.keys))
                return
            self._waiting.popleft()
            self._accept(change.received, now)

    def _accept(self, received: ReceivedQuery, now: float) -> None:
        self._answering.respond(received, encode_key_response(KeyResponse(result=True)), now)

    def _refuse(self, received: ReceivedQuery, message: str, now: float) -> None:
        self._answering.respond(received, encode_key_response(KeyResponse(result=False, message=message)), now)

    def _list(self, received: ReceivedQuery, ring: Keyring, now: float) -> None:
        """All keys, or as many as fit into an answer; then the message says so."""
        keys = [encode_key(key) for key in ring.keys]
        for count in range(len(keys), -1, -1):
            message = "" if count == len(keys) else f"only {count} of {len(keys)} keys fit into the answer"
            payload = encode_key_response(KeyResponse(True, message, tuple(keys[:count]), keys[0]))
            if self._answering.fits(received, payload):
                self._answering.respond(received, payload, now)
                return


@dataclass(slots=True)
class KeyPoll:
    """Collects what members say to one request; done when all alive ones have answered, or the time is up.

    Attributes:
        request_id: under which the owner hears of the end.
        action: what was asked.
        nodes: how many members were alive then.
        tell: the owner.
    """

    request_id: int
    action: KeyAction
    nodes: int
    tell: Callable[[SerfEvent], object]
    answers: int = 0
    errors: int = 0
    messages: dict[str, str] = field(default_factory=dict)
    keys: Counter[str] = field(default_factory=Counter)
    primary_keys: Counter[str] = field(default_factory=Counter)

    def acked(self, sender: str) -> bool:  # noqa: ARG002  # as Collector has it
        """Acks are not asked for."""
        return False

    def answered(self, sender: str, payload: bytes) -> bool:
        """One more answer counts; enough when all have answered."""
        self.answers += 1
        try:
            response = decode_key_response(payload)
        except RemoteProtocolError as error:
            response = KeyResponse(result=False, message=str(error))
        self.errors += not response.result
        if response.message and len(self.messages) < MESSAGES_MAX:
            self.messages[sender] = response.message
        if len(self.keys) < KEYS_LISTED_MAX:
            self.keys.update(dict.fromkeys(response.keys, 1))
            self.primary_keys.update([response.primary_key] if response.primary_key else [])
        return self.answers >= self.nodes

    def ended(self, now: float) -> None:  # noqa: ARG002  # as Collector has it
        """The owner is told."""
        self.tell(
            events.KeyRequestDone(
                self.request_id,
                events.KeyOutcome(
                    nodes=self.nodes,
                    answers=self.answers,
                    errors=self.errors,
                    messages=dict(self.messages),
                    keys=dict(self.keys),
                    primary_keys=dict(self.primary_keys),
                ),
            )
        )


def encode_request(key: bytes) -> bytes:
    """The payload of a key query; the key is empty where keys are listed."""
    return encode_key_request(KeyRequest(key))
