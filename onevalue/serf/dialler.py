"""The join addresses, and the peers of the last run: which of them to dial now.

A target is the text that the user gave; whoever owns the dialler resolves it to addresses and dials them. A target is
satisfied while one of its last known addresses is that of an alive member; else it is dialled again and again, with
pauses that double. Addresses of this node itself are never dialled; a name that leads to nothing else is still looked
up again, because a name of many nodes may at first know only one of them.

A peer is `NAME/HOST:PORT`, Serf's own form for a member that must answer to this name. Peers are for the first minute,
to be back soon: one that is satisfied, or was dialled in vain until the pauses are the longest, or at all while anybody
else is alive, is left to `healing`, which looks for those who are lost at its own pace.

DEPARTURE (dial-for-ever): Serf tries its join addresses once, at start (wire README 4.9).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from onevalue.config import SerfSettings
from onevalue.errors import ConfigError
from onevalue.types import Address

TARGETS_MAX: Final = 1024
"""Different join addresses of one node."""

ATTEMPTS_MAX: Final = 32
"""Targets that are dialled at the same time; who was never dialled goes first, and join addresses before peers."""

ADDRESSES_PER_TARGET_MAX: Final = 32
"""Addresses of one name that are dialled; a resolver may return any number."""


@dataclass(slots=True)
class _Target:
    pause_s: float
    is_peer: bool = False
    next_at: float = float("-inf")
    in_flight: bool = False
    was_tried: bool = False
    is_self: bool = False
    is_satisfied: bool = False
    is_over: bool = False
    addresses: tuple[Address, ...] = ()


class Dialler:
    """Each attempt is `due`, then `resolved`, then `over`; a target has at most one attempt at a time."""

    def __init__(
        self,
        targets: Sequence[str],
        settings: SerfSettings,
        own: Sequence[Address],
        peers: Mapping[str, Address] | None = None,
    ) -> None:
        """Texts that repeat are one target.

        Args:
            targets: join addresses.
            settings: of Serf.
            own: addresses at which this node is reached.
            peers: of the last run, and where they were; as many as there is room for beside the targets.

        Raises:
            ConfigError: more than TARGETS_MAX targets.
        """
        self._settings = settings
        self._own = tuple(own)
        self._targets = {target: _Target(settings.join_retry_min_s) for target in targets}
        if len(self._targets) > TARGETS_MAX:
            raise ConfigError(f"at most {TARGETS_MAX} join addresses, not {len(self._targets)}")
        for text, address in islice((peers or {}).items(), TARGETS_MAX - len(self._targets)):
            is_self = address in self._own
            self._targets[text] = _Target(
                settings.join_retry_min_s, is_peer=True, is_self=is_self, is_over=is_self, addresses=(address,)
            )
        self._somebody_is_alive = False
        self._in_flight = 0
        self._deadline: float | None = float("-inf") if self._targets else None

    @property
    def first_round_done(self) -> bool:
        """An attempt at each target is over, or needless: it is this node, or a peer that was seen alive before.

        True if there are no targets.
        """
        return all(target.was_tried or target.is_self or target.is_over for target in self._targets.values())

    @property
    def leads_nowhere_else(self) -> bool:
        """Every target is known to be this node itself: nobody is there to be asked. True if there are no targets."""
        return all(target.is_self for target in self._targets.values())

    def is_due(self, now: float) -> bool:
        """There may be targets of which an attempt should begin now."""
        return self._deadline is not None and now >= self._deadline  # nearly never: this is asked after each packet

    def due(self, now: float) -> list[str]:
        """Targets of which an attempt begins now; each must be told `over` when it ends, whatever came of it."""
        if not self.is_due(now):
            return []
        waiting = [text for text, target in self._targets.items() if self._is_waiting(target) and target.next_at <= now]
        waiting.sort(key=lambda text: self._targets[text].next_at)
        begun = waiting[: ATTEMPTS_MAX - self._in_flight]
        for text in begun:
            self._targets[text].in_flight = True
        self._in_flight += len(begun)
        self._set_deadline()
        return begun

    def resolved(self, text: str, addresses: Sequence[Address]) -> list[Address]:
        """What to dial for a target of which an attempt runs: its addresses but this node's own, perhaps none."""
        target = self._targets[text]
        others = tuple(dict.fromkeys(address for address in addresses if address not in self._own))
        target.addresses = others[:ADDRESSES_PER_TARGET_MAX]
        target.is_self = bool(addresses) and not others
        return list(target.addresses)

    def over(self, text: str, now: float) -> None:
        """The attempt has ended, by an answer, by an error, or because the name led nowhere; a pause begins."""
        target = self._targets[text]
        self._in_flight -= target.in_flight
        target.in_flight = False
        target.was_tried = True
        target.next_at = now + target.pause_s
        if target.is_peer and (self._somebody_is_alive or target.pause_s >= self._settings.join_retry_max_s):
            target.is_over = True
        target.pause_s = min(2 * target.pause_s, self._settings.join_retry_max_s)
        self._set_deadline()

    def observe(self, alive: Sequence[Address], now: float) -> None:
        """These are the addresses of the other alive members; who has lost its member is due again, soon at first."""
        present = dict.fromkeys(alive)
        self._somebody_is_alive = bool(present)
        for target in self._targets.values():
            was_satisfied = target.is_satisfied
            target.is_satisfied = any(address in present for address in target.addresses)
            if target.is_satisfied:
                target.pause_s = self._settings.join_retry_min_s
            elif was_satisfied:
                target.next_at = now + target.pause_s
            if target.is_peer and (target.is_satisfied or (target.was_tried and self._somebody_is_alive)):
                target.is_over = True
        self._set_deadline()

    def next_deadline(self) -> float | None:
        """When an attempt is due next; None while every target is satisfied or being dialled, or as many as may be."""
        return self._deadline

    def _set_deadline(self) -> None:
        waiting = (target.next_at for target in self._targets.values() if self._is_waiting(target))
        self._deadline = min(waiting, default=None) if self._in_flight < ATTEMPTS_MAX else None

    @staticmethod
    def _is_waiting(target: _Target) -> bool:
        return not (target.in_flight or target.is_satisfied or target.is_over)
