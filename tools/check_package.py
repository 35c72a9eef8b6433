"""`make package`: the wheel, and then the sdist, gives in a clean environment a `twistd onevalue` that answers, and an
`onevalue` that asks it and simulates. Wheel and sdist have all files of the live page.
"""

import json
import random
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
import venv
import zipfile
from pathlib import Path

ANSWER_TIME_MAX_S = 20.0

FILES_OF_THE_SDIST = ("LICENSE", "dist/Dockerfile", "dist/onevalue.service", "dist/onevalue.socket", "docs/systemd.md")
"""What is not installed, and people want all the same."""


def check_page(wheel: Path, sdist: Path) -> None:
    """All files of the live page are in both; fails loudly if not."""
    files = [path.as_posix() for path in sorted(Path("onevalue/web/page").iterdir())]
    with zipfile.ZipFile(wheel) as packed, tarfile.open(sdist) as source:
        there = [packed.namelist(), [name.partition("/")[2] for name in source.getnames()]]
    missing = [file for file in files if any(file not in names for names in there)]
    if missing or not files:
        sys.exit(f"wheel or sdist are without files of the live page: {missing}")


def answers_of_a_node(twistd: Path, folder: Path) -> tuple[str, str]:
    """What /get and `onevalue get` say of a node that is started, and stopped again; the live page is there, too."""
    host = f"127.{random.randrange(1, 250)}.{random.randrange(1, 250)}.{random.randrange(1, 250)}"
    command = [str(twistd), "--nodaemon", "--pidfile=", "onevalue", "--no-journal", "--advertise", host]
    node = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + ANSWER_TIME_MAX_S
        while True:
            try:
                with urllib.request.urlopen(f"http://{host}:8080/get", timeout=1) as answer:
                    said = str(answer.read().decode())
                with urllib.request.urlopen(f"http://{host}:8080/page/main.js", timeout=1) as answer:
                    answer.read()
                get = [str(twistd.with_name("onevalue")), "get", "--url", f"http://{host}:8080"]
                return said, subprocess.run(get, check=True, capture_output=True, text=True, cwd=folder).stdout
            except OSError:
                if node.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
    finally:
        node.terminate()
        node.wait()


def check(python: Path, folder: Path, version: str) -> None:
    """What is installed beside this Python is whole; ends the program loudly if it is not."""

    def said(*command: str) -> str:
        run = [str(python.with_name(command[0])), *command[1:]]
        return subprocess.run(run, check=True, capture_output=True, text=True, cwd=folder).stdout

    for tool in ("twistd", "twist"):
        if "--advertise" not in (shown := said(tool, "onevalue", "--help")):
            sys.exit(f"{tool} onevalue --help does not explain the node:\n{shown}")
    if f"OneValue {version}, Twisted " not in (shown := said("twistd", "onevalue", "--version")):
        sys.exit(f"twistd onevalue --version does not say {version}:\n{shown}")
    if (shown := said("onevalue", "--version")).split() != ["onevalue", version]:
        sys.exit(f"onevalue --version does not say {version}:\n{shown}")
    if answers_of_a_node(python.with_name("twistd"), folder) != ("42", "42\n"):
        sys.exit("a node does not hold 42, or onevalue get does not say so")
    figures = said("onevalue", "simulate", "--nodes", "3", "--duration", "6", "--json")
    if json.loads(figures)["spread_s"]["last"] is None:
        sys.exit(f"onevalue simulate shows no write that spreads:\n{figures}")


def main() -> None:
    """Build both, install one after the other, ask for help, start a node; fails loudly if anything is missing."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        build = [sys.executable, "-m", "build", "--outdir", str(place), "."]  # the wheel from what is in the sdist
        subprocess.run(build, check=True, capture_output=True)
        (wheel,) = place.glob("*.whl")
        (sdist,) = place.glob("*.tar.gz")
        check_page(wheel, sdist)
        version = wheel.name.split("-")[1]
        venv.create(place / "clean", with_pip=True)
        python = place / "clean" / "bin" / "python"
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, str(wheel)], check=True)
        check(python, place, version)
        subprocess.run([*install, "--force-reinstall", "--no-deps", str(sdist)], check=True)
        check(python, place, version)
        with tarfile.open(sdist) as inside:
            names = [name.partition("/")[2] for name in inside.getnames()]
        if missing := [name for name in FILES_OF_THE_SDIST if name not in names]:
            sys.exit(f"{sdist.name} lacks {', '.join(missing)}")
        tools = "twistd onevalue, twist onevalue, onevalue get and onevalue simulate"
        print(f"{wheel.name} and {sdist.name} are built; each gives {tools}")


if __name__ == "__main__":
    main()
