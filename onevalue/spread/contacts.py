"""Contacts: how each alive member can be asked for its state over HTTP, and which are picked for a round.

A member's `http` tag holds scheme and port, as `http:8080`; the host is the member's address; `-` is not reachable. A
member without the tag is a plain Serf agent or an original program on port 8080, which cannot be told apart from here:
it is tried once in a while until it has answered as the original does, and then counts as one. Where no original can
be (`originals` of the settings is False), it is a Serf agent, and no contact at all.
"""

from collections.abc import Sequence
from typing import NamedTuple

from onevalue.config import HTTP_PORT_DEFAULT, SpreadSettings
from onevalue.member import Member
from onevalue.types import Rng, port_number

HTTP_TAG = "http"
UNREACHABLE = "-"
PLAIN_TRIALS_PER_ROUND = 1
"""Members without the tag that one round tries beside its picks: they must not crowd out those that answer."""


class Contact(NamedTuple):
    """Where to ask a member. `original`: it has no tag, so it gets the original's form of /notify.

    A tuple, as thousands are made in one turn.
    """

    name: str
    host: str
    port: int
    scheme: str
    original: bool

    @property
    def url(self) -> str:
        """Scheme, host and port, with brackets for IPv6."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def contact_of(member: Member) -> Contact | None:
    """How to ask this member; None if its tag says that it cannot be asked, or says nonsense."""
    tag = member.tags.get(HTTP_TAG)
    if tag is None:
        return Contact(member.name, member.address, HTTP_PORT_DEFAULT, "http", original=True)
    scheme, _, text = tag.partition(":")
    port = port_number(text)
    if scheme not in {"http", "https"} or not port:
        return None
    return Contact(member.name, member.address, port, scheme, original=False)


def http_url(member: Member) -> str | None:
    """Where its tag says that it serves HTTP; None if it says nothing, or that it cannot be asked."""
    contact = contact_of(member)
    return None if contact is None or contact.original else contact.url


class Contacts:
    """The alive members other than this node that have an HTTP service, and who of them is being asked."""

    def __init__(self, name: str, settings: SpreadSettings, rng: Rng) -> None:
        self._name = name
        self._settings = settings
        self._rng = rng
        self._contacts: dict[str, Contact] = {}
        self._own: list[Contact] = []  # of these, the ones with a tag
        self._plain: list[Contact] = []  # the ones without
        self._seen: dict[str, Member] = {}  # at the last update: most of them stay as they are
        self._known: dict[str, Contact | None] = {}
        self._confirmed: dict[str, Contact] = {}  # originals that have answered as such
        self._next_trial: dict[str, float] = {}  # plain members, in seconds of now
        self._in_flight: dict[str, Contact] = {}

    def update(self, members: Sequence[Member]) -> None:
        """These are the members now; what is remembered of others is dropped."""
        seen, known = self._seen, self._known
        self._known = {
            m.name: known.get(m.name) if seen.get(m.name) is m else contact_of(m) if m.is_present else None
            for m in members
            if m.name != self._name
        }
        self._seen = {m.name: m for m in members}
        contacts = [contact for contact in self._known.values() if contact is not None]
        self._own = [contact for contact in contacts if not contact.original]
        self._plain = [contact for contact in contacts if contact.original] if self._settings.originals else []
        self._contacts = {contact.name: contact for contact in (contacts if self._plain else self._own)}
        self._confirmed = {name: c for name, c in self._confirmed.items() if self._contacts.get(name) == c}
        self._next_trial = {name: at for name, at in self._next_trial.items() if name in self._contacts}

    def tagged(self) -> list[Contact]:
        """Our own nodes: those that answer with a statement."""
        return list(self._own)

    def any_plain(self) -> bool:
        """Some member may be an original program, which never says what it holds when asked."""
        return bool(self._plain)

    def own_names(self) -> list[str]:
        """The other members that are our own nodes, by their tag, also those that say that they cannot be asked."""
        return [m.name for m in self._seen.values() if m.name != self._name and HTTP_TAG in m.tags and m.is_present]

    def knows(self, name: str) -> bool:
        """A member of this name can be asked."""
        return name in self._contacts

    @property
    def originals(self) -> int:
        """How many members answer as the original program does."""
        return len(self._confirmed)

    def pick(self, count: int, now: float, *, originals: bool = True) -> list[Contact]:
        """Up to `count` random contacts that answer, and beside them a plain member whose trial is due.

        Without `originals`, only of our own nodes.
        """
        confirmed = self._confirmed if originals else {}
        answering = [
            c
            for c in self._contacts.values()
            if (not c.original or c.name in confirmed) and c.name not in self._in_flight
        ]
        due = [c for c in self._plain if self._trial_due(c.name, now)] if originals else []
        picks = self._rng.sample(answering, min(count, len(answering)))
        trials = self._rng.sample(due, min(PLAIN_TRIALS_PER_ROUND, len(due)))
        for contact in trials:
            self._next_trial[contact.name] = now + self._settings.plain_member_retry_s
        return picks + trials

    def confirm_original(self, contact: Contact) -> None:
        """This member answered as the original program does."""
        if self._contacts.get(contact.name) == contact:
            self._confirmed[contact.name] = contact

    def doubt_original(self, contact: Contact) -> None:
        """This member did not answer as the original does: it counts as plain again."""
        self._confirmed.pop(contact.name, None)

    def begin(self, contact: Contact) -> None:
        """An exchange with this member is under way: it is not picked until `end`."""
        self._in_flight[contact.name] = contact

    def end(self, contact: Contact) -> None:
        """The exchange is over, one way or the other."""
        self._in_flight.pop(contact.name, None)

    def busy(self, contact: Contact) -> bool:
        """True while an exchange with this member is under way."""
        return contact.name in self._in_flight

    def _trial_due(self, name: str, now: float) -> bool:
        return name not in self._confirmed and name not in self._in_flight and now >= self._next_trial.get(name, now)
