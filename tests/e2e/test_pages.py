"""The commands of the documentation do what it says: each page is followed on a machine of its own, as it were."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e import network
from tests.e2e.harness import SERF
from tests.e2e.needs import demand
from tests.e2e.page_blocks import PageError, blocks

ROOT = Path(__file__).parents[2]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
}
FOLLOWED = [name for name, text in PAGES.items() if re.search("^<!-- (dry )?run", text, re.MULTILINE)]

APART = ["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
"""Ports, mounts and processes are the page's own, and gone when it ends."""

TIME_MAX_S = 200


@pytest.mark.parametrize("page", FOLLOWED)
def test_the_commands_of_a_page_do_what_it_says(page: str, tmp_path: Path) -> None:
    """From the first to the last, in a clone of the repository whose environment is made."""
    demand(network.why_not())
    if page == "docs/serf-tools.md" and SERF is None:
        demand("no `serf` on this machine: install Debian's package serf")
    clone(tmp_path)
    # An answer that tells of an error is an error, though readers see it without.
    (tmp_path / ".curlrc").write_text("fail-with-body\nsilent\nshow-error\n")
    runner = [sys.executable, "-m", "tests.e2e.page_runner", str(ROOT / page)]
    done = subprocess.run(
        [*APART, "sh", "-c", 'ip link set lo up && exec "$0" "$@"', *runner],
        cwd=tmp_path,
        env={
            "PATH": f"{tmp_path}/.venv/bin:{network.ENVIRON['PATH']}",
            "HOME": str(tmp_path),
            "PYTHONPATH": str(ROOT),
        },
        capture_output=True,
        text=True,
        timeout=TIME_MAX_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def clone(folder: Path) -> None:
    """The folder has what a clone has after `make run`, by links; what pages write into it is not in this one."""
    for name in ("Makefile", "setup.py", "tools"):
        (folder / name).symlink_to(ROOT / name)
    (folder / ".venv").mkdir()
    for name in ("bin", "lib", "pyvenv.cfg"):
        (folder / ".venv" / name).symlink_to(Path(sys.prefix) / name)
    (folder / ".venv" / "installed").touch()


@pytest.mark.parametrize("page", PAGES)
def test_every_block_of_every_page_says_how_it_is_run(page: str) -> None:
    """Or why it is not, or that it is no command."""
    blocks(PAGES[page])


@pytest.mark.parametrize(
    "page",
    [
        "    make\n",
        "```sh\nmake\n```\n",
        "<!-- run -->\n\n    make\n\nand\n\n    make\n",
        "<!-- run: often -->\n\n    make\n",
        "<!-- run: until -->\n\n    make\n",
        "<!-- run -->\n\nmake\n",
        "<!-- run -->\n<!-- run -->\n\n    make\n",
    ],
)
def test_a_block_without_a_comment_is_noticed(page: str) -> None:
    """Or with one that says nothing; and a comment without a block."""
    with pytest.raises(PageError):
        blocks(page)
