"""What systemd is told of this node, by sd_notify(3): ready, reloading, stopping, a line of status, and that it turns.

It owns the datagrams, and when they are sent. The watchdog is fed by a timer of the reactor and by nothing else, so a
node whose reactor stands still is not fed, and is restarted. It must not know what the parts do with the states that it
tells.
"""

import os
import socket
import time
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass

from twisted.application.service import Service
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from onevalue.journal import IJournal
from onevalue.loglines import shown
from onevalue.member import count_by_status
from onevalue.membership import IMembership
from onevalue.store import Store
from onevalue.writer import Writer

READY_TIME_MAX_S = 30.0
"""So long after its start a node is called ready also if it still learns: it serves reads, and systemd would else kill
it. Less than any TimeoutStartSec= that makes sense."""

READY_LOOK_S = 0.1
"""From one look whether it is ready to the next."""

STATUS_LOOK_S = 2.0
"""From one look at the line of status to the next; it is sent if it has changed."""

VALUE_SHOWN_MAX = 40
"""Characters of the value in that line."""

WATCHDOG_S_MIN = 0.01
"""A shorter WATCHDOG_USEC is taken for a mistake, and for none."""


@dataclass(frozen=True, slots=True)
class Manager:
    """Who started this process and wants to be told.

    Attributes:
        address: of its datagram socket: a path, or a name of the abstract kind with @ at its head.
        watchdog_s: how long it may hear nothing before it restarts the node; None: it does not mind.
    """

    address: str
    watchdog_s: float | None = None

    def tell(self, *assignments: str) -> bool:
        """One datagram of these has been handed to the system; False if it could not be, at once. Never raises."""
        address = f"\0{self.address[1:]}" if self.address.startswith("@") else self.address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.setblocking(False)
                sender.sendto("\n".join(assignments).encode("utf-8", "replace"), address)
        except (OSError, ValueError):  # nobody is there, its queue is full, or it is no address
            return False
        return True


def take_manager(environ: MutableMapping[str, str], pid: int | None = None) -> Manager | None:
    """The manager that the environment names, None if it names none; it is not named there any more.

    So no program that is started from here speaks for this node. WATCHDOG_PID is respected: another's watchdog is none.
    """
    address = environ.pop("NOTIFY_SOCKET", "")
    usec, watched = environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", "")
    if not address.startswith(("/", "@")) or len(address) == 1:
        return None
    mine = watched in {"", str(os.getpid() if pid is None else pid)}
    watchdog_s = int(usec) / 1e6 if mine and usec.isascii() and usec.isdecimal() else 0.0
    return Manager(address, watchdog_s if watchdog_s >= WATCHDOG_S_MIN else None)


class Notices(Service):
    """Tells the manager how the node is, from its start to its stop.

    Args:
        reactor: feeds the watchdog, so long as it turns.
        manager: is told.
        store: the value.
        writer: knows whether the node takes writes.
        membership: the members.
        journal: knows whether the disk takes them.
        isolated: why this node is cut off from all others, a sentence; None: it is not.
        monotonic: seconds of CLOCK_MONOTONIC.
    """

    name = "sd_notify"
    log = Logger()

    def __init__(
        self,
        *,
        reactor: IReactorTime,
        manager: Manager,
        store: Store,
        writer: Writer,
        membership: IMembership,
        journal: IJournal,
        isolated: Callable[[], str | None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reactor = reactor
        self._manager = manager
        self._store = store
        self._writer = writer
        self._membership = membership
        self._journal = journal
        self._isolated = isolated
        self._monotonic = monotonic
        self._looking: IDelayedCall | None = None
        self._feeding = LoopingCall(self._feed)
        self._feeding.clock = reactor
        self._ready_by = 0.0
        self._is_ready = self._is_stopping = self._is_deaf = False
        self._status_told = ""

    def startService(self) -> None:
        """The watchdog is fed from now on; READY=1 follows when the node takes writes, or in READY_TIME_MAX_S."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's has no types
        self._ready_by = self._reactor.seconds() + READY_TIME_MAX_S
        self._is_ready = self._is_stopping = False
        if self._manager.watchdog_s is not None:
            self._feeding.start(self._manager.watchdog_s / 2, now=True).addErrback(self._failed)
        self._look()

    def stopping(self) -> None:
        """The manager knows that the node has begun to stop; it goes on to be fed until `stopService`."""
        self._is_stopping = True
        self._tell("STOPPING=1", "STATUS=stopping: this node leaves its cluster")

    def stopService(self) -> None:
        """Nothing more is told."""
        super().stopService()  # type: ignore[no-untyped-call]  # Twisted's has no types
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None
        if self._feeding.running:
            self._feeding.stop()

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """The manager knows that the node reads its settings again, and when that is over."""
        if self._is_ready and not self._is_stopping:
            self._tell("RELOADING=1", f"MONOTONIC_USEC={int(self._monotonic() * 1e6)}")
        try:
            yield
        finally:
            if self._is_ready and not self._is_stopping:
                self._tell("READY=1")

    def _feed(self) -> None:
        self._tell("WATCHDOG=1")

    def _look(self) -> None:
        """What has changed is told, and the next look is set."""
        self._looking = None
        try:
            self._tell_changes()
        except Exception:  # noqa: BLE001  # whatever it is, the next look comes
            self._failed(Failure())
        self._looking = self._reactor.callLater(STATUS_LOOK_S if self._is_ready else READY_LOOK_S, self._look)

    def _tell_changes(self) -> None:
        if self._is_stopping:
            return
        due = self._writer.not_ready is None or self._reactor.seconds() >= self._ready_by
        if not self._is_ready and due:
            status = self._status()
            if self._tell("READY=1", f"STATUS={status}"):  # what could not be sent is sent again
                self._is_ready, self._status_told = True, status
        elif (status := self._status()) != self._status_told and self._tell(f"STATUS={status}"):
            self._status_told = status

    def _status(self) -> str:
        """How the node is, on one line, for `systemctl status`."""
        current = self._store.current
        value = shown(current.text[: 4 * VALUE_SHOWN_MAX].decode("utf-8", "replace"))
        value = value if len(value) <= VALUE_SHOWN_MAX else f"{value[: VALUE_SHOWN_MAX - 3]}..."
        counts = count_by_status(self._membership.members()).items()
        shown_counts = ", ".join(f"{count} {status.value}" for status, count in counts if count)
        not_ready, trouble = self._writer.not_ready, self._journal.trouble
        parts = [
            "ready" if not_ready is None else f"not ready: {not_ready}",
            *([] if trouble is None else [f"own writes are refused: {shown(trouble)}"]),
            f"holds {value} at generation {current.generation}",
            f"members: {shown_counts}",
        ]
        if (lacks := self._membership.trouble()) is not None:
            parts.append(shown(lacks.rstrip(".")))
        if (isolated := self._isolated()) is not None:
            parts.append(f"isolated: {isolated}")
        return "; ".join(parts)

    def _tell(self, *assignments: str) -> bool:
        told = self._manager.tell(*assignments)
        if not told and not self._is_deaf:
            self.log.error(
                "systemd cannot be told how this node is, at {address}", address=shown(self._manager.address)
            )
        self._is_deaf = not told
        return told

    def _failed(self, failure: Failure) -> None:
        self.log.failure("telling systemd how this node is failed, and goes on", failure)
