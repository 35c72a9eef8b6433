"""The verbs about the cluster: `members`, `status`, `query`, `event`, `force-leave`.

It must not know how a node is asked, nor what it does with it.
"""

import argparse
import base64
from collections.abc import Mapping, Sequence
from typing import Any, TextIO
from urllib.parse import urlencode

from onevalue.bounds import QUERY_TIME_MAX_S
from onevalue.commands.arguments import seconds_within, standard_input
from onevalue.commands.nodes import add_node_options, nodes_of
from onevalue.commands.tables import cell, json_text, pairs, shortened, table, utc
from onevalue.commands.verb import Exit, UsageError, Verb
from onevalue.errors import RemoteProtocolError
from onevalue.replies import document_of

PAYLOAD_SIZE_MAX = 65536
"""Bytes of a payload on standard input; nodes admit less, and say how much."""


def add_members_options(parser: argparse.ArgumentParser) -> None:
    """See Verb."""
    parser.description = "The members that the node remembers, in Serf's words, and how far each is from one of them."
    parser.add_argument("--rtt-from", metavar="NAME", help="round trips from this member (the node's own)")
    add_node_options(parser)


def members(options: argparse.Namespace, out: TextIO, _err: TextIO) -> int:
    """See Verb."""
    query = "" if options.rtt_from is None else "?" + urlencode({"rtt_from": options.rtt_from})
    document = document_of(nodes_of(options).read(f"/v1/members{query}"))
    if options.json:
        out.write(json_text(document) + "\n")
        return Exit.DONE
    rows = [
        (
            cell(member.get("name")),
            f"{cell(member.get('address'))}:{cell(member.get('port'))}",
            cell(member.get("status")) + (" (suspect)" if member.get("suspect") else ""),
            _milliseconds(member.get("rtt_s")),
            cell(member.get("http")),
            _tags(member.get("tags")),
        )
        for member in _objects(document.get("members"))
    ]
    out.write(table(("NAME", "ADDRESS", "STATUS", "ROUND TRIP", "HTTP", "TAGS"), rows))
    return Exit.DONE


def add_status_options(parser: argparse.ArgumentParser) -> None:
    """See Verb."""
    parser.description = "What the node says of itself."
    add_node_options(parser)


def status(options: argparse.Namespace, out: TextIO, _err: TextIO) -> int:
    """See Verb."""
    document = document_of(nodes_of(options).read("/v1/status"))
    if options.json:
        out.write(json_text(document) + "\n")
        return Exit.DONE
    shown = dict(document)
    state = shown.get("state")
    if isinstance(state, dict) and isinstance(time := state.get("time"), int | float):
        large = f"{cell(state.get('value_size'))} bytes"
        value = shortened(json_text(state["value"])) if "value" in state else large
        shown["state"] = f"{value}, tag {cell(state.get('tag'))}, by {cell(state.get('origin'))} at {utc(time)}"
    out.write(pairs(shown))
    return Exit.DONE


def add_query_options(parser: argparse.ArgumentParser) -> None:
    """See Verb."""
    parser.description = "Asks all members, as `serf query` does; the name `onevalue` asks who holds what."
    parser.add_argument("name", metavar="NAME", help="of the query")
    parser.add_argument("payload", nargs="?", default="", metavar="PAYLOAD", help="- reads it from standard input")
    parser.add_argument("--ack", action="store_true", help="say also who has heard it")
    parser.add_argument("--node", action="append", metavar="NAME", help="only this member; may be repeated")
    parser.add_argument("--tag", action="append", metavar="NAME=REGEX", help="only members with such a tag; likewise")
    parser.add_argument("--relay-factor", type=int, metavar="N", help="answers come by so many others, too")
    parser.add_argument(
        "--query-timeout",
        type=seconds_within(0, QUERY_TIME_MAX_S),
        metavar="S",
        help=f"how long to wait for answers, at most {QUERY_TIME_MAX_S:g} (by the size of the cluster)",
    )
    add_node_options(parser)


