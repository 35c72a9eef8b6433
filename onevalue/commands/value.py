"""The verbs `get`, `set` and `history`.

It must not know how a node is asked, nor how states are ordered.
"""

import argparse
import json
from typing import Any, TextIO
from urllib.parse import urlencode

from onevalue.bounds import ACK_TIMEOUT_MAX_S, ACK_TIMEOUT_MIN_S, ACK_TIMEOUT_S, STALE_MAX_S, WAIT_MAX_S
from onevalue.commands.arguments import acks, integer_within, seconds_within, standard_input, tag, tag_or_any
from onevalue.commands.nodes import Nodes, add_node_options, nodes_of
from onevalue.commands.tables import cell, json_text, printable, shortened, table, utc
from onevalue.commands.verb import CommandError, Exit, UsageError, Verb
from onevalue.commands.wire import Request
from onevalue.errors import RemoteProtocolError
from onevalue.failover import proposed_state
from onevalue.replies import Reading, document_of, reading, reading_of
from onevalue.store import GENERATION_MAX
from onevalue.values import parse_json

VALUE_SIZE_MAX = 32 * 1024 * 1024
"""Bytes of a value on standard input; nodes admit much less, and say how much."""


def add_get_options(parser: argparse.ArgumentParser) -> None:
    """See Verb."""
    parser.description = "Prints the value as JSON text."
    parser.add_argument("--raw", action="store_true", help="a string without quotes")
    parser.add_argument(
        "--max-stale",
        type=seconds_within(0, STALE_MAX_S),
        metavar="S",
        help="of a node that heard another within so many seconds",
    )
    generation = integer_within(0, GENERATION_MAX)
    parser.add_argument("--min-generation", type=generation, metavar="N", help="at least this generation; see --wait")
    parser.add_argument(
        "--wait",
        type=seconds_within(0, WAIT_MAX_S),
        metavar="S",
        help=f"how long to wait for --min-generation, at most {WAIT_MAX_S:g} (not at all)",
    )
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
        "Writes a value, and prints the tag of its state once it is on the node's disk. VALUE is JSON, and is sent as "
        "it stands: 43, -1.5e3, true, '\"v1.2\"', '{\"a\": 1}'."
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("value", nargs="?", metavar="VALUE", help="JSON; - reads it from standard input")
    what.add_argument("--string", metavar="TEXT", help="this text, as it is")
    what.add_argument("--stdin", action="store_true", help="JSON from standard input")
    what.add_argument("--from-history", type=tag, metavar="TAG", help="the value that the state of this tag had: undo")
    parser.add_argument("--if-match", type=tag_or_any, metavar="TAG", help="only upon the state of this tag")
    parser.add_argument(
        "--if-none-match", type=tag_or_any, metavar="TAG", help="only if the state is not that of this tag"
    )
    parser.add_argument(
        "--force", action="store_true", help="with --from-history: whatever is written at the same moment"
    )
    parser.add_argument(
        "--ack", type=acks, metavar="N|majority|all", help="wait until so many members hold it, this one included"
    )
    parser.add_argument(
        "--ack-timeout",
        type=seconds_within(ACK_TIMEOUT_MIN_S, ACK_TIMEOUT_MAX_S),
        metavar="S",
        help=f"how long to wait for them, at most {ACK_TIMEOUT_MAX_S:g} ({ACK_TIMEOUT_S:g})",
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
        text = json.dumps(_past(nodes, options.from_history).value).encode()
    else:
        text = _text_of(options)
    conditions = {"If-Match": if_match, "If-None-Match": options.if_none_match}
    headers = {name: tag if tag == "*" else f'"{tag}"' for name, tag in conditions.items() if tag is not None}
    ack_s = 0.0 if options.ack is None else options.ack_timeout or ACK_TIMEOUT_S
    path = "/v1/value" if options.ack is None else f"/v1/value?{urlencode({'ack': options.ack, 'timeout': ack_s})}"
    request = Request("PUT", path, text, headers)
    proposed = proposed_state(if_match, parse_json(text)) if options.if_none_match is None else None
    written = reading(nodes.write(request, proposed, ack_s, confirmed=options.ack not in {None, "1"}))
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


def _past(nodes: Nodes, wanted: str) -> Reading:
    """The state of this tag, in the history of a node: among the newest, or else in all that it keeps."""
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


def _text_of(options: argparse.Namespace) -> bytes:
    """What is to be written, as JSON: just what was typed, for the node to judge, once it was seen to make sense."""
    try:
        if options.string is not None:
            return json.dumps(options.string, ensure_ascii=False).encode()
        if not options.stdin and options.value != "-":
            return _checked(options.value.encode(), repr(shortened(printable(options.value))))
    except UnicodeEncodeError:  # Python has made halves of surrogate pairs of the bytes that are none
        raise UsageError("the value is no UTF-8") from None
    return _checked(standard_input(VALUE_SIZE_MAX), "standard input")


def _checked(text: bytes, what: str) -> bytes:
    try:
        parse_json(text)
    except RemoteProtocolError as error:
        hint = "a text is written '\"text\"', or with --string"
        raise UsageError(f"{what} is no JSON that a node takes: {error} ({hint})") from None
    return text


GET = Verb(add_get_options, get)
SET = Verb(add_set_options, set_)
HISTORY = Verb(add_history_options, history)
