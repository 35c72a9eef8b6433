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
from onevalue.errors import RefusedError, RemoteProtocolError
from onevalue.replies import Answer, Document, document_of

ACTIONS = ("list", "install", "use", "remove")

KEYS_TIME_MAX_S = 25.0
"""All members are asked, and answer, within so long."""

INPUT_SIZE_MAX = 16384
"""Bytes of a key on standard input, comments included: as many as a file of keys may have."""


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


def run(options: argparse.Namespace, out: TextIO, err: TextIO) -> int:
    """See Verb."""
    try:
        document = document_of(_asked(options))
    except RefusedError as error:
        err.writelines(f"{name}: {text}\n" for name, text in _messages(error.document))
        why = str(error).replace('"force": true', "--force")  # the node speaks to whoever uses HTTP
        raise RefusedError(why, error.status, error.document) from None
    out.write(json_text(document) + "\n" if options.json else _told(options.action, document))
    return Exit.DONE


def _asked(options: argparse.Namespace) -> Answer:
    """What a node answers to the action."""
    if options.action == "list":
        if options.key_file is not None:
            raise UsageError("keys list takes no --key-file")
        return nodes_of(options).read("/v1/keys", KEYS_TIME_MAX_S)
    nodes = nodes_of(options, writes=True)
    body = {"key": _key(options.key_file), "force": options.force or None}
    return nodes.post(f"/v1/keys/{options.action}", body, "all members did it", KEYS_TIME_MAX_S)


def _told(action: str, document: Document) -> str:
    keys, primary_keys = document.get("keys"), document.get("primary_keys")
    if not isinstance(keys, dict) or not isinstance(primary_keys, dict):
        raise RemoteProtocolError("the answer tells of no keys")
    if action != "list":
        return f"done by all {cell(document.get('nodes'))} members\n"
    # Somebody encrypts with some key: where none is told, an external agent has not said with which.
    primary = {key: cell(primary_keys.get(key, 0)) if primary_keys else "not told" for key in keys}
    rows = [(cell(key), cell(count), primary[key]) for key, count in keys.items()]
    return table(("KEY", f"MEMBERS (OF {cell(document.get('nodes'))})", "PRIMARY OF"), rows)


def _messages(document: Document) -> list[tuple[str, str]]:
    """What members said, why they did not do it, by their names."""
    messages = document.get("messages")
    return [(cell(name), cell(text)) for name, text in messages.items()] if isinstance(messages, dict) else []


def _key(path: Path | None) -> str:
    """The one key that is meant, as text; no error shows it."""
    from onevalue.wire.key_text import decode_key, encode_key  # noqa: PLC0415  # ciphers take long to load

    if path is not None:
        from onevalue.keyfile import key_file  # noqa: PLC0415  # likewise

        keys = key_file(path).read()
        if len(keys) != 1:
            raise UsageError(
                f"--key-file: {path} holds {len(keys)} keys. Put the one that is meant into a file of its own"
            )
        return encode_key(keys[0])
    try:
        return encode_key(decode_key(getpass.getpass("key: ").strip() if sys.stdin.isatty() else _line()))
    except ValueError as error:
        raise UsageError(f"standard input: {error}") from None


def _line() -> str:
    """The one line of standard input that is no comment. Raises ValueError: there are more."""
    data = sys.stdin.buffer.read(INPUT_SIZE_MAX + 1)
    if len(data) > INPUT_SIZE_MAX:
        raise ValueError(f"more than {INPUT_SIZE_MAX} bytes. Give the one key that is meant")
    lines = [line.strip() for line in data.decode("utf-8", "replace").split("\n")]
    keys = [line for line in lines if line and not line.startswith("#")]
    if len(keys) > 1:
        raise ValueError(f"it holds {len(keys)} keys. Give the one that is meant")
    return keys[0] if keys else ""


KEYS = Verb(add_options, run)
