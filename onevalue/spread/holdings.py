"""Holdings: what each member held when it last answered, and what it had been told by then.

So that a large value is sent in full only to who lacks it, and is sent to who has heard of it and cannot come for it.
It must not know who is asked, nor when.
"""

from collections.abc import Iterable

from onevalue.store import State, generation_of


class Holdings:
    """By member: the tag that it named, and ours that it had been told."""

    def __init__(self) -> None:
        self._answers: dict[str, tuple[str, str]] = {}

    def answered(self, name: str, tag: str, told: str) -> None:
        """The member holds the state with this tag, and knows that we held that with the tag `told`."""
        self._answers[name] = (tag, told)

    def keep(self, names: Iterable[str]) -> None:
        """What is known of others is forgotten."""
        self._answers = {name: self._answers[name] for name in names if name in self._answers}

    def has(self, name: str, current: State) -> bool:
        """The member held what we hold now."""
        return self._answers.get(name, ("", ""))[0] == current.tag

    def lacks(self, name: str, current: State) -> bool:
        """The member held less, though it had been told of what we hold now: it should come for it, or be sent it."""
        tag, told = self._answers.get(name, ("", ""))
        return told == current.tag != tag and generation_of(tag) <= current.generation

    def holds(self, name: str, current: State) -> bool | None:
        """The member held what we hold now; False: it held less, though it had been told; None: not known."""
        if self.has(name, current):
            return True
        return False if self.lacks(name, current) else None
