"""The command `onevalue`, for people. Its one verb so far is `simulate`.

It must not know how a node works; each verb has its own module, which is loaded when it is wanted.
"""

import argparse
import sys
from collections.abc import Sequence

from onevalue import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    """Does what the arguments say; returns the status with which the process ends, 2 for a usage error."""
    parser = argparse.ArgumentParser(prog="onevalue", description="Tools around OneValue; a node is `twistd onevalue`.")
    parser.add_argument("--version", action="version", version=f"onevalue {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    simulate = verbs.add_parser("simulate", help="how a cluster of some size would behave")
    from onevalue.simulation import command  # noqa: PLC0415  # see above

    command.add_options(simulate)
    options = parser.parse_args(arguments)
    return command.run(options, sys.stdout, sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
