"""What systemd is told: by real datagrams to a socket of the test's own, in virtual time."""

import os
import shutil
import socket
import tempfile
from pathlib import Path
from unittest.mock import patch

from twisted.application.service import Service
from twisted.internet.task import Clock
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from onevalue.membership import Status
from onevalue.reloading import Reloading
from onevalue.sdnotify import READY_LOOK_S, READY_TIME_MAX_S, STATUS_LOOK_S, Manager, Notices, take_manager
from onevalue.store import Source, State
from onevalue.types import Generation
from onevalue.writer import Writer
from tests.fakes import FakeMembership, make_member
from tests.web_support import WebNode


class Systemd:
    """A socket that hears what a service tells its manager."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.bind(f"\0{address[1:]}" if address.startswith("@") else address)

    def heard(self) -> list[str]:
        """The datagrams since the last call, lines joined by a comma."""
        found = []
        while True:
            try:
                found.append(self.socket.recv(65536).decode().replace("\n", ","))
            except BlockingIOError:
                return found


class ManagerTests(SynchronousTestCase):
    """sd_notify itself."""

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="onevalue-"))
        self.addCleanup(shutil.rmtree, self.folder)

    def listen(self, address: str) -> Systemd:
        """A manager at this address."""
        systemd = Systemd(address)
        self.addCleanup(systemd.socket.close)
        return systemd

    def test_both_kinds_of_address_are_reached(self) -> None:
        """A path, and a name of the abstract kind; all assignments are one datagram."""
        for address in (str(self.folder / "notify"), f"@onevalue-test-{os.getpid()}"):
            systemd = self.listen(address)
            assert Manager(address).tell("READY=1", "STATUS=Grüße")
            assert systemd.heard() == ["READY=1,STATUS=Grüße"]

    def test_nobody_who_listens_is_no_error(self) -> None:
        """Nor is an address that cannot be, nor text that is none."""
        for address in (str(self.folder / "nobody"), "/" + "x" * 200, "@\0" + "y" * 200, "/a\0b"):
            assert not Manager(address).tell("READY=1")
        systemd = self.listen(str(self.folder / "notify"))
        assert Manager(str(self.folder / "notify")).tell("STATUS=\udcff")
        assert systemd.heard() == ["STATUS=?"]

    def test_a_full_queue_does_not_hold_it_up(self) -> None:
        """The manager reads nothing: what does not fit is not sent, and the sender says so."""
        address = str(self.folder / "notify")
        self.listen(address)
        told = [Manager(address).tell("STATUS=" + "x" * 1000) for _ in range(3000)]
        assert told[0]
        assert not told[-1]

    def test_the_environment_names_it_once(self) -> None:
        """What is started from here is not told of it."""
        environ = {"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7", "HOME": "/"}
        assert take_manager(environ, pid=7) == Manager("/run/x", 30.0)
        assert environ == {"HOME": "/"}
        assert take_manager(environ, pid=7) is None

    def test_the_watchdog_of_another_process_is_none_of_ours(self) -> None:
        """Nor is one that nobody can make sense of; without WATCHDOG_PID it is meant for whoever has the variable."""
        for usec, pid, watchdog_s in [
            ("30000000", "8", None),
            ("30000000", "", 30.0),
            ("soon", "7", None),
            ("-1", "7", None),
            ("0", "7", None),
            ("", "7", None),
        ]:
            environ = {"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": usec, "WATCHDOG_PID": pid}
            assert take_manager(environ, pid=7) == Manager("@x", watchdog_s), (usec, pid)

    def test_addresses_of_other_kinds_are_none(self) -> None:
        """Relative paths, and systemd's vsock."""
        for address in ("", "x", "vsock:2:1", "@", "/"):
            assert take_manager({"NOTIFY_SOCKET": address}) is None


