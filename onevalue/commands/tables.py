"""What verbs print: tables for people, JSON for programs. Texts of others cannot steer a terminal.

It must not know what is in a table.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence

CELL_SHOWN_MAX = 80
"""Characters of a cell of a table."""


def json_text(value: object) -> str:
    """A JSON value on one line, readable where that is harmless."""
    text = json.dumps(value, ensure_ascii=False)
    return text if text.isprintable() else json.dumps(value)


def printable(text: str) -> str:
    """A text that somebody else chose, fit for a line."""
    return "".join(char if char.isprintable() else "?" for char in text)


def cell(value: object) -> str:
    """A JSON value in a table: texts without quotes, null as a dash, objects as names and values."""
    match value:
        case None:
            text = "-"
        case bool():
            text = "yes" if value else "no"
        case float():
            text = f"{value:.3f}"
        case str():
            text = printable(value)
        case dict():
            text = ", ".join(f"{printable(str(name))} {cell(each)}" for name, each in value.items())
        case list():
            text = ", ".join(cell(each) for each in value)
        case _:
            text = json_text(value)
    return text


def shortened(text: str) -> str:
    """The text, cut where a cell ends."""
    return text if len(text) <= CELL_SHOWN_MAX else text[: CELL_SHOWN_MAX - 3] + "..."


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lines of columns, each as wide as its widest cell."""
    lines = [head, *rows] if head else rows
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "".join(
        "  ".join(text.ljust(w) for text, w in zip(line, widths, strict=True)).rstrip() + "\n" for line in lines
    )


def pairs(document: Mapping[str, object]) -> str:
    """One line for each field, one for each element of a list, and one for each object in an object."""
    return table((), list(_rows("", document)))


def _rows(indent: str, document: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for name, value in document.items():
        label = indent + printable(name)
        if isinstance(value, list) and value:
            yield from ((label if number == 0 else "", cell(each)) for number, each in enumerate(value))
        elif isinstance(value, dict):
            inner = {name: each for name, each in value.items() if isinstance(each, dict)}
            yield label, cell({name: each for name, each in value.items() if name not in inner})
            yield from _rows(indent + "  ", inner)
        else:
            yield label, cell(value)


def utc(seconds: float) -> str:
    """Seconds since 1970 as people write them; a dash if not known."""
    if not 0 < seconds < 2**37:  # the year 6325
        return "-"
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
