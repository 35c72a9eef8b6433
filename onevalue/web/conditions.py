"""Entity tags in conditions of requests (RFC 9110, 13.1): If-Match and If-None-Match, and what of them a write demands.

The state tag is the entity tag. It must not know routes nor states.
"""

import re

from twisted.web.iweb import IRequest

from onevalue.store import Condition
from onevalue.web.problems import ProblemError

TAGS_MAX = 16
"""Tags in one condition; more is 400."""

_TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
_TAG_LIST = re.compile(rf"\s*{_TAG}(?:\s*,\s*{_TAG})*\s*")
_TAGS = re.compile(_TAG)


def tags_of(request: IRequest, name: str) -> list[str] | None:
    """The entity tags of a condition with their quotes, or ["*"]; None without the header.

    Raises:
        ProblemError: 400; it is malformed, or has more than TAGS_MAX tags.
    """
    lines = request.requestHeaders.getRawHeaders(name.encode())
    if lines is None:
        return None
    text = b",".join(lines).decode("latin-1")
    if text.strip() == "*":
        return ["*"]
    if not _TAG_LIST.fullmatch(text):
        raise ProblemError(400, f'{name} must be * or tags in quotes, as in "12-0123456789abcdef"')
    tags: list[str] = _TAGS.findall(text)
    if len(tags) > TAGS_MAX:
        raise ProblemError(400, f"{name} has at most {TAGS_MAX} tags")
    return tags


def are_of(known: list[str] | None, tag: str) -> bool:
    """The tags of an If-None-Match, None without it, name the state with this tag: compared weakly."""
    return known is not None and (known == ["*"] or f'"{tag}"' in [each.removeprefix("W/") for each in known])


def demanded(request: IRequest) -> Condition | None:
    """What a writer demands of the state that it writes upon; None: nothing."""
    match, none_match = tags_of(request, "If-Match"), tags_of(request, "If-None-Match")
    if none_match == ["*"]:
        return Condition(no_state=True)
    if match in (None, ["*"]) and none_match is None:
        return None
    # A weak tag keeps its W/ in If-Match and equals no state's: it never matches there (RFC 9110, 13.1.1).
    strong = None if match is None or match == ["*"] else tuple(each.strip('"') for each in match)
    return Condition(strong, tuple(each.removeprefix("W/").strip('"') for each in none_match or ()))
