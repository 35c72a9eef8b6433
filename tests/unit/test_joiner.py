"""The joiner tells people of a join address when it begins to answer, and when it ceases to; not each time."""

from twisted.internet.task import Clock
from twisted.logger import Logger, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from onevalue.config import SerfSettings
from onevalue.joiner import Joiner
from onevalue.loglines import LimitedLog
from onevalue.serf.dialler import Dialler
from onevalue.types import Address

OWN: Address = ("10.0.0.1", 7946)
RETRY_MAX_S = SerfSettings().join_retry_max_s


class JoinerLinesTests(SynchronousTestCase):
    """A joiner whose push/pulls end as the test says."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.lines: list[str] = []
        self.begun: list[Address] = []
        self.names: list[str] = []
        log = Logger("test", observer=lambda event: self.lines.append(formatEvent(event)))  # type: ignore[arg-type]  # its kind of event is an Any
        self.log = LimitedLog(log, self.clock.seconds)

    def begin(self, address: Address, name: str) -> int:
        """A push/pull begins."""
        self.begun.append(address)
        self.names.append(name)
        return len(self.begun)

    def make(self, *targets: str) -> Joiner:
        """A joiner with these join addresses."""
        return Joiner(
            reactor=self.clock,  # numeric hosts need no more of it
            dialler=Dialler(targets, SerfSettings(), [OWN]),
            lines=self.log,
            begin=self.begin,
            changed=lambda: None,
        )

    def attempt(self, joiner: Joiner, error: str | None) -> None:
        """The join address is dialled once more, with this result."""
        self.clock.advance(RETRY_MAX_S)
        joiner.dial()
        joiner.ended(len(self.begun), error)

    def test_silence_is_told_once_with_its_reason(self) -> None:
        """However often the address is dialled."""
        joiner = self.make("10.0.0.2")
        for _ in range(3):
            self.attempt(joiner, "connection refused")
        assert self.begun == [("10.0.0.2", 7946)] * 3
        assert self.lines == ["nobody to join at 10.0.0.2 yet, dialling it again and again: connection refused"]

    def test_an_answer_is_told_once_and_so_is_later_silence(self) -> None:
        """A member that answers without being alive is dialled again, and nobody is told each time."""
        joiner = self.make("10.0.0.2")
        for error in ["refused", None, None, "refused", "refused", None]:
            self.attempt(joiner, error)
        assert [line.split()[0] for line in self.lines] == ["nobody", "joined", "nobody", "joined"]

    def test_a_peer_is_dialled_by_its_name(self) -> None:
        """What stands before the last slash; there may be others in it."""
        for text, name, address in [
            ("n2/10.0.0.2:7000", "n2", ("10.0.0.2", 7000)),
            ("a/b:c/[::1]:7946", "a/b:c", ("::1", 7946)),
            ("10.0.0.2", "", ("10.0.0.2", 7946)),
        ]:
            self.attempt(self.make(text), None)
            assert (self.names[-1], self.begun[-1]) == (name, address)

    def test_own_addresses_are_not_told(self) -> None:
        """They are never dialled, so they do not fail to answer."""
        self.make(OWN[0]).dial()
        assert (self.begun, self.lines) == ([], [])

    def test_a_join_that_is_asked_for_counts_who_answered(self) -> None:
        """The lines are of join addresses only."""
        joiner = self.make()
        counted = joiner.join(["10.0.0.2", "10.0.0.3", "no address:at:all"])
        joiner.ended(1, "refused")
        joiner.ended(2, None)
        assert self.successResultOf(counted) == 1
        assert self.lines == []
