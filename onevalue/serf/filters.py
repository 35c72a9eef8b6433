"""Placeholder of helper 1."""

from collections.abc import Mapping, Sequence

import re2  # type: ignore[import-untyped]

from onevalue.errors import LocalProtocolError, RemoteProtocolError
from onevalue.wire.internal_queries import NodeFilter, decode_filter


def matches(filters: Sequence[bytes], name: str, tags: Mapping[str, str]) -> bool:
    """All filters fit."""
    for data in filters:
        try:
            wanted = decode_filter(data)
            if isinstance(wanted, NodeFilter):
                if name not in wanted.names:
                    return False
            elif not re2.search(wanted.expression, tags.get(wanted.tag, "")):
                return False
        except (RemoteProtocolError, re2.error):
            return False
    return True


def check_expression(text: str) -> None:
    """It is one."""
    try:
        re2.compile(text)
    except re2.error as error:
        raise LocalProtocolError(str(error)) from None
