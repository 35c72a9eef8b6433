"""The verbs `get`, `set` and `history`.

It must not know how a node is asked, nor how states are ordered.
"""

import argparse
import json
import sys
from typing import Any, TextIO
from urllib.parse import urlencode

from onevalue.commands.nodes import Nodes, add_node_options, nodes_of, seconds
from onevalue.commands.tables import cell, json_text, shortened, table, utc
from onevalue.commands.verb import CommandError, Exit, UsageError, Verb
from onevalue.commands.wire import Request
from onevalue.errors import RemoteProtocolError
from onevalue.failover import proposed_state
from onevalue.replies import Reading, decode, document_of, reading, reading_of

ACK_TIMEOUT_S = 5.0
"""So long a node waits for acknowledgements, unless --ack-timeout says otherwise."""

VALUE_SIZE_MAX = 32 * 1024 * 1024
"""Bytes of a value on standard input; nodes admit much less, and say how much."""


def add_get_options(parser: argparse.ArgumentParser) -> None:
    """See Verb."""
    parser.description = "Prints the value as JSON text."
    parser.add_argument("--raw", action="store_true", help="a string without quotes")
    parser.add_argument(
        "--max-stale", type=seconds, metavar="S", help="of a node that heard another within so many seconds"
    )
    parser.add_argument("--min-generation", type=int, metavar="N", help="at least this generation; see --wait")
    parser.add_argument("--wait", type=seconds, metavar="S", help="how long to wait for --min-generation (not at all)")
    add_node_options(parser)


def get(options: argparse.Namespace, out: TextIO, _err: TextIO) -> int:
    """See Verb."""
    asked = {"max_stale": options.max_stale, "min_generation": options.min_generation, "wait": options.wait}
    query = urlencode(
        {
            name: f"{value:g}" if name != "min_generation" else value
            for name, value in asked.items()
            if value is not None
        }
    )
    found = reading(nodes_of(options).read("/v1/value" + (f"?{query}" if query else ""), options.wait or 0.0))
    if options.json:
        out.write(json_text(found.document) + "\n")
    elif options.raw and isinstance(found.value, str):
        out.write(found.value + "\n")
    else:
        out.write(json_text(found.value) + "\n")
    return Exit.DONE


