"""The journal's files are removed or replaced while it is open: nothing is acknowledged that would be gone.

The thread is real, and so is the reactor that it reports to; time is virtual.
"""

import shutil
from pathlib import Path

import pytest
from twisted.internet.defer import inlineCallbacks

from onevalue.errors import JournalError
from onevalue.store import Source
from tests.unit.test_journal import Opened, Steps, state


class PlaceTests(Opened):
    """What is written must be found again after a restart."""

    @inlineCallbacks
    def refuses(self, what: str) -> Steps:
        """A write fails, and the reason names what became of which file, and says what to do."""
        with pytest.raises(JournalError, match=rf"journal\.sqlite\S* was {what} .*Restart the node"):
            yield self.journal.append([state(9)], Source.SET)
        assert what in str(self.journal.trouble)
        assert self.journal.durable == state(1)

    @inlineCallbacks
    def test_nothing_is_acknowledged_without_the_folder(self) -> Steps:
        """Its folder was removed, as by `rm -r`."""
        yield self.journal.append([state(1)], Source.SET)
        shutil.rmtree(self.folder)
        yield self.refuses("removed")

    @inlineCallbacks
    def test_nothing_is_acknowledged_without_the_log(self) -> Steps:
        """The write-ahead log alone was removed: what is not in the file yet would be lost."""
        yield self.journal.append([state(1)], Source.SET)
        log = self.folder / "journal.sqlite-wal"
        assert log.exists()
        yield self.journal.append([state(2)], Source.SET)
        log.unlink()
        with pytest.raises(JournalError, match="-wal was removed"):
            yield self.journal.append([state(3)], Source.SET)

    @inlineCallbacks
    def test_nothing_is_acknowledged_into_a_file_that_was_replaced(self) -> Steps:
        """Another file is in its place, as after a copy was restored under the running node."""
        yield self.journal.append([state(1)], Source.SET)
        path = self.folder / "journal.sqlite"
        shutil.copy(path, self.folder / "copy")
        (self.folder / "copy").rename(path)
        yield self.refuses("replaced")

    @inlineCallbacks
    def test_it_works_again_when_its_files_are_back(self) -> Steps:
        """The very files, as after a rename there and back."""
        yield self.journal.append([state(1)], Source.SET)
        away = self.folder.with_name(f"{self.folder.name}-away")
        self.folder.rename(away)
        yield self.refuses("removed")
        away.rename(self.folder)
        yield self.journal.append([state(2)], Source.SET)
        assert self.journal.trouble is None
        assert Path(self.journal.status()["path"]).exists()  # type: ignore[arg-type]  # it is a text
        yield self.reopen()
        assert self.journal.contents.state == state(2)
