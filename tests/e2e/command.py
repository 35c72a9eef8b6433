"""The command `onevalue` as people run it: a process of its own."""

import os
import sys
from pathlib import Path

import onevalue
from tests.e2e.harness import House, Node, Process

ROOT = Path(onevalue.__file__).parents[1]
COMMAND_TIME_MAX_S = 30.0
NOBODY = "http://127.0.0.1:9"
"""Where no node is."""


class Command(Process):
    """A run of `onevalue`; standard output and error apart."""

    def __init__(self, url: str, folder: Path, *arguments: str, stdin: bytes = b"") -> None:
        environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(ROOT), "ONEVALUE_URL": url}
        self.errors = ""
        super().__init__("onevalue", [sys.executable, "-m", "onevalue.cli", *arguments], environ, folder)
        if stdin:
            self._transport.write(stdin)
        self._transport.closeStdin()

    def errReceived(self, data: bytes) -> None:
        """Standard error."""
        self.errors += data.decode("utf-8", "replace")

    @property
    def lines(self) -> list[str]:
        """Of standard output."""
        return self.output.splitlines()


async def run(node: Node | str, house: House, *arguments: str, stdin: bytes = b"") -> tuple[int, str, str]:
    """Status, standard output and standard error of the command at a node."""
    url = node if isinstance(node, str) else node.url
    command = Command(url, house.folder, *arguments, stdin=stdin)
    status = await command.ended(COMMAND_TIME_MAX_S)
    return status, command.output, command.errors
