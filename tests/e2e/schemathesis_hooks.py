"""How Schemathesis is to treat our node: it leaves out what never ends, and asks for moments instead of seconds."""

from typing import Any

import schemathesis

from onevalue.bounds import ACK_TIMEOUT_MAX_S, QUERY_TIME_MAX_S, WAIT_MAX_S

ENDLESS = ("/v1/watch", "/v1/live")
MOMENT_S = 0.05
LONGEST_S = {"wait": WAIT_MAX_S, "timeout": ACK_TIMEOUT_MAX_S, "timeout_s": QUERY_TIME_MAX_S}
"""The parameters and fields that say how long the node may take, and how much they may say."""


@schemathesis.hook
def before_load_schema(_context: schemathesis.HookContext, raw_schema: dict[str, Any]) -> None:
    """The description is without what is not to be asked."""
    for path in ENDLESS:
        del raw_schema["paths"][path]


@schemathesis.hook
def before_call(_context: schemathesis.HookContext, case: schemathesis.Case[Any], _keywords: dict[str, Any]) -> None:
    """What is asked takes moments: each time that the node would take is cut. One that it would refuse stays."""
    for asked in (case.query, case.body):
        if isinstance(asked, dict):
            for name, longest in LONGEST_S.items():
                if name in asked and _seconds(asked[name], longest):
                    asked[name] = MOMENT_S
    if case.operation.path == "/v1/query" and isinstance(case.body, dict) and case.body.get("timeout_s") is None:
        case.body["timeout_s"] = MOMENT_S
    if case.query and "ack" in case.query:
        case.query.setdefault("timeout", MOMENT_S)
    if case.method == "PUT" and case.headers and case.headers.get("If-None-Match") == "*":
        del case.headers["If-None-Match"]  # there always is a state, so nothing would ever be written


def _seconds(given: object, longest: float) -> bool:
    """True for a time that the node would take, as a number or as the text of one."""
    if isinstance(given, bool) or not isinstance(given, int | float | str):
        return False
    try:
        return MOMENT_S < float(given) <= longest
    except ValueError:
        return False
