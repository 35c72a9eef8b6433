"""Learn before you write: a node with somebody to ask takes no writes until it knows what its cluster holds.

Else the first write after a loss of the disk would take a generation that the cluster has long passed, and would be
lost after it was acknowledged. Learning ends when

- a ready member has answered with its state, or
- every join address was dialled, all our own members were asked twice, half a second apart, and each time all that
  answered were still learning (a cluster that starts cold), and no member may be an original program, which holds a
  state but cannot be asked for it, only pushes it every 2 s, or
- the join timeout has passed: with nobody answering, this node is its own cluster.

It must not know how members are asked.
"""

from collections.abc import Callable, Sequence

from onevalue.config import SpreadSettings
from onevalue.spread.contacts import Contact

PARALLEL_MAX = 3
"""How many members are asked at once."""

PAUSE_S = 0.5
"""Between two questions to the same member: long enough for it to learn from those whom only it knows."""

ROUNDS = 2
"""How often a member must say that it is learning too, or stay silent, before that counts.

One failure must not hide the member that holds the value: a write here would be acknowledged, and then lost to it.
"""


class Learning:
    """Whether this node is still learning, why not, and whom to ask next; `ended` is called when it has ended."""

    def __init__(self, settings: SpreadSettings, ended: Callable[[], None]) -> None:
        self._timeout_s = settings.join_timeout_s
        self._ended = ended
        self._until: float | None = None
        self._addresses_tried = False
        self._answers: dict[str, int] = {}  # how often each said that it is learning
        self._silent: dict[str, int] = {}  # how often in a row each did not answer
        self._not_before: dict[str, float] = {}
        self.ended_because: str = "there is nobody to ask"

    @property
    def active(self) -> bool:
        """True: this node takes no writes yet."""
        return self._until is not None

    @property
    def deadline(self) -> float | None:
        """When it ends at the latest, in seconds of now; None when it has ended."""
        return self._until

    def start(self, now: float) -> None:
        """There is somebody to ask; writes wait, for at most the join timeout."""
        self._until = now + self._timeout_s

    def addresses_tried(self, *, nobody_else: bool) -> None:
        """Every join address was dialled at least once, so its member is known if it is there.

        With `nobody_else` all of them lead to this node itself, and learning ends.
        """
        self._addresses_tried = True
        if nobody_else and self.active:
            self._end("all join addresses are this node's own")

    def whom_to_ask(self, contacts: Sequence[Contact], in_flight: int, now: float) -> list[Contact]:
        """Who of these, none of whom is being asked, should be asked now: at most PARALLEL_MAX less `in_flight`."""
        due = [c for c in contacts if self._wants(c) and now >= self._not_before.get(c.name, now)]
        return due[: max(0, PARALLEL_MAX - in_flight)]

    def next_question(self, contacts: Sequence[Contact], in_flight: int) -> float | None:
        """When one of these is to be asked, in seconds of now; None while an answer must come first."""
        if in_flight >= PARALLEL_MAX:
            return None
        return min(
            (self._not_before[c.name] for c in contacts if self._wants(c) and c.name in self._not_before), default=None
        )

    def answered(self, contact: Contact, *, learning: bool, now: float) -> None:
        """A member answered, and its state was merged."""
        self._silent.pop(contact.name, None)
        if not self.active:
            return
        if not learning:
            self._end(f"{contact.name} answered")
        else:
            self._answers[contact.name] = self._answers.get(contact.name, 0) + 1
            self._not_before[contact.name] = now + PAUSE_S

    def failed(self, contact: Contact, now: float) -> None:
        """A member did not answer; it is asked again after a pause, but after ROUNDS times nobody waits for it."""
        if self.active:
            self._silent[contact.name] = self._silent.get(contact.name, 0) + 1
            self._not_before[contact.name] = now + PAUSE_S

    def check(self, contacts: Sequence[Contact], now: float, *, others: bool) -> None:
        """End it if all that answer are learning too and there are no `others`, or if the time is up."""
        if self._until is None:
            return
        heard = [c for c in contacts if self._silent.get(c.name, 0) < ROUNDS]
        all_learning = heard and all(self._answers.get(c.name, 0) >= ROUNDS for c in heard)
        if self._addresses_tried and all_learning and not others:
            self._end("all members that answer are starting too")
        elif now >= self._until:
            self._end("nobody who holds the value answered in time: this node is its own cluster")

    def _wants(self, contact: Contact) -> bool:
        return contact.name in self._silent or self._answers.get(contact.name, 0) < ROUNDS

    def _end(self, why: str) -> None:
        self._until = None
        self.ended_because = why
        self._answers.clear()
        self._silent.clear()
        self._not_before.clear()
        self._ended()
