"""`python -m onevalue.simulation`: a campaign of many seeds on all cores, or one seed again; see `runner`."""

import argparse
import secrets
import sys
from collections.abc import Iterable
from os import cpu_count

from onevalue.simulation.runner import again, campaign

FRESH_SEEDS = 10**9
"""A campaign begins at a random one of so many, unless it is told where."""


def main(arguments: Iterable[str] | None = None) -> int:
    """Returns 1 if there was a complaint."""
    parser = argparse.ArgumentParser(prog="python -m onevalue.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="run this one, and show the logs of its nodes")
    parser.add_argument("--seeds", type=int, default=200, help="how many to run (200)")
    parser.add_argument("--first", type=int, help="the first of them (a random one)")
    parser.add_argument("--jobs", type=int, default=cpu_count() or 1, help="processes (one a core)")
    options = parser.parse_args(None if arguments is None else list(arguments))
    if options.seed is not None:
        return int(again(options.seed, sys.stdout).complaint is not None)
    first = secrets.randbelow(FRESH_SEEDS) if options.first is None else options.first
    return int(bool(campaign(range(first, first + options.seeds), options.jobs, sys.stdout)))


if __name__ == "__main__":
    sys.exit(main())
