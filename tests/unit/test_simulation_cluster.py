"""Simulated clusters: nodes that start, meet, hold one value, crash, move and stop as real ones do."""

from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from onevalue.config import LOCAL
from onevalue.member import Status
from onevalue.simulation.cluster import Cluster, Host, Settings, SimNode, known_to_all
from onevalue.simulation.network import LATENCIES, Link
from onevalue.simulation.scenario import KEY

SETTINGS = Settings(swim=replace(LOCAL, compression=False))


class ClusterTests(SynchronousTestCase):
    """Three hosts; all join the first."""

    def build(self, settings: Settings = SETTINGS) -> None:
        """Their nodes run for ten seconds."""
        self.cluster = Cluster(1, 3, Link(LATENCIES["lan"]), settings)
        for host in self.cluster.hosts:
            self.start(host)
        self.wait(10.0)

    def start(self, host: Host) -> SimNode:
        """The node of a host starts."""
        return self.cluster.start(host, [self.cluster.hosts[0].address])

    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.cluster.clock.run_until(self.cluster.clock.now + seconds)

    def write(self, host: Host, value: int) -> None:
        """Somebody writes there, and it is acknowledged."""
        assert host.node is not None
        writing = host.node.parts.writer.write(value)
        self.wait(0.1)
        self.successResultOf(writing)

    def held(self) -> list[object]:
        """What the nodes hold."""
        return [node.current.value for node in self.cluster.nodes]

    def seen(self, of: int, at: int = 0) -> tuple[Status, str] | None:
        """What the node of one host knows of that of another."""
        node = self.cluster.hosts[at].node
        assert node is not None
        name = self.cluster.hosts[of].name
        return next(
            ((each.status, each.address) for each in node.embedded.service.members() if each.name == name), None
        )

    def test_nodes_meet_and_hold_one_value(self) -> None:
        """By gossip at once; by anti-entropy and streams where UDP is blocked; encrypted too."""
        for keys in ((), (KEY,)):
            self.build(replace(SETTINGS, keys=keys))
            self.write(self.cluster.hosts[1], 7)
            assert self.held() == [7, 7, 7]
            self.cluster.network.without_udp.update(dict.fromkeys(host.address for host in self.cluster.hosts))
            self.write(self.cluster.hosts[2], 8)
            self.wait(10.0)
            assert self.held() == [8, 8, 8]
            if keys:
                assert all(node.endpoint.http_bytes for node in self.cluster.nodes)

    def test_without_the_key_nothing_is_heard(self) -> None:
        """A stranger's calls are refused, its packets are not opened."""
        self.build(replace(SETTINGS, keys=(KEY,)))
        self.cluster.crash(self.cluster.hosts[2])
        self.cluster.settings = SETTINGS
        stranger = self.start(self.cluster.hosts[2])
        self.wait(6.0)
        self.write(self.cluster.hosts[2], 9)
        self.wait(5.0)
        assert self.held() == [42, 42, 9]
        assert stranger.embedded.service.last_contact_s() is None
        body = b'{"name":"n","learning":false,"state":{"generation":5,"value":1}}'
        http = self.cluster.nodes[0].endpoint.http
        assert http is not None
        assert self.successResultOf(http({}, body)) == (403, {}, b"")

    def test_a_crashed_node_comes_back_with_its_disk_and_another_address(self) -> None:
        """Under its name; with a wiped disk it learns from the others."""
        self.build()
        self.write(self.cluster.hosts[0], 7)
        host = self.cluster.hosts[2]
        self.cluster.crash(host, power=True)
        self.wait(30.0)
        assert self.seen(2) == (Status.FAILED, "10.0.0.3")
        self.cluster.power_on(host)
        host.moves += 1
        assert self.start(host).current.value == 7
        self.wait(10.0)
        assert self.seen(2) == (Status.ALIVE, "10.1.0.3")
        self.cluster.crash(host)
        host.disk.wipe()
        assert self.start(host).current.value == 42
        self.wait(5.0)
        assert self.held() == [7, 7, 7]

    def test_a_node_that_stops_has_left(self) -> None:
        """The others know it, nothing of it is left, and it can start again."""
        self.build()
        stopping = self.cluster.stop(self.cluster.hosts[1])
        self.wait(10.0)
        self.successResultOf(stopping)
        assert (self.cluster.hosts[1].node, self.seen(1)) == (None, (Status.LEFT, "10.0.0.2"))
        self.start(self.cluster.hosts[1])
        self.wait(5.0)
        assert self.seen(1) == (Status.ALIVE, "10.0.0.2")

    def test_members_can_be_known_from_the_start(self) -> None:
        """Without a packet, and without anybody to join; what crashes is found."""
        self.cluster = Cluster(1, 3, Link(LATENCIES["lan"]), SETTINGS)
        known = known_to_all(self.cluster.hosts)
        for host in self.cluster.hosts:
            self.cluster.start(host, known=known)
        self.wait(0.01)
        assert [self.seen(of, at) for at in range(3) for of in range(3)] == [
            (Status.ALIVE, host.address) for _ in range(3) for host in self.cluster.hosts
        ]
        self.write(self.cluster.hosts[0], 7)
        assert self.held() == [7, 7, 7]
        self.cluster.crash(self.cluster.hosts[2], power=True)
        self.wait(20.0)
        assert self.seen(2) == (Status.FAILED, "10.0.0.3")

    def test_crashing_what_does_not_run_does_nothing(self) -> None:
        """Twice is once."""
        self.build()
        self.cluster.crash(self.cluster.hosts[1])
        self.cluster.crash(self.cluster.hosts[1], power=True)
        assert self.cluster.network.gone == {}
        assert len(self.cluster.nodes) == 2
