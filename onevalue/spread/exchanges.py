"""What spread and its shell hand each other: an exchange to make, and what became of a push."""

from dataclasses import dataclass

from onevalue.spread.contacts import Contact
from onevalue.store import Source


@dataclass(frozen=True, slots=True)
class PushOutcome:
    """What became of a pushed state: merged with a change or not, or refused, and why."""

    changed: bool
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class Exchange:
    """States are to be exchanged with this member over HTTP; ends with `answered` or `failed`.

    With `confirm` the member is to answer when what it then holds is durable.
    """

    contact: Contact
    source: Source
    confirm: bool = False
    told: str = ""  # the tag of what we held when it began
