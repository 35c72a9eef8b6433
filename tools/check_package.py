"""`make package`: the wheel, built and installed in a clean environment, gives a `twistd onevalue` that answers, and an
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


def main() -> None:
    """Build, install, ask for help, start a node; fails loudly if the plugin does not show."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        subprocess.run([sys.executable, "-m", "build", "--outdir", str(place), "."], check=True, capture_output=True)
        (wheel,) = place.glob("*.whl")
        (sdist,) = place.glob("*.tar.gz")
        check_page(wheel, sdist)
        venv.create(place / "clean", with_pip=True)
        python = place / "clean" / "bin" / "python"
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(wheel)]
        subprocess.run(install, check=True)
        for tool in ("twistd", "twist"):
            run = [str(python.with_name(tool)), "onevalue", "--help"]
            shown = subprocess.run(run, check=True, capture_output=True, text=True, cwd=place).stdout
            if "--advertise" not in shown:
                sys.exit(f"{tool} onevalue --help does not explain the node:\n{shown}")
        if answers_of_a_node(python.with_name("twistd"), place) != ("42", "42\n"):
            sys.exit("a node from the wheel does not hold 42, or onevalue get does not say so")
        simulate = [str(python.with_name("onevalue")), "simulate", "--nodes", "3", "--duration", "6", "--json"]
        figures = subprocess.run(simulate, check=True, capture_output=True, text=True, cwd=place).stdout
        if json.loads(figures)["spread_s"]["last"] is None:
            sys.exit(f"onevalue simulate shows no write that spreads:\n{figures}")
        tools = "twistd onevalue, twist onevalue, onevalue get and onevalue simulate"
        print(f"{wheel.name} and {sdist.name} are built; the wheel gives {tools}")


if __name__ == "__main__":
    main()
