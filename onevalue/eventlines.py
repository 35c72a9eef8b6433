"""What people read of what the gossip engine tells, in the log and on the live page: one line for an event, or none.

It must not know what else an event leads to.
"""

from collections.abc import Iterator

from onevalue.addresses import host_port
from onevalue.loglines import LimitedLog, shown
from onevalue.member import Happening
from onevalue.serf import events as told
from onevalue.serf.dispute import Verdict
from onevalue.spread.rumour import EVENT_NAME
from onevalue.swim.address import to_address

PAYLOAD_SHOWN_MAX = 128
"""Bytes of a user event's payload in one line."""

_WORDS: dict[type, str] = {
    told.MemberJoin: "member joined",
    told.MemberLeave: "member left",
    told.MemberFailed: "member failed",
    told.MemberUpdate: "member changed its tags",
    told.MemberReap: "member forgotten",
}

_KINDS: dict[type, str] = {
    told.MemberJoin: "joined",
    told.MemberLeave: "left",
    told.MemberFailed: "failed",
    told.MemberUpdate: "changed",
    told.MemberReap: "forgotten",
    told.MemberSuspected: "suspected",
    told.SuspicionEnded: "recovered",
    told.NameConflict: "conflict",
    told.NameJudged: "conflict",
    told.Refuted: "refuted",
    told.UserEvents: "event",
}
"""What the live page has; refused packets are not among it: anybody can send them."""


def happenings(event: told.SerfEvent, local_name: str) -> Iterator[Happening]:
    """The event in words, with the name of the member that it is about."""
    kind = _KINDS.get(type(event))
    if kind is None:
        return
    for line, fields in _lines(event, local_name):
        name = local_name if isinstance(event, told.NameJudged | told.Refuted) else fields.get("name", "")
        printable = {name: shown(each) if isinstance(each, str) else each for name, each in fields.items()}
        yield Happening(kind, line.format(**printable), "" if kind == "event" else str(name))


def write_lines(log: LimitedLog, event: told.SerfEvent, local_name: str) -> None:
    """The log has a line for each thing in the event that people may want to know."""
    write = log.error if isinstance(event, told.NameConflict | told.NameJudged) else log.info
    for line, fields in _lines(event, local_name):
        write(line, **fields)


def _verdict(event: told.NameJudged, local_name: str) -> tuple[str, dict[str, object]]:
    fields: dict[str, object] = {
        "name": local_name,
        "at": host_port(*event.other),
        "answers": event.answers,
        "for_us": event.for_us,
    }
    if event.verdict is Verdict.LOST:
        line = (
            "this node LOST its name {name}: {for_us} of {answers} members know it here, the others know the node at "
            "{at}. It goes on, but is no member until that one is gone: stop it, or give it another --name"
        )
    elif event.verdict is Verdict.WON:
        line = "this node keeps its name {name}, say {for_us} of {answers} members: stop the one at {at}, or rename it"
    else:
        line = "no member could say whose the name {name} is, this node's or that of the one at {at}"
    return line, fields


def _lines(event: told.SerfEvent, local_name: str) -> Iterator[tuple[str, dict[str, object]]]:
    match event:
        case told.UserEvents():
            yield from _user_events(event)
        case told.NameConflict():
            line = "another node, at {at}, calls itself {name} too: give each node its own --name"
            yield line, {"at": _at(event.addr, event.port), "name": event.name}
        case told.NameJudged():
            yield _verdict(event, local_name)
        case told.Refuted():
            # What comes by push/pull counts as said by the reader (protocol.md 3.3), and alive messages have no sender.
            by = "a member" if event.by in {"", local_name} else event.by
            yield "{by} took this node for failed or changed, and was told otherwise", {"by": by}
        case told.PacketRefused():
            yield "a packet from {at} was refused: {reason}", {"at": host_port(*event.source), "reason": event.reason}
        case told.MemberSuspected():
            yield "{name} is suspected by {by}", {"name": event.name, "by": event.by}
        case told.SuspicionEnded():
            yield "{name} is alive after all", {"name": event.name}
        case told.MemberJoin() | told.MemberLeave() | told.MemberFailed() | told.MemberUpdate() | told.MemberReap():
            member = event.member
            at = _at(member.addr, member.port)
            fields: dict[str, object] = {"what": _WORDS[type(event)], "name": member.name, "at": at}
            if isinstance(event, told.MemberJoin) and event.failed_s is not None:
                yield "{what}: {name} at {at}, {failed_s:.1f} s after it failed", {**fields, "failed_s": event.failed_s}
            else:
                yield "{what}: {name} at {at}", fields
        case _:
            pass


def _user_events(event: told.UserEvents) -> Iterator[tuple[str, dict[str, object]]]:
    for each in event.events:
        if each.name != EVENT_NAME:  # of values the store tells
            payload = each.payload[:PAYLOAD_SHOWN_MAX].decode(errors="replace")
            fields: dict[str, object] = {"name": each.name, "ltime": each.ltime, "payload": payload}
            yield "user event {name} at {ltime}: {payload}", fields


def _at(addr: bytes, port: int) -> str:
    return host_port(*to_address(addr, port))
