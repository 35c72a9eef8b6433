"""What every verb has: its options, how it runs, and the statuses with which the command ends.

It must not know any verb.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, TextIO

from onevalue.errors import (
    ClientError,
    ConditionFailedError,
    OutcomeOpenError,
    OvertakenError,
    UnconfirmedError,
    UnreachableError,
)


class Exit(IntEnum):
    """The status of the process."""

    DONE = 0
    ERROR = 1
    USAGE = 2
    CONDITION = 3
    UNCONFIRMED = 4
    OPEN = 5
    INTERRUPTED = 130


EXITS = """\
exit status:
  0  done
  1  error: no node could be reached, or the node refused; or the output cannot be written
  2  wrong usage; nobody was asked
  3  the condition (--if-match) does not hold, or another write of the same generation won
  4  written, and it stands, but too few members confirmed it in time (--ack)
  5  open: the connection was lost after sending, and it may have been done, or not; or it was written, and whether
     enough nodes hold it is not known (--ack with --if-match)
"""
"""For --help."""

Subparsers = Any  # argparse keeps the type of add_subparsers() to itself


class UsageError(Exception):
    """What was typed makes no sense, and argparse could not see it; nothing was asked of anybody."""


class CommandError(Exception):
    """The verb cannot do it; nothing more than this sentence needs to be said."""


@dataclass(frozen=True)
class Verb:
    """One verb.

    Attributes:
        add_options: its parser has them.
        run: does it, with standard output and standard error; returns the status. May raise UsageError, CommandError,
            and ClientError, RemoteProtocolError, ConfigError of `onevalue.errors`; OSError of standard output.
    """

    add_options: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace, TextIO, TextIO], int]


def hint_of(error: ClientError, *, told_where: bool) -> str:
    """What to do at the command line, beside what the error says; nothing where it says all.

    `told_where`: somebody has said which node to ask.
    """
    if error.status == 401:
        return " (here: ONEVALUE_TOKEN or --token-file)"
    if isinstance(error, UnreachableError) and not told_where:
        return " (--url or ONEVALUE_URL names another node)"
    return ""


def status_of(error: ClientError) -> Exit:
    """The status with which this error ends the command."""
    match error:
        case ConditionFailedError() | OvertakenError():
            return Exit.CONDITION
        case UnconfirmedError():
            return Exit.UNCONFIRMED
        case OutcomeOpenError():
            return Exit.OPEN
        case _:
            return Exit.ERROR
