"""The verb `keys`: the keys of the cluster are listed, and installed, used or removed by all members.

A key comes from a file or from standard input, never from the command line, where every user of the host could see it.
It must not know what a node does with a key.
"""

import argparse
import getpass
import sys
from pathlib import Path
from typing import TextIO

from onevalue.commands.nodes import add_node_options, nodes_of
from onevalue.commands.tables import cell, json_text, table
from onevalue.commands.verb import Exit, UsageError, Verb
from onevalue.errors import ConfigError, RemoteProtocolError
from onevalue.replies import Document, document_of

ACTIONS = ("list", "install", "use", "remove")

KEYS_TIME_MAX_S = 25.0
"""All members are asked, and answer, within so long."""

KEY_LINE_MAX = 1024
"""Characters of a key on standard input that are read."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """See Verb."""
    parser.description = (
        "Lists the keys of the cluster by their fingerprints, or has all members install, use or remove one. The key "
        "comes from --key-file or standard input. Nodes take this only from their own host."
    )
    parser.add_argument("action", choices=ACTIONS)
    parser.add_argument("--key-file", type=Path, metavar="FILE", help="of one key, as `serf keygen` prints it")
    parser.add_argument("--force", action="store_true", help="remove it although members have failed")
    add_node_options(parser)


def run(options: argparse.Namespace, out: TextIO, _err: TextIO) -> int:
    """See Verb."""
    if options.action == "list":
        if options.key_file is not None:
            raise UsageError("keys list takes no --key-file")
        document = document_of(nodes_of(options).read("/v1/keys", KEYS_TIME_MAX_S))
    else:
        nodes = nodes_of(options, writes=True)
        body = {"key": _key(options.key_file), "force": options.force or None}
        document = document_of(nodes.post(f"/v1/keys/{options.action}", body, KEYS_TIME_MAX_S))
    out.write(json_text(document) + "\n" if options.json else _told(options.action, document))
    return Exit.DONE


def _told(action: str, document: Document) -> str:
    keys, primary_keys = document.get("keys"), document.get("primary_keys")
    if not isinstance(keys, dict) or not isinstance(primary_keys, dict):
        raise RemoteProtocolError("the answer tells of no keys")
    if action != "list":
        return f"done by all {cell(document.get('nodes'))} members\n"
    rows = [(cell(key), cell(count), cell(primary_keys.get(key, 0))) for key, count in keys.items()]
    return table(("KEY", f"MEMBERS (OF {cell(document.get('nodes'))})", "PRIMARY OF"), rows)


def _key(path: Path | None) -> str:
    """The one key that is meant, as text; no error shows it."""
    from onevalue.wire.key_text import decode_key, encode_key  # noqa: PLC0415  # ciphers take long to load

    if path is not None:
        from onevalue.keyfile import read_keys  # noqa: PLC0415  # likewise

        try:
            keys = read_keys(path)
        except ConfigError as error:
            raise UsageError(str(error)) from None
        if len(keys) != 1:
            raise UsageError(
                f"--key-file: {path} holds {len(keys)} keys. Put the one that is meant into a file of its own"
            )
        return encode_key(keys[0])
    text = getpass.getpass("key: ") if sys.stdin.isatty() else sys.stdin.readline(KEY_LINE_MAX)
    try:
        return encode_key(decode_key(text.strip()))
    except ValueError as error:
        raise UsageError(f"standard input: {error}") from None


KEYS = Verb(add_options, run)
