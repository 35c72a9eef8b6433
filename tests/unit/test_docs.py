"""What the pages for people say is what the code does: departures, bounds, settings, routes, options."""

import re
from dataclasses import fields
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from typing import cast

from klein.resource import KleinResource
from twisted.trial.unittest import SynchronousTestCase

from onevalue.config import SerfSettings, SpreadSettings, SwimSettings
from onevalue.options import Options
from onevalue.web.guard import Guard
from tests.web_support import WebNode

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROTOCOL = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")

_CELL = r"\|\s*([^|\n]*?)\s*"
_ROW = re.compile(rf"^{_CELL}{_CELL}\|", re.MULTILINE)
_CONSTANT = re.compile(r"[a-z_]+(?:\.[a-z_]+)*\.[A-Z][A-Z0-9_]+")  # module and name, below `onevalue`
_UNITS = {"": 1, "s": 1, "h": 3600, "KiB": 1024, "MiB": 1024**2}


def rows(page: str) -> list[tuple[str, str]]:
    """The first two cells of every row of every table, without back quotes."""
    return [(first.strip("`"), second.strip("`")) for first, second in _ROW.findall(page)]


def section(page: str, heading: str) -> str:
    """What stands under a heading of the second level."""
    [text] = [part for part in page.split("\n## ")[1:] if part.partition("\n")[0].endswith(heading)]
    return text


def meant(text: str) -> Fraction:
    """The number of a cell, as `64 KiB`, `0.5 s`, `24 h`, `2^63 - 1`; of times in seconds, of sizes in bytes."""
    term, _, less = text.partition(" - ")
    number, _, unit = term.partition(" ")
    base, _, exponent = number.partition("^")
    return Fraction(base) ** int(exponent or 1) * _UNITS[unit] - int(less or 0)


def constant(dotted: str) -> object:
    """The value of a constant that a page names."""
    module, _, name = dotted.rpartition(".")
    return getattr(import_module(f"onevalue.{module}"), name)


class DepartureTests(SynchronousTestCase):
    """Where we knowingly depart from memberlist and Serf is marked in the code and listed in docs/protocol.md."""

    def test_every_mark_has_its_word_in_brackets(self) -> None:
        """As in `DEPARTURE (reclaim): why`; the word is its row's in docs/protocol.md."""
        marks = [(str(path), mark) for path, source in self._sources() for mark in self._marks(source)]
        assert marks
        assert [(path, mark) for path, mark in marks if not re.fullmatch(r"DEPARTURE \([a-z0-9-]+\):", mark)] == []

    def test_marks_and_rows_are_the_same(self) -> None:
        """No departure that is not listed, none listed twice, and none that the code does not know."""
        words = [re.findall(r"\((.*)\)", mark)[0] for _, source in self._sources() for mark in self._marks(source)]
        listed = [first for first, _ in rows(section(PROTOCOL, "Departures")) if first not in {"Word", "---"}]
        assert sorted(listed) == sorted(dict.fromkeys(words))

    @staticmethod
    def _sources() -> list[tuple[Path, str]]:
        return [(path, path.read_text(encoding="utf-8")) for path in sorted((ROOT / "onevalue").rglob("*.py"))]

    @staticmethod
    def _marks(source: str) -> list[str]:
        """Every use of the word but for the stage of a leave, which has the same name; with what follows it."""
        return re.findall(r"(?<!\.)\bDEPARTURE\b(?! = )(?: \([^)]*\):)?", source)


class NumberTests(SynchronousTestCase):
    """A number that docs/protocol.md states is the one that holds."""

    def test_numbers_of_cells_are_read_as_people_do(self) -> None:
        """Units, powers and what is taken off."""
        cells = ["127", "64 KiB", "8 MiB", "0.25 s", "24 h", "2^63 - 1"]
        assert [meant(cell) for cell in cells] == [127, 65536, 8 * 1024**2, Fraction(1, 4), 86400, 2**63 - 1]

    def test_bounds_have_the_value_that_is_stated(self) -> None:
        """Each row whose first cell is the name of a constant."""
        stated = {first: second for first, second in rows(PROTOCOL) if _CONSTANT.fullmatch(first)}
        assert len(stated) > 30
        wrong = {name: constant(name) for name, cell in stated.items() if meant(cell) != Fraction(str(constant(name)))}
        assert wrong == {}

    def test_bounds_that_are_named_are_stated_too(self) -> None:
        """What the text mentions stands in a table, and whatever it names exists."""
        stated = [first for first, _ in rows(PROTOCOL)]
        for name in re.findall(rf"`({_CONSTANT.pattern})`", PROTOCOL):
            assert constant(name) is not None
            assert name in stated or not name.endswith(("_MAX", "_MAX_S")), name

    def test_settings_have_the_default_that_is_stated(self) -> None:
        """Each row whose first cell is the name of a setting; and all settings but switches are stated."""
        stated = {first: second for first, second in rows(PROTOCOL) if re.fullmatch(r"[a-z_]+", first)}
        defaults = {
            field.name: field.default
            for settings in (SwimSettings, SerfSettings, SpreadSettings)
            for field in fields(settings)
            if not isinstance(field.default, bool)
        }
        assert [name for name in defaults if name not in stated] == []
        wrong = {name: value for name, value in defaults.items() if meant(stated[name]) != Fraction(str(value))}
        assert wrong == {}


class RouteTests(SynchronousTestCase):
    """The HTTP interface."""

    def test_routes_and_rows_are_the_same(self) -> None:
        """Method and path of each; where there is GET, HEAD need not be named."""
        found = []
        resource = cast("KleinResource", cast("Guard", WebNode().site.resource).resource)
        for rule in resource._app.url_map.iter_rules():
            path = re.sub(r"<[^>]*>", "{}", rule.rule)
            found += [(method, path) for method in sorted((rule.methods or {"any"}) - {"HEAD"})]
        listed = [(first, re.sub(r"\{[^}]*\}", "{}", second)) for first, second in rows(PROTOCOL)]
        assert sorted(found) == sorted(row for row in listed if row[1].startswith("/"))


class OptionTests(SynchronousTestCase):
    """The command line."""

    def test_every_option_is_in_the_readme(self) -> None:
        """By its long name, in the table of options."""
        named = [first.split()[0] for first, _ in rows(section(README, "Options of `twistd onevalue`")) if first]
        declared = [each[0] for each in (*Options.optParameters, *Options.optFlags)]
        declared += [name.removeprefix("opt_") for name in vars(Options) if name.startswith("opt_")]
        assert len(declared) > 10
        assert [option for option in declared if f"--{option}" not in named] == []
