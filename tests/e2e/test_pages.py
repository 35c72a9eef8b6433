"""The commands of the documentation do what it says: each page is followed in a network of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e import network
from tests.e2e.page_runner import blocks

DOCS = Path(__file__).parents[2] / "docs"
RUNNER = Path(__file__).with_name("page_runner.py")
SETUPS = Path(__file__).parents[1] / "data" / "pages"
PAGES = {"getting-started.md": [], "operating.md": ["two-nodes-with-a-key.md"]}
"""Each page, and what its reader has done before."""

TIME_MAX_S = 150


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_do_what_it_says(page: str, tmp_path: Path) -> None:
    """From the first to the last, in a folder of their own."""
    reason = network.why_not()
    if reason is not None:
        assert not os.environ.get("CI"), reason
        pytest.skip(reason)  # a page has the usual ports: without a network of its own they may be taken
    bin_folder = Path(sys.executable).parent
    setup = [str(SETUPS / each) for each in PAGES[page]]
    command = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$0" "$@"']
    done = subprocess.run(
        [*command, sys.executable, str(RUNNER), str(DOCS / page), *setup],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{bin_folder}:{network.ENVIRON['PATH']}", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=TIME_MAX_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_block_of_these_pages_says_how_it_is_run() -> None:
    """Or why it is not."""
    for page in PAGES:
        assert len(list(blocks((DOCS / page).read_text(encoding="utf-8")))) > 3
