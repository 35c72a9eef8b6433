"""The captured packets and streams of tests/data, and what their `decoded` says, as our dataclasses.

The tables below are written from the wire's description, not from the schemas under test.
"""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onevalue.wire.coordinates import Coordinate
from onevalue.wire.internal_queries import ConflictMember, KeyRequest, KeyResponse, NodeFilter, TagFilter
from onevalue.wire.messages import (
    Ack,
    Alive,
    Dead,
    Err,
    IndirectPing,
    Nack,
    NodeState,
    NodeStatus,
    Ping,
    PushPull,
    Suspect,
)
from onevalue.wire.serf_messages import (
    EventSlot,
    JoinIntent,
    LeaveIntent,
    Query,
    QueryResponse,
    Relay,
    SerfState,
    UserEventMessage,
)

DATA = Path(__file__).parent.parent / "data"

_NAMES = {
    "Addr": "addr",
    "CC": "coalesce",
    "Coord": "coordinate",
    "DelegateCur": "delegate_cur",
    "DelegateMax": "delegate_max",
    "DelegateMin": "delegate_min",
    "Error": "error",
    "Filters": "filters",
    "Flags": "flags",
    "From": "accuser",
    "ID": "query_id",
    "Incarnation": "incarnation",
    "Key": "key",
    "Keys": "keys",
    "LTime": "ltime",
    "Message": "message",
    "Meta": "meta",
    "Nack": "nack",
    "Name": "name",
    "Node": "node",
    "Payload": "payload",
    "Port": "port",
    "PrimaryKey": "primary_key",
    "ProtocolCur": "protocol_cur",
    "ProtocolMax": "protocol_max",
    "ProtocolMin": "protocol_min",
    "Prune": "prune",
    "RelayFactor": "relay_factor",
    "Result": "result",
    "SeqNo": "seq_no",
    "SourceAddr": "source_addr",
    "SourceNode": "source_node",
    "SourcePort": "source_port",
    "State": "status",
    "Status": "status",
    "Tags": "tags",
    "Target": "target",
    "Timeout": "timeout_ns",
    "Vsn": "vsn",
}
_MESSAGES: dict[str, Any] = {
    "ping": Ping,
    "indirectPing": IndirectPing,
    "ackResp": Ack,
    "nackResp": Nack,
    "suspect": Suspect,
    "alive": Alive,
    "dead": Dead,
    "err": Err,
    "leave": LeaveIntent,
    "join": JoinIntent,
    "userEvent": UserEventMessage,
    "query": Query,
    "keyRequest": KeyRequest,
    "keyResponse": KeyResponse,
    "conflictResponse": ConflictMember,
}


@dataclass(frozen=True)
class Vector:
    """One captured datagram, or one direction of a captured stream."""

    name: str
    data: bytes
    key: bytes | None
    decoded: dict[str, Any]


def vectors(transport: str) -> list[Vector]:
    """All gossip vectors of "udp" or "tcp"."""
    items = json.loads((DATA / f"gossip_{transport}.json").read_text())["vectors"]
    return [
        Vector(
            item["name"],
            bytes.fromhex(item["hex"]),
            base64.b64decode(item["key"]) if item["key"] else None,
            item["decoded"],
        )
        for item in items
    ]


def leaves(decoded: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The messages inside the wrappers, in their order."""
    if "inner" in decoded and "msg" in decoded:
        yield from leaves(decoded["inner"])
    elif "parts" in decoded:
        for part in decoded["parts"]:
            yield from leaves(part)
    else:
        yield decoded


def wrappers(decoded: dict[str, Any]) -> list[dict[str, Any]]:
    """The wrappers around the messages, outermost first."""
    found = []
    while "inner" in decoded or "parts" in decoded:
        found.append(decoded)
        decoded = decoded.get("inner", {})
    return found


def expected(decoded: dict[str, Any]) -> Any:
    """The dataclass of one message: memberlist's, or Serf's from the body of a user message."""
    kind = decoded.get("msg") or decoded["serf"]
    if kind == "pushPull":
        return _push_pull(decoded) if "msg" in decoded else _serf_state(decoded["fields"])
    if kind == "relay":
        return _relay(decoded)
    fields = _fields(decoded["fields"])
    if kind == "queryResponse":
        fields["sender"] = fields.pop("accuser")
        return QueryResponse(**_without_nil(fields, payload=b""))
    if kind == "ackResp":
        return Ack(**fields)
    return _MESSAGES[kind](**_without_nil(fields, payload=b"", filters=(), keys=()))


def expected_coordinate(payload: dict[str, Any]) -> Coordinate:
    """The coordinate of an ack."""
    fields = payload["coordinate"]
    return Coordinate(tuple(fields["Vec"]), fields["Error"], fields["Adjustment"], fields["Height"])


def expected_filter(decoded: dict[str, Any]) -> NodeFilter | TagFilter:
    """One filter of a query."""
    if decoded["filter"] == "node":
        return NodeFilter(tuple(decoded["value"]))
    return TagFilter(decoded["value"]["Tag"], decoded["value"]["Expr"])


def octets(value: Any) -> bytes:
    """The bytes that {"hex": ...} stands for."""
    return bytes.fromhex(value["hex"])


def _fields(fields: dict[str, Any]) -> dict[str, Any]:
    return {_NAMES[key]: _value(value) for key, value in fields.items() if not key.startswith("_")}


def _value(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_value(entry) for entry in value)
    return octets(value) if isinstance(value, dict) and list(value) == ["hex"] else value


def _without_nil(fields: dict[str, Any], **zeros: Any) -> dict[str, Any]:
    return {key: zeros[key] if value is None else value for key, value in fields.items()}


def _push_pull(decoded: dict[str, Any]) -> PushPull:
    nodes = []
    for node in decoded["nodes"]:
        fields = _fields(node)
        nodes.append(NodeState(**{**fields, "status": NodeStatus(fields["status"])}))
    return PushPull(decoded["header"]["Join"], tuple(nodes), b"")


def _serf_state(fields: dict[str, Any]) -> SerfState:
    return SerfState(
        ltime=fields["LTime"],
        status_ltimes=fields["StatusLTimes"],
        left_members=tuple(fields["LeftMembers"]),
        event_ltime=fields["EventLTime"],
        events=tuple(map(_slot, fields["Events"])),
        query_ltime=fields["QueryLTime"],
    )


def _slot(slot: dict[str, Any] | None) -> EventSlot | None:
    if slot is None:
        return None
    events = [(event["Name"], octets(event["Payload"]) if event["Payload"] else b"") for event in slot["Events"]]
    return EventSlot(slot["LTime"], tuple(events))


def _relay(decoded: dict[str, Any]) -> Relay:
    dest = decoded["header"]["DestAddr"]
    return Relay(octets(dest["IP"]), dest["Port"], decoded["header"]["DestName"], b"", dest["Zone"])