def query(options: argparse.Namespace, out: TextIO, _err: TextIO) -> int:
    """See Verb."""
    body = {
        "name": options.name,
        **_payload(options.payload),
        "nodes": options.node,
        "tags": None if options.tag is None else dict(map(_tag, options.tag)),
        "ack": options.ack or None,
        "relay_factor": options.relay_factor,
        "timeout_s": options.query_timeout,
    }
    document = document_of(nodes_of(options, writes=True).ask("/v1/query", body, QUERY_TIME_MAX_S))
    if options.json:
        out.write(json_text(document) + "\n")
        return Exit.DONE
    rows = [
        (cell(answer.get("from")), cell(answer.get("payload", answer.get("payload_base64"))))
        for answer in _objects(document.get("answers"))
    ]
    heard = cell(document.get("acks")) if options.ack else ""
    out.write(table(("FROM", "ANSWER"), rows) + (f"heard by: {heard}\n" if options.ack else ""))
    return Exit.DONE


def add_event_options(parser: argparse.ArgumentParser) -> None:
    """See Verb."""
    parser.description = "Sends a user event to all members, as `serf event` does."
    parser.add_argument("name", metavar="NAME", help="of the event")
    parser.add_argument("payload", nargs="?", default="", metavar="PAYLOAD", help="- reads it from standard input")
    parser.add_argument("--coalesce", action="store_true", help="receivers may leave out all but the last of a name")
    add_node_options(parser)


def event(options: argparse.Namespace, out: TextIO, _err: TextIO) -> int:
    """See Verb."""
    body = {"name": options.name, **_payload(options.payload), "coalesce": options.coalesce or None}
    document = document_of(nodes_of(options, writes=True).post("/v1/event", body, "the event was sent"))
    out.write(json_text(document) + "\n" if options.json else f"sent {cell(document.get('sent'))}\n")
    return Exit.DONE


def add_force_leave_options(parser: argparse.ArgumentParser) -> None:
    """See Verb."""
    parser.description = "A member that has failed, and will not come back, counts as left."
    parser.add_argument("name", metavar="NAME", help="of the member")
    parser.add_argument("--prune", action="store_true", help="forget it")
    add_node_options(parser)


def force_leave(options: argparse.Namespace, out: TextIO, _err: TextIO) -> int:
    """See Verb."""
    body = {"name": options.name, "prune": options.prune or None}
    document = document_of(nodes_of(options, writes=True).post("/v1/force-leave", body, "it was done"))
    said = f"{cell(document.get('name'))} {'is forgotten' if options.prune else 'counts as left'}\n"
    out.write(json_text(document) + "\n" if options.json else said)
    return Exit.DONE


def _payload(text: str) -> dict[str, str]:
    """The field of a body."""
    if text != "-":
        return {"payload": text} if text else {}
    return {"payload_base64": base64.b64encode(standard_input(PAYLOAD_SIZE_MAX)).decode()}


def _tag(text: str) -> tuple[str, str]:
    name, equals, pattern = text.partition("=")
    if not (name and equals):
        raise UsageError(f"--tag {text!r} is none: write NAME=REGEX")
    return name, pattern


def _objects(obj: Any) -> Sequence[Mapping[str, Any]]:
    if not isinstance(obj, list) or not all(isinstance(each, dict) for each in obj):
        raise RemoteProtocolError("the answer has no list of objects where one should be")
    return obj


def _milliseconds(rtt_s: object) -> str:
    return f"{1000 * rtt_s:.2f} ms" if isinstance(rtt_s, int | float) else "-"


def _tags(tags: object) -> str:
    if not isinstance(tags, dict):
        return "-"
    return " ".join(f"{cell(name)}={cell(value)}" for name, value in tags.items()) or "-"


MEMBERS = Verb(add_members_options, members)
STATUS = Verb(add_status_options, status)
QUERY = Verb(add_query_options, query)
EVENT = Verb(add_event_options, event)
FORCE_LEAVE = Verb(add_force_leave_options, force_leave)