def add_set_options(parser: argparse.ArgumentParser) -> None:
    """See Verb."""
    parser.description = (
        "Writes a value, and prints the tag of its state once it is on the node's disk. VALUE is JSON: 43, true, "
        "'\"v1.2\"', '{\"a\": 1}'; what begins with a dash and is no number comes after --."
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("value", nargs="?", metavar="VALUE", help="JSON; - reads it from standard input")
    what.add_argument("--string", metavar="TEXT", help="this text, as it is")
    what.add_argument("--stdin", action="store_true", help="JSON from standard input")
    what.add_argument("--from-history", metavar="TAG", help="the value that the state of this tag had: undo")
    parser.add_argument("--if-match", metavar="TAG", help="only upon the state of this tag")
    parser.add_argument("--if-none-match", metavar="TAG", help="only if the state is not that of this tag")
    parser.add_argument(
        "--force", action="store_true", help="with --from-history: whatever is written at the same moment"
    )
    parser.add_argument("--ack", metavar="N|majority|all", help="wait until so many members hold it, this one included")
    parser.add_argument(
        "--ack-timeout", type=seconds, metavar="S", help=f"how long to wait for them ({ACK_TIMEOUT_S:g})"
    )
    add_node_options(parser)


def set_(options: argparse.Namespace, out: TextIO, err: TextIO) -> int:
    """See Verb."""
    if options.force and options.from_history is None:
        raise UsageError("--force goes with --from-history")
    if options.ack_timeout is not None and options.ack is None:
        raise UsageError("--ack-timeout goes with --ack")
    nodes = nodes_of(options, writes=True)
    if_match: str | None = options.if_match
    if options.from_history is not None:
        if if_match is None and not options.force:
            if_match = reading(nodes.read("/v1/value")).tag
        value: Any = _past(nodes, options.from_history).value
    else:
        value = _value_of(options)
    conditions = {"If-Match": if_match, "If-None-Match": options.if_none_match}
    headers = {name: _quoted(tag) for name, tag in conditions.items() if tag is not None}
    ack_s = 0.0 if options.ack is None else options.ack_timeout or ACK_TIMEOUT_S
    path = "/v1/value" if options.ack is None else f"/v1/value?{urlencode({'ack': options.ack, 'timeout': ack_s})}"
    request = Request("PUT", path, json.dumps(value).encode(), headers)
    proposed = proposed_state(_unquoted(if_match), value) if options.if_none_match is None else None
    written = reading(nodes.write(request, proposed, ack_s))
    out.write((json_text(written.document) if options.json else written.tag) + "\n")
    if "superseded_by" in written.document:
        err.write(f"onevalue: written, and superseded by {reading_of(written.document['superseded_by']).tag}\n")
    return Exit.DONE


def add_history_options(parser: argparse.ArgumentParser) -> None:
    """See Verb."""
    parser.description = "The states that the node has held, the newest first."
    parser.add_argument("--limit", type=int, metavar="N", help="at most so many")
    add_node_options(parser)


def history(options: argparse.Namespace, out: TextIO, _err: TextIO) -> int:
    """See Verb."""
    query = "" if options.limit is None else f"?limit={options.limit}"
    document = document_of(nodes_of(options).read(f"/v1/history{query}"))
    if options.json:
        out.write(json_text(document) + "\n")
        return Exit.DONE
    rows = [
        (
            each.tag,
            utc(each.state.time),
            cell(each.state.origin),
            cell(each.document.get("source")),
            shortened(json_text(each.value)),
        )
        for each in _entries(document)
    ]
    out.write(table(("TAG", "WRITTEN", "BY", "CAME BY", "VALUE"), rows))
    return Exit.DONE


def _past(nodes: Nodes, tag: str) -> Reading:
    """The state of this tag, in the history of a node: among the newest, or else in all that it keeps."""
    wanted = _unquoted(tag)
    newest = document_of(nodes.read("/v1/history"))
    kept = newest.get("history_max")
    found = [each for each in _entries(newest) if each.tag == wanted]
    if not found and type(kept) is int and kept > len(_entries(newest)):
        found = [each for each in _entries(document_of(nodes.read(f"/v1/history?limit={kept}"))) if each.tag == wanted]
    if not found:
        raise CommandError(f"the node's history has no state of tag {wanted}; see `onevalue history --limit N`")
    return found[0]


def _entries(document: Any) -> list[Reading]:
    entries = document.get("history")
    if not isinstance(entries, list):
        raise RemoteProtocolError("the answer is no history")
    return [reading_of(each) for each in entries]


def _value_of(options: argparse.Namespace) -> Any:
    """What is to be written."""
    if options.string is not None:
        return options.string
    text = options.value
    if options.stdin or text == "-":
        data = sys.stdin.buffer.read(VALUE_SIZE_MAX + 1)
        if len(data) > VALUE_SIZE_MAX:
            raise UsageError(f"standard input has more than {VALUE_SIZE_MAX} bytes")
        text = data.decode("utf-8", "replace")
    try:
        return decode(text)
    except RemoteProtocolError:
        raise UsageError("the value is not JSON: write a text as '\"text\"', or with --string") from None


def _quoted(tag: str) -> str:
    tag = _unquoted(tag)
    if not (tag.isascii() and tag.isprintable()):
        raise UsageError("a tag is text as `onevalue get --json` shows it, 12-0123456789abcdef")
    return tag if tag == "*" else f'"{tag}"'


def _unquoted(tag: str | None) -> str:
    return (tag or "").strip().strip('"')


GET = Verb(add_get_options, get)
SET = Verb(add_set_options, set_)
HISTORY = Verb(add_history_options, history)
