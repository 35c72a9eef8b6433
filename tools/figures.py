"""`make figures`: what docs/simulation.md shows of spread, detection, false alarms, traffic and growth.

Runs grids of plans, each in a process of its own, and writes what came out as docs/simulation/NAME.json, as pictures
beside it, and as tables between the markers of the page. It owns which points are run and where the tables go; the
sections are `figuring`'s.

`--draw` shows again what is in the JSON, without a run; `--keep` runs only what is not there yet; `--seeds 3` takes at
most three seeds for each point; `--quick` takes one seed, few points and short runs, and throws away what it shows.
"""

import argparse
import json
import math
import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tools.figuring import detect, growth, spread, stalls, traffic  # noqa: E402  # as a script it has `tools` alone
from tools.figuring.runs import Point, Section, load, run, save, seeds_of  # noqa: E402

FOLDER = ROOT / "docs" / "simulation"
PAGE = ROOT / "docs" / "simulation.md"

SECTIONS = {each.SECTION.title: each.SECTION for each in (spread, detect, stalls, traffic, growth)}

QUICK_NODES_MAX = 32
QUICK_S = 20.0
QUICK_EVERY = 4
"""Of these sizes and this length at most, and of so many points one: to see that the tool works, and for no figures."""


def put(page: Path, name: str, text: str) -> None:
    """The text stands between the markers of this name; where the page has none, they are added at its end."""
    begin, end = f"<!-- figures: {name} -->", "<!-- end -->"
    old = page.read_text() if page.exists() else ""
    if begin not in old:
        old += f"\n{begin}\n{end}\n"
    before, _, rest = old.partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"{page} has no {end} after {begin}")
    page.write_text(f"{before}{begin}\n\n{text.strip()}\n\n{end}{after}")


def show(name: str, section: Section, folder: Path, page: Path) -> None:
    """The picture and the tables of what is in the JSON."""
    path = folder / f"{name}.json"
    results = load(path, section)
    section.draw(results, folder / f"{name}.png")
    ran = f"Machine: {json.loads(path.read_text())['machine']}. Seeds: {seeds_of(results, results)} for each point.\n"
    put(page, name, f"{ran}\n![{section.title}](simulation/{name}.png)\n\n{section.tables(results)}")


def points_of(section: Section, options: argparse.Namespace) -> list[tuple[Point, int]]:
    """What is to be run of a section, and with how many seeds."""
    points = [(point, min(seeds, options.seeds)) for point, seeds in section.grid()]
    if options.quick:
        small = [(point, 1) for point, _ in points if point.nodes <= QUICK_NODES_MAX]
        return small[::QUICK_EVERY] or [(points[0][0], 1)]
    return [
        (point, seeds) for point, seeds in points if point.nodes <= options.nodes_max and point.loss <= options.loss_max
    ]


def main() -> None:
    """Run, keep, show."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", metavar="section", help=f"of {', '.join(SECTIONS)} (all)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes at once (all cores)")
    parser.add_argument("--seeds", type=int, default=sys.maxsize, help="at most so many for each point")
    parser.add_argument("--nodes-max", type=int, default=sys.maxsize, help="no larger clusters")
    parser.add_argument("--loss-max", type=float, default=1.0, help="no more loss")
    parser.add_argument(
        "--page", type=Path, default=PAGE, metavar="FILE", help="where the tables go (docs/simulation.md)"
    )
    parser.add_argument("--keep", action="store_true", help="what is in the JSON is not run again")
    parser.add_argument("--draw", action="store_true", help="nothing is run; what is in the JSON is shown again")
    parser.add_argument("--quick", action="store_true", help="see above")
    options = parser.parse_args()
    unknown = set(options.sections) - set(SECTIONS)
    if unknown:
        parser.error(f"no such section: {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory() as thrown_away:
        folder = Path(thrown_away) if options.quick else FOLDER
        page = folder / "page.md" if options.quick else options.page
        folder.mkdir(parents=True, exist_ok=True)
        for name in options.sections or SECTIONS:
            section, path = SECTIONS[name], folder / f"{name}.json"
            results = load(path, section) if (options.keep or options.draw) and path.exists() else {}
            if not options.draw:
                longest_s = QUICK_S if options.quick else math.inf
                for _ in run(section, points_of(section, options), options.jobs, results, longest_s):
                    save(path, section, results)
            show(name, section, folder, page)
        if options.quick:
            print(page.read_text())


if __name__ == "__main__":
    main()
