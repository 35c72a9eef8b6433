"""The command `onevalue`, for people and scripts: which verbs there are, and what happens when one goes wrong.

It must not know how a node works; each verb has its own module, which is loaded when it is wanted.
"""

import argparse
import io
import os
import re
import sys
import textwrap
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module

from onevalue import __version__
from onevalue.commands.tables import json_text
from onevalue.commands.verb import EXITS, CommandError, Exit, UsageError, Verb, hint_of, status_of
from onevalue.errors import ClientError, ConfigError, RemoteProtocolError

VERBS: dict[str, tuple[str, str, str]] = {
    "get": ("onevalue.commands.value", "GET", "print the value"),
    "set": ("onevalue.commands.value", "SET", "write the value, or undo a write"),
    "watch": ("onevalue.commands.watch", "WATCH", "print each change, or run a command for each"),
    "history": ("onevalue.commands.value", "HISTORY", "the values before this one"),
    "members": ("onevalue.commands.cluster", "MEMBERS", "who is in the cluster"),
    "status": ("onevalue.commands.cluster", "STATUS", "what a node says of itself"),
    "query": ("onevalue.commands.cluster", "QUERY", "ask all members"),
    "event": ("onevalue.commands.cluster", "EVENT", "tell all members"),
    "force-leave": ("onevalue.commands.cluster", "FORCE_LEAVE", "a failed member will not come back"),
    "keys": ("onevalue.commands.keys", "KEYS", "list and rotate the keys of the cluster"),
    "simulate": ("onevalue.simulation.command", "SIMULATE", "how a cluster of some size would behave"),
}
"""Module, name in it, and one line, of each verb."""


HELP_WIDTH = 100

_NEGATIVE = re.compile(r"-[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$|-\.[0-9]+$")  # what begins so is no option


def main(arguments: Sequence[str] | None = None) -> int:
    """Does what the arguments say; returns the status with which the process ends (`onevalue.commands.verb.EXITS`)."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")  # JSON is UTF-8, whatever the locale
    words = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(
        prog="onevalue",
        usage="onevalue [-h] [--version] VERB ...",
        description="The value of a OneValue cluster, and tools around it; a node is `twistd onevalue`.",
        epilog=_verbs() + "\n`onevalue VERB --help` tells more of each.\n\n" + EXITS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"onevalue {__version__}")
    parser.add_argument("verb", choices=VERBS, metavar="VERB", help="see below")
    chosen = parser.parse_args(words[:1]).verb  # the first word is the verb, or an option that ends here
    module, name, _ = VERBS[chosen]
    verb: Verb = getattr(import_module(module), name)
    parser = argparse.ArgumentParser(
        prog=f"onevalue {chosen}", epilog=EXITS, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verb.add_options(parser)
    parser.description = textwrap.fill(parser.description or "", HELP_WIDTH)
    parser._negative_number_matcher = _NEGATIVE  # noqa: SLF001  # argparse has no other way to know numbers of JSON
    options = parser.parse_args(words[1:])
    try:
        status = _run(verb, options)
        sys.stdout.flush()
    except BrokenPipeError:  # nobody reads on
        _forget_output()
        return Exit.ERROR
    except OSError as error:
        _forget_output()
        return _say(f"{error.filename or 'standard output'}: {error.strerror or error}", Exit.ERROR)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    return status


def _run(verb: Verb, options: argparse.Namespace) -> int:
    """The verb has run, and what went wrong has been told. Raises OSError: standard output takes no more."""
    try:
        return verb.run(options, sys.stdout, sys.stderr)
    except (UsageError, ConfigError) as error:
        return _say(error, Exit.USAGE)
    except ClientError as error:
        if options.json and error.document:
            sys.stdout.write(json_text(error.document) + "\n")
        told_where = bool(options.url or os.environ.get("ONEVALUE_URL"))
        return _say(f"{error}{hint_of(error, told_where=told_where)}", status_of(error))
    except (CommandError, RemoteProtocolError) as error:
        return _say(error, Exit.ERROR)


def _say(problem: object, status: Exit) -> Exit:
    sys.stderr.write(f"onevalue: {problem}\n")
    return status


def _forget_output() -> None:
    """Python would complain once more when it flushes at its end (its documentation, "signal")."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _verbs() -> str:
    width = max(map(len, VERBS)) + 2
    return "verbs:\n" + "".join(f"  {name:{width}}{what}\n" for name, (_, _, what) in VERBS.items())


if __name__ == "__main__":
    sys.exit(main())
