"""One target under atheris: `python -m tests.fuzz.child TARGET`, then what libFuzzer is told.

It only instruments, and must not know what is tested.
"""

import importlib
import sys

from tests.fuzz.targets import SLOW_S, load, run_timed

INSTRUMENTED = 4
"""How much slower instrumented code may be; `__main__` replays without."""


def main(name: str, arguments: list[str]) -> None:
    """Runs until libFuzzer ends the process."""
    atheris = importlib.import_module("atheris")  # an extra; it has no types
    with atheris.instrument_imports(include=["onevalue"]):
        target = load(name)
    target.run(target.seeds()[0])  # what is imported late is not the first input's fault
    atheris.Setup([f"fuzz {name}", *arguments], lambda data: run_timed(target, data, INSTRUMENTED * SLOW_S))
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
