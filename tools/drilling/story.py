"""What a drill tells: what is done, what a user sees, what happened to the value, and what did not hold."""

import textwrap
from collections.abc import Callable
from pathlib import Path

WIDTH = 118
INDENT = 11
EXCERPT_SIZE_MAX = 330
"""Characters of an excerpt that are shown."""


class Story:
    """Tells each line when it happens, and keeps what did not hold.

    Args:
        tell: gets one line, or a few that belong together.
        folder: is left out of paths, for brevity.
    """

    def __init__(self, tell: Callable[[str], None], folder: Path) -> None:
        self._tell = tell
        self._folder = f"{folder}/"
        self.faults: list[str] = []

    def done(self, what: str) -> None:
        """What is done to the cluster, before it is."""
        self._line("do", what)

    def seen(self, where: str, what: str) -> None:
        """An excerpt of what a user reads there."""
        excerpt = " ".join(what.replace(self._folder, "").split())
        self._line("see", f"{where}: {excerpt[:EXCERPT_SIZE_MAX]}{' ...' if len(excerpt) > EXCERPT_SIZE_MAX else ''}")

    def value(self, what: str) -> None:
        """What became of the value, or of reads."""
        self._line("value", what)

    def demand(self, holds: object, otherwise: str) -> None:
        """If it does not hold, that is a fault of the drill, in these words."""
        if not holds:
            self.fault(otherwise)

    def fault(self, what: str) -> None:
        """This did not hold."""
        self.faults.append(what)
        self._line("FAULT", what)

    def _line(self, kind: str, text: str) -> None:
        self._tell(
            textwrap.fill(
                f"  {kind:7}{text}",
                WIDTH,
                subsequent_indent=" " * INDENT,
                break_long_words=False,
                break_on_hyphens=False,
            )
        )
