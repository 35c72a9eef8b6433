"""The one tag of an agent that is ours, `http`: set, set again when it is gone, and what stands in the way of that.

The agent's other tags are left alone. It must not know when it is to be looked after.
"""

from collections.abc import Callable
from typing import Final

from twisted.logger import Logger, LogLevel

from onevalue.agent.connection import AgentConnection
from onevalue.errors import AgentError
from onevalue.member import Member
from onevalue.spread.contacts import HTTP_TAG, UNREACHABLE
from onevalue.wire import rpc_messages as rpc

TAG_PATIENCE_S: Final = 10.0
"""How long an agent may take to tell of its new tag, before it is told again."""

CONTESTED_MAX: Final = 3
"""Of so many changes by somebody else, each soon after the one before, people are told."""

CONTESTED_PAUSE_S: Final = 60.0


class OwnTag:
    """The tag of one agent.

    Args:
        http_tag: what it says for a node at this address.
        seconds: of the reactor.
        log: for people.

    Attributes:
        trouble: why others cannot find this node by it, a sentence; None: they can, as far as is known.
    """

    def __init__(self, http_tag: Callable[[str], str], seconds: Callable[[], float], log: Logger) -> None:
        self.trouble: str | None = None
        self._http_tag = http_tag
        self._seconds = seconds
        self._log = log
        self._told = ""
        self._told_at = float("-inf")
        self._contested = 0
        self._contested_at = float("-inf")

    def begin(self) -> None:
        """The agent is connected anew, and may have forgotten what it was told."""
        self._told_at = float("-inf")
        self._contested = 0

    async def keep(self, connection: AgentConnection, own: Member) -> None:
        """The agent has the tag, or is told it, or `trouble` says why not. Raises AwayError."""
        tag, now = self._http_tag(own.address), self._seconds()
        present = own.tags.get(HTTP_TAG)
        if present == tag:
            if now > self._contested_at + CONTESTED_PAUSE_S:
                self._say(None)
            return
        if now < self._told_at + TAG_PATIENCE_S:
            return
        if present is not None and self._told == tag and self._told_at > float("-inf"):
            self._note_change(now)
        try:
            await connection.request("tags", rpc.Tags({HTTP_TAG: tag}))
        except AgentError as error:
            self._say(f"The Serf agent does not take the tag {HTTP_TAG} ({error}), so others cannot find this node.")
        else:
            if tag == UNREACHABLE and tag != self._told:
                line = (
                    "others cannot reach this node over HTTP: the agent is at {host}, where HTTP is not served (--http)"
                )
                self._log.emit(LogLevel.warn, line, host=own.address)
            if self._contested < CONTESTED_MAX:
                self._say(None)
        self._told, self._told_at = tag, now

    def _note_change(self, now: float) -> None:
        """Somebody else has changed the tag."""
        soon = now < self._contested_at + CONTESTED_PAUSE_S
        self._contested = self._contested + 1 if soon else 1
        self._contested_at = now
        if self._contested >= CONTESTED_MAX:
            self._say(f"Somebody else changes the tag {HTTP_TAG} of the Serf agent: has another node the same agent?")

    def _say(self, trouble: str | None) -> None:
        if trouble is not None and trouble != self.trouble:
            self._log.error("{trouble}", trouble=trouble)
        self.trouble = trouble
