"""The exception tree.

OneValueError
├── ConfigError              an option, a variable or a file at start is wrong; nothing was started
├── JournalError             the durable copy cannot be opened, read or written
├── RemoteProtocolError      a peer or a client sent nonsense; nothing changed
│   ├── TooLargeError        a value is larger than it may be
│   ├── MislabelledError     what came is of another cluster
│   └── UndecipherableError  what came is encrypted or signed with no key of ours, or not at all
├── KeyChangeError           a key cannot be installed, used or removed; the keyring is as it was
├── ClientError              a node did not do what our client asked of it
│   ├── UnreachableError     no node could; nothing was written
│   ├── RefusedError         a node said no; nothing was written
│   ├── ConditionFailedError the state is not the one that the write demanded; nothing was written
│   ├── OvertakenError       it was written, and another write of the same generation won
│   ├── UnconfirmedError     it was written, and too few members confirmed it in time
│   ├── OutcomeOpenError     it may have been written, or it was, and who else holds it is not known
│   └── UnfitValueError      what is to be written is no JSON; nothing was sent
├── LocalProtocolError       we asked our own core for nonsense; a bug on our side, or of who told us to ask
│   └── BusyError            too much of it is under way; ask again
└── WriteRefusedError        an own write was not made; nothing changed
    ├── NotReadyError        the node is still learning, or stopping; try again after `retry_after_s`
    ├── ConflictError        a conditional write lost its race to another state
    ├── NotDurableError      the journal could not store it
    └── ExhaustedError       no generation is left above the present one

This module imports nothing of the project.
"""

from collections.abc import Mapping
from typing import Any


class OneValueError(Exception):
    """Base of all errors that this package raises on purpose."""


class ConfigError(OneValueError):
    """A setting is wrong: the message names the setting, what was wrong, and what to do."""


class JournalError(OneValueError):
    """The journal's file cannot be used: the message names the file, and the file is as it was."""


class RemoteProtocolError(OneValueError):
    """Bytes or JSON from elsewhere do not mean anything; no state has changed."""


class TooLargeError(RemoteProtocolError):
    """A value is larger than it may be; the message has the limit."""


class MislabelledError(RemoteProtocolError):
    """A packet or stream bears a label that is not ours, or none where we have one."""


class UndecipherableError(RemoteProtocolError):
    """No key of ours opens it, or vouches for it."""


class KeyChangeError(OneValueError):
    """The keyring does not admit the change, and is as it was; the message goes to whoever asked, and shows no key."""


class LocalProtocolError(OneValueError):
    """The core was called in a way that its contract rules out; no state has changed."""


class BusyError(LocalProtocolError):
    """As much is under way as there may be; nothing has begun, and later it may."""


class AwayError(BusyError):
    """What it takes, an agent, is not there; what was asked was not done, unless the agent did it without a word."""


class AgentError(OneValueError):
    """A Serf agent refused what was asked of it, in its own words; `reply` is the body that it sent all the same."""

    def __init__(self, message: str, reply: Any = None) -> None:
        super().__init__(message)
        self.reply = reply


class WriteRefusedError(OneValueError):
    """An own write was not made, and no node will ever see it (but see NotDurableError)."""


class NotReadyError(WriteRefusedError):
    """The node is still learning what the cluster holds, or it stops; ask again after `retry_after_s` seconds."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ConflictError(WriteRefusedError):
    """The state that the writer demanded (If-Match) is not, or no longer, the one to write upon."""


class NotDurableError(WriteRefusedError):
    """The journal could not store the write, so it was neither shown nor sent to anybody.

    If its disk failed in that moment it may have it all the same; then the node may show it after a crash.
    """


class ExhaustedError(WriteRefusedError):
    """The generation is the largest that there is."""


class ClientError(OneValueError):
    """A node did not do what our client asked of it.

    Attributes:
        status: of the answer; None if no single answer decided.
        document: the node's problem document (RFC 9457), with `current`, `winner` or `written`; empty if there is none.
    """

    def __init__(self, message: str, status: int | None = None, document: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.document = document or {}


class UnreachableError(ClientError):
    """No node could be reached, or those that were could not do it now; nothing was written."""


class RefusedError(ClientError):
    """A node refused, and would again; nothing was written."""


class ConditionFailedError(ClientError):
    """The current state (`document["current"]`) is not the one that the write demanded; nothing was written."""


class OvertakenError(ClientError):
    """It was written, but of the same generation another value (`document["winner"]`) won, everywhere."""


class UnconfirmedError(ClientError):
    """It was written and stands, but too few members confirmed it in time (`document["acks"]`)."""


class OutcomeOpenError(ClientError):
    """The connection was lost after the write was sent: it may have been made, or not. Read the value to know.

    With `document["written"]` it is known that it was made, but not whether as many members hold it as were wanted.
    """


class UnfitValueError(ClientError):
    """The value is no JSON that a node takes, or would come back as another; nothing was sent."""
