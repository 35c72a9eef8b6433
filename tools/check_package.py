"""`make package`: the wheel, built and installed in a clean environment, gives `twistd onevalue`."""

import subprocess
import sys
import tempfile
import venv
from pathlib import Path


def main() -> None:
    """Build, install, ask for help; fails loudly if the plugin does not show."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        subprocess.run([sys.executable, "-m", "build", "--outdir", str(place), "."], check=True, capture_output=True)
        (wheel,) = place.glob("*.whl")
        (sdist,) = place.glob("*.tar.gz")
        venv.create(place / "clean", with_pip=True)
        python = place / "clean" / "bin" / "python"
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(wheel)]
        subprocess.run(install, check=True)
        for tool in ("twistd", "twist"):
            run = [str(python.with_name(tool)), "onevalue", "--help"]
            shown = subprocess.run(run, check=True, capture_output=True, text=True, cwd=place).stdout
            if "--advertise" not in shown:
                sys.exit(f"{tool} onevalue --help does not explain the node:\n{shown}")
        print(f"{wheel.name} and {sdist.name} are built; the wheel gives twistd onevalue and twist onevalue")


if __name__ == "__main__":
    main()
