"""The house plan as a test: which part may import what (docs/architecture.md, "One node").

It reads the syntax trees of the package and imports nothing of it, so it speaks of all code, also of what no test runs.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import onevalue

ROOT = Path(onevalue.__file__).parent

PURE: dict[str, tuple[str, ...]] = {
    "errors": (),
    "types": (),
    "bounds": (),
    "histogram": (),
    "member": (),
    "config": ("errors", "types"),
    "values": ("errors",),
    "store": ("errors", "types", "config", "values"),
    "exchange": ("errors", "types", "config", "values", "store"),
    "spread": ("errors", "types", "config", "member", "values", "store", "exchange"),
    "sse": ("errors",),
    "replies": ("errors", "types", "values", "store"),
    "failover": ("errors", "types", "values", "store", "replies"),
    "following": ("types", "sse", "replies"),
    "wire": ("errors", "types", "config"),
    "signing": ("errors", "wire"),
    "swim": ("errors", "types", "config", "histogram", "wire"),
    "serf": ("errors", "types", "config", "histogram", "wire", "swim"),
}
"""The pure parts, and the parts of the project that each may import besides itself."""

STANDARD: tuple[str, ...] = (
    *("abc", "bisect", "collections", "contextlib", "copy", "dataclasses", "enum", "functools", "hashlib", "heapq"),
    *("hmac", "ipaddress", "itertools", "json", "math", "operator", "re", "struct", "types", "typing", "zlib"),
    *("array", "base64", "binascii", "string"),
)
"""What a pure part may import of the standard library: nothing that knows the time, the world, or chance."""

LIBRARIES: dict[str, tuple[str, ...]] = {"wire": ("cryptography", "msgpack"), "serf": ("re2",)}
"""Other libraries that a pure part may import."""

IMPURE = ("twisted", "time", "socket", "os", "logging", "random", "threading", "asyncio", "datetime", "secrets", "uuid")
"""What no pure part may import, whatever the lists above become."""

SERVICES = (
    "web",
    "gossip",
    "broadcaster",
    "keeper",
    "debugline",
    "valuefile",
    "lag",
    "collector",
    "sdnotify",
    "rpc",
    "agent",
)
"""They meet in `assembly` and `tap`, and know the store, IMembership and `spread`, never each other."""


def modules() -> list[tuple[str, Path]]:
    """Dotted name within the package, and file, of each module."""
    return [(".".join(path.relative_to(ROOT).with_suffix("").parts), path) for path in sorted(ROOT.rglob("*.py"))]


def part_of(module: str) -> str:
    """The part of the house to which a module belongs: `web.v1` to `web`."""
    return module.partition(".")[0]


def tree_of(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports(tree: ast.AST) -> Iterator[str]:
    """The full name of each thing that is imported, anywhere in a tree, `from a import b` as `a.b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_parts(tree: ast.AST) -> list[str]:
    """The parts of the project that a tree imports."""
    return [name.split(".")[1] for name in imports(tree) if name.startswith("onevalue.")]


def when_imported(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes that run when a module is imported: not the bodies of functions."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from when_imported(child)


class ImportTests(SynchronousTestCase):
    """Imports point one way."""

    def test_the_pure_parts_are_there(self) -> None:
        """Each part in the table has a module, or these tests would speak of nothing."""
        parts = [part_of(module) for module, _ in modules()]
        assert [part for part in PURE if part not in parts] == []
        assert len(parts) > 30

    def test_pure_parts_import_nothing_that_knows_the_world(self) -> None:
        """No clock, socket, thread, log, global chance or Twisted; time and chance are handed in."""
        for module, path in modules():
            part = part_of(module)
            if part not in PURE:
                continue
            admitted = (*STANDARD, *LIBRARIES.get(part, ()), "onevalue")
            found = [name for name in imports(tree_of(path)) if name.partition(".")[0] not in admitted]
            assert found == [], f"{module} imports {found}"
            assert not any(name.partition(".")[0] in IMPURE for name in imports(tree_of(path))), module

    def test_pure_parts_import_each_other_one_way(self) -> None:
        """As the table says; none imports a shell."""
        for module, path in modules():
            part = part_of(module)
            if part in PURE:
                admitted = (*PURE[part], part)
                found = [name for name in own_parts(tree_of(path)) if name not in admitted]
                assert found == [], f"{module} imports {found}"

    def test_the_table_has_no_circle(self) -> None:
        """Each part imports only parts that stand above it."""
        seen: list[str] = []
        for part, admitted in PURE.items():
            assert [name for name in admitted if name not in seen] == [], part
            seen.append(part)

    def test_services_do_not_know_each_other(self) -> None:
        """And nothing knows `tap`, which knows all; `assembly`, which knows most, is for `tap` and the simulator."""
        for module, path in modules():
            part, found = part_of(module), own_parts(tree_of(path))
            assert part == "tap" or "tap" not in found, module
            assert part in {"assembly", "tap", "simulation"} or "assembly" not in found, module
            if part in SERVICES:
                others = [name for name in found if name in SERVICES and name != part]
                assert others == [], f"{module} imports {others}"

    def test_the_command_starts_without_twisted(self) -> None:
        """What a verb loads when it is chosen is pure, or of the standard library; what takes long is loaded in it."""
        for module, path in modules():
            if part_of(module) in {"cli", "commands"}:
                top = [name for node in when_imported(tree_of(path)) for name in _imported_by(node)]
                own = [name.split(".")[1] for name in top if name.startswith("onevalue.")]
                pure = ("bounds", "errors", "failover", "following", "replies", "store", "types", "values")
                admitted = ("__version__", "commands", *pure)
                assert [name for name in own if name not in admitted] == [], module
                others = [name.partition(".")[0] for name in top]
                assert [each for each in others if each not in {*sys.stdlib_module_names, "onevalue"}] == [], module


class ReactorTests(SynchronousTestCase):
    """The reactor is handed in."""

    def test_no_module_imports_the_reactor_at_its_top(self) -> None:
        """Only `tap` may do so at all, inside a function: the import chooses the reactor for good."""
        for module, path in modules():
            tree = tree_of(path)
            everywhere = [name for name in imports(tree) if name.startswith("twisted.internet.reactor")]
            assert everywhere == [] or part_of(module) == "tap", module
            top = [name for node in when_imported(tree) for name in _imported_by(node)]
            assert [name for name in top if name.startswith("twisted.internet.reactor")] == [], module

    def test_no_module_uses_global_chance(self) -> None:
        """A run could not be repeated; only `tap` makes the one source of chance, and the simulator has its seeds."""
        for module, path in modules():
            if part_of(module) not in {"tap", "simulation"}:
                found = [name for name in imports(tree_of(path)) if name.partition(".")[0] == "random"]
                assert found == [], f"{module} imports {found}"


class FormTests(SynchronousTestCase):
    """Each file has one idea, and says so."""

    def test_every_module_says_what_it_is(self) -> None:
        """By its docstring."""
        assert [module for module, path in modules() if not ast.get_docstring(tree_of(path))] == []

    def test_nothing_iterates_over_a_set(self) -> None:
        """The order of a set changes with the hash seed, so a run would not repeat."""
        for module, path in modules():
            for node in ast.walk(tree_of(path)):
                if isinstance(node, ast.For | ast.comprehension):
                    assert not _is_set(node.iter), f"{module}, line {node.iter.lineno}"


def _imported_by(node: ast.AST) -> list[str]:
    return list(imports(node)) if isinstance(node, ast.Import | ast.ImportFrom) else []


def _is_set(node: ast.expr) -> bool:
    called = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"set", "frozenset"}
    return called or isinstance(node, ast.Set | ast.SetComp)
