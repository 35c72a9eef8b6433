"""What a page of the documentation has for its tests: its blocks of code, and comments that say how each is run.

Readers do not see the comments, which stand on lines of their own. One of these before each block:

    <!-- run -->                      all of it, by bash, or by Python if the block is Python; ends with status 0
    <!-- run: with OPTIONS -->        likewise, with these options behind it
    <!-- run: until "TEXT" -->        again and again, until it prints TEXT, a regular expression
    <!-- run: up to "TEXT" -->        it prints TEXT and still runs then, and is ended
    <!-- run: background "TEXT" -->   likewise, and it runs on; without a TEXT the page goes on at once
    <!-- run: hosts "TEXT" -->        each line so, on a host of its own: n1, n2, ... (tests/data/pages/three-hosts.md)
    <!-- run: stops NAME -->          first the one in the background of this --name is interrupted, and ends
    <!-- dry run: WHY -->             make only says what it would do
    <!-- not run: WHY -->
    <!-- no command -->               nobody would run this
    <!-- no commands below -->        nor any block behind this, but those that have a comment of their own

`<!-- says: TEXT -->` behind a block: what its last line is. `<!-- afresh: PAGE -->`: what runs in the background ends,
and that page of tests/data/pages is followed.

It must not know how anything is run.
"""

import re
from dataclasses import dataclass, replace

_PIECE = re.compile(
    r"^<!-- (?P<comment>(?:run|dry run|not run|no commands?|says|afresh)\b.*) -->$"
    r"|^```(?P<language>.*)\n(?P<fenced>(?:.*\n)*?)```$"
    r"|^(?P<indented>(?: {4}.*\n| *\n(?= {4}))+)",
    re.MULTILINE,
)
_COMMENT = re.compile(
    r"(?P<how>(?:run: (?:with|until|up to|background|hosts|stops)|(?:dry run|not run|afresh):)(?= )"
    r"|(?:run|run: background|no command)$)"
    r'(?: "?(?P<what>.+?)"?)?'
)


class PageError(Exception):
    """A page says what does not hold, or not how it is run."""


@dataclass(frozen=True)
class Block:
    """Some code of a page.

    Attributes:
        how: it is run, as the comment has it: "run", "run: until", "not run:" and so on.
        what: the rest of the comment, without quotes.
        code: what stands there; nothing where another page is followed ("afresh:").
        language: of fenced code, as the page names it; else it is bash.
        says: what its last line is; None: nobody says.
    """

    how: str
    what: str = ""
    code: str = ""
    language: str = ""
    says: str | None = None


def blocks(page: str) -> list[Block]:
    """All blocks of a page; PageError if one has no comment, or a comment has no block, or is not understood."""
    found: list[Block] = []
    ahead: Block | None = None
    below: Block | None = None
    for piece in _PIECE.finditer(page):
        comment = piece["comment"]
        if comment is None:
            found.append(_with_code(ahead or below, piece))
            ahead = None
        elif comment.startswith("says: "):
            found.append(replace(found.pop(), says=comment.removeprefix("says: ")))
        elif comment == "no commands below":
            below = Block("no command")
        elif ahead is not None:
            raise PageError(f"no block is run so: {ahead}")
        elif (said := _said(comment)).how == "afresh:":
            found.append(said)
        else:
            ahead = said
    if ahead is not None:
        raise PageError(f"no block is run so: {ahead}")
    return found


def _said(comment: str) -> Block:
    found = _COMMENT.fullmatch(comment)
    if found is None:
        raise PageError(f"what does this mean: {comment}")
    return Block(found["how"], found["what"] or "")


def _with_code(block: Block | None, piece: re.Match[str]) -> Block:
    code = piece["fenced"] or re.sub("^ {4}", "", piece["indented"] or "", flags=re.MULTILINE).strip("\n") + "\n"
    if block is None:
        raise PageError(f"nobody says how this is run:\n{code}")
    return replace(block, code=code, language=piece["language"] or "")