class NoticesTests(SynchronousTestCase):
    """The service."""

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="onevalue-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.systemd = Systemd(str(self.folder / "notify"))
        self.addCleanup(self.systemd.socket.close)
        self.clock = Clock()
        self.node = WebNode()
        self.membership: FakeMembership = self.node.membership
        self.lines: list[str] = []
        globalLogPublisher.addObserver(self.observe)  # type: ignore[arg-type]  # its kind of event is an Any
        self.addCleanup(globalLogPublisher.removeObserver, self.observe)  # type: ignore[arg-type]  # as above

    def observe(self, event: LogEvent) -> None:
        """Keep the lines of this module."""
        if event.get("log_namespace") == "onevalue.sdnotify.Notices":
            self.lines.append(formatEvent(event))

    def make(self, watchdog_s: float | None = None) -> Notices:
        """A service that has started, and is stopped with the test."""
        context = self.node.context
        notices = Notices(
            reactor=self.clock,
            manager=Manager(str(self.folder / "notify"), watchdog_s),
            store=context.store,
            writer=context.writer,
            membership=context.membership,
            journal=context.journal,
            isolated=context.isolated,
            monotonic=lambda: 12.5,
        )
        notices.startService()
        return notices

    def learn(self) -> None:
        """The node is learning from now on."""
        self.node.spread.start(0.0, somebody_to_ask=True)
        assert self.node.spread.learning

    def test_a_node_that_takes_writes_is_ready_at_once(self) -> None:
        """With one line of what it holds and who is there."""
        self.make()
        assert self.systemd.heard() == ["READY=1,STATUS=ready; holds 42 at generation 0; members: 1 alive"]

    def test_a_node_that_learns_is_ready_when_it_has_learnt(self) -> None:
        """Within a tenth of a second; before, the status says why it is not."""
        self.learn()
        self.make()
        [line] = self.systemd.heard()
        assert line.startswith("STATUS=not ready: this node is still learning what its cluster holds; holds 42")
        self.clock.advance(1.0)
        assert self.systemd.heard() == []
        self.node.spread.addresses_tried(1.0, nobody_else=True)
        self.clock.advance(READY_LOOK_S)
        [line] = self.systemd.heard()
        assert line.startswith("READY=1,STATUS=ready;")

    def test_a_node_that_cannot_learn_is_not_killed_for_it(self) -> None:
        """It is called ready in the end, and its status says what is amiss."""
        self.learn()
        self.make()
        self.clock.pump([READY_LOOK_S] * int((READY_TIME_MAX_S - 1) / READY_LOOK_S))
        assert not any("READY=1" in line for line in self.systemd.heard())
        self.clock.pump([READY_LOOK_S] * 20)
        [line] = self.systemd.heard()
        assert line.startswith("READY=1,STATUS=not ready: this node is still learning")

    def test_a_change_is_told_and_nothing_else(self) -> None:
        """At most every two seconds, whatever there is to tell."""
        self.make()
        self.systemd.heard()
        self.clock.pump([STATUS_LOOK_S] * 10)
        assert self.systemd.heard() == []
        for generation in range(1, 50):
            self.node.store.merge(State(Generation(generation), "x" * 100 + "\n"), Source.NOTIFY)
        others = make_member("n2"), make_member("n3", status=Status.FAILED)
        self.membership.set_members(make_member("n1"), *others)
        self.clock.advance(STATUS_LOOK_S)
        value = '"' + "x" * 36 + "..."
        assert self.systemd.heard() == [f"STATUS=ready; holds {value} at generation 49; members: 2 alive, 1 failed"]

    def test_what_is_amiss_is_told(self) -> None:
        """A disk that refuses, an agent that is away, and that nobody else is there who was."""
        self.make()
        self.systemd.heard()
        self.node.journal.trouble = "database or disk is full"
        self.membership.engine_trouble = "The Serf agent is away."
        self.membership.set_members(make_member("n1"), make_member("n2", status=Status.FAILED))
        self.clock.advance(STATUS_LOOK_S)
        [line] = self.systemd.heard()
        assert "members: 1 alive, 1 failed; The Serf agent is away; isolated" in line
        assert "ready; own writes are refused: database or disk is full;" in line
        assert "isolated: No other member answers: this node is cut off" in line

    def test_the_watchdog_is_fed_at_half_of_its_time(self) -> None:
        """From the start, also while the node learns and while it stops; not by a reactor that stands still."""
        self.learn()
        notices = self.make(watchdog_s=30.0)
        fed = [line for line in self.systemd.heard() if line == "WATCHDOG=1"]
        assert len(fed) == 1
        for _ in range(4):
            self.clock.pump([0.5] * 30)
            assert self.systemd.heard().count("WATCHDOG=1") == 1
        notices.stopping()
        self.clock.pump([0.5] * 30)
        assert self.systemd.heard().count("WATCHDOG=1") == 1
        notices.stopService()

    def test_without_a_watchdog_there_is_no_such_timer(self) -> None:
        """WATCHDOG_USEC was not set."""
        self.make()
        self.clock.pump([1.0] * 100)
        assert "WATCHDOG=1" not in self.systemd.heard()

    def test_a_reload_is_told_with_its_begin_and_end(self) -> None:
        """Around all that is called, also if one of them fails."""
        notices = self.make()
        self.systemd.heard()
        reloading = Reloading(None, notices.reloading)
        heard: list[str] = []
        reloading.observe_reload(lambda: heard.extend(self.systemd.heard()))
        reloading.observe_reload(self.fail)
        Service.startService(reloading)  # without its signal
        reloading.reload()
        assert len(self.flushLoggedErrors(self.failureException)) == 1  # type: ignore[no-untyped-call]  # as above
        assert heard == ["RELOADING=1,MONOTONIC_USEC=12500000"]
        assert self.systemd.heard() == ["READY=1"]

    def test_a_reload_of_a_node_that_is_not_ready_is_not_told(self) -> None:
        """Its end would call it ready."""
        self.learn()
        notices = self.make()
        self.systemd.heard()
        with notices.reloading():
            pass
        assert self.systemd.heard() == []

    def test_stopping_is_the_last_word(self) -> None:
        """No status, and no reload, comes after it; after the stop no timer is left."""
        notices = self.make(watchdog_s=30.0)
        self.systemd.heard()
        notices.stopping()
        assert self.systemd.heard() == ["STOPPING=1,STATUS=stopping: this node leaves its cluster"]
        self.membership.set_members(make_member("n1"), make_member("n2"))
        with notices.reloading():
            self.clock.advance(STATUS_LOOK_S)
        assert self.systemd.heard() == []
        notices.stopService()
        notices.stopService()
        assert not self.clock.getDelayedCalls()

    def test_a_manager_that_does_not_hear_is_told_again(self) -> None:
        """That the node is ready; and one line of the log says that it could not be told."""
        self.systemd.socket.close()
        (self.folder / "notify").unlink()
        self.make()
        self.clock.pump([READY_LOOK_S] * 10)
        assert len(self.lines) == 1
        self.systemd = Systemd(str(self.folder / "notify"))
        self.addCleanup(self.systemd.socket.close)
        self.clock.advance(READY_LOOK_S)
        assert [line.partition(",")[0] for line in self.systemd.heard()] == ["READY=1"]

    def test_a_fault_does_not_end_it(self) -> None:
        """It is logged, and the next look comes."""
        self.make()
        self.systemd.heard()
        with patch.object(Writer, "not_ready", property(lambda _: 1 / 0)):
            self.clock.advance(STATUS_LOOK_S)
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1  # type: ignore[no-untyped-call]  # trial's has no types
        self.membership.set_members(make_member("n1"), make_member("n2"))
        self.clock.advance(STATUS_LOOK_S)
        assert self.systemd.heard() == ["STATUS=ready; holds 42 at generation 0; members: 2 alive"]
