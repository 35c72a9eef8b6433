"""Small disks for one node: one that can be full, and one that the system turns read-only. They need root.

The second is an ext4 in a file, and turns read-only as a real one does when the system finds an error on it: files that
are open can be written no more. `mount -o remount,ro` would not do, since the system refuses it while they are.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tools.drilling.network import SBIN, run
from tools.drilling.waiting import DrillError

FULL_DISK_SIZE = "2m"
EXT4_SIZE = 16 * 1024 * 1024
_CORRECTED = 1
"""With this status `e2fsck` tells that it found errors and mended them."""


def _command(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:{SBIN}")


def why_no_small_disk() -> str | None:
    """Why nothing can be mounted here, or None."""
    if os.geteuid() != 0:
        return "mounting a small disk needs root"
    if not _command("mount"):
        return "the command mount is missing"
    return _reason(lambda folder: small_disk(folder / "disk"))


def why_no_failing_disk() -> str | None:
    """Why no ext4 can be made to fail here, or None."""
    reason = why_no_small_disk()
    if reason is None and not Path("/dev/loop-control").exists():
        reason = "there are no loop devices (/dev/loop-control)"
    missing = [each for each in ("mkfs.ext4", "e2fsck", "findmnt") if _command(each) is None]
    if reason is None and missing:
        reason = f"the command {' and the command '.join(missing)} is missing (packages e2fsprogs, util-linux)"
    return reason or _reason(lambda folder: closing(FailingDisk(folder / "image", folder / "disk")))


def _reason(disk: Callable[[Path], AbstractContextManager[object]]) -> str | None:
    """Why the disk cannot be made in a folder, or None: some containers let root do less."""
    try:
        with TemporaryDirectory(prefix="onevalue-drill-") as folder, disk(Path(folder)):
            return None
    except DrillError as error:
        return f"root can mount no such disk here: {error}"


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """The folder is a disk in memory of 2 MiB, until what writes there has ended."""
    folder.mkdir()
    run(["mount", "-t", "tmpfs", "-o", f"size={FULL_DISK_SIZE}", "tmpfs", str(folder)])
    try:
        yield
    finally:
        _unmount(folder)


def fill(folder: Path) -> Path:
    """Not a byte is left on the disk of the folder; returns the file that holds them."""
    path = folder / "ballast"
    with path.open("wb", buffering=0) as ballast:
        for size in (65536, 512, 1):
            try:
                while True:
                    ballast.write(b"x" * size)
            except OSError:
                continue
    return path


class FailingDisk:
    """An ext4 of its own, mounted at `folder`.

    Args:
        image: a file that does not exist yet, which holds it.
        folder: likewise, where it is mounted.
    """

    def __init__(self, image: Path, folder: Path) -> None:
        self._image = image
        self.folder = folder
        folder.mkdir()
        with image.open("wb") as file:
            file.truncate(EXT4_SIZE)
        run([_command("mkfs.ext4") or "mkfs.ext4", "-q", "-F", str(image)])
        self.mount()

    def mount(self) -> None:
        """It can be read and written."""
        run(["mount", "-o", "loop,errors=remount-ro", str(self._image), str(self.folder)])
        found = subprocess.run(
            ["findmnt", "-no", "SOURCE", str(self.folder)], check=True, capture_output=True, text=True
        )
        self._trigger = Path("/sys/fs/ext4") / Path(found.stdout.strip()).name / "trigger_fs_error"
        if not self._trigger.exists():
            _unmount(self.folder)
            raise DrillError(f"there is no {self._trigger}")

    def fail(self) -> None:
        """The system has found an error on it, and admits no more writes."""
        try:
            self._trigger.write_text("1")
        except OSError as error:
            raise DrillError(f"{self._trigger}: {error.strerror}") from None

    def repair(self) -> None:
        """Unmounted, checked and mended, and mounted again; nobody uses it meanwhile."""
        run(["umount", str(self.folder)])
        run([_command("e2fsck") or "e2fsck", "-fp", str(self._image)], admitted=(0, _CORRECTED))
        self.mount()

    def close(self) -> None:
        """It is unmounted."""
        if self.folder.is_mount():
            _unmount(self.folder)


def _unmount(folder: Path) -> None:
    """It is no mount any more; whoever still uses it keeps it until he ends."""
    run(["umount", "--lazy", str(folder)])
