"""The join addresses: which of them to dial now, so that none is given up while it leads to nobody known.

A target is the text that the user gave; whoever owns the dialler resolves it to addresses and dials them. A target is
satisfied while one of its last known addresses is that of an alive member; else it is dialled again and again, with
pauses that double. Addresses of this node itself are never dialled; a name that leads to nothing else is still looked
up again, because a name of many nodes may at first know only one of them.

DEPARTURE (dial-for-ever): Serf tries its join addresses once, at start (wire README 4.9).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from onevalue.config import SerfSettings
from onevalue.errors import ConfigError
from onevalue.types import Address

TARGETS_MAX: Final = 1024
"""Different join addresses of one node."""

ATTEMPTS_MAX: Final = 32
"""Targets that are dialled at the same time, the first of the list first."""

ADDRESSES_PER_TARGET_MAX: Final = 32
"""Addresses of one name that are dialled; a resolver may return any number."""


@dataclass(slots=True)
class _Target:
    pause_s: float
    next_at: float = float("-inf")
    in_flight: bool = False
    was_tried: bool = False
    is_self: bool = False
    is_satisfied: bool = False
    addresses: tuple[Address, ...] = ()


class Dialler:
    """Each attempt is `due`, then `resolved`, then `over`; a target has at most one attempt at a time."""

    def __init__(self, targets: Sequence[str], settings: SerfSettings, own: Sequence[Address]) -> None:
        """Texts that repeat are one target. `own` are the addresses at which this node is reached.

        Raises:
            ConfigError: more than TARGETS_MAX targets.
        """
        self._settings = settings
        self._own = tuple(own)
        self._targets = {target: _Target(settings.join_retry_min_s) for target in targets}
        if len(self._targets) > TARGETS_MAX:
            raise ConfigError(f"at most {TARGETS_MAX} join addresses, not {len(self._targets)}")

    @property
    def first_round_done(self) -> bool:
        """An attempt at each target is over, or the target is this node itself; true if there are no targets."""
        return all(target.was_tried or target.is_self for target in self._targets.values())

    @property
    def leads_nowhere_else(self) -> bool:
        """Every target is known to be this node itself: nobody is there to be asked. True if there are no targets."""
        return all(target.is_self for target in self._targets.values())

    def due(self, now: float) -> list[str]:
        """Targets of which an attempt begins now; each must be told `over` when it ends, whatever came of it."""
        waiting = [text for text, target in self._targets.items() if self._is_waiting(target) and target.next_at <= now]
        begun = waiting[: self._room]
        for text in begun:
            self._targets[text].in_flight = True
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
        target.in_flight = False
        target.was_tried = True
        target.next_at = now + target.pause_s
        target.pause_s = min(2 * target.pause_s, self._settings.join_retry_max_s)

    def observe(self, alive: Sequence[Address], now: float) -> None:
        """These are the addresses of the other alive members; who has lost its member is due again, soon at first."""
        present = dict.fromkeys(alive)
        for target in self._targets.values():
            was_satisfied = target.is_satisfied
            target.is_satisfied = any(address in present for address in target.addresses)
            if target.is_satisfied:
                target.pause_s = self._settings.join_retry_min_s
            elif was_satisfied:
                target.next_at = now + target.pause_s

    def next_deadline(self) -> float | None:
        """When an attempt is due next; None while every target is satisfied or being dialled, or as many as may be."""
        if self._room == 0:
            return None
        return min((target.next_at for target in self._targets.values() if self._is_waiting(target)), default=None)

    @property
    def _room(self) -> int:
        return max(0, ATTEMPTS_MAX - sum(target.in_flight for target in self._targets.values()))

    @staticmethod
    def _is_waiting(target: _Target) -> bool:
        return not (target.in_flight or target.is_satisfied)
