"""The value in a file, so that any program of the host reads it with no HTTP, and also while no node runs.

It owns when the file is written: at start and at each change, one writing at a time, the newest state only, again and
again while the disk does not take it; and that the file is whole at every moment. It must not know how a state came,
nor who reads it.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from onevalue.journal_thread import DaemonThread
from onevalue.reasons import reason
from onevalue.store import State, Store
from onevalue.streams import Reactor

MODE = 0o644
"""All on the host may read it, whatever the umask says: that is what it is for."""

RETRY_MIN_S = 0.5
RETRY_MAX_S = 30.0
"""After a failure it is tried again: first after RETRY_MIN_S, then after twice as long, up to RETRY_MAX_S."""

SLOW_S = 10.0
"""A writing that takes longer counts as trouble until it ends."""


def check_path(text: str) -> Path:
    """The absolute path that `text` means, where a file is or can be put.

    Raises:
        ValueError: a folder or something else is there, or there is no such folder to put it; goes on after the path.
    """
    path = Path(text).absolute()  # a daemon changes its working directory
    try:
        if path.is_dir():
            raise ValueError("is a folder. Name a file in it")
        if not path.parent.is_dir():
            raise ValueError(f"cannot be there: {path.parent} is no folder. Make it, or name another")
        if os.path.lexists(path) and not path.is_file():
            raise ValueError("is no regular file, and would be replaced. Name another")
    except OSError as error:
        raise ValueError(f"cannot be looked at: {reason(error)}. Let the user that runs onevalue do so") from None
    return path


def replace_text(path: Path, text: bytes) -> None:
    """The file at `path` is this text and a line feed; whoever reads sees it whole, old or new.

    It is made beside it, always under the same name, so that all crashes together leave one at most. It is on the disk
    before it is renamed: a file system may keep a rename and lose what was written before, and a power cut would leave
    an empty file. The rename itself may be lost: then the old file is there, whole, until the node starts again.

    Raises:
        OSError: the system refused; the old file is as it was.
    """
    new = path.with_name(f".{path.name}.new")
    try:
        new.unlink(missing_ok=True)
        # O_EXCL: not through a link that somebody has put there
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE), "wb") as file:
            os.fchmod(file.fileno(), MODE)
            file.write(text + b"\n")
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except BaseException:
        with suppress(OSError):  # the first error is the one to tell
            new.unlink()
        raise


class ValueFile(Service):
    """Has the file at `path` follow what readers of `store` see.

    It writes in a thread of its own, which a disk that hangs may keep for good: neither the node nor the end of its
    process waits for that.

    Args:
        reactor: delayed calls, and what threads report to.
        store: shared by all services.
        path: from `check_path`.
    """

    name = "value file"
    _log = Logger()

    def __init__(self, *, reactor: Reactor, store: Store, path: Path) -> None:
        self._trouble: str | None = None
        self._reactor = reactor
        self._store = store
        self._path = path
        self._written: State | None = None
        self._busy = False
        self._retry_s = 0.0  # 0: the last writing went well
        self._retry: IDelayedCall | None = None
        self._slow: IDelayedCall | None = None
        self._stops: list[Deferred[None]] = []
        self._threads = ThreadPool(0, 1, "value file")
        self._threads.threadFactory = DaemonThread

    def startService(self) -> None:
        """From now on the file follows."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's has no types
        self._threads.start()
        self._stop_observing = self._store.observe(lambda _: self._changed())
        self._begin()

    def stopService(self) -> Deferred[None]:
        """Fires when the file holds what the store does, or a last try has failed; who calls it ends the wait."""
        if self.running:
            super().stopService()  # type: ignore[no-untyped-call]  # likewise
            self._stop_observing()
            if not self._busy and self._is_behind:  # the next try would come too late
                self._begin()
            elif not self._busy:
                self._end()
        if not self._busy:
            return succeed(None)
        stop: Deferred[None] = Deferred()
        self._stops.append(stop)
        return stop

    def status(self) -> Mapping[str, object]:
        """What /v1/status shows: path, healthy, trouble, and the tag of what this process has put there."""
        return {
            "path": str(self._path),
            "healthy": self._trouble is None,
            "trouble": self._trouble,
            "tag": None if self._written is None else self._written.tag,
        }

    def _changed(self) -> None:
        if not self._busy and self._retry is None:  # else it is seen when that is over
            self._begin()

    def _begin(self) -> None:
        self._cancel_calls()
        self._busy = True
        self._slow = self._reactor.callLater(SLOW_S, self._is_slow)
        state = self._store.current
        writing = deferToThreadPool(self._reactor, self._threads, replace_text, self._path, state.text)
        writing.addCallbacks(self._done, self._failed, callbackArgs=(state,))
        writing.addCallback(self._ended).addErrback(self._log_bug)

    def _done(self, _: None, state: State) -> None:
        self._written = state
        if self._trouble is not None:
            self._log.info("{path}: the value file is written again", path=str(self._path))
        self._trouble = None
        self._retry_s = 0.0

    def _failed(self, failure: Failure) -> None:
        if not failure.check(OSError):
            self._log_bug(failure)
        self._retry_s = min(RETRY_MAX_S, 2 * self._retry_s) or RETRY_MIN_S
        self._tell(reason(failure.value))

    def _is_slow(self) -> None:
        self._tell(f"the disk has not answered for {SLOW_S:g} s")

    def _tell(self, why: str) -> None:
        """The trouble is known; it is logged if it is another than before."""
        trouble = f"{self._path}: {why}. Let onevalue's user write there, and the disk have room; it tries again"
        if trouble != self._trouble:
            self._log.error("The value file cannot be written. {trouble}", trouble=trouble)
        self._trouble = trouble

    def _ended(self, _: None) -> None:
        """The writing is over: the next begins, now or later, if there is need of one."""
        self._cancel_calls()
        self._busy = False
        if self._retry_s == 0.0 and self._is_behind:
            self._begin()
        elif not self.running:
            self._end()
        elif self._retry_s:
            self._retry = self._reactor.callLater(self._retry_s, self._begin)

    @property
    def _is_behind(self) -> bool:
        return self._written != self._store.current

    def _end(self) -> None:
        self._cancel_calls()
        self._threads.stop()
        stops, self._stops = self._stops, []
        for stop in stops:
            stop.callback(None)

    def _cancel_calls(self) -> None:
        for call in (self._retry, self._slow):
            if call is not None and call.active():
                call.cancel()
        self._retry = self._slow = None

    def _log_bug(self, failure: Failure) -> None:
        self._log.failure("A fault in the value file", failure=failure)
